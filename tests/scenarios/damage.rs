//! What only a real tool can show: it takes damage for health, leaves things behind, and says more than it should.

use std::fs;

use insta::assert_snapshot;

use super::{CHAIN, chain, same};
use crate::harness::daemon::restore_request;
use crate::harness::program;
use crate::harness::stand::Stand;

/// Restores a chain to the data directory, which must fail and leave it empty; gives the reason.
fn refused(stand: &dyn Stand, ids: &[&str]) -> String {
    stand.env().restore(ids, "database");
    stand.env().expect_log("restore failed");
    assert_eq!(stand.env().newest("status"), "failed");
    assert_eq!(stand.env().count("restore", "1"), 0);
    assert_eq!(fs::read_dir(stand.data_dir()).unwrap().count(), 0);
    stand.env().newest("error")
}

pub(crate) fn left_overs_in_the_data_directory_make_room_or_stay(stand: &mut dyn Stand) {
    stand.env().start_daemon();
    let content = chain(stand, 1).remove(0);
    stand.lose_everything();
    for name in ["ibdata1", "ib_logfile0", "ib_logfile1", "ib_buffer_pool"] {
        fs::write(stand.data_dir().join(name), "of a server that is gone").unwrap();
    }
    let stays = ["host.pid", "host.err", "debian-10.11.flag", "my.cnf", "mysql.sock"];
    for name in stays {
        fs::write(stand.data_dir().join(name), "stays").unwrap();
    }
    fs::create_dir(stand.data_dir().join("lost+found")).unwrap();
    stand.env().restore(&["full-1"], "database");
    assert!(
        stand.env().newest("command").ends_with("--force-non-empty-directories"),
        "{}",
        stand.env().newest("error")
    );
    assert!(!stand.data_dir().join("ib_logfile1").exists(), "an old redo log beside the new one would be read");
    for name in stays {
        assert_eq!(fs::read_to_string(stand.data_dir().join(name)).unwrap(), "stays", "{name}");
    }
    same("the restore among left-overs", &stand.restored(), &content);
}

/// A prepare ends with status 0 on each of these.
pub(crate) fn a_stored_backup_that_was_damaged_is_not_restored(stand: &mut dyn Stand) {
    stand.env().start_daemon();
    let content = chain(stand, 1).remove(0);
    stand.lose_everything();
    // A table that was made after the server's last checkpoint has another ending, until it is prepared.
    let names = ["shop/orders.ibd", "shop/orders.new"].map(|name| stand.env().backup("full-1").join(name));
    let table = names.into_iter().find(|path| path.exists()).unwrap();
    let whole = fs::read(&table).unwrap();
    let name = table.file_name().unwrap().display();
    let wanted = format!("copy: 'shop/{name}' has changed since the backup was taken");

    fs::rename(&table, stand.env().path("aside")).unwrap();
    assert_eq!(refused(stand, &["full-1"]), wanted);
    fs::rename(stand.env().path("aside"), &table).unwrap();

    // One bit in the middle of a page, as a disk loses it.
    let mut damaged = whole.clone();
    damaged[5 * 16384 + 5000] ^= 1;
    fs::write(&table, damaged).unwrap();
    assert_eq!(refused(stand, &["full-1"]), wanted);

    fs::write(&table, whole).unwrap();
    stand.env().restore(&["full-1"], "database");
    same("the mended backup", &stand.restored(), &content);
}

pub(crate) fn a_redo_log_that_was_cut_is_not_restored(stand: &mut dyn Stand) {
    stand.env().start_daemon();
    chain(stand, 2);
    stand.lose_everything();
    for (cut, ids) in [("full-1", &CHAIN[..1]), ("inc-1", &CHAIN[..2])] {
        // A predecessor's backup has no manifest: the redo log has to speak for itself.
        fs::remove_file(stand.env().backup(cut).join("dbcalm.sha256")).unwrap();
        let redo = stand.env().backup(cut).join("ib_logfile0");
        let whole = fs::read(&redo).unwrap();
        for part in [1, whole.len() / 10, whole.len() / 2] {
            let cut = fs::OpenOptions::new().write(true).open(&redo).unwrap();
            cut.set_len((whole.len() - part) as u64).unwrap();
            let error = refused(stand, ids);
            assert!(
                error.contains("the redo log of '~/backups/") || error.contains("InnoDB:"),
                "{part} bytes: {error}"
            );
        }
        fs::write(&redo, whole).unwrap();
    }
}

