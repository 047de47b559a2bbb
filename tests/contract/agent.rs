//! Runs the real tools, on this machine or in a container, and sees to it that nothing is left of them.
//!
//! In: an argv. Out: how it ended, and what it wrote. All of a run lives in one directory ([`run_root`]), and is done by agents
//! (`agent.pl`, which says how) that end with this process, however it ends; no destructor has to run for that, and a static
//! can hold what the tests share.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::stand::{Job, Outcome};
use crate::harness::{program_by_itself, wait_for};

/// Runs programs in one place.
pub(super) struct Agent {
    root: PathBuf,
    requests: File,
    jobs: AtomicU32,
}

/// The directory of this run of the suite, which vanishes with this process.
pub(super) fn run_root() -> &'static Path {
    static ROOT: OnceLock<Agent> = OnceLock::new();
    &ROOT.get_or_init(|| Agent::here(&tempfile::Builder::new().prefix("dbcalm-c.").tempdir().unwrap().keep())).root
}

impl Agent {
    /// An agent on this machine, in a directory that it removes at its end.
    pub(super) fn here(root: &Path) -> Self {
        Self::in_place(root, |script| {
            let mut agent = program_by_itself("perl");
            agent.arg(script).arg(root).stdin(Stdio::null()).stdout(Stdio::null());
            // It is not waited for: it ends after this process.
            drop(agent.spawn().expect("perl runs the contract suite's agent"));
        })
    }

    /// An agent that is started with its script wherever `start` does; `root` has the same path there.
    pub(super) fn in_place(root: &Path, start: impl FnOnce(&Path)) -> Self {
        fs::create_dir_all(root.join("jobs")).unwrap();
        fs::write(root.join("agent.pl"), include_str!("agent.pl")).unwrap();
        let fifo = root.join("requests");
        make_fifo(&fifo);
        start(&root.join("agent.pl"));
        // Opened for both, so that it waits for nobody. It is closed on exec, so this process alone holds it open.
        let requests = OpenOptions::new().read(true).write(true).open(fifo).unwrap();
        let agent = Self { root: root.to_owned(), requests, jobs: AtomicU32::new(0) };
        wait_for("the agent to be ready", || agent.root.join("ready").exists().then_some(()));
        agent
    }

    /// Starts a program.
    pub(super) fn start<A: AsRef<str>>(&self, argv: impl IntoIterator<Item = A>) -> Task {
        self.start_with(argv, |_| ())
    }

    fn start_with<A: AsRef<str>>(&self, argv: impl IntoIterator<Item = A>, prepare: impl FnOnce(&Path)) -> Task {
        let number = self.jobs.fetch_add(1, Ordering::Relaxed);
        let dir = self.root.join("jobs").join(number.to_string());
        fs::create_dir(&dir).unwrap();
        let words: Vec<String> = argv.into_iter().map(|word| word.as_ref().to_owned()).collect();
        fs::write(dir.join("argv"), words.join("\0")).unwrap();
        prepare(&dir);
        let mut requests = self.requests.try_clone().unwrap();
        requests.write_all(format!("start {number}\n").as_bytes()).unwrap();
        Task { command: words.join(" "), dir, number, requests, log: None, read: Vec::new() }
    }

    /// Starts a program that writes more than a page to stderr, and so has to wait in its middle.
    pub(super) fn start_half_way<A: AsRef<str>>(&self, argv: impl IntoIterator<Item = A>) -> Task {
        let task = self.start_unread(argv);
        task.wait_until_it_waits();
        task
    }

    /// The same, where the page begins behind the first line of stderr that has this text.
    pub(super) fn start_until<A: AsRef<str>>(&self, argv: impl IntoIterator<Item = A>, text: &str) -> Task {
        let mut task = self.start_unread(argv);
        let (mut log, mut read, mut line) = (task.log.take().unwrap(), Vec::new(), 0);
        wait_for(&format!("'{}' to say '{text}'", task.command), || {
            let mut byte = [0];
            while log.read(&mut byte).is_ok_and(|count| count == 1) {
                read.push(byte[0]);
                if byte[0] == b'\n' {
                    if String::from_utf8_lossy(&read[line..]).contains(text) {
                        return Some(());
                    }
                    line = read.len();
                }
            }
            assert!(task.runs(), "it ended before: {}", String::from_utf8_lossy(&read));
            None
        });
        (task.log, task.read) = (Some(log), read);
        task.wait_until_it_waits();
        task
    }

