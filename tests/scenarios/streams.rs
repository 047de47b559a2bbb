//! Backups as streams: chains of streams and directories, streams that are forwarded and fetched, and streams that are damaged.

use std::fs;

use rustix::process::Signal;

use super::{CHAIN, newest_folder, same};
use crate::harness::daemon::restore_request;
use crate::harness::stand::Stand;
use crate::harness::wait_for;

/// What `stream` and `compression` are set to, for each member of a chain in turn.
const FORMS: [(&str, &str); 5] = [("", ""), ("true", "zstd"), ("true", ""), ("", ""), ("true", "gzip")];

/// Changes the settings under the running daemon.
fn reload(stand: &mut dyn Stand, settings: &[(&str, &str)]) {
    // Each setting is written by itself, and `compression` alone is a mistake.
    for (key, _) in settings.iter().rev() {
        stand.env_mut().set(key, "");
    }
    for (key, value) in settings {
        stand.env_mut().set(key, value);
    }
    let count = |stand: &dyn Stand| stand.env().log().matches("settings were read again").count();
    let before = count(stand);
    stand.env().signal(Signal::HUP);
    wait_for("the settings", || (count(stand) > before).then_some(()));
}

/// Takes a chain of directories and streams of each kind; gives what the server held at each.
fn mixed_chain(stand: &mut dyn Stand) -> Vec<Vec<String>> {
    let mut contents = Vec::new();
    for (round, (id, (stream, compression))) in CHAIN.into_iter().zip(FORMS).enumerate() {
        reload(stand, &[("stream", stream), ("compression", compression)]);
        if round > 0 {
            stand.change(u32::try_from(round).unwrap());
        }
        contents.push(stand.content());
        if round == 0 {
            stand.full(id)
        } else {
            stand.incremental(id, CHAIN[round - 1])
        };
        assert_eq!(stand.env().newest("status"), "success", "{id}: {}", stand.env().newest("error"));
    }
    contents
}

pub(crate) fn a_chain_of_directories_and_streams_restores(stand: &mut dyn Stand) {
    stand.env().start_daemon();
    let contents = mixed_chain(stand);
    assert!(stand.env().backup("inc-1/backup-inc-1.xbstream.zst").is_file());
    assert!(stand.env().backup("inc-2/backup-inc-2.xbstream").is_file());
    assert!(stand.env().backup("inc-4/backup-inc-4.xbstream.gz").is_file());
    let stored = stand.env().fingerprint("backups");
    stand.env().restore(&CHAIN, "folder");
    assert_eq!(stand.env().newest("status"), "success", "{}", stand.env().newest("error"));
    let folder = newest_folder(stand.env());
    same("folder restore of the mixed chain", &stand.restored_folder(&folder), &contents[4]);
    for length in [2, 5] {
        stand.lose_everything();
        stand.env().restore(&CHAIN[..length], "database");
        same(&format!("database restore of {length}"), &stand.restored(), &contents[length - 1]);
    }
    let now = stand.env().fingerprint("backups");
    assert!(stored.iter().all(|(path, bytes)| now.get(path) == Some(bytes)), "every stored backup is byte-identical");
}

/// Damage of every kind to a stored stream; the data directory stays as it is, and the stream restores when it is mended.
pub(crate) fn a_stream_that_was_damaged_is_not_restored(stand: &mut dyn Stand) {
    for (key, value) in [("stream", "true"), ("compression", "zstd")] {
        stand.env_mut().set(key, value);
    }
    stand.env().start_daemon();
    let content = stand.content();
    stand.full("full-1");
    stand.lose_everything();
    let path = stand.env().backup("full-1/backup-full-1.xbstream.zst");
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    let damaged: [(&str, Vec<u8>); 5] = [
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("flipped", flipped),
        ("empty", Vec::new()),
        ("trailing", [whole.as_slice(), b"and more"].concat()),
        ("another", [b"\x1f\x8b\x08", &whole[3..]].concat()),
    ];
    for (how, bytes) in damaged {
        fs::write(&path, bytes).unwrap();
        stand.env().restore(&["full-1"], "database");
        stand.env().expect_log("restore failed");
        let error = stand.env().newest("error");
        assert!(error.starts_with("extract: ") && error.contains("stream"), "{how}: {error}");
        assert_eq!(fs::read_dir(stand.data_dir()).unwrap().count(), 0, "{how}");
        assert_eq!(stand.env().listing("backups/tmp"), "(empty)", "{how}");
    }
    fs::write(&path, &whole).unwrap();
    // Where the Go daemon left its streams, without a folder and without a manifest.
    fs::rename(&path, stand.env().backup("backup-full-1.xbstream.zst")).unwrap();
    fs::remove_dir_all(stand.env().backup("full-1")).unwrap();
    stand.env().restore(&["full-1"], "database");
    assert_eq!(stand.env().newest("status"), "success", "{}", stand.env().newest("error"));
    same("the stream in the Go daemon's place", &stand.restored(), &content);
}

