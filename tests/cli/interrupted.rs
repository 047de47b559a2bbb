//! `verify --restore` that is interrupted: nothing is left of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use super::{command, run, said, stdout};
use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::{TestEnv, not_here, program, wait_for};

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
        assert!(said.stderr.contains("error: interrupted: the backup was not checked"), "{}", said.stderr);
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
    assert!(said.contains("a killed verification left '") && said.contains("' behind\n"), "{said}");
    assert!(is_running(), "a check changes nothing");
    let said = super::run(&env, "verify full-1 --quick");
    assert_eq!(said.status, 0, "{}", said.stderr);
    assert!(said.stderr.contains(", which a killed verification had left\n"), "{}", said.stderr);
    assert!(!is_running());
    assert_eq!([env.listing("backups/restores"), env.listing("scratch")], ["(empty)", "(empty)"]);
    assert!(!stdout(&env, 0, "check").contains("killed"));
    assert!(!env.listing("lib").contains("verifying"), "{}", env.listing("lib"));
}

/// A name that no request has, as a verification draws one.
const ID: &str = "6f1c7d52-3c1e-4b7e-9d55-0a1b2c3d4e5f";

/// What a mark of this name says of a restore, in the words of a verification that was begun then.
fn mark(name: &str, command_id: &str, scratch: &Path, begun: u64) -> String {
    let scratch = scratch.join(format!("dbcalm-verify-{name}"));
    serde_json::json!({"command_id": command_id, "scratch": scratch, "begun": begun}).to_string()
}

/// SECURITY.md, of the group that may write beside the database and into the records.
#[test]
fn a_mark_ends_no_tool_of_a_request_and_removes_no_folder_that_was_kept() {
    let env = TestEnv::start();
    env.full("full-1");
    let restored = env.restore(&["full-1"], "folder");
    let before = env.listing("backups/restores");
    env.script("mariabackup", r#"{"fault":"hangs"}"#);
    let running = env.accepted(r#"{"cmd":"full_backup","args":{"id":"full-2"}}"#);
    let pid = env.wait_for_fake("mariabackup");
    let scratch = scratch(&env);
    let place = |name: &str| env.path("lib").join(format!(".verifying-{name}"));
    let is_not_believed = |what: &str| {
        assert!(!stdout(&env, 0, "check").contains("killed verification left"), "{what}");
        let said = run(&env, "verify full-1 --quick");
        assert_eq!((said.status, said.stderr.as_str()), (0, ""), "{what}");
        assert!(Path::new(&format!("/proc/{pid}")).exists(), "{what}: the tool was ended");
        assert_eq!(env.listing("backups/restores"), before, "{what}");
    };
    let put = |what: &str, name: &str, text: &str| {
        fs::write(place(name), text).unwrap();
        fs::set_permissions(place(name), fs::Permissions::from_mode(0o644)).unwrap();
        is_not_believed(what);
        fs::remove_file(place(name)).unwrap();
    };
    put("the id of a request", &running, &mark(&running, &restored, &scratch, 0));
    put("another spelling of it", &running.to_uppercase(), &mark(&running.to_uppercase(), &restored, &scratch, 0));
    put("a name that is no id", "x", &mark("x", &restored, &scratch, 0));
    put("another name than it says", ID, &mark(&running, &restored, &scratch, 0));
    put("a folder from before it was begun", ID, &mark(ID, &restored, &scratch, 99_999_999_999));
    put("no mark at all", ID, "{}");
    put("no end", ID, &format!("{}{}", mark(ID, &restored, &scratch, 0), " ".repeat(1 << 20)));

    let good = mark(ID, &restored, &scratch, 0);
    fs::write(place(ID), &good).unwrap();
    fs::set_permissions(place(ID), fs::Permissions::from_mode(0o664)).unwrap();
    is_not_believed("one that others may write to");
    fs::rename(place(ID), env.path("elsewhere")).unwrap();
    fs::set_permissions(env.path("elsewhere"), fs::Permissions::from_mode(0o644)).unwrap();
    std::os::unix::fs::symlink(env.path("elsewhere"), place(ID)).unwrap();
    is_not_believed("a symlink");
    fs::remove_file(place(ID)).unwrap();
    fs::hard_link(env.path("elsewhere"), place(ID)).unwrap();
    is_not_believed("another name of a file");
    fs::remove_file(env.path("elsewhere")).unwrap();
    if rustix::process::getuid().is_root() {
        std::os::unix::fs::chown(place(ID), Some(1), None).unwrap();
        is_not_believed("another user's");
        std::os::unix::fs::chown(place(ID), Some(0), None).unwrap();
    } else {
        not_here("root, to write a mark as another user");
    }
    // And what all these were like is believed where nothing speaks against it.
    let said = run(&env, "verify full-1 --quick");
    assert!(said.stderr.contains(", which a killed verification had left\n"), "{}", said.stderr);
    assert_eq!(env.listing("backups/restores"), "(empty)");
    env.signal(Signal::TERM);
    assert_eq!(env.wait_for_end(), Some(0));
    env.expect_log("backup failed");
}

#[test]
fn what_has_the_name_of_a_mark_and_is_no_file_keeps_nobody_waiting() {
    let env = TestEnv::start();
    env.full("full-1");
    let fifo = env.path("lib").join(format!(".verifying-{ID}"));
    assert!(program("mkfifo").arg(&fifo).status().unwrap().success());
    for args in ["check", "verify full-1 --quick"] {
        let mut waiting = command(&env, args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let status = wait_for(args, || waiting.try_wait().unwrap());
        assert_eq!(status.code(), Some(0), "{args}");
    }
}
