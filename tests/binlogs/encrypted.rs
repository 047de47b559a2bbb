//! An archive that is encrypted: nothing of it is readable here without the secret key, by the program and by hand, whoever it was encrypted to.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use dbcalm_db_cmd::age::identities;
use dbcalm_db_cmd::binlog::archive::{Archive, Archived};
use dbcalm_db_cmd::model::causes;

use super::files::{self, Writer};
use super::{Stage, closed};
use crate::cli::{run, stdout};
use crate::harness::{TestEnv, program};

/// Makes a key: its file, and its public half.
pub(super) fn key(dir: &Path, name: &str) -> (PathBuf, String) {
    let file = dir.join(name);
    let made = program("age-keygen").arg("-o").arg(&file).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let public = identities(&fs::read(&file).unwrap()).unwrap()[0].recipient().to_string();
    (file, public)
}

/// The bytes of a file of the archive by `age` and `zstd`, as docs/any-moment.md says.
pub(super) fn by_hand(dir: &Path, file: &str, identity: &Path) -> Vec<u8> {
    let line = "{ [ ! -e \"$1.zst\" ] || cat \"$1.zst\"
        for piece in \"$1\".*.zst.age; do age -d -i \"$2\" \"$piece\"; done; } | zstd -dc";
    let mut shell = program("bash");
    shell.args(["-euo", "pipefail", "-c", line, "bash", file]).arg(identity).current_dir(dir);
    let said = shell.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    said.stdout
}

impl Stage {
    /// Lets the step encrypt from now on.
    pub(super) fn encrypt(&mut self) {
        let (file, public) = key(self.root.path(), "key.txt");
        (self.identity, self.recipients) = (Some(file), vec![public]);
    }

    /// Why the first file of a timeline is not read. None if it is.
    fn unread(&self, archive: &Archive) -> Option<String> {
        let file = Archived { timeline: 1, entry: self.entry(1, 1) };
        let mut all = Vec::new();
        match file.open(archive) {
            Err(why) => Some(causes(&why)),
            Ok(mut input) => {
                input.read_to_end(&mut all).unwrap();
                assert_eq!(all, closed(&self.server.path()));
                None
            }
        }
    }
}

#[test]
fn nothing_that_is_archived_is_readable_without_the_key() {
    let mut stage = Stage::new();
    stage.encrypt();
    let known = "INSERT INTO orders VALUES ('a text that everybody knows')";
    for round in 1..4 {
        stage.server.last += 1;
        stage.server.append(&files::transaction(9, 7, stage.server.last, known));
        stage.server.commit(round);
        stage.pass();
    }
    stage.server.flush();
    stage.pass();
    assert_eq!(stage.numbers(1), (1..=9).collect::<Vec<_>>());
    assert_eq!(stage.entry(1, 1).pieces.len(), 4);
    let dir = stage.archive().timeline_dir(1);
    let mut count = 0;
    for entry in fs::read_dir(&dir).unwrap().chain(fs::read_dir(stage.archive().dir()).unwrap()) {
        let path = entry.unwrap().path();
        let Ok(bytes) = fs::read(&path) else { continue };
        count += 1;
        for text in ["everybody", "orders", "shop", "INSERT"] {
            assert!(!bytes.windows(text.len()).any(|part| part == text.as_bytes()), "{}: {text}", path.display());
        }
        // What is compressed would not have it either.
        let is_sealed = path.extension().is_some_and(|ending| ending == "age");
        assert_eq!(bytes.starts_with(b"age-encryption.org/v1\n"), is_sealed, "{}", path.display());
        assert!(is_sealed || path.extension().is_some_and(|ending| ending == "json"), "{}", path.display());
    }
    assert_eq!(count, 4 + 1 + 2 + 1 + 1, "pieces, what counts them, of the timeline and the last look");
    for file in 1..=2 {
        assert_eq!(stage.by_hand(1, file), closed(&stage.server.dir.join(Writer::name(file))));
    }
}

