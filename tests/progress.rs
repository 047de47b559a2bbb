//! How far a job is, as those see it who ask: in the row that says `running`, and in systemd's status line.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::daemon::restore_request;
use crate::harness::{PATIENCE, TestEnv, wait_for};

const FULL: &str = r#"{"cmd":"full_backup","args":{"id":"full-1"}}"#;

impl TestEnv {
    /// Lets the fake wait half-way in its next call but so many, until [`TestEnv::go`].
    fn slow(&self, calls_before: usize) {
        (0..calls_before).for_each(|_| self.script("mariabackup", "{}"));
        self.script("mariabackup", &format!(r#"{{"fault":{{"slow_until":"{}"}}}}"#, self.path("go").display()));
    }

    fn go(&self) {
        fs::write(self.path("go"), "").unwrap();
    }

    /// Waits until the running row says something like it.
    fn progress(&self, wanted: &str) -> String {
        wait_for(&format!("a running row with '{wanted}'"), || {
            let rows = self.rows("process", "status = 'running'");
            let row = rows.first()?;
            assert_eq!(
                (&row["error"], &row["return_code"], &row["end_time"]),
                (&Value::Null, &Value::Null, &Value::Null)
            );
            let output = row["output"].as_str()?;
            assert!(output.len() < 200 && !output.contains('\n'), "{output}");
            output.contains(wanted).then(|| output.to_owned())
        })
    }

    /// How many rows that are over still say how far they are.
    fn stale(&self) -> i64 {
        let words = ["copying", "extracting", "preparing", "applying", "moving", "verifying", "step"];
        let like = words.map(|word| format!("output LIKE '{word} %'")).join(" OR ");
        self.count("process", &format!("status != 'running' AND ({like})"))
    }
}

#[test]
fn a_running_backup_says_how_far_it_is() {
    let env = TestEnv::start();
    env.world.put("shop/zlarge.ibd", &vec![b'x'; 3 << 20]).unwrap();
    env.full("full-0");
    let before = env.newest("output");
    env.slow(0);
    env.accepted(FULL);
    env.wait_for_fake("mariabackup");
    let share = |text: &str| -> u64 { text.split_once('(').unwrap().1.split_once(" %)").unwrap().0.parse().unwrap() };
    let first = env.progress(" of 3.");
    assert!(first.starts_with("copying ") && share(&first) < 90, "{first}");
    // Something grows in its folder, as it does where a tool is at work.
    fs::write(env.backup("full-1/more"), vec![b'x'; 300_000]).unwrap();
    wait_for("the share to grow", || (share(&env.progress(" %)")) >= share(&first) + 9).then_some(()));
    assert!(env.progress("B/s").starts_with("copying "));
    fs::remove_file(env.backup("full-1/more")).unwrap();
    env.go();
    env.settled();
    assert_snapshot!(env.records(), @"1 success 0, 2 success 0 | backups: full-0, full-1 | restores: none");
    assert_eq!(env.stale(), 0);
    assert_eq!(before.is_empty(), env.newest("output").is_empty());
    assert!(env.newest("output").contains("completed OK!"));
}

#[test]
fn a_running_restore_says_at_which_step_it_is() {
    let env = TestEnv::start();
    env.full("full-1");
    env.world.put("shop/orders.ibd", b"order 2\n").unwrap();
    env.incremental("inc-1", "full-1");
    env.slow(1);
    env.accepted(&restore_request(&["full-1", "inc-1"], "folder"));
    env.wait_for_fake("mariabackup");
    let text = env.progress("step");
    assert!(text.starts_with("step 4 of 4, applying"), "{text}");
    env.go();
    env.settled();
    assert_snapshot!(env.records(), @"1 success 0, 2 success 0, 3 success 0, 4 success 0, 5 success 0, 6 success 0 | backups: full-1, inc-1 from full-1 | restores: FOLDER full-1");
    assert_eq!(env.stale(), 0);
}

#[test]
fn what_an_interrupted_backup_had_come_to_is_not_left_in_its_row() {
    let env = TestEnv::start();
    env.script("mariabackup", r#"{"fault":"hangs"}"#);
    env.accepted(FULL);
    env.wait_for_fake("mariabackup");
    env.progress("copying");
    env.kill_and_restart();
    env.expect_log("ended a command of an earlier daemon");
    assert_eq!(env.rows("process", "1")[0]["output"], Value::Null);
    assert_snapshot!(env.newest("error"), @"the daemon was gone before this command ended: it was stopped, and what it left was removed");
}

/// What systemd is told.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    /// Starts the daemon as under systemd.
    fn start(env: &TestEnv) -> Self {
        let path = env.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = env.command();
        command.env("NOTIFY_SOCKET", &path);
        env.start_as(command);
        Self { socket }
    }

    /// Stops the daemon, which tells it that too.
    fn end(self, env: &TestEnv) {
        env.signal(Signal::TERM);
        self.told("ending the jobs");
        assert_eq!(env.wait_for_end(), Some(0));
    }

    /// Waits until it is told something like it; gives the status line.
    fn told(&self, wanted: &str) -> String {
        loop {
            let mut bytes = [0; 1024];
            let length = self.socket.recv(&mut bytes).unwrap_or_else(|why| panic!("never told '{wanted}': {why}"));
            let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
            let status = text.lines().find_map(|line| line.strip_prefix("STATUS=")).unwrap_or_default();
            assert!(status.len() <= 200, "{status}");
            if status.contains(wanted) {
                return status.to_owned();
            }
        }
    }
}

#[test]
fn systemd_is_told_what_runs() {
    let env = TestEnv::new();
    let manager = Manager::start(&env);
    assert_eq!(manager.told(""), "idle");
    env.slow(0);
    env.accepted(FULL);
    assert_eq!(manager.told("copying"), "1 backup running: full-1 copying");
    let text = manager.told("copying ");
    assert!(text.starts_with("1 backup running: full-1 copying "), "{text}");
    env.wait_for_fake("mariabackup");
    env.slow(0);
    env.accepted(r#"{"cmd":"full_backup","args":{"id":"full-2"}}"#);
    let text = manager.told("full-2 copying");
    assert!(text.starts_with("2 jobs running: backup full-1 copying "), "{text}");
    wait_for("both to wait", || (env.calls("mariabackup").len() == 2).then_some(()));
    env.go();
    manager.told("idle");
    env.settled();
    manager.end(&env);
}

/// The line goes on while the records are locked, and what the backup came to is written once they are not.
#[test]
fn a_locked_database_keeps_no_job_from_saying_how_far_it_is_and_loses_nothing() {
    let env = TestEnv::new();
    let manager = Manager::start(&env);
    env.slow(0);
    env.accepted(FULL);
    env.wait_for_fake("mariabackup");
    let before = env.progress("copying");
    let other = env.database();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    fs::write(env.backup("full-1/more"), vec![b'x'; 3 << 20]).unwrap();
    manager.told("copying 3.");
    assert_eq!(env.newest("output"), before);
    fs::remove_file(env.backup("full-1/more")).unwrap();
    env.go();
    env.expect_log("the records cannot be written: trying again");
    other.execute_batch("ROLLBACK").unwrap();
    env.settled();
    env.expect_log("the records are written again");
    assert_snapshot!(env.records(), @"1 success 0 | backups: full-1 | restores: none");
    assert!(env.newest("output").contains("completed OK!"));
    manager.told("idle");
    manager.end(&env);
}

#[test]
fn a_daemon_that_is_told_not_to_says_nothing_in_the_rows() {
    let mut env = TestEnv::new();
    env.set("progress", "no");
    let manager = Manager::start(&env);
    env.slow(0);
    env.accepted(FULL);
    assert_eq!(manager.told("copying"), "1 backup running: full-1 copying");
    env.wait_for_fake("mariabackup");
    let begun = Instant::now();
    wait_for("two looks' time", || (begun.elapsed() > Duration::from_millis(2200)).then_some(()));
    assert_eq!(env.newest("output"), "");
    env.go();
    assert_eq!(manager.told(""), "1 backup running: full-1 verifying and syncing", "and no figures before that");
    env.settled();
    manager.end(&env);
}
