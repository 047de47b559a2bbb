//! Who may give commands: the settings, held against the peer that the kernel names.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use insta::assert_snapshot;

use crate::harness::{TestEnv, not_here, program, wait_for};

const UNKNOWN: &str = r#"{"cmd":"nope","args":{}}"#;
const INVALID: &str = r#"{"code": 400, "status": "Invalid command"}"#;
const FORBIDDEN: &str = r#"{"code": 403, "status": "user 1 may not give commands: neither it nor one of its groups is in allowed_users or allowed_groups"}"#;

/// Sends a request and prints the reply, in the perl that each Debian has: the user who runs it may read nothing of the tests.
const CLIENT: &str =
    r#"my $s = IO::Socket::UNIX->new($ARGV[0]) or die "$!\n"; $s->print($ARGV[1]); $s->flush; print $s->getlines"#;

/// A daemon whose socket everybody can reach. None, and said: these tests are not root, who alone can be somebody else.
fn open_to_all(settings: &[(&str, &str)]) -> Option<TestEnv> {
    if !rustix::process::getuid().is_root() {
        not_here("root, to connect as another user");
        return None;
    }
    let mut env = TestEnv::new();
    fs::set_permissions(env.path("run"), fs::Permissions::from_mode(0o777)).unwrap();
    for (key, value) in settings {
        env.set(key, value);
    }
    env.start_daemon();
    Some(env)
}

/// What a process of this user and group is told. It begins in the socket's directory, since the way there may be closed to it.
fn ask_as(env: &TestEnv, uid: u32, gid: u32, request: &str) -> String {
    let said = program("setpriv")
        .args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups", "/usr/bin/perl"])
        .args(["-MIO::Socket::UNIX", "-e", CLIENT])
        .arg("db-cmd.sock")
        .current_dir(env.path("run"))
        .arg(request)
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

#[test]
fn without_the_settings_whoever_reaches_the_socket_is_heard() {
    let Some(env) = open_to_all(&[]) else { return };
    assert_eq!(ask_as(&env, 1, 1, UNKNOWN), INVALID);
}

#[test]
fn a_user_who_is_not_named_is_refused_and_logged() {
    let Some(env) = open_to_all(&[("allowed_users", "[2, nobody]")]) else { return };
    assert_eq!(ask_as(&env, 1, 1, UNKNOWN), FORBIDDEN);
    assert_eq!(ask_as(&env, 2, 1, UNKNOWN), INVALID);
    assert_eq!(ask_as(&env, 65534, 65534, UNKNOWN), INVALID, "nobody, by name");
    assert_eq!(env.send(UNKNOWN), INVALID, "root may whatever the settings say");
    let log = wait_for("the refusal to be logged", || Some(env.log()).filter(|log| log.contains("code=403")));
    let line = log.lines().find(|line| line.contains("code=403")).unwrap();
    assert!(line.contains("refused uid=1 gid=1 pid="), "{line}");
}

/// Nothing of what it sends is looked at: not a megabyte, nor a command.
#[test]
fn nothing_of_a_refused_client_is_read() {
    let Some(env) = open_to_all(&[("allowed_users", "root")]) else { return };
    assert_eq!(ask_as(&env, 1, 1, r#"{"cmd":"full_backup","args":{"id":"full-1"}}"#), FORBIDDEN);
    assert_eq!(ask_as(&env, 1, 1, &"[".repeat(100_000)), FORBIDDEN);
    assert_snapshot!(env.records(), @"none | backups: none | restores: none");
    let before = env.log();
    // One that says nothing is told nothing.
    let silent = program("setpriv")
        .args(["--reuid=1", "--regid=1", "--clear-groups", "/usr/bin/perl", "-MIO::Socket::UNIX", "-e"])
        .args(["IO::Socket::UNIX->new($ARGV[0]) or die"])
        .arg("db-cmd.sock")
        .current_dir(env.path("run"))
        .status()
        .unwrap();
    assert!(silent.success());
    assert_eq!(env.send(UNKNOWN), INVALID);
    assert!(!env.log()[before.len()..].contains("code=403"));
}

#[test]
fn a_group_lets_its_members_in_whichever_group_their_process_has() {
    // Debian's user 1 is a member of the group 1, by its own entry; these processes have the groups 1 and 12345.
    let Some(env) = open_to_all(&[("allowed_groups", "daemon")]) else { return };
    assert_eq!(ask_as(&env, 12_345, 1, UNKNOWN), INVALID, "by the process's group");
    assert_eq!(ask_as(&env, 1, 12_345, UNKNOWN), INVALID, "by the system's list");
    assert!(ask_as(&env, 12_345, 12_345, UNKNOWN).starts_with(r#"{"code": 403, "status": "user 12345 may not"#));
}

#[test]
fn the_settings_take_effect_with_the_next_reload() {
    let Some(mut env) = open_to_all(&[("allowed_users", "2")]) else { return };
    assert_eq!(ask_as(&env, 1, 1, UNKNOWN), FORBIDDEN);
    env.set("allowed_users", "[1]");
    env.signal(rustix::process::Signal::HUP);
    wait_for("the settings to be read again", || env.log().contains("were read again").then_some(()));
    assert_eq!(ask_as(&env, 1, 1, UNKNOWN), INVALID);
}

#[test]
fn a_name_that_nobody_has_stops_the_start() {
    let mut env = TestEnv::new();
    let refused = |env: &TestEnv| {
        let said = env.command().output().unwrap();
        assert_eq!(said.status.code(), Some(1));
        env.redact(String::from_utf8(said.stderr).unwrap().trim_end())
    };
    env.set("allowed_users", "[root, no-such-user]");
    assert_snapshot!(refused(&env), @r"
    error: bad settings in '~/config.yml', line 2: allowed_users names 'no-such-user', which this system does not know
    hint: take it out of 'allowed_users', or make that user first
    ");
    env.set("allowed_users", "{root: yes}");
    assert_snapshot!(refused(&env), @r"
    error: bad settings in '~/config.yml', line 2: allowed_users must be a list of names
    hint: write 'allowed_users: [dbcalm]', with names or numbers
    ");
}

#[test]
fn check_says_whose_commands_are_taken() {
    let mut env = TestEnv::new();
    env.set("allowed_users", "[daemon, 12345]");
    env.set("allowed_groups", "[daemon]");
    let said = env.command().arg("check").output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(
        text.contains("ok       commands are accepted from users daemon (1), 12345; groups daemon (1); root\n"),
        "{text}"
    );
}

#[test]
fn a_password_that_everybody_may_read_is_warned_of_at_the_start_and_at_a_reload() {
    let env = TestEnv::new();
    fs::set_permissions(env.path("credentials.cnf"), fs::Permissions::from_mode(0o644)).unwrap();
    env.start_daemon();
    env.expect_log("credentials.cnf' may be read by everybody: chmod 0640 '");
    fs::set_permissions(env.path("credentials.cnf"), fs::Permissions::from_mode(0o642)).unwrap();
    env.signal(rustix::process::Signal::HUP);
    env.expect_log("credentials.cnf' may be written by everybody, and the tools ignore such a file: chmod 0640 '");
}
