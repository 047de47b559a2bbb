//! A backup of a replica with `--safe-slave-backup` that was broken off: nobody else says that the SQL thread may stand still.

use crate::harness::TestEnv;

const FULL: &str = r#"{"cmd":"full_backup","args":{"id":"full-1"}}"#;
const WORD: &str = "--safe-slave-backup stops a replica's SQL thread, and the tool has ended without starting it again, it may be: look at \
                    SHOW SLAVE STATUS, and START SLAVE SQL_THREAD";

fn with_the_option() -> TestEnv {
    let mut env = TestEnv::new();
    env.set("backup_options", "[--safe-slave-backup]");
    env.start_daemon();
    env
}

fn first_line(env: &TestEnv) -> String {
    env.newest("error").lines().next().unwrap().to_owned()
}

#[test]
fn a_backup_that_failed_says_that_the_sql_thread_may_be_stopped() {
    let env = with_the_option();
    env.script("mariabackup", r#"{"fault":{"exit":3}}"#);
    env.done(FULL);
    env.expect_log("START SLAVE SQL_THREAD");
    assert_eq!(env.newest("error"), format!("mariabackup ended with status 3\n{WORD}"));
    // One that ended well has started it again, whatever it left.
    env.done(FULL);
    assert_eq!((env.count("backup", "1"), env.newest("error").as_str()), (1, ""));
    env.cannot_start("mariabackup", true);
    let refused = env.send(r#"{"cmd":"full_backup","args":{"id":"full-2"}}"#);
    assert!(refused.contains("could not be started") && !refused.contains("SLAVE"), "{refused}");
    env.expect_log("could not be started");
    assert!(!env.newest("error").contains("SLAVE"), "nothing was stopped: {}", env.newest("error"));
}

#[test]
fn a_backup_that_was_killed_with_its_daemon_says_so_too() {
    let env = with_the_option();
    env.script("mariabackup", r#"{"fault":"hangs"}"#);
    env.accepted(FULL);
    env.wait_for_fake("mariabackup");
    env.kill_and_restart();
    env.expect_log("ended a command of an earlier daemon");
    assert!(first_line(&env).ends_with(WORD), "{}", first_line(&env));
}

#[test]
fn where_the_credentials_file_has_the_option_it_is_said_and_elsewhere_it_is_not() {
    let env = TestEnv::start();
    for (more, is_said) in
        [("", false), ("[mariabackup]\nskip-safe-slave-backup\n", false), ("[mariabackup]\nsafe_slave_backup\n", true)]
    {
        env.credentials(&format!("[client-dbcalm]\nuser=backup\npassword=s3cret-of-the-test\n{more}"));
        env.script("mariabackup", r#"{"fault":{"exit":3}}"#);
        env.done(FULL);
        env.expect_log("backup failed");
        assert_eq!(env.newest("error").contains("START SLAVE SQL_THREAD"), is_said, "{more}");
    }
}
