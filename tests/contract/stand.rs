//! What the contract is asked of: a backup tool, an admin tool and a server, be they fake or real.
//!
//! A case gets a [`Bench`] and sees nothing but what a daemon sees: arguments in; exit code or signal, text and files out. What
//! differs between versions it asks of [`Bench::series`]; whether the tools are real it cannot ask.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

use crate::harness::program;

/// A series of MariaDB, by the first two numbers of its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Series(pub(crate) u32, pub(crate) u32);

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// How a program ended, and what it wrote.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) command: String,
    /// The exit code; none where a signal ended it.
    pub(crate) code: Option<i32>,
    /// The number of the signal that ended it.
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Requires exit code 0 and the last line that says so.
    #[track_caller]
    pub(crate) fn complete(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        let last = self.stderr.lines().last().unwrap_or_default();
        assert!(last.ends_with(" completed OK!"), "the last line of stderr is {last:?}: {self}");
        assert_eq!(self.stdout, "", "{self}");
        self
    }

    /// Requires this exit code, and that nothing says that all is well.
    #[track_caller]
    pub(crate) fn failed_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        assert!(!self.stderr.contains("completed OK!"), "{self}");
        self
    }

    /// Requires that a signal ended it.
    #[track_caller]
    pub(crate) fn ended_by(self, signal: i32) -> Self {
        assert_eq!(self.signal, Some(signal), "{self}");
        assert!(!self.stderr.contains("completed OK!"), "{self}");
        self
    }

    /// Requires a line of stderr with this text.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.lines().any(|line| line.contains(text)), "no line of stderr has {text:?}: {self}");
        self
    }

    /// Requires that no line of stderr has this text.
    #[track_caller]
    pub(crate) fn does_not_say(self, text: &str) -> Self {
        assert!(!self.stderr.contains(text), "stderr has {text:?}: {self}");
        self
    }

    /// The number behind a text of stderr, of the last line that has it.
    pub(crate) fn number_behind(&self, text: &str) -> Option<u64> {
        let line = self.stderr.lines().rev().find(|line| line.contains(text))?;
        let behind = line.split_once(text)?.1;
        behind.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<&str> = self.stderr.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(25)..).unwrap_or_default().join("\n");
        let Self { command, code, signal, stdout, .. } = self;
        write!(f, "{command}\n  code {code:?}, signal {signal:?}, stdout {stdout:?}, the end of stderr:\n{tail}")
    }
}

/// A program that runs.
pub(crate) trait Job {
    /// Sends a signal, by its name: `TERM`.
    fn signal(&self, name: &str);
    /// Waits for its end; lets it go on first, if it waits in its middle.
    fn outcome(self: Box<Self>) -> Outcome;
}

/// The tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    /// `mariadb-backup`.
    Backup,
    /// `mariabackup`, its older name.
    OldName,
    /// `mariadb-admin`.
    Admin,
}

/// Who logs in with a credentials file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    /// Who may take backups.
    Good,
    /// The same with a password that is not theirs.
    WrongPassword,
    /// A user with no privilege at all, and the password `right`.
    NoPrivileges,
}

/// What becomes of all tables of Aria and `MyISAM` while they are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Race {
    /// Each gets another name, with `new_` before its own.
    Rename,
    /// Each is made anew by `CREATE OR REPLACE`.
    Replace,
    /// Each is dropped.
    Drop,
}

/// What a server holds: the rows of each table by `database.table`, or `(unreadable)`.
pub(crate) type Content = BTreeMap<String, Vec<String>>;

/// The tools and the server of one place and version.
pub(crate) trait Stand {
    /// Its series.
    fn series(&self) -> Series;
    /// A directory for one case, of the same path for tools and test.
    fn new_dir(&self) -> PathBuf;
    /// Starts a tool.
    fn start(&self, tool: Tool, args: &[&str]) -> Box<dyn Job>;
    /// Starts the backup tool, which comes to its middle and waits there.
    fn start_half_way(&self, args: &[&str]) -> Box<dyn Job>;
    /// Runs the backup tool, and does something while it waits before it copies or ends.
    fn during(&self, args: &[&str], does: &mut dyn FnMut()) -> Outcome;
    /// Runs the backup tool, and changes the tables in the database `race`, which are of Aria and `MyISAM`, when it has begun to copy them.
    fn race(&self, args: &[&str], race: Race) -> Outcome;
    /// The text of the group `[client-dbcalm]` for this login.
    fn login(&self, login: Login) -> String;
    /// The server, for one case alone.
    fn server(&self) -> Server<'_>;
    /// What a server holds that is started on this data directory.
    fn content_of(&self, data_dir: &Path) -> Content;
    /// Where the backups are that all cases copy from; see [`super::stock`].
    fn stock(&self) -> PathBuf;
}

