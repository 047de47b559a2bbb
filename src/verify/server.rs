//! A throw-away server over what was restored: whether each table can be read to its end.
//!
//! In: a prepared data directory that nobody needs any more. Out: how many tables were checked, what is wrong with which, and which
//! could not be checked. The server has no network, no grants, no events and no replication, and its socket and temporary files are in
//! a directory of its own. It opens no file outside these two: the links to a table's `DATA DIRECTORY` are removed before it starts.

mod asking;
mod tables;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::asking::{Asking, Said};
use self::tables::{Found, Verdict};
use crate::disk::below;
use crate::exec::{CommandExecutor, Invocation, Outcome, Terms, Watch, ask};
use crate::model::{CommandId, Flavour};
use crate::server::probe;
use crate::server::throwaway::{self, Owner, Scratch, last_words, programs};

/// How long it may take to end.
const END_WITHIN: Duration = Duration::from_secs(30);
/// How long the check of one lot of tables may take.
const CHECK_WITHIN: Duration = Duration::from_secs(24 * 3600);
/// What the server writes behind a file's name where a page of it cannot be decrypted, and where one is damaged that is encrypted (10.11.19).
const ENCRYPTED: &str = "Table is compressed or encrypted but uncompress or decrypt failed";
/// Why nothing can be said of the tables.
#[derive(Debug, Error)]
pub enum NotChecked {
    /// No server or client is installed.
    #[error("no {0} is installed here")]
    NoProgram(&'static str),
    /// The server's own directory cannot be made.
    #[error("'{}' cannot be created", .0.display())]
    Scratch(PathBuf, #[source] io::Error),
    /// Something in what was restored leads elsewhere: a server might write there.
    #[error("what was restored to '{}' leads out of it", .0.display())]
    LeadsOut(PathBuf, #[source] io::Error),
    /// A program cannot be started.
    #[error(transparent)]
    NotStarted(#[from] crate::exec::NotStarted),
    /// The server ended, or never answered.
    #[error("no server starts on what was restored: {0}")]
    NoServer(String),
    /// It was told to stop.
    #[error("interrupted: the backup was not checked")]
    Interrupted,
    /// A question was not answered.
    #[error("the server does not say which tables it has: {0}")]
    NoTables(String),
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many tables were checked.
    pub tables: usize,
    /// How many were not, for whichever reason.
    pub not_checked: usize,
    /// Whether one of these may have been checked by another server, with the engine or the key that this one lacks.
    pub is_open: bool,
    /// What is wrong, in words.
    pub problems: Vec<String>,
    /// Which tables were not checked, and why.
    pub warnings: Vec<String>,
}

impl Checked {
    fn of(found: &[Found], broke_off: Option<String>, is_crash: bool) -> Self {
        let mut checked = Self::default();
        let mut unknown = Vec::new();
        for (table, verdict) in found {
            match verdict {
                Verdict::Well => checked.tables += 1,
                Verdict::Damaged(why) => {
                    checked.tables += 1;
                    checked.problems.push(format!("table {table}: {why}"));
                }
                Verdict::Nothing(why) | Verdict::Unknown(why) => {
                    checked.is_open |= matches!(verdict, Verdict::Unknown(_));
                    unknown.push((table.as_str(), why.as_str()));
                }
            }
        }
        checked.not_checked = unknown.len();
        checked.warnings = tables::lines(unknown.into_iter());
        if let Some(why) = broke_off {
            checked.is_open = true;
            (if is_crash { &mut checked.problems } else { &mut checked.warnings }).push(why);
        }
        checked
    }
}

/// The directory of the server that is started as `id`: below TMPDIR, but where the socket's path would be too long there.
pub fn scratch(id: CommandId) -> PathBuf {
    throwaway::directory(&std::env::temp_dir(), &format!("dbcalm-verify-{id}"))
}

/// Starts a server on `data`, checks all its tables, and stops it; at `stop` it does so at once. It is known by `id`, in its
/// environment too. Dropped before that, it kills the server.
pub async fn check(
    data: &Path,
    flavour: Flavour,
    executor: &dyn CommandExecutor,
    id: CommandId,
    stop: &CancellationToken,
) -> Result<Checked, NotChecked> {
    let (servers, clients) = programs(flavour);
    let server = probe::find(None, servers).ok_or(NotChecked::NoProgram("server"))?;
    let client = probe::find(None, clients).ok_or(NotChecked::NoProgram("client"))?;
    let temporary = |why| NotChecked::Scratch(scratch(id), why);
    let place = data.parent().unwrap_or(Path::new("/"));
    below::close(place, data).map_err(|why| NotChecked::LeadsOut(data.to_owned(), why))?;
    let owner = Owner::of(data).map_err(temporary)?;
    let scratch = Scratch::make(scratch(id), owner).map_err(temporary)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(scratch.path().join(throwaway::FILE))
        .map_err(temporary)?;
    file.write_all(throwaway::file(data, flavour).as_bytes()).map_err(temporary)?;
    let cancel = CancellationToken::new();
    let watch = Some(Watch::Text(ENCRYPTED));
    let terms = Terms { command_id: Some(id), cancel, grace: END_WITHIN, watch, last_line: None, select: None };
    let mut args = throwaway::arguments(data, scratch.path(), owner, flavour);
    args.push("--skip-grant-tables".to_owned());
    let invocation = Invocation::new(server, args);
    let mut running = executor.start(&invocation.into(), terms)?;
    let asking = Asking { client, socket: scratch.socket(), executor };
    let said = tokio::select! {
        said = asking.all(&mut running) => said,
        () = stop.cancelled() => Err(NotChecked::Interrupted),
    };
    // It takes TERM as the word to end well; should it not, it is killed when it is dropped. While it starts it may not hear it, and
    // whoever interrupts does not wait: nobody needs its files.
    let word = if matches!(said, Err(NotChecked::Interrupted)) { Signal::KILL } else { Signal::TERM };
    if let Some(pid) = i32::try_from(running.pid).ok().and_then(Pid::from_raw) {
        let _ended_already = kill_process(pid, word);
    }
    let ended = timeout(END_WITHIN, running.finished()).await.ok();
    let Said { mut found, broke_off } = said?;
    let encrypted: Vec<_> =
        ended.iter().flat_map(|ended| &ended.first.stderr.watched).filter_map(|line| encrypted(line)).collect();
    if !encrypted.is_empty() && are_whole(executor, data, &encrypted).await {
        tables::without_keys(&mut found);
    }
    tables::without_engine(&mut found, |file| tables::engine_of_partitions(&fs::read(data.join(file)).ok()?));
    let crash = ended.filter(|_| broke_off.is_some()).map(|ended| ended.outcome());
    Ok(Checked::of(&found, broke_off, crash.is_some_and(is_crash)))
}

/// The file that a line of the server's log is about.
fn encrypted(line: &str) -> Option<&str> {
    line.split_once(" from file '")?.1.split_once("': ").map(|(file, _)| file)
}

/// Whether these files are encrypted, and their pages as they were written: both are known without their keys.
async fn are_whole(executor: &dyn CommandExecutor, data: &Path, files: &[&str]) -> bool {
    let Some(program) = probe::find(None, &["/usr/bin/innochecksum"]) else { return false };
    for file in files {
        let path = data.join(file);
        if !is_encrypted(&path).unwrap_or_default() {
            return false;
        }
        let path = path.display().to_string();
        let said = ask(executor, &Invocation::new(&program, [path]), CHECK_WITHIN).await;
        if !said.is_ok_and(|said| said.is_some_and(|said| said.outcome() == Outcome::Exited(0))) {
            return false;
        }
    }
    true
}

/// Whether a tablespace's first page, which is of 64 KiB at most, says how the others are encrypted (`CRYPT_MAGIC` of `MariaDB`'s
/// `fil0crypt.h`; seen with 10.11.19).
fn is_encrypted(path: &Path) -> io::Result<bool> {
    const LARGEST: u64 = 64 * 1024;
    const MAGIC: &[u8] = b"s\x0e\x0cREt";
    let mut page = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut page)?;
    Ok(page.windows(MAGIC.len()).any(|bytes| bytes == MAGIC))
}

/// Whether a server ended as one does that finds its own data impossible; KILL is the system's, which has no memory left.
fn is_crash(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Signaled(signal) if signal != Signal::KILL.as_raw() && signal != Signal::TERM.as_raw())
}

#[cfg(test)]
mod tests {

    use tokio_util::sync::CancellationToken;

    use super::{Checked, NotChecked, Outcome, Verdict, check, encrypted, is_crash, is_encrypted};
    use crate::exec::scripted::{End, ScriptedExecutor};
    use crate::model::{CommandId, Flavour};

    #[tokio::test]
    async fn a_server_that_ends_before_it_answers_is_told_in_its_own_words() {
        if super::probe::find(None, super::programs(Flavour::MariaDb).0).is_none() {
            return;
        }
        let data = tempfile::tempdir().unwrap();
        let words = "2026-11-28 14:45:53 0 [Note] Starting\n2026-11-28 14:45:53 0 [ERROR] InnoDB: no key\n2026-11-28 14:45:53 0 [ERROR] Aborting\n";
        let acts: [crate::exec::scripted::Act; 2] =
            [Box::new(move |_| Ok(End::Exits(1, words))), Box::new(|_| Ok(End::WhenCancelled))];
        let executor = ScriptedExecutor::new(acts);
        let stop = CancellationToken::new();
        let said = check(data.path(), Flavour::MariaDb, &executor, CommandId::random(), &stop).await;
        assert!(matches!(said, Err(NotChecked::NoServer(why)) if why == "InnoDB: no key"));
    }

    #[test]
    fn what_breaks_a_server_is_damage_and_what_ends_it_from_outside_is_not() {
        let found =
            [("shop.a".to_owned(), Verdict::Well), ("shop.b".to_owned(), Verdict::Nothing("no check".to_owned()))];
        let broke_off = || Some("the check broke off".to_owned());
        let crashed = Checked::of(&found, broke_off(), is_crash(Outcome::Signaled(6)));
        assert_eq!(
            (crashed.tables, crashed.not_checked, crashed.problems),
            (1, 1, vec!["the check broke off".to_owned()])
        );
        for outcome in [Outcome::Signaled(9), Outcome::Signaled(15), Outcome::Exited(0)] {
            let ended = Checked::of(&found, broke_off(), is_crash(outcome));
            assert!(ended.is_open && ended.problems.is_empty(), "{ended:?}");
            assert_eq!(ended.warnings, ["not checked: shop.b: no check", "the check broke off"]);
        }
        assert!(!Checked::of(&found, None, false).is_open, "nobody could check that table");
    }

    #[test]
    fn an_encrypted_tablespace_is_known_by_its_first_page() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let is = |bytes: &[u8]| {
            std::fs::write(file.path(), bytes).unwrap();
            is_encrypted(file.path()).unwrap()
        };
        assert!(is(&[&[0; 10428][..], b"s\x0e\x0cREt\x01", &[0; 5000]].concat()));
        assert!(!is(&[0; 16384]) && !is(b""));
        assert!(!is(&[&vec![0; 65536][..], b"s\x0e\x0cREt"].concat()), "that is no first page");
    }

    #[test]
    fn the_file_of_an_encrypted_page_is_read_from_the_log() {
        let line = "5 [ERROR] InnoDB: Failed to read page 3 from file './shop/enc.ibd': Table is compressed or encrypted but uncompress or decrypt failed.";
        assert!(line.contains(super::ENCRYPTED));
        assert_eq!(encrypted(line), Some("./shop/enc.ibd"));
        assert_eq!(encrypted("[Note] nothing"), None);
    }
}
