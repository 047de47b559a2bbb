//! `ci/torture`: crash sweeps, a poller beside restores, histories of a server, a storm of DDL, and jobs by the thousand, as long as one likes.
//!
//! The suite runs short forms of the same code (`tests/torture.rs`).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "as a test: it fails by panicking, and says why"
)]

mod crash;
mod ddl;
mod growth;
#[path = "../harness/mod.rs"]
mod harness;
mod history;
mod moves;
mod offsite;
mod outcome;
mod processes;
mod promises;
mod report;
mod request;
mod site;
mod status;
mod stored;
mod storm;
mod strike;

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand, ValueEnum};
use harness::stand::Place;

/// Kills daemons and tools, polls without rest, changes the server meanwhile, and runs jobs by the thousand; then looks whether every
/// promise held.
#[derive(Parser)]
#[command(name = "ci/torture", bin_name = "ci/torture", after_help = REPEAT)]
struct Arguments {
    #[command(subcommand)]
    mode: Mode,
    /// Where all choices come from; another one each time, if none is given. It is printed.
    #[arg(long, global = true)]
    seed: Option<u64>,
}

const REPEAT: &str = "The figures of docs/performance.md:
  ci/torture crash --on fakes --kills 1000 --seed 1 --jobs-at-once 3
  ci/torture crash --on fakes --kills 1000 --seed 1 --jobs-at-once 3 --streams
  ci/torture crash --on mariadb --kills 100 --seed 1
  ci/torture crash --on mariadb --kills 100 --seed 1 --streams
  ci/torture crash --on fakes --kills 400 --seed 1 --jobs-at-once 3 --repository
  ci/torture crash --on mariadb --kills 60 --seed 1 --repository radosgw
  ci/torture status --restores 1000 --seed 1
  ci/torture growth --jobs 10000 --seed 1
  ci/torture histories --runs 200 --seed 1
  ci/torture storm --backups 200 --seed 1

What fails says how to repeat it, and keeps its directory with a case file, case.txt. Everything lies in memory (/dev/shm) where
there is room for it, else in TMPDIR. The daemon is built with debug assertions, in target/torture, so that no other build
takes it away meanwhile.";

#[derive(Subcommand)]
enum Mode {
    /// Random requests; KILL to the daemon, the tool or both at a random moment; a new daemon; a look at everything.
    Crash {
        /// What runs below the daemon.
        #[arg(long, value_enum, default_value = "fakes")]
        on: On,
        /// How often KILL is sent at least.
        #[arg(long, default_value_t = 100)]
        kills: u32,
        /// How many requests are under way at once, at the most.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
        jobs_at_once: u8,
        /// How many backups are kept, at the most; older ones go as the API removes them.
        #[arg(long, default_value_t = 8)]
        backups: usize,
        /// Store backups as files and as streams, in another form after each daemon that was killed.
        #[arg(long)]
        streams: bool,
        /// Keep backups in a bucket too, or there alone, as after each daemon that was killed: fakes if no store is named.
        #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "fakes", conflicts_with = "streams")]
        repository: Option<Store>,
    },
    /// A poller reads the newest row of each request as fast as it can, while restores run over fakes.
    Status {
        /// How many.
        #[arg(long, default_value_t = 1000)]
        restores: u32,
    },
    /// Random histories of a real server's data, as many without a step back as with one; then incrementals from every base.
    Histories {
        /// How many of each kind.
        #[arg(long, default_value_t = 20)]
        runs: u32,
    },
    /// Backups of a real server in a storm of DDL and DML: each success is restored, and compared with what the server had.
    Storm {
        /// How many.
        #[arg(long, default_value_t = 40)]
        backups: u32,
    },
    /// Threads, descriptors and memory of the daemon before, during and after many jobs over fakes.
    Growth {
        /// How many: full and incremental backups, restores, some made to fail, some refused.
        #[arg(long, default_value_t = 10_000)]
        jobs: u64,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum On {
    /// Fake tools and a fake server.
    Fakes,
    /// The MariaDB of this machine and its mariadb-backup.
    Mariadb,
}

#[derive(Clone, Copy, ValueEnum)]
enum Store {
    /// The tests' own store.
    Fakes,
    /// Ceph's object gateway, in the container that `ci/images radosgw` builds.
    Radosgw,
}

/// What `--on` calls a stand.
fn name_of(place: Place) -> &'static str {
    if place == Place::Fakes { "fakes" } else { "mariadb" }
}

fn main() -> ExitCode {
    let Arguments { mode, seed } = Arguments::parse();
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let begun = Instant::now();
    let report: Option<Box<dyn Display>> = match mode {
        Mode::Crash { on, kills, jobs_at_once, backups, streams, repository } => {
            let place = match on {
                On::Fakes => Place::Fakes,
                On::Mariadb => Place::Local,
            };
            let repository = repository.map(|store| match store {
                Store::Fakes => offsite::Kind::Fakes,
                Store::Radosgw => offsite::Kind::Radosgw,
            });
            let jobs_at_once = jobs_at_once.into();
            let terms = crash::Terms { place, kills, seed, jobs_at_once, backups, streams, repository };
            crash::sweep(terms, &mut progress(kills)).map(|report| Box::new(report) as Box<dyn Display>)
        }
        Mode::Status { restores } => status::watch(restores, seed).map(|report| Box::new(report) as Box<dyn Display>),
        Mode::Histories { runs } => {
            let mut tell = |report: &history::Report| println!("{report}");
            history::sweep(runs, seed, &mut tell).map(|report| Box::new(report) as Box<dyn Display>)
        }
        Mode::Storm { backups } => {
            let mut tell = |report: &storm::Report| {
                if report.taken.is_multiple_of(10) {
                    println!("{report}");
                }
            };
            storm::sweep(backups, seed, &mut tell).map(|report| Box::new(report) as Box<dyn Display>)
        }
        Mode::Growth { jobs } => growth::run(jobs, seed).map(|report| Box::new(report) as Box<dyn Display>),
    };
    let Some(report) = report else {
        eprintln!("nothing was done: see above");
        return ExitCode::FAILURE;
    };
    println!("{report}\n{:.0} s", begun.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}

/// Tells after each tenth how far a sweep has come.
fn progress(kills: u32) -> impl FnMut(&report::Report) {
    let step = (kills / 10).max(1);
    let mut next = step;
    move |report| {
        if report.kills() >= next {
            println!("{} kills", report.kills());
            next = report.kills() / step * step + step;
        }
    }
}
