//! `verify --restore` that is interrupted: nothing is left of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use super::{command, said, stdout};
use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::{TestEnv, wait_for};

/// What the daemon is told to restore to be verified, interrupted at the fake's prepare.
#[test]
fn a_verification_that_is_interrupted_while_it_is_restored_leaves_nothing() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let env = TestEnv::start();
        env.full("full-1");
        env.script("mariabackup", r#"{"fault":"hangs"}"#);
        let mut verify = command(&env, "verify --restore full-1");
        let verify = verify.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        env.wait_for_fake("mariabackup");
        kill_process(Pid::from_child(&verify), signal).unwrap();
        // It goes on until the daemon has ended the restore: stopped, it does so at once.
        env.signal(Signal::TERM);
        assert_eq!(env.wait_for_end(), Some(0));
        env.expect_log("restore failed");
        let said = said(&verify.wait_with_output().unwrap());
        assert_eq!(said.status, 1, "{signal:?}: {}", said.stderr);
        assert!(said.stderr.contains("interrupted: ") && said.stderr.contains("\nhint: "), "{}", said.stderr);
        assert_eq!(env.listing("backups/restores"), "(empty)", "{signal:?}");
    }
}

/// A directory for the throw-away servers' own, which anybody may write to.
fn scratch(env: &TestEnv) -> PathBuf {
    let scratch = env.path("scratch");
    fs::create_dir(&scratch).unwrap();
    fs::set_permissions(&scratch, fs::Permissions::from_mode(0o1777)).unwrap();
    scratch
}

#[test]
fn a_verification_that_is_interrupted_while_its_server_runs_leaves_nothing() {
    if !is_installed() {
        return;
    }
    let server = MariaDb::start();
    let env = TestEnv::real(&server);
    env.start_daemon();
    stdout(&env, 0, "backup full full-1");
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let scratch = scratch(&env);
        let mut verify = command(&env, "verify --restore full-1");
        let verify = verify.env("TMPDIR", &scratch).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = wait_for("the server", || {
            let inside = fs::read_dir(&scratch).unwrap().next()?.unwrap().path();
            fs::read_to_string(inside.join("pid")).ok()?.trim().parse::<i32>().ok()
        });
        kill_process(Pid::from_child(&verify), signal).unwrap();
        let said = said(&verify.wait_with_output().unwrap());
        assert_eq!(said.status, 1, "{signal:?}: {}", said.stderr);
        assert!(said.stderr.contains("error: interrupted: nothing can be said of it"), "{}", said.stderr);
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{signal:?}: its server runs on");
        assert_eq!([env.listing("backups/restores"), env.listing("scratch")], ["(empty)", "(empty)"]);
        fs::remove_dir(&scratch).unwrap();
    }
}

#[test]
fn what_a_verification_that_was_killed_has_left_is_named_and_removed() {
    if !is_installed() {
        return;
    }
    let server = MariaDb::start();
    let env = TestEnv::real(&server);
    env.start_daemon();
    stdout(&env, 0, "backup full full-1");
    let scratch = scratch(&env);
    let mut verify = command(&env, "verify --restore full-1");
    let mut verify = verify.env("TMPDIR", &scratch).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = wait_for("the server", || {
        let inside = fs::read_dir(&scratch).unwrap().next()?.unwrap().path();
        fs::read_to_string(inside.join("pid")).ok()?.trim().parse::<i32>().ok()
    });
    kill_process(Pid::from_child(&verify), Signal::KILL).unwrap();
    verify.wait().unwrap();
    let is_running = || fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("mariadbd"));
    assert!(is_running(), "there is something to end");
    let said = stdout(&env, 0, "check");
    assert!(said.contains(" is what a verification that was killed has left\n"), "{said}");
    assert!(is_running(), "a check changes nothing");
    let said = super::run(&env, "verify full-1 --quick");
    assert_eq!(said.status, 0, "{}", said.stderr);
    assert!(said.stderr.contains(", which a verification that was killed had left\n"), "{}", said.stderr);
    assert!(!is_running());
    assert_eq!([env.listing("backups/restores"), env.listing("scratch")], ["(empty)", "(empty)"]);
    assert!(!stdout(&env, 0, "check").contains("killed"));
    assert!(!env.listing("lib").contains("verifying"), "{}", env.listing("lib"));
}