/// The server, while nobody else changes it.
pub(crate) struct Server<'a> {
    pub(super) control: &'a dyn Control,
    pub(super) _alone: Option<MutexGuard<'a, ()>>,
}

impl<'a> Deref for Server<'a> {
    type Target = dyn Control + 'a;

    fn deref(&self) -> &Self::Target {
        self.control
    }
}

/// A case that failed leaves a server for the next.
impl Drop for Server<'_> {
    fn drop(&mut self) {
        self.control.start();
    }
}

/// What can be done to a server. A table is named `database.table`.
pub(crate) trait Control {
    /// Makes a database.
    fn create_database(&self, name: &str);
    /// Drops a database with all its tables.
    fn drop_database(&self, name: &str);
    /// Makes a table of InnoDB.
    fn create_table(&self, name: &str);
    /// Makes a table of `MyISAM`.
    fn create_plain_table(&self, name: &str);
    /// Makes a table of Aria.
    fn create_aria_table(&self, name: &str);
    /// Drops a table.
    fn drop_table(&self, name: &str);
    /// Adds a row.
    fn insert(&self, table: &str, row: &str);
    /// Lets the server write a checkpoint at its current LSN; it writes no other while the cases run.
    fn checkpoint(&self);
    /// Stops the server.
    fn stop(&self);
    /// Starts it, unless it runs.
    fn start(&self);
}

/// A stand as one case sees it, with a directory of the case's own.
pub(crate) struct Bench<'a> {
    stand: &'a dyn Stand,
    dir: PathBuf,
    /// What was run so far, for the case file of a failure.
    outcomes: RefCell<Vec<Outcome>>,
}

impl<'a> Bench<'a> {
    /// A bench for one case.
    pub(crate) fn new(stand: &'a dyn Stand) -> Self {
        Self { stand, dir: stand.new_dir(), outcomes: RefCell::default() }
    }

