//! What `check` finds before a backup does: in the server, in its data directory, and in the tool beside them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::cli::run;
use crate::harness::{TestEnv, program};

#[test]
fn an_account_that_gets_through_and_can_do_nothing_is_told_by_check() {
    let env = TestEnv::new();
    for line in
        [r#"{"expects":["--version"]}"#, r#"{"expects":["ping"]}"#, r#"{"expects":["status"],"fault":"expired"}"#]
    {
        env.script("mariadb-admin", line);
    }
    let said = run(&env, "check");
    assert!(
        said.status == 1
            && said.stdout.contains(
                "problem  the server does not accept the credentials: You must SET PASSWORD before executing this statement\n         hint: the password has expired: ALTER USER"
            ),
        "{}",
        said.stdout
    );
}

#[test]
fn what_a_server_is_that_no_backup_was_tried_with_is_told_by_check() {
    let env = TestEnv::new();
    let said = run(&env, "check");
    assert!(said.status == 0 && !said.stdout.contains("warning"), "{}", said.stdout);
    let host = String::from_utf8(program("uname").arg("-n").output().unwrap().stdout).unwrap();
    for (name, value) in [("hostname", host.trim()), ("innodb_log_archive", "OFF"), ("binlog_storage_engine", "")] {
        env.world.set_variable(name, value).unwrap();
    }
    let said = run(&env, "check");
    assert!(said.status == 0 && !said.stdout.contains("warning"), "{}", said.stdout);
    for (name, value, status, words) in [
        ("innodb_log_archive", "ON", 1, "problem  innodb_log_archive is ON in the server"),
        ("innodb_log_archive", "OFF", 0, "ok       backups would work"),
        ("binlog_storage_engine", "innodb", 0, "warning  binlog_storage_engine is innodb in the server"),
        ("hostname", "other-host", 0, "warning  the server that answers runs on host 'other-host'"),
        ("version", "11.8.6-MariaDB", 0, "warning  the backup tool is of series 10.11 and the server of 11.8"),
    ] {
        env.world.set_variable(name, value).unwrap();
        let said = run(&env, "check");
        assert!(said.status == status && said.stdout.contains(words), "{name}: {}", said.stdout);
    }
}

#[test]
fn a_base_that_another_series_has_taken_is_told_by_check() {
    let env = TestEnv::start();
    env.full("full-1");
    assert!(!run(&env, "check").stdout.contains("warning"));
    env.world.set_version("11.8.6-MariaDB").unwrap();
    let said = run(&env, "check").stdout;
    assert!(
        said.contains("warning  backup 'full-1' was taken with the tool of series 10.11, and the tool is now of 11.8"),
        "{said}"
    );
}

#[test]
fn a_tool_of_another_series_than_mysqls_is_a_problem() {
    let mut env = TestEnv::new();
    env.mysql();
    env.world.set_version("8.4.0-6").unwrap();
    env.world.set_variable("version", "9.7.4").unwrap();
    let said = run(&env, "check");
    let told = "problem  the backup tool is of series 8.4 and the server of 9.7\n         hint: install percona-xtrabackup of the server's series";
    assert!(said.status == 1 && said.stdout.contains(told), "{}", said.stdout);
}

#[test]
fn a_folder_that_the_tool_cannot_read_is_told_by_check_unless_the_server_ignores_it() {
    let env = TestEnv::new();
    let folder = env.path("data/lost+found");
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    // Root reads all, and looks with the eyes of the directory's owner; anybody else cannot read what has no mode.
    let is_root = rustix::process::geteuid().is_root();
    let level = if is_root {
        std::os::unix::fs::chown(env.path("data"), Some(4242), Some(4242)).unwrap();
        "warning"
    } else {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o000)).unwrap();
        "problem"
    };
    let said = run(&env, "check").stdout;
    assert!(said.contains(&format!("{level}  '{}' cannot be read by", folder.display())), "{said}");
    assert!(
        said.contains("hint: chown --reference=") && said.contains("write ignore_db_dirs=lost+found under [mysqld]"),
        "{said}"
    );
    env.world.set_variable("ignore_db_dirs", "x,lost+found").unwrap();
    let said = run(&env, "check").stdout;
    assert!(!said.contains("cannot be read by"), "{said}");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
}
