//! The work of a replay: a throw-away server on the working copy, which applies the archived files as a replica applies what it has received.
//!
//! In: a prepared data directory, and what [`find`](fn@super::find) found. Out: the same directory as it was on the server behind the last transaction.
//! The server has no network, no binary log of its own, no events that run, and an account of its own that goes with it. Whoever is in its way is
//! told, and the directory is nobody's then: it is a working copy, and goes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::At;
use super::client::{Client, Progress, Refused};
use super::logs::{Logs, RELAY};
use crate::binlog::archive::{Archive, ArchiveError};
use crate::binlog::gtid::State;
use crate::binlog::reader::BinlogError;
use crate::disk::{PlaceError, links};
use crate::exec::{CommandExecutor, Invocation, LocalExecutor, NotStarted, Outcome, Running, Terms, orphans};
use crate::model::{CommandId, Flavour};
use crate::server::probe;
use crate::server::throwaway::{self, Owner, Scratch, last_words};

/// How long the server may take until it answers, and until it has ended.
const START_WITHIN: Duration = Duration::from_secs(10 * 60);
const END_WITHIN: Duration = Duration::from_secs(60 * 60);
/// How often it is looked at whether it answers, and how far it is.
const ASK: Duration = Duration::from_millis(50);
const LOOK: Duration = Duration::from_millis(250);
/// How often is told how far it is.
const TELL: Duration = Duration::from_secs(10);

