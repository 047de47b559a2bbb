//! The part that every fake tool shares: where it stands, the record of its calls, and the script that a test wrote.
//!
//! In: argv and the directory of the program, BIN. Out: a [`Call`], recorded in `BIN/<tool>.calls`, with the fault
//! that its line of `BIN/<tool>.script` asks for. Both files are changed under a lock on `BIN/<tool>.lock`, so calls
//! at the same time take different lines. An asked version is recorded, but takes a line only if that line expects it.

#![allow(dead_code, reason = "shared: each program that includes it uses another part of it")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// The exit code of a call that is not the one the script expects: 97, which no real tool uses.
const UNEXPECTED_CALL: u8 = 97;
/// The exit code of a script that cannot be read, or asks for what cannot be: 98.
pub(crate) const BAD_SCRIPT: u8 = 98;

/// Why a fake ends early. What it has to say about that is on stderr already.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Ends with this code.
    Exit(u8),
    /// A file operation of the fake itself went wrong: code 1, as the real tools do.
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Stop {
    /// Says why on stderr, and ends with the code of `text`.
    pub(crate) fn because(code: u8, text: &str) -> Self {
        say(text.as_bytes());
        Self::Exit(code)
    }

    /// What the program exits with.
    pub(crate) fn exit_code(self) -> ExitCode {
        match self {
            Self::Exit(code) => ExitCode::from(code),
            Self::Io(error) => {
                say(format!("fake: {error}").as_bytes());
                ExitCode::from(1)
            }
        }
    }
}

/// What a step of a fake gives.
pub(crate) type Step<T> = Result<T, Stop>;

/// What a script line lets go wrong in its call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// Exits with this code before doing anything.
    Exit(u8),
    /// Ends itself by this signal before it has done anything.
    DiesBefore(String),
    /// Ends itself by this signal, half-way.
    DiesBy(String),
    /// Ends itself by this signal when all is done.
    DiesAfter(String),
    /// Waits half-way until it is killed; a backup tool does not end by TERM even then.
    Hangs,
    /// Waits half-way and ends neither by TERM nor by INT, so that only KILL is left.
    Deaf,
    /// Does everything but the last line of the log; exits 0.
    NoCompletedOk,
    /// Leaves the info file and `backup-my.cnf` empty; exits 0.
    EmptyMetadata,
    /// Leaves out checkpoints and info file; exits 0.
    MissingMetadata,
    /// Leaves metadata that is there and not right; exits 0.
    DamagedMetadata(Damage),
    /// Gives up half-way; exits 1.
    Partial,
    /// Finds the disk full half-way; exits 1.
    Enospc,
    /// Finds the disk full after this many bytes, the last file cut there.
    EnospcAt(u64),
    /// Writes two bytes that are not UTF-8 to stderr; else fine.
    NotUtf8,
    /// Writes this many bytes of log; else fine.
    Flood(usize),
    /// Writes this many bytes to stdout; else fine.
    FloodStdout(usize),
    /// Misses a privilege and prints the grants with the password's hash; exits 1.
    Secret,
    /// Writes a `from_lsn` that does not fit the base.
    WrongLsn,
    /// Writes a `to_lsn` that is beyond the end of its redo log.
    WrongToLsn,
    /// Writes a `last_lsn` that is before its `to_lsn`.
    WrongLastLsn,
    /// Backup: writes a redo log that is cut. Prepare: finds it cut. Exits 0 both ways.
    CutRedo,
    /// Leaves out the rows and keys of Aria's tables, as of those that were renamed meanwhile; exits 0.
    LosesTables,
    /// Removes again what it copied of Aria's and `MyISAM`'s tables, as of those that were replaced meanwhile; exits 0.
    TakesTablesAway,
    /// Waits half-way until this file exists; else fine.
    SlowUntil(PathBuf),
    /// The admin tool finds the server up, whatever it is.
    Up,
    /// The admin tool finds the server down, whatever it is; `down`, `up`, `down` is a server that flaps.
    Down,
    /// The admin tool does not get through to the server, for this reason, or the backup tool gives up with these words; exits 1.
    Says(String),
    /// The server has the account's password expired: a ping is answered, and nothing else.
    Expired,
}

/// What is wrong with the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Damage {
    /// The checkpoints parse, and are those of another kind of backup.
    Kind,
    /// The checkpoints end before their last number.
    Cut,
    /// The checkpoints are zeros.
    Checkpoints,
    /// The info file is zeros.
    Info,
    /// `backup-my.cnf` is zeros.
    Options,
}

