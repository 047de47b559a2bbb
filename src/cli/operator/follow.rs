//! A request followed to its end by its records, with what can be seen of its progress on stderr.
//!
//! How far it is the running row tells, where the daemon writes it there (`progress` in the settings); elsewhere the phase is told by the
//! row's command, and the bytes by the directory that grows. On a terminal it is one line, rewritten; elsewhere a line
//! a phase, and one now and then.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::backups::{Backups, grown};
use super::client::answers;
use super::exit::{Exit, Failure};
use super::output::{Output, records, span};
use super::request::Status;
use crate::config::Config;
use crate::disk::data_dir::RESTORING;
use crate::model::Amount;
use crate::plan::RESTORES;

/// How often the records are read: 5 times a second.
const POLL: Duration = Duration::from_millis(200);
/// How often the growing directory is measured, which costs a look at each of its files.
const MEASURE: Duration = Duration::from_secs(1);
/// How often a line is written where no terminal rewrites it.
const SAY: Duration = Duration::from_secs(10);
/// For how long the daemon may be gone while a job of its own runs: a restart ends the job, and says so in the records.
const GONE: Duration = Duration::from_secs(15);

/// Follows `command_id` to its end.
pub(super) fn follow(command_id: &str, config: &Config, socket: &Path, output: Output) -> Result<Status, Failure> {
    let mut progress = Progress::new(output, config);
    let mut heard = Instant::now();
    loop {
        // Opened each time: a file that is replaced meanwhile is found again.
        let (status, _) = Status::read(&records(config)?, command_id)?;
        if !status.is_running() {
            progress.clear();
            return Ok(status);
        }
        if progress.is_time_to_measure() && answers(socket) {
            heard = Instant::now();
        }
        if heard.elapsed() > GONE {
            progress.clear();
            return Err(Failure::because(
                format!("the daemon is gone, but '{command_id}' is still recorded as running"),
                "systemctl start dbcalm-db-cmd: its start ends the jobs of a dead daemon",
            )
            .exit(Exit::Unreachable));
        }
        progress.show(&status, config);
        thread::sleep(POLL);
    }
}

struct Progress {
    is_shown: bool,
    is_terminal: bool,
    expected: Option<u64>,
    sizes: Option<Backups>,
    begun: Instant,
    measured: Option<Instant>,
    said: Option<Instant>,
    phase: String,
    told: Option<String>,
    grown: u64,
}

impl Progress {
    fn new(output: Output, config: &Config) -> Self {
        let is_shown = !output.quiet;
        Self {
            is_shown,
            is_terminal: io::stderr().is_terminal(),
            expected: None,
            sizes: is_shown.then(|| Backups::look(config).ok()).flatten(),
            begun: Instant::now(),
            measured: None,
            said: None,
            phase: String::new(),
            told: None,
            grown: 0,
        }
    }

    fn is_time_to_measure(&self) -> bool {
        self.measured.is_none_or(|at| at.elapsed() >= MEASURE)
    }

    fn show(&mut self, status: &Status, config: &Config) {
        let phase = format!("step {} of {}: {}", status.step, status.steps, status.phase);
        let is_new = phase != self.phase;
        if self.is_time_to_measure() {
            self.measured = Some(Instant::now());
            if self.is_shown && status.progress.is_none() {
                // What is applied is removed again: the most there was is how far it has come.
                self.grown = places(&status.args, config).iter().map(|dir| grown(dir)).sum::<u64>().max(self.grown);
                if self.expected.is_none() {
                    self.expected = self.sizes.take().and_then(|all| expected(&status.args, &all, config));
                }
            }
        }
        let is_time = if self.is_terminal { true } else { is_new || self.said.is_none_or(|at| at.elapsed() >= SAY) };
        if !self.is_shown || !is_time {
            return;
        }
        self.phase = phase;
        self.told.clone_from(&status.progress);
        self.said = Some(Instant::now());
        let line = self.line();
        let said = if self.is_terminal { format!("\r{line}\x1b[K") } else { format!("{line}\n") };
        let _closed = io::stderr().write_all(said.as_bytes());
    }

    fn line(&self) -> String {
        if let Some(told) = &self.told {
            return told.clone();
        }
        let mut line = self.phase.clone();
        if self.grown > 0 {
            let of = self.expected.map(|expected| format!(" of about {}", Amount(expected))).unwrap_or_default();
            let _infallible = write!(line, "  {}{of}", Amount(self.grown));
            let rate = self.grown / self.begun.elapsed().as_secs().max(1);
            let _infallible = write!(line, "  {}/s", Amount(rate));
            if let Some(left) =
                self.expected.and_then(|expected| expected.checked_sub(self.grown)).filter(|left| *left > 0)
            {
                let _infallible = write!(line, "  {} left", span(Duration::from_secs(left / rate.max(1))));
            }
        }
        line
    }

    fn clear(&self) {
        if self.is_shown && self.is_terminal {
            let _closed = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

/// The directories that a request fills.
fn places(args: &Value, config: &Config) -> Vec<PathBuf> {
    if let Some(dir) = args.get("tmp_dir").and_then(Value::as_str).map(PathBuf::from) {
        // A working copy on the data directory's own file system is named after the same moment.
        let beside = dir.file_name().map(|name| format!("{RESTORING}{}", name.to_string_lossy()));
        let is_kept = dir.parent().is_some_and(|parent| parent.ends_with(RESTORES));
        let beside = beside.filter(|_| !is_kept).map(|name| config.data_dir.join(name));
        return std::iter::once(dir).chain(beside).collect();
    }
    args.get("id").and_then(Value::as_str).map(|id| config.backup_dir.join(id)).into_iter().collect()
}

/// How much that will come to: a restore to its chain; a full backup to the one before it; an incremental to nobody knows what.
fn expected(args: &Value, all: &Backups, config: &Config) -> Option<u64> {
    if let Some(ids) = args.get("id_list").and_then(Value::as_array) {
        let rows = ids.iter().map(|id| all.chains.get(id.as_str()?));
        return rows.map(|row| all.size(row?, config)).sum();
    }
    // An empty id is none, as in the table of backups.
    if args.get("from_backup_id").is_some_and(|from| !from.is_null() && from != "") {
        return None;
    }
    all.size(all.chains.newest_full()?, config)
}

/// What a subcommand does with a request that the daemon has accepted: follows it to its end, or says where it is to be found.
pub(super) fn see_to(
    order: &Order<'_>,
    detach: bool,
    config: &Config,
    socket: &Path,
    output: Output,
) -> Result<Exit, Failure> {
    let Order { command_id, what } = order;
    if detach {
        output.say(&BTreeMap::from([("command_id", command_id)]), || format!("{command_id}\n"));
        return Ok(Exit::Done);
    }
    if !output.quiet && !output.json {
        let said = format!("{what}: accepted as {command_id}\n");
        let _closed = io::stderr().write_all(said.as_bytes());
    }
    let status = follow(command_id, config, socket, output)?;
    output.say(&status, || status.text());
    Ok(status.exit())
}

/// A request that was accepted.
pub(super) struct Order<'a> {
    pub(super) command_id: &'a str,
    pub(super) what: &'a str,
}
