//! The archive of the binary log: the step that fills it over made files, whatever befalls server, disk and step; and the daemon with a real server.

mod crash;
mod encrypted;
mod lost;
mod page;
mod real;
mod replay;
mod repository;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dbcalm_db_cmd::binlog::archive::{Archive, Archived, Ended, Entry, Pass};
use dbcalm_db_cmd::binlog::reader::Reader;
use dbcalm_db_cmd::binlog::transaction::{Item, Transactions};

use crate::harness::small_disk::SmallDisk;
use crate::harness::{TestEnv, program};

#[allow(clippy::duplicate_mod, reason = "the fuzz target, which is a crate of its own, has it too")]
#[path = "harness/binlog_files.rs"]
mod files;

use files::{Writer, gtid, query};

/// A server that writes files, and an archive of them.
struct Stage {
    root: tempfile::TempDir,
    server: Writer,
    /// To whom the archive is encrypted.
    recipients: Vec<String>,
    /// The file with the secret key.
    identity: Option<PathBuf>,
}

impl Stage {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for dir in ["data", "backups"] {
            fs::create_dir(root.path().join(dir)).unwrap();
        }
        let mut server = Writer::new(&root.path().join("data"), 7);
        server.begin();
        Self { root, server, recipients: Vec::new(), identity: None }
    }

    fn backups(&self) -> PathBuf {
        self.root.path().join("backups")
    }

    fn archive(&self) -> Archive {
        Archive::of(&self.backups()).with_identity(self.identity.clone())
    }

    /// The step as the daemon runs it.
    fn command(&self) -> Command {
        let mut command = program(env!("CARGO_BIN_EXE_dbcalm-db-cmd"));
        command.arg("archive-binlogs").arg("--server-uid=one");
        command.arg(format!("--backup-dir={}", self.backups().display()));
        command.arg(format!("--index={}", self.server.index().display()));
        command.arg(format!("--data-dir={}", self.server.dir.display()));
        command.args(self.recipients.iter().map(|recipient| format!("--recipient={recipient}")));
        command.stdin(Stdio::null());
        command
    }

    /// Runs the step to its end. Gives whether that was good, and what it said.
    fn try_pass(&self) -> (bool, String) {
        let said = self.command().output().unwrap();
        let text = String::from_utf8(said.stderr).unwrap().replace(self.root.path().to_str().unwrap(), "~");
        (said.status.success(), text)
    }

    fn pass(&self) -> String {
        let (is_good, said) = self.try_pass();
        assert!(is_good && said.ends_with("archive-binlogs: completed OK!\n"), "{said}");
        said
    }

    /// Why the newest timeline was begun.
    fn because(&self) -> String {
        let number = self.archive().timelines().unwrap().pop().unwrap();
        format!("{number}: {}", self.archive().timeline(number).unwrap().unwrap().because)
    }

    fn entry(&self, timeline: u32, file: u64) -> Entry {
        self.archive().entry(timeline, &Writer::name(file)).unwrap().unwrap()
    }

    /// All that the archive says it has of a timeline: the number of each transaction, in order.
    fn numbers(&self, timeline: u32) -> Vec<u64> {
        numbers_in(&self.archive(), timeline)
    }

    /// The bytes of a file of the archive, by hand.
    fn by_hand(&self, timeline: u32, file: u64) -> Vec<u8> {
        if let Some(identity) = &self.identity {
            return encrypted::by_hand(&self.archive().timeline_dir(timeline), &Writer::name(file), identity);
        }
        let path = self.archive().data(timeline, &Writer::name(file));
        let said = program("zstd").args(["-dc"]).arg(path).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        said.stdout
    }
}

