//! The archive in a repository: what is sent, whatever befalls store and step, is what another machine has from there; and nothing of another host is
//! overwritten or erased.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dbcalm_db_cmd::binlog::archive::{Archive, ArchiveError, SentNow, erase, expire, receive, send};
use dbcalm_db_cmd::bucket::{Bucket as Store, Patience};
use dbcalm_db_cmd::model::{Remote, causes};
use insta::assert_snapshot;

use super::files::{self, Writer};
use super::{Stage, archive_timelines, numbers_in};
use crate::cli::{json, run, stdout};
use crate::harness::bucket::{Bucket, Login};
use crate::harness::proxy::{Fault, Proxy, Rule};
use crate::harness::radosgw::Radosgw;
use crate::harness::{TestEnv, program};
use crate::repository::keeping_in;

/// One who does not wait.
const SHORT: Patience = Patience { until: Duration::from_millis(300), pause: Duration::from_millis(10) };

fn remote(login: &Login, credentials: &Path) -> Remote {
    login.write_credentials(credentials);
    Remote {
        bucket: login.bucket.clone(),
        prefix: "db1".to_owned(),
        endpoint: Some(login.endpoint.clone()),
        region: None,
        path_style: true,
        ca: None,
        credentials: Some(credentials.to_owned()),
    }
}

impl Stage {
    fn remote(&self, login: &Login) -> Remote {
        remote(login, &self.root.path().join("credentials"))
    }

    fn store(&self, login: &Login) -> Store {
        Store::open(&self.remote(login), SHORT).unwrap()
    }

    fn send(&self, login: &Login) -> Result<SentNow, ArchiveError> {
        send(&self.archive(), &self.store(login))
    }

    /// The step as the daemon runs it.
    fn sending(&self, login: &Login) -> Command {
        let mut command = program(env!("CARGO_BIN_EXE_dbcalm-db-cmd"));
        command.arg("send-binlogs").arg(format!("--backup-dir={}", self.backups().display()));
        command.args(self.remote(login).args());
        command
    }

    /// What another machine has from there: the archive and what it takes for its directory to be.
    fn another(&self, login: &Login) -> (tempfile::TempDir, Archive) {
        let root = tempfile::tempdir().unwrap();
        let archive = Archive::of(root.path()).with_identity(self.identity.clone());
        let archive = archive.with_repository(Some(remote(login, &root.path().join("credentials"))));
        let received = receive(&archive, &self.store(login)).unwrap();
        assert_eq!(received.refused, Vec::<String>::new());
        (root, archive)
    }
}

/// The keys, without what no two archives have in common.
fn keys(bucket: &Bucket) -> String {
    let plain = |key: &String| {
        key.split('/').map(|part| if part.len() == 36 { "UUID" } else { part }).collect::<Vec<_>>().join("/")
    };
    bucket.keys().keys().map(plain).collect::<Vec<_>>().join("\n")
}

fn objects(bucket: &Bucket) -> BTreeMap<String, Vec<u8>> {
    bucket.keys().into_keys().map(|key| (key.clone(), bucket.read(&key).unwrap())).collect()
}

