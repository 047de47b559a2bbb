//! A socket that is taken away under a daemon that runs: it binds it again, and no client who has connected loses his answer.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use crate::cli::run;
use crate::harness::{TestEnv, wait_for};

const REQUEST: &[u8] = br#"{"cmd":"nothing","args":{}}"#;

fn answer(mut stream: UnixStream) -> String {
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

fn is_found(env: &TestEnv, socket: &Path) {
    wait_for("the daemon to be found", || UnixStream::connect(socket).ok().map(drop));
    assert!(env.send(r#"{"cmd":"nothing","args":{}}"#).starts_with(r#"{"code": 400"#));
}

/// What a restart of the API's unit does: systemd removes the directory that both units name, and makes it again.
fn restart_the_api(env: &TestEnv) {
    fs::remove_dir_all(env.path("run")).unwrap();
    fs::create_dir(env.path("run")).unwrap();
    fs::set_permissions(env.path("run"), fs::Permissions::from_mode(0o2774)).unwrap();
}

#[test]
fn a_socket_that_is_taken_away_is_bound_again_and_no_client_loses_his_answer() {
    let env = TestEnv::start();
    let descriptors = env.descriptors();
    // One who has said half, one who has said nothing, and a job.
    let mut half = env.connect().unwrap();
    half.write_all(&REQUEST[..10]).unwrap();
    let mut silent = env.connect().unwrap();
    env.script("mariabackup", r#"{"fault":"hangs"}"#);
    env.accepted(r#"{"cmd":"full_backup","args":{"id":"full-1"}}"#);
    let held = env.wait_for_fake("mariabackup");
    // While they wait to be accepted the socket goes, again and again.
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.extend((0..20).map(|_| env.connect().unwrap()));
        restart_the_api(&env);
        is_found(&env, &env.path("run/mariadb-cmd.sock"));
        assert_eq!(fs::metadata(env.socket()).unwrap().permissions().mode() & 0o777, 0o664);
    }
    for stream in &mut waiting {
        stream.write_all(REQUEST).unwrap();
    }
    half.write_all(&REQUEST[10..]).unwrap();
    silent.write_all(REQUEST).unwrap();
    for stream in waiting.into_iter().chain([half, silent]) {
        assert!(answer(stream).starts_with(r#"{"code": 400, "status": "Invalid command"}"#));
    }
    // The job has gone on; one name alone is mended too.
    rustix::process::kill_process(rustix::process::Pid::from_raw(held).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
    env.settled();
    env.expect_log("backup failed");
    fs::remove_file(env.path("run/mariadb-cmd.sock")).unwrap();
    is_found(&env, &env.path("run/mariadb-cmd.sock"));
    env.expect_log("the socket was taken away and is bound again");
    env.full("full-2");
    wait_for("the old sockets to be closed", || (env.descriptors() <= descriptors).then_some(()));
    env.signal(rustix::process::Signal::TERM);
    assert_eq!(env.wait_for_end(), Some(0));
    assert_eq!(env.listing("run"), "(empty)");
}

#[test]
fn a_directory_that_is_gone_is_told_until_it_is_there_again() {
    let env = TestEnv::start();
    fs::remove_dir_all(env.path("run")).unwrap();
    env.expect_log("clients do not find this daemon");
    let said = run(&env, "check").stdout;
    assert!(said.contains("problem  a daemon works in backup_dir, and nobody answers at its socket"), "{said}");
    fs::create_dir(env.path("run")).unwrap();
    is_found(&env, &env.socket());
    env.expect_log("clients find this daemon again");
    assert!(run(&env, "check").stdout.contains("ok       the daemon answers at"), "{}", run(&env, "check").stdout);
    assert_eq!(env.log().matches("clients do not find this daemon").count(), 1, "said once");
    env.expect_log("the socket was taken away and is bound again");
}

#[test]
fn a_daemon_that_took_the_place_keeps_it_and_is_told() {
    let env = TestEnv::start();
    for name in ["db-cmd.sock", "mariadb-cmd.sock"] {
        let place = env.path("run").join(name);
        // As the Go daemon does when it starts.
        fs::remove_file(&place).unwrap();
        let other = UnixListener::bind(&place).unwrap();
        let before = env.log().len();
        wait_for("the daemon to say so", || {
            env.log()[before..].contains(&format!("another daemon answers at '{}'", place.display())).then_some(())
        });
        let said = run(&env, "check").stdout;
        let wanted =
            if name == "db-cmd.sock" { "and not process" } else { "where the Python API looks, is another daemon's" };
        assert!(said.contains("problem") && said.contains(wanted), "{said}");
        assert!(UnixStream::connect(&place).is_ok(), "it is theirs");
        drop(other);
        fs::remove_file(&place).unwrap();
        is_found(&env, &place);
    }
    env.expect_log("clients do not find this daemon");
    env.expect_log("the socket was taken away and is bound again");
}
