//! What a monitor is told: the file as things are after a success, a failure, a kill, and where it cannot be written.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::process::Signal;

use crate::harness::{TestEnv, wait_for};

const FULL: &str = r#"{"cmd":"full_backup","args":{"id":"full-1"}}"#;

/// A daemon that is to write metrics, not yet started.
fn with_metrics() -> TestEnv {
    let mut env = TestEnv::new();
    fs::create_dir(env.path("metrics")).unwrap();
    let path = env.path("metrics/dbcalm.prom").display().to_string();
    env.set("metrics_file", &path);
    env
}

impl TestEnv {
    fn metrics(&self) -> String {
        fs::read_to_string(self.path("metrics/dbcalm.prom")).unwrap_or_default()
    }

    /// Waits until the file holds this line, or one that begins so; gives its value.
    fn metric(&self, wanted: &str) -> f64 {
        wait_for(&format!("a metric '{wanted}'"), || {
            let text = self.metrics();
            // Whoever looks, whenever, sees a whole file.
            assert!(text.is_empty() || (text.starts_with("# HELP ") && text.ends_with("\"other\"} 0\n")), "{text}");
            let line = text.lines().find(|line| line.starts_with(&format!("dbcalm_{wanted}")))?;
            line.rsplit(' ').next()?.parse().ok()
        })
    }
}

#[test]
fn a_success_and_a_failure_are_told_and_outlast_a_restart() {
    let env = with_metrics();
    env.start_daemon();
    env.metric("jobs_failed_total{kind=\"backup\",reason=\"tool\"} 0");
    assert!(!env.metrics().contains("last_success_timestamp_seconds{"), "there was none: {}", env.metrics());
    env.full("full-1");
    let told = env.metric("backup_last_success_timestamp_seconds{type=\"full\"}");
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!(told <= now && told > now - 60.0, "{told} at {now}");
    let size = env.metric("backup_last_size_bytes{type=\"full\"}");
    assert!(size > 1000.0 && env.metric("backup_last_duration_seconds{type=\"full\"}") < 60.0);
    env.script("mariabackup", r#"{"fault":"partial"}"#);
    env.full("full-2");
    env.expect_log("backup failed");
    env.script("mariabackup", r#"{"fault":"no_completed_ok"}"#);
    env.full("full-3");
    env.script("mariabackup", r#"{"fault":"enospc"}"#);
    env.incremental("inc-1", "full-1");
    env.metric("jobs_failed_total{kind=\"backup\",reason=\"tool\"} 1");
    env.metric("jobs_failed_total{kind=\"backup\",reason=\"verification\"} 1");
    env.metric("jobs_failed_total{kind=\"backup\",reason=\"disk_full\"} 1");
    env.restore(&["full-1"], "folder");
    env.metric("restore_last_success_timestamp_seconds{target=\"folder\"}");
    env.metric("jobs_running{kind=\"restore\"} 0");

    let before = env.metrics();
    env.signal(Signal::TERM);
    assert_eq!(env.wait_for_end(), Some(0));
    fs::remove_file(env.path("metrics/dbcalm.prom")).unwrap();
    env.start_daemon();
    env.metric("build_info");
    assert_eq!(env.metrics(), before, "it is all in the records");
    assert_eq!(env.listing("metrics"), "dbcalm.prom");
}

#[test]
fn a_counter_does_not_go_back_when_rows_are_removed() {
    let env = with_metrics();
    env.start_daemon();
    for _ in 0..2 {
        env.script("mariabackup", r#"{"fault":"partial"}"#);
        env.full("full-1");
        env.expect_log("backup failed");
    }
    env.metric("jobs_failed_total{kind=\"backup\",reason=\"tool\"} 2");
    env.signal(Signal::TERM);
    assert_eq!(env.wait_for_end(), Some(0));
    // As the API does when it cleans up.
    env.database().execute("DELETE FROM process", []).unwrap();
    let former = fs::metadata(env.path("metrics/dbcalm.prom")).unwrap();
    env.start_daemon();
    wait_for("the file of the new daemon", || {
        let there = fs::metadata(env.path("metrics/dbcalm.prom")).ok()?;
        (there.ino() != former.ino() || there.mtime_nsec() != former.mtime_nsec()).then_some(())
    });
    env.metric("jobs_failed_total{kind=\"backup\",reason=\"tool\"} 2");
    env.script("mariabackup", r#"{"fault":"partial"}"#);
    env.full("full-1");
    env.expect_log("backup failed");
    env.metric("jobs_failed_total{kind=\"backup\",reason=\"tool\"} 3");
}

#[test]
fn what_runs_is_told_and_what_a_kill_interrupted() {
    let env = with_metrics();
    env.start_daemon();
    env.script("mariabackup", r#"{"fault":"hangs"}"#);
    env.accepted(FULL);
    env.metric("jobs_running{kind=\"backup\"} 1");
    env.wait_for_fake("mariabackup");
    env.kill_and_restart();
    env.expect_log("ended a command of an earlier daemon");
    env.metric("jobs_failed_total{kind=\"backup\",reason=\"interrupted\"} 1");
    env.metric("jobs_running{kind=\"backup\"} 0");
    fs::remove_file(env.path("bin/mariabackup.waiting")).unwrap();
    env.script("mariabackup", r#"{"fault":"hangs"}"#);
    env.accepted(FULL);
    env.wait_for_fake("mariabackup");
    env.signal(Signal::TERM);
    assert_eq!(env.wait_for_end(), Some(0));
    env.expect_log("backup failed");
    env.metric("jobs_failed_total{kind=\"backup\",reason=\"interrupted\"} 2");
    env.metric("jobs_running{kind=\"backup\"} 0");
}

#[test]
fn metrics_that_cannot_be_written_are_said_once_and_fail_no_job() {
    let mut env = with_metrics();
    fs::remove_dir(env.path("metrics")).unwrap();
    env.start_daemon();
    env.expect_log("the metrics cannot be written");
    env.full("full-1");
    env.full("full-2");
    env.restore(&["full-1"], "folder");
    assert_eq!(env.count("process", "status = 'failed'"), 0);
    fs::create_dir(env.path("metrics")).unwrap();
    env.full("full-3");
    wait_for("the metrics", || env.log().contains("the metrics are written again").then_some(()));
    assert_eq!(env.log().matches("the metrics cannot be written").count(), 1);
    // A daemon is told to write them elsewhere, or no more, without a restart.
    fs::create_dir(env.path("else")).unwrap();
    let path = env.path("else/dbcalm.prom").display().to_string();
    env.set("metrics_file", &path);
    env.signal(Signal::HUP);
    wait_for("the other file", || fs::metadata(&path).ok());
}