/// All that an archive says it has of a timeline: the number of each transaction, in order.
fn numbers_in(archive: &Archive, timeline: u32) -> Vec<u64> {
    let mut numbers = Vec::new();
    for (_, file) in archive.files(timeline).unwrap() {
        let entry = archive.entry(timeline, &file).unwrap().unwrap();
        let (mut count, state) = (0, entry.after.to_string());
        let input = Archived { timeline, entry: entry.clone() }.open(archive).unwrap();
        let mut all = Transactions::new(Reader::begin(input).unwrap(), false);
        while let Some(item) = all.item().unwrap() {
            if let Item::Transaction(transaction) = item {
                let gtid = transaction.gtid.unwrap().to_string();
                numbers.push(gtid.rsplit_once('-').unwrap().1.parse().unwrap());
                count += 1;
            }
        }
        assert_eq!((all.reader().torn(), count), (0, entry.transactions), "{file}");
        assert!(numbers.is_empty() || state.ends_with(&format!("-{}", numbers.last().unwrap())), "{state}");
    }
    numbers
}

/// Archives what a server has written, which begins anew and removes files too early.
pub(crate) fn archive_timelines(env: &TestEnv) {
    let dir = env.path("binlogs");
    fs::create_dir(&dir).unwrap();
    let mut server = Writer::new(&dir, 7);
    let pass = |server: &Writer| {
        let (backup_dir, index) = (env.path("backups"), server.index());
        Pass { backup_dir: &backup_dir, index: &index, data_dir: &server.dir, server_uid: None, recipients: &[] }
            .run()
            .unwrap();
    };
    server.begin();
    server.commit(1);
    pass(&server);
    server.reset();
    pass(&server);
    server.flush();
    server.flush();
    server.purge_to(3);
    pass(&server);
}

/// The bytes of a file of the server, as one that is not written to.
fn closed(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    bytes[21] &= !1;
    bytes
}

#[test]
fn files_are_archived_whole_and_the_one_that_is_written_to_up_to_its_last_transaction() {
    let mut stage = Stage::new();
    stage.server.commit(3);
    let said = stage.pass();
    assert!(
        said.contains("timeline 1 is begun: it is the first") && said.contains("archived 3 transactions"),
        "{said}"
    );
    assert_eq!(stage.by_hand(1, 1), closed(&stage.server.path()));
    assert!(stage.pass().contains("archived 0 transactions, 0 bytes"), "nothing is new");
    // One that is being written.
    let whole = stage.server.path();
    let before = closed(&whole);
    let begun = [gtid(1, 7, 0, 4, false), query(1, 7, "shop", "INSERT INTO orders VALUES (4)")].concat();
    stage.server.append(&begun[..begun.len() - 3]);
    stage.pass();
    assert_eq!(stage.by_hand(1, 1), before);
    stage.server.append(&begun[begun.len() - 3..]);
    stage.server.append(&files::commit(2, 7));
    stage.server.last = 4;
    stage.server.commit(1);
    stage.pass();
    stage.server.flush();
    stage.server.commit(2);
    stage.server.flush();
    stage.pass();
    assert_eq!(stage.numbers(1), (1..=7).collect::<Vec<_>>());
    assert_eq!((stage.by_hand(1, 1), stage.entry(1, 1).ended), (closed(&whole), Some(Ended::Rotated)));
    let looked = stage.archive().looked().unwrap().unwrap();
    assert_eq!((looked.complete.as_ref(), looked.trouble, looked.timeline), (Some(&looked.at), None, Some(1)));
    // The server has forgotten what is archived, and goes on.
    stage.server.purge_to(3);
    stage.server.commit(1);
    stage.pass();
    assert_eq!((stage.numbers(1).len(), stage.because().as_str()), (8, "1: it is the first"));
}

#[test]
fn a_step_that_was_away_catches_up() {
    let mut stage = Stage::new();
    for _file in 0..20 {
        stage.server.commit(5);
        stage.server.flush();
    }
    assert!(stage.pass().contains("archived 100 transactions"));
    assert_eq!(stage.numbers(1), (1..=100).collect::<Vec<_>>());
}

#[test]
fn what_the_server_removed_too_early_is_a_gap_and_begins_a_timeline() {
    let mut stage = Stage::new();
    stage.server.commit(2);
    stage.pass();
    // Its end was not here yet, and may have had more.
    stage.server.commit(1);
    stage.server.flush();
    stage.server.commit(1);
    stage.server.purge_to(2);
    let said = stage.pass();
    let because = "the server removed binary logs before they were archived: 'bin.000001' is the last one here, 'bin.000002' the first one there";
    assert!(said.contains(&format!("timeline 2 is begun: {because}")), "{said}");
    stage.server.flush();
    stage.pass();
    // A whole file.
    stage.server.commit(1);
    stage.server.flush();
    stage.server.commit(1);
    stage.server.flush();
    stage.server.purge_to(5);
    stage.server.commit(1);
    stage.pass();
    assert!(stage.because().starts_with("3: the server removed"), "{}", stage.because());
    assert_eq!([stage.numbers(1), stage.numbers(2), stage.numbers(3)], [vec![1, 2], vec![4], vec![7]]);
}