pub(crate) fn an_incremental_that_a_predecessor_consumed_is_not_restored(stand: &mut dyn Stand) {
    stand.env().start_daemon();
    chain(stand, 2);
    for id in &CHAIN[..2] {
        fs::remove_file(stand.env().backup(id).join("dbcalm.sha256")).unwrap();
    }
    // As the Python daemon restores: the base is copied, the incremental is applied where it is stored.
    let of = |command: &str, what: &str| {
        let row = &stand.env().rows("process", &format!("command LIKE '%{command}%'"))[0];
        let command = row["command"].as_str().unwrap().to_owned();
        command.split(' ').find_map(|word| word.strip_prefix(what)).unwrap().to_owned()
    };
    let (full, incremental) = (of("/full-1", "--target-dir="), of("/inc-1", "--target-dir="));
    let work = format!("{full}-work");
    let copied = program("cp").arg("-a").arg(stand.env().here(&full)).arg(stand.env().here(&work)).status().unwrap();
    assert!(copied.success());
    stand.run_tool(&["--prepare", "--target-dir", &work]);
    stand.run_tool(&["--prepare", "--target-dir", &work, "--incremental-dir", &incremental]);
    fs::remove_dir_all(stand.env().here(&work)).unwrap();

    let base = r#"{"cmd":"incremental_backup","args":{"id":"inc-2","from_backup_id":"inc-1"}}"#;
    let said = stand.env().send(base);
    assert!(said.contains("the chain of base inc-1 cannot be restored: 'inc-1' has been consumed"), "{said}");
    stand.lose_everything();
    let error = refused(stand, &CHAIN[..2]);
    assert!(error.starts_with("copy: the incremental has been consumed"), "{error}");
}

pub(crate) fn a_predecessors_chain_without_a_manifest_is_restored(stand: &mut dyn Stand) {
    stand.env().start_daemon();
    let contents = chain(stand, 2);
    for id in &CHAIN[..2] {
        fs::remove_file(stand.env().backup(id).join("dbcalm.sha256")).unwrap();
    }
    stand.lose_everything();
    stand.env().restore(&CHAIN[..2], "database");
    same("a predecessor's chain", &stand.restored(), &contents[1]);
}

pub(crate) fn a_wrong_password_and_a_missing_privilege_fail_without_a_trace(stand: &mut dyn Stand) {
    stand.env().start_daemon();
    stand.sql("CREATE USER weak@localhost IDENTIFIED BY 'weak-password'; GRANT USAGE ON *.* TO weak@localhost;");
    for (password, text) in
        [("wrong-password", "Access denied for user"), ("weak-password", "missing required privilege")]
    {
        stand.env().credentials(&stand.credentials_of("weak", password));
        stand.full("full-1");
        stand.env().expect_log("backup failed");
        let error = stand.env().newest("error");
        assert!(error.contains(text), "{error}");
        assert!(!error.contains(password) && !error.contains("PASSWORD '*"), "{error}");
        assert_eq!(stand.env().listing("backups"), "(empty)");
    }
    assert_snapshot!(stand.env().records(), @"1 failed 1, 2 failed 1 | backups: none | restores: none");
}

pub(crate) fn a_server_on_the_data_directory_is_seen_though_no_socket_answers(stand: &mut dyn Stand) {
    stand.env().start_daemon();
    chain(stand, 1);
    // The credentials name a socket where nobody listens, and the files of the running server were deleted under it.
    stand.env().credentials("[client-dbcalm]\nuser=root\nsocket=/nowhere/db.sock\n");
    for entry in fs::read_dir(stand.data_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    assert_snapshot!(stand.env().send(&restore_request(&["full-1"], "database")), @r#"{"code": 503, "status": "cannot restore to database, MySQL/MariaDb server is not stopped"}"#);
}
