//! Jobs by the thousand: what the daemon holds afterwards is what it held before.
//!
//! In: how many jobs, and the seed. Out: threads, descriptors and memory at the start, after a tenth and at the end, or a panic where
//! they grew: memory by more than [`BOUND`]. Threads and descriptors may not grow at all, once the runtime has let go of its idle threads.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;

use super::request::{FOLDER, Request};
use crate::harness::stand::Place;
use crate::harness::{TestEnv, wait_for};

/// How much `RssAnon` may grow in all, in KiB: 3 MiB, whatever the number of jobs. Of it 2 MB are the pages of the records that
/// `SQLite` keeps at the most, its default. With 10,000 jobs a hundred bytes that are lost with each of them are too many.
const BOUND: u64 = 3072;

/// How many requests are sent at once.
const BATCH: usize = 4;

/// How many backups are kept; older ones go as the API removes them, row and folder.
const KEPT: usize = 12;

/// What a process holds.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Held {
    threads: usize,
    /// How many of them are the runtime's, for blocking work; they end when there was none for a while.
    idle: usize,
    descriptors: usize,
    /// In KiB, as the two after it.
    resident: u64,
    anonymous: u64,
}

/// What was done, and what the daemon held.
#[derive(Debug, Default)]
pub(crate) struct Report {
    start: Held,
    tenth: Held,
    end: Held,
    succeeded: u64,
    failed: u64,
    refused: u64,
}

impl Report {
    pub(crate) fn jobs(&self) -> u64 {
        self.succeeded + self.failed + self.refused
    }
}

/// Runs so many jobs.
pub(crate) fn run(jobs: u64, seed: u64) -> Option<Report> {
    let stand = Place::Fakes.set_up()?;
    let env = stand.env();
    env.keep_if_it_fails();
    env.may_log("backup failed");
    env.may_log("restore failed");
    env.start_daemon();
    let mut work =
        Work { env, database: env.database(), random: fastrand::Rng::with_seed(seed), backups: Vec::new(), names: 0 };
    let mut report = Report { start: held(env), ..Report::default() };
    while report.jobs() < jobs {
        work.batch(BATCH.min(usize::try_from(jobs - report.jobs()).unwrap()), &mut report);
        if report.tenth.threads == 0 && report.jobs() >= jobs / 10 {
            report.tenth = held(env);
        }
    }
    report.end = settled(env);
    let Report { start, end, .. } = report;
    assert!(end.threads <= start.threads - start.idle && end.descriptors <= start.descriptors, "{report}");
    assert!(end.anonymous <= start.anonymous + BOUND, "{report}");
    Some(report)
}

struct Work<'a> {
    env: &'a TestEnv,
    database: Connection,
    random: fastrand::Rng,
    /// The backups that are there, with the base of each, the oldest first.
    backups: Vec<(String, Option<String>)>,
    names: u64,
}