#[test]
fn without_the_right_key_it_is_said_to_whom_it_is_encrypted() {
    let mut stage = Stage::new();
    stage.encrypt();
    stage.server.commit(2);
    stage.pass();
    let (other, others) = key(stage.root.path(), "other.txt");
    let plain = |text: Option<String>, stage: &Stage| {
        let text = text.unwrap_or_default().replace(&stage.recipients[0], "[ONE]").replace(&others, "[OTHER]");
        text.replace(stage.root.path().to_str().unwrap(), "~")
    };
    let archive = Archive::of(&stage.backups());
    assert_eq!(
        plain(stage.unread(&archive), &stage),
        "what is archived of 'bin.000001' is encrypted to [ONE]: set identity_file to the file with the secret key of one of them"
    );
    assert_eq!(
        plain(stage.unread(&archive.clone().with_identity(Some(other.clone()))), &stage),
        "what is archived of 'bin.000001' is encrypted to [ONE]: identity_file '~/other.txt' is of [OTHER]"
    );
    let none = archive.clone().with_identity(Some(stage.root.path().join("none")));
    assert!(plain(stage.unread(&none), &stage).contains("identity_file '~/none' cannot be read: No such file"));
    assert_eq!(stage.unread(&stage.archive()), None);
    // Who is named later reads what comes later, and a file of both only with both keys.
    let first = stage.recipients.clone();
    stage.recipients = vec![others.clone()];
    stage.server.commit(1);
    stage.pass();
    stage.recipients = first.clone();
    stage.server.commit(1);
    stage.pass();
    assert_eq!(stage.entry(1, 1).recipients, [first, vec![others.clone()]], "each set once");
    assert_eq!(
        plain(stage.unread(&stage.archive()), &stage),
        "what is archived of 'bin.000001' is encrypted to [OTHER]: identity_file '~/key.txt' is of [ONE]"
    );
    let both = stage.root.path().join("both.txt");
    let text = [fs::read(stage.identity.as_ref().unwrap()).unwrap(), fs::read(other).unwrap()].concat();
    fs::write(&both, text).unwrap();
    stage.identity = Some(both);
    assert_eq!(stage.unread(&stage.archive()), None);
    assert_eq!(stage.by_hand(1, 1), closed(&stage.server.path()));
}

#[test]
fn a_file_of_which_the_beginning_was_not_encrypted_is_read_whole() {
    let mut stage = Stage::new();
    stage.server.commit(2);
    stage.pass();
    stage.encrypt();
    stage.server.commit(2);
    stage.pass();
    assert_eq!(stage.numbers(1), [1, 2, 3, 4]);
    assert_eq!(stage.by_hand(1, 1), closed(&stage.server.path()));
    // And not any more: behind what stands in the file that is not encrypted.
    let recipients = std::mem::take(&mut stage.recipients);
    stage.server.commit(2);
    stage.pass();
    stage.recipients = recipients;
    stage.server.commit(2);
    stage.pass();
    let entry = stage.entry(1, 1);
    assert_eq!(entry.pieces.iter().map(|piece| piece.to).collect::<Vec<_>>(), [None, Some(0), None, Some(0)]);
    assert_eq!(stage.numbers(1), (1..=8).collect::<Vec<_>>());
    assert_eq!(stage.because(), "1: it is the first");
}

#[test]
fn what_was_changed_or_cut_of_an_encrypted_piece_is_given_to_nobody() {
    let mut stage = Stage::new();
    stage.encrypt();
    stage.server.commit(3);
    stage.pass();
    let piece = stage.archive().timeline_dir(1).join("bin.000001.000000000000.zst.age");
    let whole = fs::read(&piece).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for changed in [flipped, whole[..whole.len() - 1].to_vec(), whole[..100].to_vec(), Vec::new()] {
        fs::write(&piece, changed).unwrap();
        // One whose head is damaged is not even opened.
        let input = Archived { timeline: 1, entry: stage.entry(1, 1) }.open(&stage.archive());
        assert!(!input.is_ok_and(|mut input| input.read_to_end(&mut Vec::new()).is_ok()));
    }
    fs::remove_file(&piece).unwrap();
    let opened = Archived { timeline: 1, entry: stage.entry(1, 1) }.open(&stage.archive());
    assert!(opened.is_err_and(|why| causes(&why).contains("No such file")));
    // A pass reads nothing of it, and goes on.
    stage.server.commit(1);
    stage.pass();
    assert_eq!(stage.entry(1, 1).transactions, 4);
}

/// `binlog --around` reads what is archived, and needs the key.
#[test]
fn what_was_dropped_is_found_in_it_where_the_key_is() {
    let mut env = TestEnv::new();
    let (file, public) = key(env.root(), "key.txt");
    env.set("stream", "true");
    env.set("encrypt_to", &format!("[{public}]"));
    let dir = env.path("binlogs");
    fs::create_dir(&dir).unwrap();
    let mut server = Writer::new(&dir, 7);
    server.begin();
    server.commit(2);
    let recipients = [public.parse().unwrap()];
    let (backup_dir, index) = (env.path("backups"), server.index());
    let pass = dbcalm_db_cmd::binlog::archive::Pass {
        backup_dir: &backup_dir,
        index: &index,
        data_dir: &server.dir,
        server_uid: None,
        recipients: &recipients,
    };
    pass.run().unwrap();
    let ask = "binlog --around 2023-11-14T22:13:20 --table shop.orders";
    let said = run(&env, ask);
    assert_eq!(said.status, 1, "{}", said.stdout);
    let told = said.stderr.replace(&public, "[ONE]");
    assert!(told.contains("what is archived of 'bin.000001' is encrypted to [ONE]: set identity_file"), "{told}");
    env.set("identity_file", &file.display().to_string());
    let found = stdout(&env, 0, ask);
    assert_eq!(found.lines().filter(|line| line.contains("shop.orders")).count(), 2, "{found}");
    // What there is of it is told without a key.
    env.set("identity_file", "");
    env.start_daemon();
    assert!(stdout(&env, 0, "list binlogs").contains("2023-11-14 22:13:2"));
}