/// Nothing came behind what is archived: the next file says so.
#[test]
fn a_file_that_went_before_its_end_was_archived_is_no_gap_if_it_had_nothing_more() {
    let mut stage = Stage::new();
    stage.server.commit(2);
    stage.pass();
    stage.server.flush();
    stage.server.commit(1);
    stage.server.purge_to(2);
    stage.pass();
    assert_eq!((stage.numbers(1), stage.entry(1, 1).ended), (vec![1, 2, 3], Some(Ended::Cut)));
}

#[test]
fn a_server_that_begins_anew_or_is_another_begins_a_timeline() {
    let mut stage = Stage::new();
    stage.server.commit(3);
    stage.server.flush();
    stage.pass();
    stage.server.reset();
    stage.server.commit(1);
    stage.pass();
    assert_eq!(stage.because(), "2: the server's binary logs begin anew, where 'bin.000002' was the last");
    // It has the name of the one before, and is another.
    stage.server.reset();
    stage.server.commit(2);
    stage.pass();
    let changed =
        "'bin.000001' is not the file any more that was archived: the server was restored, or lost what it had written";
    assert_eq!(stage.because(), format!("3: {changed}"));
    // After a power cut the server has less than the archive, and writes something else.
    let short = closed(&stage.server.path());
    stage.server.commit(2);
    stage.pass();
    assert_eq!(stage.numbers(3), [1, 2, 3, 4]);
    fs::write(stage.server.path(), &short).unwrap();
    stage.server.last = 2;
    stage.server.time += 100;
    stage.server.commit(1);
    stage.pass();
    assert_eq!((stage.because(), stage.numbers(4)), (format!("4: {changed}"), vec![1, 2, 3]));
    assert_eq!(stage.numbers(3), [1, 2, 3, 4], "what was archived stays");
    let said = stage.command().arg("--server-uid=two").output().unwrap();
    assert!(!said.status.success(), "named twice");
    let mut other = stage.command();
    let args: Vec<_> = other.get_args().map(|arg| arg.to_str().unwrap().replace("uid=one", "uid=two")).collect();
    other = program(env!("CARGO_BIN_EXE_dbcalm-db-cmd"));
    assert!(other.args(args).output().unwrap().status.success());
    assert_eq!(stage.because(), "5: the server is another one");
}

#[test]
fn a_file_that_does_not_go_on_from_the_one_before_begins_a_timeline() {
    let mut stage = Stage::new();
    stage.server.commit(2);
    stage.server.flush();
    stage.server.commit(2);
    stage.server.flush();
    // One in the middle is missing, in the list too.
    let index = fs::read_to_string(stage.server.index()).unwrap().replace("./bin.000002\n", "");
    fs::write(stage.server.index(), index).unwrap();
    stage.server.commit(1);
    stage.pass();
    let apart = "does not go on from the transactions of 'bin.000001', so some are missing between them";
    assert_eq!(stage.because(), format!("2: 'bin.000003' {apart}"));
    // One that was exchanged for another: its number is right, its transactions are not.
    let mut stage = Stage::new();
    stage.server.commit(2);
    stage.server.flush();
    stage.server.last = 9;
    stage.server.flush();
    stage.pass();
    assert_eq!(
        stage.because(),
        "2: 'bin.000003' does not go on from the transactions of 'bin.000002', so some are missing between them"
    );
}

