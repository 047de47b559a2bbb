//! The API beside the daemon, in one database, in a busy second. The Go API's pool sets the busy time-out on one of its connections alone (its
//! `db.go`, read in November 2026): whoever gets another one is refused at once while somebody writes (`SQLITE_BUSY`). Nothing here can change
//! that; but the fewer and the shorter the daemon's writes, the fewer are refused.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use crate::harness::TestEnv;

/// How long the API writes.
const FOR: Duration = Duration::from_secs(3);
/// Between two of its writes: 150 a second.
const EVERY: Duration = Duration::from_micros(6667);
/// How many connections its pool has open.
const POOL: usize = 8;
/// How many jobs are begun meanwhile.
const JOBS: usize = 30;

const WRITE: &str = "INSERT INTO process (command, command_id, pid, status, start_time, type, args)
                     VALUES ('cleanup', 'c-1', 1, 'success', '2026-11-28 12:35:09.564233', 'cleanup_backups', '{}')";

/// The API's writes, and how many of them were refused.
#[derive(Debug, Clone, Copy)]
struct Figure {
    writes: usize,
    refused: usize,
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.refused, self.writes)
    }
}

/// Writes as the API does, by turns with each connection of its pool, while `beside` is at work.
fn write_beside(database: &Path, beside: impl FnOnce(&AtomicBool)) -> Figure {
    let pool: Vec<_> = (0..POOL).map(|_| Connection::open(database).unwrap()).collect();
    for (number, connection) in pool.iter().enumerate() {
        connection.busy_timeout(if number == 0 { Duration::from_secs(5) } else { Duration::ZERO }).unwrap();
    }
    let is_over = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let begun = Instant::now();
            let mut figure = Figure { writes: 0, refused: 0 };
            for (number, connection) in (1u32..).zip(pool.iter().cycle()) {
                if begun.elapsed() > FOR {
                    break;
                }
                figure.writes += 1;
                match connection.execute(WRITE, []) {
                    Ok(_) => {}
                    Err(why) if why.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => figure.refused += 1,
                    Err(why) => panic!("{why}"),
                }
                // Its pace, whatever a write takes.
                while let Some(left) = (EVERY * number).checked_sub(begun.elapsed()) {
                    std::thread::park_timeout(left);
                }
            }
            is_over.store(true, Ordering::Relaxed);
            figure
        });
        beside(is_over);
        writer.join().unwrap()
    })
}

/// What the Go daemon does for a backup: each write with a connection of its own, which sets the journal's mode and is closed again.
fn as_the_go_daemon(database: &Path) {
    for _ in 0..3 {
        let connection = Connection::open(database).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.execute(WRITE, []).unwrap();
    }
}

#[test]
fn the_api_is_seldom_refused_while_jobs_begin_and_end() {
    let env = TestEnv::start();
    let database = env.path("lib/db.sqlite3");
    let pause = FOR / u32::try_from(JOBS).unwrap();
    let paced = |job: &dyn Fn(usize), is_over: &AtomicBool| {
        let begun = Instant::now();
        for number in 0..JOBS {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            job(number);
            while let Some(left) = (pause * u32::try_from(number + 1).unwrap()).checked_sub(begun.elapsed()) {
                std::thread::park_timeout(left);
            }
        }
    };
    let alone = write_beside(&database, |_| {});
    let theirs = write_beside(&database, |is_over| paced(&|_| as_the_go_daemon(&database), is_over));
    let ours = write_beside(&database, |is_over| {
        paced(
            &|number| drop(env.accepted(&format!(r#"{{"cmd":"full_backup","args":{{"id":"full-{number}"}}}}"#))),
            is_over,
        );
    });
    env.settled();
    println!(
        "the API's writes, and how many were refused: alone {alone:?}; beside the Go daemon's way {theirs:?}; beside this daemon {ours:?}"
    );
    assert_eq!(alone.refused, 0);
    // 16 to 23 with a sync in each commit, 3 to 11 with one for each success; a busy machine's disk takes longer.
    assert!(ours.refused * 10 < ours.writes, "{ours:?}");
    assert!(env.count("backup", "1") > 15, "the daemon had nothing to do: {}", env.count("backup", "1"));
}
