//! What another user made before this daemon came: each refusal names the file, and each hint's command mends it as it is written.
//!
//! The daemon is root here, without the capabilities by which root may read and write what is not its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Output};

use insta::assert_snapshot;
use rusqlite::Connection;

use crate::harness::daemon::restore_request;
use crate::harness::{TestEnv, not_here, program};

/// A user whom nobody knows.
const OTHER: u32 = 12_345;

/// A test's daemon, as a user who is bound by the modes of files. None, and said: these tests are not root.
fn bound() -> Option<TestEnv> {
    if rustix::process::getuid().is_root() {
        return Some(TestEnv::new());
    }
    not_here("root, to make what is another user's");
    None
}

/// The program, with these arguments.
fn bound_command(env: &TestEnv, args: &[&str]) -> Command {
    let own = env.command();
    let mut command = program("setpriv");
    command.args(["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]);
    command.arg(own.get_program()).args(own.get_args()).args(args);
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Types what a hint says root should.
fn type_in(said: &str) {
    let (_, command) = said.lines().find_map(|line| line.split_once("as root: ")).unwrap();
    let typed = program("sh").args(["-euc", command]).output().unwrap();
    assert!(typed.status.success(), "{command}: {}", text(&typed));
}

fn give_away(path: &Path, mode: u32) {
    chown(path, Some(OTHER), Some(OTHER)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_database_that_the_api_made_first_is_named_with_the_command_that_mends_it() {
    let Some(env) = bound() else { return };
    let database = Connection::open(env.path("lib/db.sqlite3")).unwrap();
    database.execute_batch(include_str!("schemas/schema-go.sql")).unwrap();
    drop(database);
    give_away(&env.path("lib/db.sqlite3"), 0o644);
    give_away(&env.path("lib"), 0o755);

    let checked = bound_command(&env, &["check"]).output().unwrap();
    assert_eq!(checked.status.code(), Some(1));
    let said = env.redact(&text(&checked));
    let found: Vec<_> = said.lines().skip_while(|line| !line.starts_with("problem  database")).take(2).collect();
    assert_snapshot!(found.join("\n"), @"
    problem  database '~/lib/db.sqlite3': the database file cannot be opened: '~/lib/db.sqlite3': permission denied
             hint: '~/lib/db.sqlite3' and its directory must be writable by this user; as root: chgrp root '~/lib' '~/lib/db.sqlite3' && chmod g+rwxs '~/lib' && chmod g+rw '~/lib/db.sqlite3'
    ");
    let started = bound_command(&env, &[]).output().unwrap();
    assert_eq!(started.status.code(), Some(1));
    let said = text(&started);
    let end: Vec<_> = said.lines().skip_while(|line| !line.starts_with("error: ")).collect();
    assert_snapshot!(env.redact(&end.join("\n")), @"
    error: the database file cannot be opened: '~/lib/db.sqlite3.db-cmd.lock': Permission denied (os error 13)
    hint: '~/lib/db.sqlite3' and its directory must be writable by this user; as root: chgrp root '~/lib' '~/lib/db.sqlite3' && chmod g+rwxs '~/lib' && chmod g+rw '~/lib/db.sqlite3'
    ");
    type_in(&said);
    env.start_as(bound_command(&env, &[]));
    env.full("monday");
    // What is made beside it meanwhile is the group's too.
    assert_eq!(fs::metadata(env.path("lib/db.sqlite3-wal")).unwrap().permissions().mode() & 0o060, 0o060);
    assert!(text(&bound_command(&env, &["check"]).output().unwrap()).contains("ok       database '"));
}

#[test]
fn a_backup_that_cannot_be_read_is_named_with_its_path_wherever_it_is_met_with() {
    let Some(env) = bound() else { return };
    env.start_as(bound_command(&env, &[]));
    env.full("theirs");
    let inside = env.backup("theirs").join("dbcalm.sha256");
    // The folder, and a file alone in a folder that may be read.
    for (path, mode, back, named) in [
        (env.backup("theirs"), 0o700, 0o750, "~/backups/theirs"),
        (inside.clone(), 0o600, 0o640, "~/backups/theirs/dbcalm.sha256"),
    ] {
        give_away(&path, mode);
        let reply = env.redact(&env.send(&restore_request(&["theirs"], "folder")));
        let wanted = r#"{"code": 500, "status": "'~/backups/theirs/dbcalm.sha256': Permission denied (os error 13)"}"#;
        assert_eq!(reply, wanted);
        env.expect_log("/backups/theirs/dbcalm.sha256': Permission denied (os error 13)");
        let verified = bound_command(&env, &["verify", "theirs"]).output().unwrap();
        assert_eq!(verified.status.code(), Some(1));
        assert!(
            env.redact(&text(&verified)).contains("theirs/dbcalm.sha256': Permission denied"),
            "{}",
            text(&verified)
        );
        let checked = bound_command(&env, &["check"]).output().unwrap();
        let said = text(&checked);
        let found = env.redact(&said);
        let found: Vec<_> = found.lines().skip_while(|line| !line.starts_with("warning")).take(2).collect();
        let wanted = format!(
            "warning  backup 'theirs' cannot be read by this user, so it can be neither restored nor verified: '{named}': Permission denied (os error 13)\n         \
             hint: as root: chown -R root:root '~/backups/theirs'"
        );
        assert_eq!(found.join("\n"), wanted);
        type_in(&said);
        fs::set_permissions(&path, fs::Permissions::from_mode(back)).unwrap();
        assert!(!text(&bound_command(&env, &["check"]).output().unwrap()).contains("warning"));
    }
    env.restore(&["theirs"], "folder");
    assert_eq!(env.count("restore", "1"), 1);
}