/// Why a replay failed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A file between the first and the last is not archived any more.
    #[error("the archive has no '{0}' any more")]
    Missing(String),
    /// What is archived of a file is not what it was.
    #[error("what is archived of '{0}' cannot be read")]
    Log(String, #[source] BinlogError),
    /// Another directory or file.
    #[error("'{}'", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// Tables of the backup lie outside the data directory, where a replay would write to them.
    #[error("{count} tables lie outside the data directory, '{}' is one: no binary log is replayed on such", first.display())]
    Outside {
        /// How many.
        count: usize,
        /// One of them.
        first: PathBuf,
    },
    /// Where a table lies cannot be told.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// No server or client is installed.
    #[error("no {0} is installed here")]
    NoProgram(&'static str),
    /// A program cannot be started.
    #[error(transparent)]
    NotStarted(#[from] NotStarted),
    /// The server ended, or does not answer.
    #[error("no server starts on what was restored: {0}")]
    NoServer(String),
    /// It refused what it was told.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// It could not apply an event.
    #[error("behind {at} the server could not go on: {why}")]
    Broken {
        /// Up to where all was applied.
        at: At,
        /// Its words.
        why: String,
    },
    /// It has come elsewhere.
    #[error("the server has come to '{found}', and not to '{wanted}'")]
    Elsewhere {
        /// The GTIDs that it has applied.
        found: String,
        /// Those that it had to apply.
        wanted: String,
    },
}

impl From<Refused> for ReplayError {
    fn from(why: Refused) -> Self {
        match why {
            Refused::NotStarted(why) => Self::NotStarted(why),
            Refused::Said(said) => Self::Refused(said),
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Run<'a> {
    /// The prepared data directory.
    pub work: &'a Path,
    /// The directory for its temporary files, and the uncompressed binary logs.
    pub own: &'a Path,
    /// The archive.
    pub archive: &'a Archive,
    /// The timeline.
    pub timeline: u32,
    /// From where.
    pub from: At,
    /// To where.
    pub to: At,
    /// The GTIDs at the beginning, as the backup says them. None if it does not.
    pub before: Option<State>,
    /// The GTIDs at the end.
    pub after: State,
    /// How much memory it may take, in bytes. None for what the server takes by itself.
    pub memory: Option<u64>,
    /// Options of the server that was backed up, on which its statements depend.
    pub options: &'a [String],
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// How many files were gone through.
    pub files: usize,
    /// How many bytes of them were applied.
    pub bytes: u64,
    /// Events that are disabled now, since nobody could tell how they were before.
    pub disabled: Vec<String>,
}

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> ReplayError {
    let path = path.to_owned();
    move |why| ReplayError::Io(path, why)
}

impl Run<'_> {
    /// Does it. `say` is told how far it is.
    ///
    /// # Errors
    /// Something is in the way; then the working copy is of no use any more.
    pub async fn run(&self, say: impl Fn(&str)) -> Result<Replayed, ReplayError> {
        let (servers, clients) = throwaway::programs(Flavour::MariaDb);
        let server = probe::find(None, servers).ok_or(ReplayError::NoProgram("server"))?;
        let client = probe::find(None, clients).ok_or(ReplayError::NoProgram("client"))?;
        let links = links::prepared(self.work)?;
        if let Some(first) = links.first() {
            return Err(ReplayError::Outside { count: links.len(), first: first.from.clone() });
        }
        let owner = Owner::of(self.work).map_err(at(self.work))?;
        let name = format!("replay-{}", std::process::id());
        let place = throwaway::directory(self.own, &name);
        let scratch = Scratch::make(place.clone(), owner).map_err(at(&place))?;
        let place = self.own.join(format!("{name}-logs"));
        let logs = Scratch::make(place.clone(), owner).map_err(at(&place))?;
        let Logs { files, server_id } = self.extract(logs.path(), owner, &say)?;
        let executor = &LocalExecutor;
        let client = Client::make(executor, client, &scratch).map_err(at(scratch.path()))?;
        self.options(scratch.path(), owner, &client)?;
        let mut running =
            executor.start(&self.server(&server, &scratch, logs.path(), owner, server_id).into(), terms())?;
        until_it_answers(&mut running, &client).await?;
        say("the server of the replay is up");
        let disabled = self.apply(&mut running, &client, &files, &say).await?;
        client.say(&format!("DROP USER {}; SHUTDOWN", client.account())).await?;
        let ended = timeout(END_WITHIN, running.finished()).await;
        let ended = ended.map_err(|_late| ReplayError::NoServer("it does not end".to_owned()))?;
        if ended.outcome() != Outcome::Exited(0) {
            return Err(ReplayError::NoServer(last_words(&ended)));
        }
        let bytes = files.iter().map(|(_, length)| length).sum::<u64>().saturating_sub(self.from.position);
        Ok(Replayed { files: files.len(), bytes, disabled })
    }

    /// The server's options of before, and the account that speaks to it.
    fn options(&self, scratch: &Path, owner: Owner, client: &Client<'_>) -> Result<(), ReplayError> {
        let write = |name: &str, text: &str| -> Result<(), ReplayError> {
            let path = scratch.join(name);
            let mut open = OpenOptions::new();
            let mut file: File = open.write(true).create_new(true).mode(0o600).open(&path).map_err(at(&path))?;
            file.write_all(text.as_bytes()).and_then(|()| owner.give(&path)).map_err(at(&path))
        };
        write(throwaway::FILE, &throwaway::file(self.work, Flavour::MariaDb))?;
        write("init.sql", &client.making())
    }

    fn server(&self, program: &str, scratch: &Scratch, logs: &Path, owner: Owner, server_id: u32) -> Invocation {
        let mut args = vec!["held".to_owned(), "--".to_owned(), program.to_owned()];
        args.extend(throwaway::arguments(self.work, scratch.path(), owner, Flavour::MariaDb));
        let own = |name: &str| scratch.path().join(name).display().to_string();
        args.extend([
            format!("--init-file={}", own("init.sql")),
            format!("--slave-load-tmpdir={}", own("")),
            format!("--master-info-file={}", own("master.info")),
            format!("--relay-log-info-file={}", own("relay.info")),
            format!("--relay-log={}", logs.join(RELAY).display()),
            format!("--relay-log-index={}", logs.join(RELAY).with_extension("index").display()),
            format!("--server-id={server_id}"),
        ]);
        let fixed = [
            "--event-scheduler=OFF",
            "--slave-exec-mode=STRICT",
            "--slave-skip-errors=OFF",
            // A table that is made meanwhile has no place outside.
            "--skip-symbolic-links",
            "--innodb-strict-mode=OFF",
            "--innodb-buffer-pool-dump-at-shutdown=OFF",
            "--innodb-buffer-pool-load-at-startup=OFF",
            // What dies here is thrown away.
            "--innodb-flush-log-at-trx-commit=0",
            "--sync-relay-log=0",
            "--sync-relay-log-info=0",
            "--sync-master-info=0",
        ];
        args.extend(fixed.map(str::to_owned));
        args.extend(self.options.iter().cloned());
        args.extend(self.memory.map(|bytes| format!("--innodb-buffer-pool-size={bytes}")));
        Invocation::own(args)
    }

    /// Has it applied, and looks whether that came to where it should. Gives the events that are disabled now.
    async fn apply(
        &self,
        running: &mut Running,
        client: &Client<'_>,
        files: &[(String, u64)],
        say: &impl Fn(&str),
    ) -> Result<Vec<String>, ReplayError> {
        let (applied, events) = (client.applied().await?, client.events().await?);
        let from = self.from.position;
        client
            .say(&format!(
                "CHANGE MASTER TO master_host='none', master_use_gtid=no, relay_log_file='{RELAY}.000001', relay_log_pos={from}; \
                 START SLAVE SQL_THREAD"
            ))
            .await?;
        let mut told = Instant::now();
        loop {
            let progress = client.progress().await?;
            match progress {
                Progress::Stopped { file, position, why } => {
                    return Err(ReplayError::Broken { at: At { file, position }, why });
                }
                Progress::At { relay, .. } if relay > files.len() => break,
                Progress::At { file, position, .. } => {
                    if told.elapsed() >= TELL {
                        told = Instant::now();
                        say(&format!("at {file}:{position}, on the way to {}", self.to));
                    }
                }
            }
            if let Ok(ended) = timeout(LOOK, running.finished()).await {
                return Err(ReplayError::NoServer(last_words(&ended)));
            }
        }
        client.say("STOP SLAVE").await?;
        let found = client.applied().await?;
        if let Some(wanted) = lacking(&found, self.before.as_ref(), &self.after) {
            return Err(ReplayError::Elsewhere { found, wanted });
        }
        client.say("RESET SLAVE ALL").await?;
        client.set_applied(&applied, &found).await?;
        self.settle_events(client, events).await
    }
}

/// The last transactions that had to be applied, if one of them was not.
fn lacking(found: &str, before: Option<&State>, after: &State) -> Option<String> {
    let found = found.split(',').collect::<Vec<_>>();
    let had = before.map(State::last).unwrap_or_default();
    let wanted = after.last().into_iter().filter(|gtid| !had.contains(gtid)).map(|gtid| gtid.to_string());
    let wanted = wanted.collect::<Vec<_>>();
    (!wanted.iter().all(|gtid| found.contains(&gtid.as_str()))).then(|| wanted.join(","))
}

fn terms() -> Terms {
    // By its request the next start of the daemon finds it.
    let command_id = std::env::var(orphans::TAG).ok().and_then(|id| CommandId::read(&id));
    let cancel = CancellationToken::new();
    Terms { command_id, cancel, grace: Duration::ZERO, watch: None, last_line: None, select: None }
}

async fn until_it_answers(running: &mut Running, client: &Client<'_>) -> Result<(), ReplayError> {
    let answers = async {
        while client.say("SELECT 1").await.is_err() {
            sleep(ASK).await;
        }
    };
    tokio::select! {
        ended = running.finished() => Err(ReplayError::NoServer(last_words(&ended))),
        answers = timeout(START_WITHIN, answers) => {
            answers.map_err(|_late| ReplayError::NoServer("it does not answer".to_owned()))
        }
    }
}
