//! Tools that fail, at any step: nothing half-made stays, and what was there before is as it was.

use std::fs;

use super::{CHAIN, chain, same};
use crate::harness::stand::Stand;

/// Faults that strike a real tool as well as a fake one, with the exit code that is recorded.
const FAULTS: [(&str, i64); 5] = [
    (r#"{"exit":3}"#, 3),
    (r#"{"dies_by":"KILL"}"#, -9),
    (r#"{"dies_after":"SEGV"}"#, -11),
    (r#""no_completed_ok""#, 0),
    (r#""partial""#, 1),
];

pub(crate) fn a_backup_that_fails_leaves_nothing_and_the_next_one_works(stand: &mut dyn Stand) {
    stand.script_the_tool();
    stand.env().start_daemon();
    stand.full("full-1");
    let stored = stand.env().fingerprint("backups");
    for (fault, code) in FAULTS {
        for incremental in [false, true] {
            stand.env().script(stand.tool(), &format!(r#"{{"expects":["--backup"],"fault":{fault}}}"#));
            if incremental {
                stand.incremental("next", "full-1")
            } else {
                stand.full("next")
            };
            stand.env().expect_log("backup failed");
            let newest = &stand.env().rows("process", "id = (SELECT max(id) FROM process)")[0];
            assert_eq!(
                (newest["status"].as_str(), newest["return_code"].as_i64()),
                (Some("failed"), Some(code)),
                "{fault}"
            );
            assert_eq!(stand.env().count("backup", "id = 'next'"), 0, "{fault}");
            assert!(stand.env().fingerprint("backups") == stored, "{fault}: {}", stand.env().listing("backups"));
        }
    }
    let content = stand.content();
    stand.incremental("next", "full-1");
    stand.lose_everything();
    stand.env().restore(&["full-1", "next"], "database");
    same("the backup after the failures", &stand.restored(), &content);
}

pub(crate) fn a_restore_that_fails_at_any_step_leaves_everything_as_it_was(stand: &mut dyn Stand) {
    stand.script_the_tool();
    stand.env().start_daemon();
    let contents = chain(stand, 3);
    stand.lose_everything();
    // What counts as nothing is to be there again.
    fs::write(stand.data_dir().join("host.err"), "an old log").unwrap();
    fs::write(stand.data_dir().join("ib_buffer_pool"), "1,2").unwrap();
    let before = (stand.env().fingerprint("backups"), contents_of(stand));
    let request = crate::harness::daemon::restore_request(&CHAIN[..3], "database");
    // Prepare, two applies, copy-back.
    for step in 0..4 {
        for fault in [r#"{"exit":3}"#, r#"{"dies_by":"KILL"}"#, r#""partial""#] {
            for _ in 0..step {
                stand.env().script(stand.tool(), "{}");
            }
            stand.env().script(stand.tool(), &format!(r#"{{"fault":{fault}}}"#));
            stand.env().done(&request);
            stand.env().expect_log("restore failed");
            assert_eq!(stand.env().newest("status"), "failed", "{fault} at step {step}");
            assert_eq!(stand.env().count("restore", "1"), 0, "{fault} at step {step}");
            assert!((stand.env().fingerprint("backups"), contents_of(stand)) == before, "{fault} at step {step}");
            assert_eq!(stand.env().listing("backups/tmp"), "(empty)", "{fault} at step {step}");
        }
    }
    stand.env().script(stand.tool(), r#"{"fault":"partial"}"#);
    stand.env().restore(&CHAIN[..3], "folder");
    assert_eq!(stand.env().listing("backups/restores"), "(empty)", "a failed folder restore is taken away");

    stand.env().done(&request);
    same("the restore after the failures", &stand.restored(), &contents[2]);
    assert_eq!(fs::read_to_string(stand.data_dir().join("host.err")).unwrap(), "an old log");
}

/// Every file in the data directory.
fn contents_of(stand: &dyn Stand) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(stand.data_dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_owned(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}