/// Where commands of the operator's can be run beside the test.
pub(crate) fn what_is_forwarded_is_fetched(stand: &mut dyn Stand) {
    let there = stand.env().path("elsewhere");
    fs::create_dir(&there).unwrap();
    let there = there.display().to_string();
    let told = "$DBCALM_BACKUP_ID-$DBCALM_BACKUP_TYPE-$DBCALM_FROM_BACKUP_ID";
    for (key, value) in [("stream", "true"), ("compression", "gzip")] {
        stand.env_mut().set(key, value);
    }
    stand.env_mut().set("forward", &format!("cat > \"{there}/{told}\""));
    stand.env().start_daemon();
    stand.full("full-1");
    stand.change(1);
    let content = stand.content();
    stand.incremental("inc-1", "full-1");
    assert_eq!(crate::harness::listing(there.as_ref()), "full-1-full- inc-1-incremental-full-1");
    let names = stand.env().listing("backups/full-1");
    assert!(!names.contains("xbstream") && names.contains("dbcalm.sha256"), "{names}");
    stand.lose_everything();

    let request = restore_request(&["full-1", "inc-1"], "database");
    let reply = stand.env().send(&request);
    assert!(reply.starts_with(r#"{"code": 404, "status": "Backup with id full-1 was forwarded elsewhere"#), "{reply}");
    for (fetch, said) in [("exit 3", "sh ended with status 3"), ("cat /dev/null", "the stream is empty")] {
        reload(stand, &[("fetch", fetch)]);
        stand.env().restore(&["full-1"], "database");
        stand.env().expect_log("restore failed");
        let (log, error) = (stand.env().log(), stand.env().newest("error"));
        assert!(log.contains(said) || error.contains(said), "{error}");
    }
    // Another backup's stream is whole, and not this one.
    reload(stand, &[("fetch", &format!("cat \"{there}/inc-1-incremental-full-1\""))]);
    stand.env().restore(&["full-1"], "database");
    stand.env().expect_log("restore failed");
    assert!(stand.env().newest("error").contains("has changed since the backup was taken"));
    assert_eq!(fs::read_dir(stand.data_dir()).unwrap().count(), 0);

    reload(stand, &[("fetch", &format!("cat \"{there}/{told}\""))]);
    stand.env().restore(&["full-1", "inc-1"], "database");
    assert_eq!(stand.env().newest("status"), "success", "{}", stand.env().newest("error"));
    same("what was fetched", &stand.restored(), &content);
}

/// A command that keeps nothing, or only half, has not forwarded the backup.
pub(crate) fn a_forward_that_fails_is_a_failed_backup(stand: &mut dyn Stand) {
    stand.env_mut().set("stream", "true");
    stand.env_mut().set("forward", "exit 7");
    stand.env().start_daemon();
    for forward in ["head -c 1000 > /dev/null; exit 7", "kill -9 $$"] {
        reload(stand, &[("forward", forward)]);
        stand.full("full-1");
        stand.env().expect_log("backup failed");
        assert_eq!(stand.env().newest("status"), "failed", "{forward}");
        assert_eq!(stand.env().listing("backups"), "(empty)", "{forward}");
        assert_eq!(stand.env().count("backup", "1"), 0, "{forward}");
    }
}