    /// Leaves the directory; gives its path.
    pub(super) fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.dir)
    }

    /// The series whose facts hold.
    pub(crate) fn series(&self) -> Series {
        self.stand.series()
    }

    /// A path of the case's own.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.dir.join(relative)
    }

    /// The server, for this case alone while it is held.
    pub(crate) fn server(&self) -> Server<'a> {
        self.stand.server()
    }

    /// What a server holds that is started on this data directory.
    pub(crate) fn content_of(&self, data_dir: &Path) -> Content {
        self.stand.content_of(data_dir)
    }

    /// Writes a credentials file.
    pub(crate) fn credentials(&self, login: Login) -> String {
        let path = self.path(&format!("{login:?}.cnf"));
        fs::write(&path, format!("[client-dbcalm]\n{}", self.stand.login(login))).unwrap();
        path.display().to_string()
    }

    /// Runs a tool with these arguments alone.
    pub(crate) fn run(&self, tool: Tool, args: &[&str]) -> Outcome {
        self.ended(self.stand.start(tool, args))
    }

    /// Starts the backup tool with these arguments alone; it waits in its middle until [`Self::ended`] lets it go on.
    pub(crate) fn start_half_way(&self, args: &[&str]) -> Box<dyn Job> {
        self.stand.start_half_way(args)
    }

    /// Waits for a job's end.
    pub(crate) fn ended(&self, job: Box<dyn Job>) -> Outcome {
        let outcome = job.outcome();
        self.outcomes.borrow_mut().push(outcome.clone());
        outcome
    }

    /// Runs the backup tool on the server with further arguments, as the daemon does.
    pub(crate) fn backup_as(&self, login: Login, args: &[&str]) -> Outcome {
        let file = format!("--defaults-file={}", self.credentials(login));
        let args = [&[file.as_str(), "--defaults-group-suffix=-dbcalm", "--backup", "--host=localhost"], args].concat();
        self.run(Tool::Backup, &args)
    }

    /// Takes a backup, and does something to the server meanwhile.
    pub(crate) fn during(&self, args: &[&str], mut does: impl FnMut()) {
        let file = format!("--defaults-file={}", self.credentials(Login::Good));
        let args = [&[&file, "--defaults-group-suffix=-dbcalm", "--backup"], args].concat();
        let outcome = self.stand.during(&args, &mut does);
        self.outcomes.borrow_mut().push(outcome.clone());
        outcome.complete();
    }

    /// Takes a backup, and lets this become of the tables in the database `race` meanwhile.
    pub(crate) fn race(&self, name: &str, race: Race) -> (Outcome, PathBuf) {
        let (file, dir) = (format!("--defaults-file={}", self.credentials(Login::Good)), self.path(name));
        let outcome = self.stand.race(&[&file, "--defaults-group-suffix=-dbcalm", "--backup", &target(&dir)], race);
        self.outcomes.borrow_mut().push(outcome.clone());
        (outcome, dir)
    }

    /// Takes a full backup.
    pub(crate) fn full(&self, name: &str) -> PathBuf {
        let dir = self.path(name);
        self.backup_as(Login::Good, &[&target(&dir)]).complete();
        dir
    }

    /// Takes an incremental backup.
    pub(crate) fn incremental(&self, name: &str, base: &Path) -> PathBuf {
        let dir = self.path(name);
        let base = format!("--incremental-basedir={}", base.display());
        self.backup_as(Login::Good, &[&target(&dir), &base]).complete();
        dir
    }

    /// Prepares a backup, or a copy to which an incremental was applied.
    pub(crate) fn prepare(&self, dir: &Path) -> Outcome {
        self.run(Tool::Backup, &["--prepare", &target(dir)])
    }

    /// Applies an incremental.
    pub(crate) fn apply(&self, dir: &Path, incremental: &Path) -> Outcome {
        let incremental = format!("--incremental-dir={}", incremental.display());
        self.run(Tool::Backup, &["--prepare", &target(dir), &incremental])
    }

    /// Copies back.
    pub(crate) fn copy_back(&self, dir: &Path, data_dir: &Path) -> Outcome {
        self.run(Tool::Backup, &["--copy-back", &target(dir), &format!("--datadir={}", data_dir.display())])
    }

    /// A copy of a stored backup: see [`super::stock`].
    pub(crate) fn stored(&self, name: &str) -> PathBuf {
        let (from, to) = (self.stand.stock().join(name), self.path(name));
        assert!(!to.exists(), "{name} is copied twice");
        let copied = program("cp").arg("-a").args([&from, &to]).output().unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        to
    }

    /// A stored full backup, prepared, with these incrementals applied.
    pub(crate) fn prepared(&self, incrementals: &[&str]) -> PathBuf {
        let dir = self.stored("full");
        self.prepare(&dir).complete();
        for name in incrementals {
            self.apply(&dir, &self.stored(name)).complete();
        }
        dir
    }

    /// The checkpoints of a backup: its fields in order.
    pub(crate) fn checkpoints(&self, dir: &Path) -> Fields {
        Fields::read(&dir.join(self.checkpoints_name()))
    }

    /// The name of the checkpoints file (tools.md: `xtrabackup_*` before 11.1, `mariadb_backup_*` from 11.1).
    pub(crate) fn checkpoints_name(&self) -> &'static str {
        if self.series() < Series(11, 1) { "xtrabackup_checkpoints" } else { "mariadb_backup_checkpoints" }
    }

    /// The name of the info file, likewise.
    pub(crate) fn info_name(&self) -> &'static str {
        if self.series() < Series(11, 1) { "xtrabackup_info" } else { "mariadb_backup_info" }
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the series is {}, the files are in {}", self.series(), self.dir.display());
            for outcome in self.outcomes.borrow().iter() {
                eprintln!("--- {outcome}");
            }
        }
        if !self.dir.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// A file of lines `name = value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let field = |line: &str| {
            let (name, value) = line.split_once(" = ").unwrap_or_else(|| panic!("{}: {line:?}", path.display()));
            (name.to_owned(), value.to_owned())
        };
        Self(text.lines().map(field).collect())
    }

    /// The fields of another file.
    pub(crate) fn of(path: &Path) -> Self {
        Self::read(path)
    }

    /// The names, in order.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// A field as text.
    #[track_caller]
    pub(crate) fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(field, _)| field == name);
        &found.unwrap_or_else(|| panic!("no {name} in {self:?}")).1
    }

    /// A field as a number.
    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or_else(|_| panic!("{name} is no number in {self:?}"))
    }
}

/// The option for a target directory.
pub(crate) fn target(dir: &Path) -> String {
    format!("--target-dir={}", dir.display())
}

/// Whether a path ends in this extension.
pub(crate) fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

/// The names of the files directly in a directory, sorted.
pub(crate) fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