/// One line of a script.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    expects: Vec<String>,
    fault: Option<Fault>,
}

/// One line of the record of calls.
#[derive(Debug, Serialize)]
struct Record<'a> {
    argv: &'a [String],
    pid: u32,
    /// What was open when the program began, beside standard input, output and error.
    inherited: Vec<String>,
}

/// A call of a fake tool.
#[derive(Debug)]
pub(crate) struct Call {
    /// The directory that the program stands in.
    pub(crate) bin: PathBuf,
    /// The program as it was called; the real tools begin their undated messages with it.
    pub(crate) program: String,
    /// The name it was called by, without directory.
    pub(crate) tool: String,
    /// Its arguments, without the program.
    pub(crate) args: Vec<String>,
    /// What goes wrong in it.
    pub(crate) fault: Option<Fault>,
}

impl Call {
    /// Records this call and takes its line of the script.
    pub(crate) fn take() -> Step<Self> {
        let inherited = inherited()?;
        let words: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let program = match words.first().map(PathBuf::from) {
            Some(path) if path.is_absolute() => path,
            _ => std::env::current_exe()?,
        };
        let bin = program.parent().unwrap_or(Path::new("/")).to_owned();
        let tool = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let args = words.get(1..).unwrap_or_default().to_owned();
        let mut call = Self { bin, program: words.first().cloned().unwrap_or_default(), tool, args, fault: None };

        let lock = OpenOptions::new().create(true).append(true).open(call.beside("lock"))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(io::Error::from)?;
        call.record(&words, inherited)?;
        let line = call.take_line()?;
        drop(lock);

        if line.expects.iter().any(|wanted| !call.args.contains(wanted)) {
            let text = format!("fake: expected {:?} but got {:?}", line.expects, call.args);
            return Err(Stop::because(UNEXPECTED_CALL, &text));
        }
        if let Some(Fault::Exit(code)) = line.fault {
            return Err(Stop::Exit(code));
        }
        call.fault = line.fault;
        Ok(call)
    }

    /// The file of this kind that belongs to the tool: `BIN/<tool>.<kind>`.
    pub(crate) fn beside(&self, kind: &str) -> PathBuf {
        self.bin.join(format!("{}.{kind}", self.tool))
    }

    /// Whether this fault was asked for.
    pub(crate) fn has(&self, fault: &Fault) -> bool {
        self.fault.as_ref() == Some(fault)
    }

    fn record(&self, argv: &[String], inherited: Vec<String>) -> io::Result<()> {
        let mut text = serde_json::to_vec(&Record { argv, pid: std::process::id(), inherited })?;
        text.push(b'\n');
        OpenOptions::new().create(true).append(true).open(self.beside("calls"))?.write_all(&text)
    }

    fn take_line(&self) -> Step<Line> {
        let path = self.beside("script");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Line::default()),
            Err(error) => return Err(error.into()),
        };
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let Some(first) = lines.next() else { return Ok(Line::default()) };
        let line: Line = serde_json::from_str(first)
            .map_err(|error| Stop::because(BAD_SCRIPT, &format!("fake: script line {first:?}: {error}")))?;
        let version = "--version".to_owned();
        if self.args.contains(&version) && !line.expects.contains(&version) {
            return Ok(Line::default());
        }
        let rest: String = lines.flat_map(|line| [line, "\n"]).collect();
        let new = self.beside("script.new");
        File::create(&new)?.write_all(rest.as_bytes())?;
        fs::rename(new, path)?;
        Ok(line)
    }
}

/// The descriptors from 3 on, by what they lead to.
fn inherited() -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        // What cannot be followed is the descriptor of this very look, or was it.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let is_standard = entry.file_name().to_str().is_some_and(|name| matches!(name, "0" | "1" | "2"));
        if !is_standard && !target.starts_with("/proc") {
            found.push(target.display().to_string());
        }
    }
    Ok(found)
}

/// Writes a line to stderr. Where nobody reads it any more the program ends with 1, as the real tools do on EPIPE.
pub(crate) fn say(line: &[u8]) {
    let mut text = line.to_vec();
    text.push(b'\n');
    if io::stderr().write_all(&text).is_err() {
        std::process::exit(1);
    }
}

/// Writes a line to stdout, as [`say`] does.
pub(crate) fn print(line: &str) {
    if io::stdout().write_all(format!("{line}\n").as_bytes()).is_err() {
        std::process::exit(1);
    }
}