impl Work<'_> {
    /// Sends requests at once, waits for the end of their jobs, and counts what came of them.
    fn batch(&mut self, size: usize, report: &mut Report) {
        let requests: Vec<_> = (0..size).map(|_| self.draw()).collect();
        if self.random.u32(0..4) == 0 {
            self.env.script("mariabackup", r#"{"fault":"partial"}"#);
        }
        let sent: Vec<_> = requests.iter().map(|request| self.env.try_send_aside(request.json())).collect();
        let replies: Vec<_> = sent.into_iter().map(|sent| sent.join().unwrap().unwrap()).collect();
        self.env.settled();
        let _ = fs::remove_file(self.env.path("bin/mariabackup.script"));
        for (request, reply) in requests.into_iter().zip(replies) {
            let reply: serde_json::Value = serde_json::from_str(&reply).unwrap();
            match reply["code"].as_i64().unwrap() {
                202 => {}
                404 | 409 => {
                    report.refused += 1;
                    continue;
                }
                _ => panic!("{request} -> {reply}"),
            }
            let query = "SELECT status FROM process WHERE command_id = ?1 ORDER BY id DESC LIMIT 1";
            let status: String = self.database.query_row(query, [reply["id"].as_str()], |row| row.get(0)).unwrap();
            match (status.as_str(), request) {
                ("success", Request::Backup { id, base }) => {
                    self.backups.push((id, base));
                    report.succeeded += 1;
                }
                ("success", Request::Restore { .. }) => report.succeeded += 1,
                ("failed", _) => report.failed += 1,
                (status, request) => panic!("{request} ended as {status}"),
            }
        }
        self.thin_out();
    }

    fn draw(&mut self) -> Request {
        let any = self.random.choice(&self.backups).cloned();
        match (self.random.u32(0..100), any) {
            (0..35, _) | (_, None) => {
                self.names += 1;
                Request::Backup { id: format!("b{}", self.names), base: None }
            }
            (35..60, Some((base, _))) => {
                self.names += 1;
                Request::Backup { id: format!("b{}", self.names), base: Some(base) }
            }
            (60..90, Some((id, _))) => Request::Restore { chain: self.chain_to(&id), target: FOLDER },
            (90..95, Some((id, _))) => Request::Backup { id, base: None },
            (_, Some(_)) => Request::Backup { id: "nothing".to_owned(), base: Some("unheard-of".to_owned()) },
        }
    }

    fn chain_to(&self, id: &str) -> Vec<String> {
        let mut chain = vec![id.to_owned()];
        let base = |id: &String| self.backups.iter().find(|(own, _)| own == id).unwrap().1.clone();
        while let Some(base) = base(chain.last().unwrap()) {
            chain.push(base);
        }
        chain.reverse();
        chain
    }

    /// Removes what an operator would not keep: the oldest backups that are no base, and all restored folders.
    fn thin_out(&mut self) {
        while self.backups.len() > KEPT {
            let is_base = |id: &String| self.backups.iter().any(|(_, base)| base.as_ref() == Some(id));
            let oldest = self.backups.iter().position(|(id, _)| !is_base(id)).unwrap();
            let (id, _) = self.backups.remove(oldest);
            assert_eq!(self.database.execute("DELETE FROM backup WHERE id = ?1", [&id]).unwrap(), 1);
            fs::remove_dir_all(self.env.backup(&id)).unwrap();
        }
        let _ = fs::remove_dir_all(self.env.path("backups/restores"));
    }
}

/// What the daemon holds now.
fn held(env: &TestEnv) -> Held {
    let process = PathBuf::from(format!("/proc/{}", env.daemon_pid().as_raw_nonzero()));
    let tasks = fs::read_dir(process.join("task")).unwrap().flatten();
    let names: Vec<_> = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok()).collect();
    let text = fs::read_to_string(process.join("status")).unwrap();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    };
    Held {
        threads: names.len(),
        idle: names.iter().filter(|name| name.starts_with("tokio-")).count(),
        descriptors: fs::read_dir(process.join("fd")).unwrap().count(),
        resident: field("VmRSS"),
        anonymous: field("RssAnon"),
    }
}

/// The same, once the runtime has let go of the threads that blocking work was done on: 10 s after the last, its default.
fn settled(env: &TestEnv) -> Held {
    wait_for("the runtime's idle threads to end", || {
        let held = held(env);
        (held.idle == 0).then_some(held)
    })
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { threads, idle, descriptors, resident, anonymous } = self;
        write!(f, "{threads} threads, {idle} of them for blocking work; {descriptors} descriptors; ")?;
        write!(f, "VmRSS {resident} KiB, of it RssAnon {anonymous} KiB")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, tenth, end, succeeded, failed, refused } = self;
        writeln!(
            f,
            "{} jobs: {succeeded} succeeded, {failed} failed as they were made to, {refused} refused",
            self.jobs()
        )?;
        writeln!(f, "at the start      {start}\nafter a tenth     {tenth}")?;
        write!(f, "at the end        {end}")
    }
}
