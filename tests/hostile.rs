//! Clients of every kind, at the socket: the hasty, the silent, the broken, the many.

use std::fs;
use std::io::{Read, Write};
use std::time::Duration;

use insta::assert_snapshot;

use crate::harness::{TestEnv, program, wait_for};

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
    wait_for("their descriptors to be given back", || (env.descriptors() < 40).then_some(()));
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
        (
            br#"{"cmd":"full_backup","args":{"id":"a","schedule_id":99999999999999999999}}"#,
            "schedule_id must be a 64-bit integer, not a number",
        ),
        (
            br#"{"cmd":"full_backup","args":{"id":"a","schedule_id":1e400}}"#,
            "the request cannot be read: number out of range at line 1 column 57",
        ),
        (
            br#"{"cmd":"full_backup","args":{"id":"a\u0000b"}}"#,
            "id 'a\\\\0b' is not a backup id: it may contain only A-Z a-z 0-9 . _ -",
        ),
        (br#"{"cmd":"full_backup"}"#, "Missing required argument id"),
        (br#"{"cmd":"full_backup","args":{"id":null}}"#, "Missing required argument id"),
        (br#"{"cmd":"full_backup","args":{"id":""}}"#, "id '' is not a backup id: it is empty"),
        (
            br#"{"cmd":"full_backup","args":{"id":"../../etc"}}"#,
            "id '../../etc' is not a backup id: it may contain only A-Z a-z 0-9 . _ -",
        ),
        (
            br#"{"cmd":"full_backup","args":{"id":"a;rm -rf /"}}"#,
            "id 'a;rm -rf /' is not a backup id: it may contain only A-Z a-z 0-9 . _ -",
        ),
        (
            br#"{"cmd":"full_backup","args":{"id":"--help"}}"#,
            "id '--help' is not a backup id: it may not begin with '.' or '-'",
        ),
        (
            br#"{"cmd":"full_backup","args":{"id":"tmp"}}"#,
            "id 'tmp' is not a backup id: the daemon uses this name itself",
        ),
        (br#"{"cmd":"full_backup","args":{"id":"a"}} x"#, "something follows the request's object"),
        (
            br#"{"cmd":"restore_backup","args":{"id_list":["a"],"target":"elsewhere"}}"#,
            "unknown target 'elsewhere': it must be \\\"database\\\" or \\\"folder\\\"",
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

/// The memory of the daemon that is its own, in KiB.
fn resident(env: &TestEnv) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", env.daemon_pid().as_raw_nonzero())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn ten_thousand_clients_that_come_and_go_leave_nothing_behind() {
    let env = TestEnv::start();
    let (before, descriptors) = (resident(&env), env.descriptors());
    for _ in 0..10_000 {
        drop(env.connect().unwrap());
    }
    assert_eq!(env.send(UNKNOWN), INVALID);
    wait_for("their descriptors to be given back", || (env.descriptors() <= descriptors).then_some(()));
    let after = resident(&env);
    assert!(after < before + 8 * 1024, "VmRSS was {before} KiB and is {after} KiB");
}

/// A megabyte each from many at once: they are let in as far as the memory for them goes, and all are answered.
#[test]
fn many_large_requests_at_once_take_a_bounded_memory() {
    let env = TestEnv::start();
    let before = resident(&env);
    let large = format!(r#"{{"cmd":"{}"#, "x".repeat(1024 * 1024 - 1000));
    let socket = env.socket();
    let most = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..300)
            .map(|_| {
                let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
                let large = &large;
                scope.spawn(move || {
                    // Refused in the midst, it may find nobody who takes the rest.
                    let _ = stream.write_all(large.as_bytes());
                    let mut reply = String::new();
                    let _ = stream.read_to_string(&mut reply);
                    reply
                })
            })
            .collect();
        let mut most = 0;
        while clients.iter().any(|client| !client.is_finished()) {
            most = most.max(resident(&env));
            assert_eq!(env.send(UNKNOWN), INVALID, "others are answered meanwhile");
        }
        let late = r#"{"code": 400, "status": "the request is incomplete: its rest did not come within 4 s"}"#;
        assert!(clients.into_iter().all(|client| client.join().unwrap() == late));
        most
    });
    // 64 of a megabyte, in buffers that grow by doubling, and 300 of 16 KiB.
    assert!(most < before + 160 * 1024, "VmRSS went from {before} KiB to {most} KiB");
}

/// With no descriptor left for another client, those who wait are served when others have gone, and what runs goes on.
#[test]
fn clients_without_number_do_not_take_the_descriptors_of_a_job() {
    let env = TestEnv::new();
    let limited = |env: &TestEnv| {
        let daemon = env.command();
        let mut command = program("prlimit");
        command.arg("--nofile=128:128").arg(daemon.get_program()).args(daemon.get_args());
        command
    };
    env.start_as(limited(&env));
    env.script("mariabackup", &format!(r#"{{"fault":{{"slow_until":"{}"}}}}"#, env.path("go").display()));
    env.accepted(r#"{"cmd":"full_backup","args":{"id":"full-1"}}"#);
    env.wait_for_fake("mariabackup");
    let crowd: Vec<_> = (0..300).map(|_| env.connect().unwrap()).collect();
    wait_for("every seat to be taken", || (env.descriptors() > 24).then_some(()));
    assert!(env.descriptors() < 64, "and none of a job's");
    fs::write(env.path("go"), "").unwrap();
    env.settled();
    assert_snapshot!(env.records(), @"1 success 0 | backups: full-1 | restores: none");
    drop(crowd);
    env.full("full-2");
    assert_snapshot!(env.records(), @"1 success 0, 2 success 0 | backups: full-1, full-2 | restores: none");
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