#[test]
fn what_is_archived_is_in_the_bucket_unreadable_and_is_read_from_there_by_another_machine() {
    let bucket = Bucket::start();
    let login = bucket.keeper();
    let mut stage = Stage::new();
    stage.encrypt();
    assert_eq!(stage.send(&login).unwrap(), SentNow::default(), "nothing is archived yet");
    for _piece in 0..2 {
        stage.server.last += 1;
        let known = "INSERT INTO orders VALUES ('a text that everybody knows')";
        stage.server.append(&files::transaction(9, 7, stage.server.last, known));
        stage.pass();
    }
    assert_eq!(stage.send(&login).unwrap().pieces, 2);
    stage.server.commit(1);
    stage.server.flush();
    stage.server.commit(2);
    stage.pass();
    let sent = stage.sending(&login).output().unwrap();
    let said = String::from_utf8(sent.stderr).unwrap();
    assert!(sent.status.success() && said.starts_with("send-binlogs: 2 pieces, "), "{said}");
    let list = |stage: &Stage| {
        let offsets: Vec<_> = stage.entry(1, 1).pieces.iter().map(|piece| piece.length).collect();
        let (second, third) = (offsets[0], offsets[0] + offsets[1]);
        keys(&bucket).replace(&format!("{second:012}"), "SECOND").replace(&format!("{third:012}"), "THIRD")
    };
    assert_snapshot!(list(&stage), @r"
    db1/v1/.binlogs/UUID/bin.000001/000000000000.json
    db1/v1/.binlogs/UUID/bin.000001/000000000000.zst.age
    db1/v1/.binlogs/UUID/bin.000001/SECOND.zst.age
    db1/v1/.binlogs/UUID/bin.000001/THIRD.json
    db1/v1/.binlogs/UUID/bin.000001/THIRD.zst.age
    db1/v1/.binlogs/UUID/bin.000001/whole.json
    db1/v1/.binlogs/UUID/bin.000002/000000000000.json
    db1/v1/.binlogs/UUID/bin.000002/000000000000.zst.age
    db1/v1/.binlogs/UUID/timeline.json
    ");
    for (key, bytes) in objects(&bucket) {
        for text in ["everybody", "orders", "shop", "INSERT"] {
            assert!(!bytes.windows(text.len()).any(|part| part == text.as_bytes()), "{key}: {text}");
        }
    }
    assert_eq!(stage.send(&login).unwrap(), SentNow::default(), "it is there");
    let elsewhere = stage.archive().elsewhere().unwrap().unwrap();
    let looked = stage.archive().looked().unwrap().unwrap();
    assert_eq!((elsewhere.complete, elsewhere.trouble), (looked.complete, None));

    let (root, archive) = stage.another(&bucket.reader());
    assert_eq!(archive.timelines().unwrap(), [1]);
    assert!(archive.timeline(1).unwrap().unwrap().received);
    for file in 1..=2 {
        let (ours, theirs) = (stage.entry(1, file), archive.entry(1, &Writer::name(file)).unwrap().unwrap());
        assert_eq!(ours, theirs);
    }
    assert_eq!(numbers_in(&archive, 1), (1..=5).collect::<Vec<_>>());
    assert_eq!(receive(&archive, &stage.store(&login)).unwrap().timelines, 0, "it is here");
    assert_eq!(archive.timelines().unwrap(), [1]);
    // Nothing is added to it here, and none of it is sent again.
    let mut other = Stage::new();
    fs::remove_dir(other.backups()).unwrap();
    fs::rename(root.path(), other.backups()).unwrap();
    (other.identity, other.recipients) = (stage.identity.clone(), stage.recipients.clone());
    other.server.commit(3);
    other.pass();
    assert_eq!(other.because(), "2: it is the first");
    let before = objects(&bucket);
    other.send(&login).unwrap();
    let after = objects(&bucket);
    assert!(before.iter().all(|(key, bytes)| after.get(key) == Some(bytes)));
    assert_eq!(after.keys().filter(|key| key.ends_with("timeline.json")).count(), 2);
}

/// A round of all in a real store.
#[test]
fn the_real_store_has_what_was_sent() {
    let Some(store) = Radosgw::shared() else { return };
    let bucket = store.bucket();
    let mut stage = Stage::new();
    stage.encrypt();
    for _file in 0..3 {
        stage.server.commit(3);
        stage.pass();
        stage.send(&bucket.keeper()).unwrap();
        stage.server.flush();
    }
    stage.pass();
    stage.send(&bucket.keeper()).unwrap();
    let (_root, archive) = stage.another(&bucket.reader());
    assert_eq!(numbers_in(&archive, 1), (1..=9).collect::<Vec<_>>());
    expire(&stage.archive(), |_| Some(4)).unwrap();
    assert!(!erase(&stage.archive(), &stage.store(&bucket.keeper()), |_| Ok(None)).unwrap().is_empty());
    let left = erase(&stage.archive(), &stage.store(bucket.login()), |_| Ok(None)).unwrap();
    assert_eq!(left, Vec::<String>::new());
    let (_root, archive) = stage.another(&bucket.reader());
    assert_eq!(archive.files(1).unwrap().len(), 1);
}

#[test]
fn a_store_that_is_away_holds_up_no_pass_and_gets_the_rest_when_it_is_back() {
    let bucket = Bucket::start();
    let proxy = Proxy::before(&bucket.login().endpoint);
    let login = bucket.login().by(&proxy.endpoint());
    let mut stage = Stage::new();
    stage.server.commit(2);
    stage.pass();
    stage.send(&login).unwrap();
    let until = stage.archive().elsewhere().unwrap().unwrap().complete;
    proxy.down();
    for _pass in 0..3 {
        stage.server.commit(2);
        stage.server.flush();
        stage.pass();
        let why = causes(&stage.send(&login).unwrap_err());
        assert!(why.contains("the store cannot be reached"), "{why}");
    }
    let elsewhere = stage.archive().elsewhere().unwrap().unwrap();
    assert_eq!((elsewhere.complete, elsewhere.trouble.is_some()), (until, true));
    assert_eq!(stage.numbers(1), (1..=8).collect::<Vec<_>>());
    proxy.up();
    assert_eq!(stage.send(&login).unwrap().pieces, 6);
    let (_root, archive) = stage.another(bucket.login());
    assert_eq!(numbers_in(&archive, 1), (1..=8).collect::<Vec<_>>());
    // An answer that was lost, and what the store has then.
    stage.server.commit(1);
    stage.pass();
    proxy.add(Rule::new(Fault::LoseAnswer).method("PUT").key(".json"));
    stage.send(&login).unwrap();
    let (_root, archive) = stage.another(bucket.login());
    assert_eq!(numbers_in(&archive, 1), (1..=9).collect::<Vec<_>>());
}

/// Killed at random moments, beside passes that go on: what is described there is there.
#[test]
fn a_sender_that_is_killed_anywhere_leaves_nothing_that_is_not_there() {
    let bucket = Bucket::start();
    let mut stage = Stage::new();
    let mut random = fastrand::Rng::with_seed(19);
    let (mut there, mut killed) = (0, 0);
    for round in 0..30 {
        if round == 15 {
            stage.encrypt();
        }
        stage.server.commit(random.u64(1..9));
        if random.u8(..3) == 0 {
            stage.server.flush();
        }
        stage.pass();
        let mut step = stage.sending(bucket.login()).stderr(std::process::Stdio::null()).spawn().unwrap();
        // Its moment is a time: it takes some tens of milliseconds here.
        std::thread::sleep(Duration::from_micros(random.u64(..60_000)));
        step.kill().unwrap();
        killed += u32::from(!step.wait().unwrap().success());
        if round % 3 > 0 {
            continue;
        }
        let (_root, archive) = stage.another(bucket.login());
        if archive.timelines().unwrap().is_empty() {
            continue;
        }
        let numbers = numbers_in(&archive, 1);
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        assert!(numbers.len() >= there, "what was there went");
        there = numbers.len();
    }
    assert!(killed > 7, "{killed} of 30 were killed");
    stage.send(bucket.login()).unwrap();
    let (_root, archive) = stage.another(bucket.login());
    assert_eq!(numbers_in(&archive, 1), (1..=stage.server.last).collect::<Vec<_>>());
    assert_eq!(archive.timelines().unwrap(), [1]);
    let timelines = bucket.keys().into_keys().filter(|key| key.ends_with("timeline.json")).count();
    assert_eq!(timelines, 1, "nothing was taken for another's");
}

#[test]
fn two_hosts_under_one_prefix_overwrite_nothing_of_each_other() {
    let bucket = Bucket::start();
    let (mut one, mut other) = (Stage::new(), Stage::new());
    for (stage, count) in [(&mut one, 2), (&mut other, 3)] {
        stage.server.commit(count);
        stage.pass();
        stage.send(bucket.login()).unwrap();
    }
    one.server.commit(1);
    one.pass();
    one.send(bucket.login()).unwrap();
    let (_root, archive) = one.another(bucket.login());
    let mut counts = [1, 2].map(|timeline| numbers_in(&archive, timeline).len());
    counts.sort_unstable();
    assert_eq!(counts, [3, 3]);
    // A machine that is cloned with its archive, and goes on by itself.
    let clone = Stage::new();
    for dir in ["data", "backups"] {
        fs::remove_dir_all(clone.root.path().join(dir)).unwrap();
        let copied = program("cp").arg("-a").args([one.root.path().join(dir), clone.root.path().join(dir)]).status();
        assert!(copied.unwrap().success());
    }
    let mut clone =
        Stage { server: Writer { dir: clone.root.path().join("data"), ..Writer::new(&PathBuf::new(), 7) }, ..clone };
    (clone.server.file, clone.server.last, clone.server.time) = (one.server.file, one.server.last, one.server.time + 7);
    one.server.commit(1);
    clone.server.commit(2);
    one.pass();
    clone.pass();
    one.send(bucket.login()).unwrap();
    let before = objects(&bucket);
    clone.send(bucket.login()).unwrap();
    let after = objects(&bucket);
    assert!(before.iter().all(|(key, bytes)| after.get(key) == Some(bytes)), "nothing of the first is another");
    assert_eq!(clone.send(bucket.login()).unwrap(), SentNow::default());
    let (_root, archive) = one.another(bucket.login());
    let mut counts = [1, 2, 3].map(|timeline| numbers_in(&archive, timeline).len());
    counts.sort_unstable();
    assert_eq!(counts, [3, 4, 5]);
}

#[test]
fn what_is_not_needed_goes_there_too_and_what_another_may_need_stays() {
    let bucket = Bucket::start();
    let mut stage = Stage::new();
    stage.encrypt();
    for _file in 0..4 {
        stage.server.commit(1);
        stage.server.flush();
        stage.pass();
        stage.send(bucket.login()).unwrap();
    }
    let whole = bucket.keys();
    let files = || {
        let keys = bucket.keys().into_keys();
        let files = keys.filter_map(|key| Some(key.strip_suffix("/whole.json")?.rsplit_once('/')?.1.to_owned()));
        files.collect::<Vec<_>>().join(" ")
    };
    let gone =
        |login: &Login, needed: Option<u64>| erase(&stage.archive(), &stage.store(login), |_| Ok(needed)).unwrap();
    assert_eq!(gone(bucket.login(), None), Vec::<String>::new());
    assert_eq!(bucket.keys(), whole, "all of it is here");
    expire(&stage.archive(), |_| Some(4)).unwrap();
    // A backup of the repository stands in the second file.
    assert!(gone(&bucket.keeper(), Some(2))[0].contains("AccessDenied"));
    assert_eq!(bucket.keys(), whole, "the key may not erase");
    assert_eq!(gone(bucket.login(), Some(2)), Vec::<String>::new());
    assert_eq!(files(), "bin.000002 bin.000003 bin.000004");
    // Another machine that received it erases nothing that no backup of the repository is said to go on from.
    let (_root, archive) = stage.another(bucket.login());
    expire(&archive, |_| None).unwrap();
    assert_eq!(archive.files(1).unwrap(), []);
    let left = erase(&archive, &stage.store(bucket.login()), |_| Ok(None)).unwrap();
    assert!(left[0].contains("remove it by hand if nobody does"), "{left:?}");
    assert_eq!(files(), "bin.000002 bin.000003 bin.000004");
    assert_eq!(erase(&archive, &stage.store(bucket.login()), |_| Ok(Some(3))).unwrap(), Vec::<String>::new());
    assert_eq!(files(), "bin.000003 bin.000004");
    assert_eq!(gone(bucket.login(), None), Vec::<String>::new());
    assert_eq!(files(), "bin.000004");
}

#[test]
fn what_is_missing_there_is_a_gap() {
    let bucket = Bucket::start();
    let mut stage = Stage::new();
    for _file in 0..4 {
        stage.server.commit(2);
        stage.server.flush();
    }
    stage.server.commit(1);
    stage.pass();
    stage.server.commit(1);
    stage.pass();
    stage.send(bucket.login()).unwrap();
    let of = |end: &str| bucket.keys().into_keys().find(|key| key.contains(end)).unwrap();
    for key in bucket.keys().into_keys().filter(|key| key.contains("/bin.000002/")) {
        bucket.remove(&key);
    }
    let (_root, archive) = stage.another(bucket.login());
    assert_eq!([1, 2].map(|timeline| numbers_in(&archive, timeline).len()), [2, 6]);
    let because = archive.timeline(2).unwrap().unwrap().because.to_string();
    assert!(because.contains("'bin.000001' is the last one here, 'bin.000003' the first one there"), "{because}");
    // A piece whose bytes are another's is not given out, and what describes a file and is not understood is named.
    let piece = of("/bin.000003/000000000000.zst");
    let whole = bucket.read(&piece).unwrap();
    bucket.write(&piece, &whole[..whole.len() - 1]);
    let entry = archive.entry(2, "bin.000003").unwrap().unwrap();
    let mut input = dbcalm_db_cmd::binlog::archive::Archived { timeline: 2, entry }.open(&archive).unwrap();
    assert!(std::io::Read::read_to_end(&mut input, &mut Vec::new()).is_err());
    bucket.write(&of("/bin.000004/whole.json"), b"{\"format\": 9}");
    let root = tempfile::tempdir().unwrap();
    let received = receive(&Archive::of(root.path()), &stage.store(bucket.login())).unwrap();
    assert!(received.refused[0].contains("use a newer dbcalm-db-cmd"), "{received:?}");
    // A name that leads elsewhere becomes none here.
    let text = String::from_utf8(bucket.read(&of("/bin.000003/whole.json")).unwrap()).unwrap();
    bucket.write(&of("/bin.000003/whole.json"), text.replace("\"bin.000003\"", "\"../../bin.000003\"").as_bytes());
    let received = receive(&Archive::of(&root.path().join("more")), &stage.store(bucket.login()));
    assert!(received.is_err(), "there is no such directory");
    fs::create_dir(root.path().join("more")).unwrap();
    let received = receive(&Archive::of(&root.path().join("more")), &stage.store(bucket.login())).unwrap();
    assert!(received.refused.iter().any(|why| why.contains("is not of the file that its key names")), "{received:?}");
}

/// The machine is gone while it received: the next time has all of it, once.
#[test]
fn what_was_received_in_part_is_received_anew() {
    let bucket = Bucket::start();
    let mut stage = Stage::new();
    stage.server.commit(2);
    stage.pass();
    stage.send(bucket.login()).unwrap();
    let (_root, archive) = stage.another(bucket.login());
    fs::remove_dir_all(archive.timeline_dir(1)).unwrap();
    fs::create_dir(archive.dir().join("receiving")).unwrap();
    assert_eq!(receive(&archive, &stage.store(bucket.login())).unwrap().timelines, 1);
    assert_eq!((archive.timelines().unwrap(), numbers_in(&archive, 1)), (vec![1], vec![1, 2]));
}

/// The settings name another repository: all of it is sent there.
#[test]
fn another_repository_gets_all_of_it() {
    let (first, second) = (Bucket::start(), Bucket::start());
    let mut stage = Stage::new();
    stage.server.commit(2);
    stage.pass();
    stage.send(first.login()).unwrap();
    let before = objects(&first);
    stage.server.commit(1);
    stage.pass();
    assert_eq!(stage.send(second.login()).unwrap().pieces, 2);
    assert_eq!(objects(&first), before);
    let (_root, archive) = stage.another(second.login());
    assert_eq!(numbers_in(&archive, 1), [1, 2, 3]);
}

/// What is received once more has what came since, and what was taken out here and is needed again.
#[test]
fn what_is_received_again_has_what_came_since_and_what_went() {
    let bucket = Bucket::start();
    let mut stage = Stage::new();
    for _file in 0..3 {
        stage.server.commit(1);
        stage.server.flush();
    }
    stage.pass();
    stage.send(bucket.login()).unwrap();
    let (_root, archive) = stage.another(bucket.login());
    expire(&archive, |_| Some(3)).unwrap();
    let names = |archive: &Archive| archive.files(1).unwrap().into_iter().map(|(number, _)| number).collect::<Vec<_>>();
    assert_eq!(names(&archive), [3, 4]);
    stage.server.commit(2);
    stage.server.flush();
    stage.server.commit(1);
    stage.pass();
    stage.send(bucket.login()).unwrap();
    assert_eq!(receive(&archive, &stage.store(bucket.login())).unwrap().timelines, 0);
    assert_eq!((names(&archive), numbers_in(&archive, 1)), (vec![1, 2, 3, 4, 5], (1..=6).collect::<Vec<_>>()));
    expire(&archive, |_| None).unwrap();
    assert_eq!(names(&archive), [0_u64; 0]);
    assert_eq!(receive(&archive, &stage.store(bucket.login())).unwrap().timelines, 0);
    assert_eq!((archive.timelines().unwrap(), numbers_in(&archive, 1).len()), (vec![1], 6));
    // Who sent it receives nothing of it.
    assert_eq!(receive(&stage.archive(), &stage.store(bucket.login())).unwrap().timelines, 0);
    assert_eq!(stage.archive().timelines().unwrap(), [1]);
}

#[test]
fn check_and_list_say_how_far_the_repository_is() {
    let bucket = Bucket::start();
    let mut env = TestEnv::new();
    keeping_in(&mut env, bucket.login(), true);
    env.start_daemon();
    // The daemon was not told of it, so it sends nothing by itself.
    env.set("binlog_archive", "true");
    archive_timelines(&env);
    let told = |env: &TestEnv| {
        let said = run(env, "check").stdout;
        let lines = said.lines().filter(|line| line.contains("of the binary log in s3://")).collect::<Vec<_>>();
        lines.join("; ")
    };
    let unsent = |env: &TestEnv| {
        let listed = json(env, 0, "list binlogs");
        let rows = listed["binlogs"].as_array().unwrap().clone();
        rows.iter().map(|row| row["unsent"].as_u64().unwrap()).sum::<u64>()
    };
    let place = "the archive of the binary log in s3://dbcalm-backups/db1";
    assert_eq!(told(&env), "");
    let said = run(&env, "check").stdout;
    let not_yet = "warning  the archive of the binary log is not in s3://dbcalm-backups/db1 yet\n";
    assert!(said.contains(not_yet), "{said}");
    assert!(unsent(&env) > 0);
    assert!(stdout(&env, 0, "list binlogs").contains("not in the repository yet"));
    let archive = Archive::of(&env.path("backups"));
    let store = Store::open(&remote(bucket.login(), &env.path("repository.credentials")), SHORT).unwrap();
    send(&archive, &store).unwrap();
    assert_eq!(told(&env), format!("ok       {place} is up to date"));
    assert_eq!(unsent(&env), 0);
    // It came no further since, and the last try says why.
    let path = archive.dir().join("repository.json");
    let text = fs::read_to_string(&path).unwrap();
    let complete = archive.elsewhere().unwrap().unwrap().complete.unwrap();
    let said = format!("\"complete\": \"{complete}\"");
    let late = "\"complete\": \"2026-01-01 00:00:00.000000\", \"trouble\": \"the store answered 503\"";
    fs::write(&path, text.replace(&said, late)).unwrap();
    let told = told(&env);
    assert!(told.starts_with(&format!("warning  {place} is ")), "{told}");
    assert!(told.ends_with(" behind: the store answered 503"), "{told}");
}
