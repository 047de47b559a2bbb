//! Clients of every kind, at the socket: the hasty, the silent, the broken, the many.

use std::fs;
use std::io::{Read, Write};
use std::time::Duration;

use insta::assert_snapshot;

use crate::harness::{TestEnv, wait_for};

const UNKNOWN: &str = r#"{"cmd":"nope","args":{}}"#;
const INVALID: &str = r#"{"code": 400, "status": "Invalid command"}"#;

#[test]
fn requests_without_a_pause_between_them_are_all_answered() {
    let env = TestEnv::start();
    for number in 0..200 {
        assert_eq!(env.send(UNKNOWN), INVALID, "request {number}");
    }
}

#[test]
fn a_client_that_connects_and_leaves_costs_nothing() {
    let env = TestEnv::start();
    for _ in 0..100 {
        drop(env.connect().unwrap());
    }
    assert_eq!(env.send(UNKNOWN), INVALID);
    // A predecessor spun here for ever. A process that sleeps does not spin.
    let stat = format!("/proc/{}/stat", env.daemon_pid().as_raw_nonzero());
    wait_for("the daemon to sleep", || {
        fs::read_to_string(&stat).unwrap().rsplit(')').next().unwrap().trim_start().starts_with('S').then_some(())
    });
    assert!(!env.log().contains("refused uid=0 gid=0 pid=0"), "nothing to log about them either");
    let descriptors = format!("/proc/{}/fd", env.daemon_pid().as_raw_nonzero());
    wait_for("their descriptors to be given back", || (fs::read_dir(&descriptors).unwrap().count() < 40).then_some(()));
}

#[test]
fn clients_that_say_nothing_or_half_delay_nobody_and_get_their_answer() {
    let env = TestEnv::start();
    let silent: Vec<_> = (0..500).map(|_| env.connect().unwrap()).collect();
    let mut half = env.connect().unwrap();
    half.write_all(br#"{"cmd":"full_"#).unwrap();
    assert_eq!(env.send(UNKNOWN), INVALID);
    let incomplete = r#"{"code": 400, "status": "the request is incomplete: its rest did not come within 4 s"}"#;
    for mut client in silent.into_iter().take(1).chain([half]) {
        let mut reply = String::new();
        client.read_to_string(&mut reply).unwrap();
        assert_eq!(reply, incomplete);
    }
}

#[test]
fn a_request_is_answered_as_soon_as_it_is_whole_and_at_eof() {
    let env = TestEnv::start();
    let mut slow = env.connect().unwrap();
    for byte in UNKNOWN.as_bytes() {
        slow.write_all(&[*byte]).unwrap();
    }
    let mut reply = String::new();
    slow.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, INVALID, "the write side is still open");

    let mut closed = env.connect().unwrap();
    closed.write_all(br#"{"cmd":"#).unwrap();
    closed.shutdown(std::net::Shutdown::Write).unwrap();
    closed.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut reply = String::new();
    closed.read_to_string(&mut reply).unwrap();
    assert_snapshot!(reply, @r#"{"code": 400, "status": "the request is incomplete: it ended inside the object"}"#);
}

#[test]
fn the_reply_comes_whole_in_one_read() {
    let env = TestEnv::start();
    let long = format!(r#"{{"cmd":"full_backup","args":{{"id":"{}"}}}}"#, "é".repeat(3000));
    let mut client = env.connect().unwrap();
    client.write_all(long.as_bytes()).unwrap();
    let mut bytes = [0; 4096];
    let read = client.read(&mut bytes).unwrap();
    assert!(bytes[..read].ends_with(b"}"), "{}", String::from_utf8_lossy(&bytes[..read]));
    assert!(bytes[..read].is_ascii(), "a client that reads 16 bytes at a time may cut a longer character in two");
    assert_eq!(client.read(&mut bytes).unwrap(), 0);
}

#[test]
fn bad_requests_get_a_clear_400_and_nothing_else_happens() {
    let env = TestEnv::start();
    let deep = format!(r#"{{"cmd":"full_backup","args":{{"id":{}"#, "[".repeat(100_000));
    let large = format!(r#"{{"cmd":"full_backup","args":{{"id":"{}"}}}}"#, "x".repeat(2 * 1024 * 1024));
    let cases: Vec<(&[u8], &str)> = vec![
        (b"[]", "the request is not a JSON object"),
        (b"hello", "the request is not a JSON object"),
        (b"\0\0\0\0", "the request is not a JSON object"),
        (b"{}", "Invalid command"),
        (br#"{"cmd":"full_backup"}"#, "Missing required argument id"),
        (br#"{"cmd":"full_backup","args":{"id":null}}"#, "Missing required argument id"),
        (br#"{"cmd":"full_backup","args":{"id":""}}"#, "id '' is not a backup id: it is empty"),
        (
            br#"{"cmd":"full_backup","args":{"id":"../../etc"}}"#,
            "id '../../etc' is not a backup id: it may hold A-Z a-z 0-9 . _ - only",
        ),
        (
            br#"{"cmd":"full_backup","args":{"id":"a;rm -rf /"}}"#,
            "id 'a;rm -rf /' is not a backup id: it may hold A-Z a-z 0-9 . _ - only",
        ),
        (
            br#"{"cmd":"full_backup","args":{"id":"--help"}}"#,
            "id '--help' is not a backup id: it may not begin with '.' or '-'",
        ),
        (
            br#"{"cmd":"full_backup","args":{"id":"tmp"}}"#,
            "id 'tmp' is not a backup id: the daemon uses this name itself",
        ),
        (br#"{"cmd":"full_backup","args":{"id":"a"}} x"#, "the request goes on behind the object"),
        (
            br#"{"cmd":"restore_backup","args":{"id_list":["a"],"target":"elsewhere"}}"#,
            "unknown target 'elsewhere': it is \\\"database\\\" or \\\"folder\\\"",
        ),
        (deep.as_bytes(), "the request is nested too deeply"),
        (large.as_bytes(), "the request is larger than 1 MiB"),
    ];
    for (request, text) in cases {
        assert_eq!(env.send_raw(request), format!(r#"{{"code": 400, "status": "{text}"}}"#));
    }
    assert!(env.send_raw(b"{\"cmd\":\"\xff\"}").contains("not UTF-8"));
    assert!(env.send_raw(br#"{"cmd":"full_backup","args":{"id":"a","id":"b"}}"#).contains("duplicate"));
    assert_snapshot!(env.records(), @"none | backups: none | restores: none");
    assert_snapshot!(env.listing("backups"), @"(empty)");
    assert!(env.calls("mariabackup").is_empty() && env.calls("mariadb-admin").is_empty());
}

#[test]
fn every_command_is_logged_with_its_peer() {
    let env = TestEnv::start();
    env.send(UNKNOWN);
    let id = env.full("full-1");
    wait_for("the end to be logged", || env.log().contains("backup succeeded").then_some(()));
    let log = env.log();
    let line =
        |text: &str| log.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("no '{text}' in {log}"));
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let peer = format!("uid={uid} gid={gid} pid={}", std::process::id());
    assert!(line("Invalid command").contains(&peer) && line("Invalid command").contains("code=400"));
    let accepted = line("accepted");
    for part in [&peer, r#"cmd="full_backup""#, r#"backup_id="full-1""#, &format!("command_id={id}"), "ms="] {
        assert!(accepted.contains(part), "no {part} in {accepted}");
    }
    assert!(line("backup succeeded").contains("seconds="));
}