/// The server died: behind its last transaction stands a part of one, or nothing, and the next file says whether that was all.
#[test]
fn what_a_server_had_not_committed_when_it_died_is_left_out_and_a_flipped_byte_is_not() {
    for lost in [0, 1] {
        let mut stage = Stage::new();
        stage.server.commit(2);
        let begun = gtid(1, 7, 0, 3, false);
        stage.server.append(&begun[..begun.len() - 1]);
        stage.server.last += lost;
        stage.server.begin();
        stage.server.commit(1);
        stage.pass();
        if lost == 0 {
            assert_eq!((stage.numbers(1), stage.entry(1, 1).ended), (vec![1, 2, 3], Some(Ended::Cut)));
        } else {
            assert!(stage.because().contains("'bin.000002' does not go on"), "{}", stage.because());
            assert_eq!((stage.numbers(1), stage.numbers(2)), (vec![1, 2], vec![4]));
        }
    }
    let mut stage = Stage::new();
    stage.server.commit(4);
    let mut bytes = fs::read(stage.server.path()).unwrap();
    let middle = bytes.len() - 250;
    bytes[middle] ^= 1;
    fs::write(stage.server.path(), &bytes).unwrap();
    let (is_good, said) = stage.try_pass();
    assert!(!is_good && said.contains("the checksum of an event is wrong"), "{said}");
    let kept = stage.numbers(1);
    assert!(kept.len() < 4, "{kept:?}");
    let looked = stage.archive().looked().unwrap().unwrap();
    assert_eq!((looked.complete, looked.trouble.is_some()), (None, true));
    stage.server.flush();
    stage.pass();
    assert_eq!(
        (stage.numbers(1), stage.because().as_str()),
        (
            kept,
            "2: 'bin.000002' does not go on from the transactions of 'bin.000001', so some are missing between them"
        )
    );
    // It is mended: what is there is another file now than the one that was archived, but for its beginning.
    assert_eq!(stage.numbers(2), [] as [u64; 0]);
}

#[test]
fn what_cannot_be_archived_is_said() {
    let stage = Stage::new();
    let said = |stage: &Stage| {
        let (is_good, said) = stage.try_pass();
        assert!(!is_good, "{said}");
        said
    };
    fs::write(stage.server.index(), "").unwrap();
    assert_eq!(said(&stage), "archive-binlogs: '~/data/bin.index' names no file\n");
    fs::remove_file(stage.server.index()).unwrap();
    assert!(said(&stage).contains("'~/data/bin.index': No such file or directory"));
    fs::write(stage.server.index(), "./bin.000001\n").unwrap();
    fs::write(stage.server.path(), b"\xfdbin and more").unwrap();
    let encrypted =
        "archive-binlogs: the binary log '~/data/bin.000001': it is encrypted, so what is in it cannot be checked\n";
    assert_eq!(said(&stage), format!("{encrypted}"));
    // What is archived and was changed since is given to nobody.
    let mut stage = Stage::new();
    stage.server.commit(3);
    stage.pass();
    let path = stage.archive().data(1, "bin.000001");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let entry = stage.entry(1, 1);
    let mut text = Vec::new();
    let read = Archived { timeline: 1, entry }.open(&stage.archive()).unwrap().read_to_end(&mut text);
    assert!(read.is_err());
    fs::write(&path, "").unwrap();
    stage.server.commit(1);
    assert!(said(&stage).contains("is 0 bytes long, but"), "what is archived there is gone");
}

#[test]
fn a_full_disk_takes_nothing_of_what_is_archived_and_the_rest_follows() {
    let mut stage = Stage::new();
    let Some(disk) = SmallDisk::mount(&stage.backups()) else { return };
    stage.server.commit(10);
    stage.pass();
    disk.leave(0);
    let noise = |count: u32| {
        let mut random = fastrand::Rng::with_seed(5);
        (0..count).map(|_| random.alphanumeric()).collect::<String>()
    };
    stage.server.last += 1;
    stage.server.append(&files::transaction(9, 7, 11, &noise(320_000)));
    let (is_good, said) = stage.try_pass();
    assert!(!is_good && said.contains("No space left on device"), "{said}");
    assert_eq!(stage.numbers(1), (1..=10).collect::<Vec<_>>());
    disk.leave(8 << 20);
    stage.server.commit(1);
    stage.pass();
    assert_eq!(stage.numbers(1), (1..=12).collect::<Vec<_>>());
}