    /// Starts a program whose log is a FIFO that nobody reads yet.
    fn start_unread<A: AsRef<str>>(&self, argv: impl IntoIterator<Item = A>) -> Task {
        let mut log = None;
        let mut task = self.start_with(argv, |dir| {
            make_fifo(&dir.join("stderr"));
            let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
            log = Some(OpenOptions::new().read(true).custom_flags(nonblock).open(dir.join("stderr")).unwrap());
        });
        task.log = log;
        task
    }

    /// Runs a program to its end.
    pub(super) fn run<A: AsRef<str>>(&self, argv: impl IntoIterator<Item = A>) -> Outcome {
        Box::new(self.start(argv)).outcome()
    }

    /// Runs a program to its end in this directory, over this input; gives its output as it is, too.
    pub(super) fn feed<A: AsRef<str>>(
        &self,
        argv: impl IntoIterator<Item = A>,
        dir: &Path,
        stdin: &[u8],
    ) -> (Outcome, Vec<u8>) {
        let task = self.start_with(argv, |job| {
            fs::write(job.join("cwd"), dir.as_os_str().as_encoded_bytes()).unwrap();
            fs::write(job.join("stdin"), stdin).unwrap();
        });
        let stdout = task.dir.join("stdout");
        let outcome = Box::new(task).outcome();
        (outcome, fs::read(stdout).unwrap())
    }
}

/// A program that an agent runs.
pub(super) struct Task {
    command: String,
    dir: PathBuf,
    number: u32,
    requests: File,
    /// Where it waits for somebody to read its log.
    log: Option<File>,
    /// What of its log was read there.
    read: Vec<u8>,
}

/// How much of a page, in bytes, a program has written when it is half-way.
const HALF_WAY: u64 = 3000;

/// How long it writes nothing, with a page that is not read, when it waits for a reader.
const STUCK_AFTER: Duration = Duration::from_secs(3);

fn make_fifo(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
}

impl Task {
    /// What it has written to `stdout` or `stderr` so far.
    pub(super) fn so_far(&self, stream: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join(stream)).unwrap_or_default()).into_owned()
    }

    /// Waits until its log is full. Of a page that was read in part the rest may be little, and the tool waits all the same: then it writes
    /// nothing more.
    fn wait_until_it_waits(&self) {
        let (mut unread, mut since) = (0, Instant::now());
        wait_for(&format!("'{}' to be half-way", self.command), || {
            assert!(self.runs(), "it ended before");
            let now = rustix::io::ioctl_fionread(self.log.as_ref()?).unwrap();
            if now != unread {
                (unread, since) = (now, Instant::now());
            }
            let is_stuck = now > 0 && !self.read.is_empty() && since.elapsed() > STUCK_AFTER;
            (now > HALF_WAY || is_stuck).then_some(())
        });
    }

    /// Whether it is still there.
    pub(super) fn runs(&self) -> bool {
        !self.dir.join("status").exists()
    }
}

impl Job for Task {
    fn signal(&self, name: &str) {
        (&self.requests).write_all(format!("signal {} {name}\n", self.number).as_bytes()).unwrap();
        wait_for("the signal to be sent", || self.dir.join(format!("sent-{name}")).exists().then_some(()));
    }

    fn outcome(mut self: Box<Self>) -> Outcome {
        let log = self.log.take().map(|mut log| {
            let mut bytes = std::mem::take(&mut self.read);
            // Nothing to read yet is an error here, and the end is no error.
            wait_for("the end of the log", || log.read_to_end(&mut bytes).ok());
            bytes
        });
        let status =
            wait_for(&format!("the end of '{}'", self.command), || fs::read_to_string(self.dir.join("status")).ok());
        let (code, signal) = status.split_once(' ').unwrap();
        let (code, signal): (i32, i32) = (code.parse().unwrap(), signal.parse().unwrap());
        let text = |name: &str| String::from_utf8_lossy(&fs::read(self.dir.join(name)).unwrap()).into_owned();
        Outcome {
            command: self.command.clone(),
            code: (signal == 0).then_some(code),
            signal: (signal != 0).then_some(signal),
            stdout: text("stdout"),
            stderr: log.map_or_else(|| text("stderr"), |bytes| String::from_utf8_lossy(&bytes).into_owned()),
        }
    }
}
