//! Disks that do not answer: whoever asks for what is on one is told so in time, others are served, and the daemon ends.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::daemon::restore_request;
use crate::harness::{TestEnv, not_here, program};

/// How long a client waits.
const CLIENT_WAITS: Duration = Duration::from_secs(5);

/// Mounts a file system at its argument whose requests it never reads; it does so until its stdin ends.
const MOUNT: &str = r#"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other"
if libc.mount(b"hung", os.fsencode(sys.argv[1]), b"fuse", 6, options.encode()):
    sys.exit(os.strerror(ctypes.get_errno()))
print("mounted", flush=True)
sys.stdin.read()
"#;

/// A file system that never answers, for as long as this is there. Should the test be killed, the end of its pipe ends the helper, and the
/// kernel then answers everybody with an error.
struct Hung {
    helper: Child,
    at: PathBuf,
}

impl Hung {
    /// Mounts one at a directory. None, and said: not here.
    fn mount(at: &Path) -> Option<Self> {
        // Nothing but the right to mount may be what lacks.
        std::fs::create_dir_all(at).unwrap();
        let mut python = program("python3");
        python.args(["-c", MOUNT]).arg(at).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut helper = python.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(helper.stdout.take().unwrap()).read_line(&mut said).unwrap();
        if said != "mounted\n" {
            let _ended = helper.wait();
            not_here("/dev/fuse and the right to mount");
            return None;
        }
        Some(Self { helper, at: at.to_owned() })
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        // First its device is closed: everybody who hangs gets an error, and `umount` need not ask it either.
        let _ended = self.helper.kill();
        let _ended = self.helper.wait();
        let unmounted = program("umount").arg("--lazy").arg(&self.at).status();
        if !std::thread::panicking() {
            assert!(unmounted.unwrap().success(), "'{}' is still mounted", self.at.display());
        }
    }
}

#[test]
fn a_hung_backup_dir_keeps_no_other_client_waiting_and_not_the_end() {
    let env = TestEnv::new();
    env.start_daemon();
    let Some(hung) = Hung::mount(&env.path("backups")) else { return };
    let begun = Instant::now();
    let asked: Vec<_> = (0..100)
        .map(|n| env.try_send_aside(format!(r#"{{"cmd":"full_backup","args":{{"id":"full-{n}"}}}}"#)))
        .collect();
    let others = [
        (r#"{"cmd":"nothing","args":{}}"#, r#"{"code": 400"#),
        ("no request", r#"{"code": 400"#),
        (r#"{"cmd":"restore_backup","args":{"id_list":["none"],"target":"folder"}}"#, r#"{"code": 404"#),
    ];
    for (request, code) in others {
        let sent = Instant::now();
        let reply = env.send(request);
        assert!(reply.starts_with(code), "{request}: {reply}");
        assert!(sent.elapsed() < Duration::from_secs(2), "{request}: {:?}", sent.elapsed());
    }
    for asked in asked {
        let reply = asked.join().unwrap().unwrap();
        assert!(reply.starts_with(r#"{"code": 500"#) && reply.contains("does not answer"), "{reply}");
    }
    assert!(begun.elapsed() < CLIENT_WAITS, "{:?}", begun.elapsed());
    env.expect_log("does not answer");
    let told = Instant::now();
    env.signal(Signal::TERM);
    assert_eq!(env.wait_for_end(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(8), "{:?}", told.elapsed());
    drop(hung);
}

/// More database restores than may look at one place at once are told; a folder restore needs nothing of that disk, and is done.
#[test]
fn a_hung_data_dir_fails_database_restores_and_nothing_else() {
    let env = TestEnv::start();
    env.full("full-1");
    env.world.stop().unwrap();
    let Some(hung) = Hung::mount(&env.path("data")) else { return };
    let begun = Instant::now();
    let asked: Vec<_> = (0..40).map(|_| env.try_send_aside(restore_request(&["full-1"], "database"))).collect();
    env.restore(&["full-1"], "folder");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    for asked in asked {
        let reply = asked.join().unwrap().unwrap();
        // Of many at once one has the claim, and the others are told of that or of the disk.
        let is_told =
            reply.contains("' does not answer: check its file system") || reply.contains("holds the data directory");
        assert!(is_told, "{reply}");
    }
    assert!(begun.elapsed() < CLIENT_WAITS, "{:?}", begun.elapsed());
    env.expect_log("does not answer");
    assert_eq!(env.count("process", "status = 'running'"), 0);
    env.signal(Signal::TERM);
    assert_eq!(env.wait_for_end(), Some(0));
    drop(hung);
}

/// What a stopped job has to take away lies on a disk that does not answer any more: the daemon ends all the same, and the next start, with
/// the disk back, takes it away. It is the bound of `daemon::run` that is waited for, more than a minute.
#[test]
fn a_disk_that_hangs_in_the_midst_of_a_job_bounds_the_end_and_the_next_start_goes_on_from_there() {
    let env = TestEnv::start();
    env.full("full-0");
    env.script("mariabackup", r#"{"fault":"hangs"}"#);
    env.accepted(r#"{"cmd":"full_backup","args":{"id":"full-1"}}"#);
    env.wait_for_fake("mariabackup");
    let Some(hung) = Hung::mount(&env.path("backups")) else { return };
    let sent = Instant::now();
    let reply = env.send(r#"{"cmd":"nothing","args":{}}"#);
    assert!(reply.starts_with(r#"{"code": 400"#), "{reply}");
    assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
    let told = Instant::now();
    env.signal(Signal::TERM);
    assert_eq!(env.wait_for_end_within(Duration::from_secs(110)), Some(0));
    assert!(told.elapsed() > Duration::from_secs(60), "the disk hung no job: {:?}", told.elapsed());
    env.expect_log("the jobs did not end in time");
    drop(hung);
    assert!(env.path("backups/full-1").exists());
    assert_eq!(env.newest("status"), "running");
    env.start_daemon();
    env.expect_log("ended a command of an earlier daemon");
    assert_eq!(env.newest("status"), "failed");
    assert!(!env.path("backups/full-1").exists());
    assert!(env.path("backups/full-0").exists());
    env.full("full-1");
}

/// The one who looks after the socket waits for that disk, and nobody else does.
#[test]
fn a_hung_directory_of_the_socket_keeps_no_client_who_is_there_waiting_and_not_the_end() {
    let env = TestEnv::start();
    let mut client = env.connect().unwrap();
    let Some(hung) = Hung::mount(&env.path("run")) else { return };
    let sent = Instant::now();
    client.write_all(br#"{"cmd":"nothing","args":{}}"#).unwrap();
    let reply = std::io::read_to_string(client).unwrap();
    assert!(reply.starts_with(r#"{"code": 400"#), "{reply}");
    assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
    let told = Instant::now();
    env.signal(Signal::TERM);
    assert_eq!(env.wait_for_end(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(8), "{:?}", told.elapsed());
    env.expect_log("the socket could not be removed: its directory does not answer");
    drop(hung);
}
