//! A poller that never rests, while restores run: the newest row of a request goes from `running` to one end, and says `success`
//! only where the restore can be read beside it.
//!
//! In: how many restores, and the seed. Out: a [`Report`], or a panic that says which poll saw what.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::request::{DATABASE, FOLDER, Request};
use crate::harness::TestEnv;
use crate::harness::stand::Place;

/// What is restored, or a part of it.
const CHAIN: [&str; 3] = ["full-1", "inc-1", "inc-2"];

/// How many of the newest rows a poll reads: a batch of restores makes 19 at the most, so each request is looked at long after
/// its end.
const WINDOW: i64 = 100;

/// What the poller has seen.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) polls: u64,
    rows: u64,
    restores: u32,
    succeeded: u32,
    failed: u32,
    /// Of how many requests a poll saw more than one step.
    between: u32,
    took: Duration,
}

/// What was seen of a request: the newest row, what it said, and how many rows it had.
struct Seen {
    row: i64,
    status: String,
    rows: u32,
}

/// Restores so often, and polls meanwhile.
pub(crate) fn watch(restores: u32, seed: u64) -> Option<Report> {
    let mut stand = Place::Fakes.set_up()?;
    stand.env().keep_if_it_fails();
    stand.env().may_log("restore failed");
    stand.env().start_daemon();
    for (round, id, base) in [(1, CHAIN[0], None), (2, CHAIN[1], Some(CHAIN[0])), (3, CHAIN[2], Some(CHAIN[1]))] {
        stand.change(round);
        match base {
            None => stand.full(id),
            Some(base) => stand.incremental(id, base),
        };
    }
    stand.stop_server();
    let env = stand.env();
    let (begun, over) = (Instant::now(), AtomicBool::new(false));
    let path = env.path("lib/db.sqlite3");
    let (mut report, requests) = std::thread::scope(|scope| {
        let poller = scope.spawn(|| poll(&path, &over));
        // A panic here would wait for the poller for ever.
        let _ended = Ended(&over);
        restore(env, restores, &mut fastrand::Rng::with_seed(seed));
        over.store(true, Ordering::Release);
        poller.join().unwrap()
    });
    report.took = begun.elapsed();
    hold_against_the_end(env, &requests, &mut report);
    assert_eq!(report.restores, restores, "{report}");
    Some(report)
}

struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Restores in batches of three at the most, of which one goes to the data directory; now and then a tool fails.
fn restore(env: &TestEnv, restores: u32, random: &mut fastrand::Rng) {
    let mut left = restores;
    while left > 0 {
        let batch = random.u32(1..=left.min(3));
        left -= batch;
        if random.u32(0..20) == 0 {
            let calls = random.usize(0..3);
            (0..calls).for_each(|_| env.script("mariabackup", "{}"));
            env.script("mariabackup", r#"{"fault":"partial"}"#);
        }
        for number in 0..batch {
            let chain = CHAIN[..=random.usize(0..CHAIN.len())].iter().map(ToString::to_string).collect();
            let target = if number == 0 && random.bool() { DATABASE } else { FOLDER };
            env.accepted(&Request::Restore { chain, target }.json());
        }
        env.settled();
        let _ = fs::remove_file(env.path("bin/mariabackup.script"));
        for dir in ["data", "backups/restores"] {
            let _ = fs::remove_dir_all(env.path(dir));
        }
    }
}

/// Polls as the APIs do, by a connection of its own, until `over`.
fn poll(path: &Path, over: &AtomicBool) -> (Report, HashMap<String, Seen>) {
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    database.busy_timeout(Duration::from_secs(5)).unwrap();
    let (mut report, mut seen) = (Report::default(), HashMap::new());
    loop {
        // Looked at first: the last poll begins when all is over.
        let is_last = over.load(Ordering::Acquire);
        look(&database, &mut report, &mut seen);
        if is_last {
            return (report, seen);
        }
    }
}

/// One poll, in one read transaction.
fn look(database: &Connection, report: &mut Report, seen: &mut HashMap<String, Seen>) {
    let transaction = database.unchecked_transaction().unwrap();
    let newest: i64 = transaction.query_row("SELECT coalesce(max(id), 0) FROM process", [], |row| row.get(0)).unwrap();
    let since = newest - WINDOW;
    let query = "SELECT id, command_id, status FROM process WHERE id > ?1 AND type = 'restore' ORDER BY id";
    let mut statement = transaction.prepare_cached(query).unwrap();
    let rows = statement.query_map([since], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let rows: Vec<(i64, String, String)> = rows.collect::<Result<_, _>>().unwrap();
    let mut statement = transaction.prepare_cached("SELECT process_id FROM restore WHERE process_id > ?1").unwrap();
    let restores = statement.query_map([since], |row| row.get(0)).unwrap();
    let restores: Vec<i64> = restores.collect::<Result<_, _>>().unwrap();

    report.polls += 1;
    report.rows += u64::try_from(rows.len()).unwrap();
    let mut newest: HashMap<String, (i64, String)> = HashMap::new();
    for (row, command_id, status) in rows {
        newest.insert(command_id, (row, status));
    }
    for (command_id, (row, status)) in newest {
        let what = || format!("poll {}: row {row} of {command_id} says {status}", report.polls);
        assert_eq!(status == "success", restores.contains(&row), "{}, and there is the opposite in restore", what());
        assert!(["running", "success", "failed"].contains(&status.as_str()), "{}", what());
        match seen.get_mut(&command_id) {
            None => {
                seen.insert(command_id, Seen { row, status, rows: 1 });
            }
            Some(before) => {
                let goes_on = before.row <= row && (before.status == "running" || before.status == status);
                let ended_there = before.status == "running" || before.row == row;
                assert!(goes_on && ended_there, "{}, and row {} said {} before", what(), before.row, before.status);
                before.rows += u32::from(before.row != row);
                (before.row, before.status) = (row, status);
            }
        }
    }
}

/// Every request was seen, and seen to end as it did.
fn hold_against_the_end(env: &TestEnv, seen: &HashMap<String, Seen>, report: &mut Report) {
    let mut ends: HashMap<String, String> = HashMap::new();
    for row in env.rows("process", "type = 'restore'") {
        let text = |column: &str| row[column].as_str().unwrap().to_owned();
        ends.insert(text("command_id"), text("status"));
    }
    for (command_id, end) in ends {
        let seen = seen.get(&command_id).unwrap_or_else(|| panic!("no poll saw {command_id}"));
        assert_eq!(seen.status, end, "{command_id} was not seen to end as it did");
        report.restores += 1;
        report.between += u32::from(seen.rows > 1);
        report.succeeded += u32::from(end == "success");
        report.failed += u32::from(end == "failed");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { polls, rows, restores, succeeded, failed, between, took } = self;
        let seconds = took.as_secs_f64();
        writeln!(
            f,
            "{restores} restores in {seconds:.0} s: {succeeded} succeeded, {failed} failed as they were made to"
        )?;
        write!(f, "{polls} polls, {rows} rows seen, {between} restores seen at more than one step; no status lied")
    }
}
