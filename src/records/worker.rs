//! The thread that holds the connection. SQLite blocks; the daemon does not.
//!
//! Work comes in two kinds. What a client waits for is tried until its time is up, then refused. What has happened already,
//! the outcome of a command, is tried until it is written: a database that is locked, full, read-only, gone or replaced only
//! delays it. No attempt blocks longer than [`SLICE`], so neither kind keeps the other waiting.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use rustix::fs::{FlockOperation, flock};
use tokio::sync::oneshot;
use tracing::{debug, error, warn};

use super::process::{self, Note};
use super::{RecordsError, START_WITHIN, schema, wal};
use crate::model::Api;

/// How long one attempt waits for another process's lock. The 5 s of the contract, and more, are many attempts.
pub(super) const SLICE: Duration = Duration::from_millis(200);

/// How long to wait between attempts at what cannot be written for another reason than a lock.
const PAUSE: Duration = Duration::from_millis(250);

/// The file beside the database that one daemon holds locked.
const LOCK_SUFFIX: &str = ".db-cmd.lock";

/// How long something is tried.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patience {
    /// Until then: a client waits.
    Until(Instant),
    /// Until it is done: it has happened.
    Lasting,
}

/// The way to the thread.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    sender: Sender<Message>,
    notes: Notes,
}

/// What waits to be said of commands that run: the last word of each, and one message for all of them.
type Notes = Arc<Mutex<BTreeMap<i64, Note>>>;

enum Message {
    Task(Patience, Box<dyn Task>),
    Noted,
    Close { until: Instant, done: oneshot::Sender<()> },
}

/// Something to do with the connection, and somebody who waits for it.
trait Task: Send {
    /// Tries it, unless it is done.
    fn attempt(&mut self, connection: &mut Connection) -> rusqlite::Result<()>;
    /// Tells the caller that it is done, and on the disk.
    fn finish(self: Box<Self>);
    /// Tells the caller that it will not be done.
    fn give_up(self: Box<Self>, why: RecordsError);
}

struct Call<T, F> {
    work: F,
    value: Option<T>,
    reply: Option<oneshot::Sender<Result<T, RecordsError>>>,
}

impl<T: Send, F: FnMut(&mut Connection) -> rusqlite::Result<T> + Send> Task for Call<T, F> {
    fn attempt(&mut self, connection: &mut Connection) -> rusqlite::Result<()> {
        if self.value.is_none() {
            self.value = Some((self.work)(connection)?);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) {
        if let (Some(reply), Some(value)) = (self.reply, self.value) {
            // A caller that has gone does not want it any more.
            let _gone = reply.send(Ok(value));
        }
    }

    fn give_up(self: Box<Self>, why: RecordsError) {
        if let Some(reply) = self.reply {
            let _gone = reply.send(Err(why));
        }
    }
}

impl Worker {
    /// Opens the database and starts the thread.
    pub(super) fn start(path: &Path, api: Option<Api>) -> Result<Self, RecordsError> {
        let lock = lock(path)?;
        let database = Database::open(path, api, START_WITHIN)?;
        let (sender, receiver) = mpsc::channel();
        let notes = Notes::default();
        let thread = Thread {
            _lock: lock,
            path: path.to_owned(),
            api,
            database: Some(database),
            urgent: VecDeque::new(),
            lasting: VecDeque::new(),
            notes: Arc::clone(&notes),
            is_noted: false,
            stuck: false,
            is_unsynced: true,
            closing: None,
        };
        let spawned = thread::Builder::new().name("records".to_owned()).spawn(move || thread.run(&receiver));
        spawned.map_err(RecordsError::Io)?;
        Ok(Self { sender, notes })
    }

    /// Does `work` on the connection, and again until it is done or `patience` is over.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        patience: Patience,
        work: impl FnMut(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, RecordsError> {
        let (reply, answer) = oneshot::channel();
        let task = Box::new(Call { work, value: None, reply: Some(reply) });
        self.sender.send(Message::Task(patience, task)).map_err(closed)?;
        answer.await.map_err(closed)?
    }

    /// Does `work` on the connection, for nobody who waits.
    pub(super) fn post(&self, work: impl FnMut(&mut Connection) -> rusqlite::Result<()> + Send + 'static) {
        let task = Box::new(Call { work, value: None, reply: None });
        // A thread that has ended writes no more; the next start finds the row as it is.
        let _closed = self.sender.send(Message::Task(Patience::Lasting, task));
    }

    /// Says how far a command is, if the thread has nothing else to do.
    pub(super) fn note(&self, note: Note) {
        let mut waiting = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = waiting.is_empty();
        waiting.insert(note.row, note);
        if is_first {
            let _closed = self.sender.send(Message::Noted);
        }
    }

    /// Finishes what there is to do, for as long as `within`, and closes the database.
    pub(super) async fn close(&self, within: Duration) {
        let (done, closed) = oneshot::channel();
        if self.sender.send(Message::Close { until: Instant::now() + within, done }).is_ok() {
            let _closed = closed.await;
        }
    }
}

fn closed<E>(_: E) -> RecordsError {
    RecordsError::Closed
}

struct Thread {
    _lock: File,
    path: PathBuf,
    api: Option<Api>,
    database: Option<Database>,
    urgent: VecDeque<(Instant, Box<dyn Task>)>,
    lasting: VecDeque<Box<dyn Task>>,
    notes: Notes,
    /// Whether there is something in `notes`.
    is_noted: bool,
    /// Whether the first of `lasting` has failed and is tried again.
    stuck: bool,
    /// Whether something was committed that may not be on the disk.
    is_unsynced: bool,
    closing: Option<(Instant, oneshot::Sender<()>)>,
}

impl Thread {
    fn run(mut self, receiver: &Receiver<Message>) {
        loop {
            if !self.receive(receiver) {
                return;
            }
            if std::mem::take(&mut self.is_noted) {
                self.write_notes();
            }
            if let Some((until, task)) = self.urgent.pop_front() {
                self.try_urgent(until, task);
            } else if let Some(task) = self.lasting.pop_front() {
                self.try_lasting(task);
            }
            if !self.urgent.is_empty() {
                // Both kinds take turns, so that a client in the queue does not keep an outcome from being written.
                if let Some(task) = self.lasting.pop_front() {
                    self.try_lasting(task);
                }
            }
        }
    }

    /// Takes in what has come; waits if there is nothing to do. False: it is over.
    fn receive(&mut self, receiver: &Receiver<Message>) -> bool {
        if self.urgent.is_empty() && self.lasting.is_empty() {
            if let Some((_, done)) = self.closing.take() {
                self.database = None;
                let _gone = done.send(());
                return false;
            }
            match receiver.recv() {
                Ok(message) => self.take(message),
                Err(_all_callers_gone) => return false,
            }
        } else if self.stuck && self.urgent.is_empty() {
            match receiver.recv_timeout(PAUSE) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
        while let Ok(message) = receiver.try_recv() {
            self.take(message);
        }
        true
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Task(Patience::Until(until), task) => self.urgent.push_back((until, task)),
            Message::Task(Patience::Lasting, task) => self.lasting.push_back(task),
            Message::Noted => self.is_noted = true,
            Message::Close { until, done } => self.closing = Some((until, done)),
        }
    }

    fn try_urgent(&mut self, until: Instant, mut task: Box<dyn Task>) {
        match self.attempt(task.as_mut()) {
            Ok(()) => task.finish(),
            Err(RecordsError::Sqlite(why)) if is_lock(&why) && Instant::now() < until => {
                self.urgent.push_back((until, task));
            }
            Err(why) => task.give_up(why),
        }
    }

    fn try_lasting(&mut self, mut task: Box<dyn Task>) {
        let over = self.closing.as_ref().is_some_and(|(until, _)| Instant::now() >= *until);
        match self.attempt(task.as_mut()) {
            Ok(()) => {
                task.finish();
                if std::mem::take(&mut self.stuck) {
                    warn!("the records are written again");
                }
            }
            Err(why) if over || is_final(&why) => {
                error!(reason = %crate::model::causes(&why), "a record could not be written");
                task.give_up(why);
            }
            Err(why) => {
                if !std::mem::replace(&mut self.stuck, true) {
                    let file = self.path.display();
                    warn!(%file, reason = %crate::model::causes(&why), "the records cannot be written: trying again");
                }
                if !matches!(&why, RecordsError::Sqlite(why) if is_lock(why)) {
                    self.database = None;
                }
                self.lasting.push_front(task);
            }
        }
    }

    /// Writes what is worth nothing a second later: now or never. It waits for no lock, and for no disk, since a power cut may take it.
    fn write_notes(&mut self) {
        let notes = std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        let is_busy = !self.urgent.is_empty() || !self.lasting.is_empty() || self.closing.is_some();
        let identity = identity(&self.path);
        let Some(database) = self.database.as_mut().filter(|database| !is_busy && Some(database.identity) == identity)
        else {
            return;
        };
        let connection = &mut database.connection;
        let written = connection.busy_timeout(Duration::ZERO).and_then(|()| {
            let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
            process::note(&transaction, notes.values())?;
            transaction.commit()
        });
        if let Err(why) = written {
            debug!(reason = %why, "the jobs' progress could not be written");
        }
        if let Err(why) = connection.busy_timeout(SLICE) {
            debug!(reason = %why, "the database is opened again");
            self.database = None;
        }
    }

    fn attempt(&mut self, task: &mut dyn Task) -> Result<(), RecordsError> {
        if self.database.as_ref().is_none_or(|database| identity(&self.path) != Some(database.identity)) {
            self.database = None;
        }
        let database = match &mut self.database {
            Some(database) => database,
            none => {
                let database = none.insert(Database::open(&self.path, self.api, SLICE)?);
                warn!(file = %self.path.display(), "the database was opened again: it was gone, replaced or out of reach");
                database
            }
        };
        let before = database.connection.total_changes();
        task.attempt(&mut database.connection)?;
        // A look writes nothing, and waits for no disk.
        if database.connection.total_changes() != before || self.is_unsynced {
            self.is_unsynced = true;
            wal::settle(&self.path, &database.connection).map_err(RecordsError::at(&self.path))?;
            self.is_unsynced = false;
        }
        Ok(())
    }
}

/// Whether another process holds a lock, and waiting is all it needs.
fn is_lock(why: &rusqlite::Error) -> bool {
    matches!(why.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether trying again would change nothing: the record itself is refused.
fn is_final(why: &RecordsError) -> bool {
    match why {
        RecordsError::Sqlite(why) => matches!(
            why.sqlite_error_code(),
            None | Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::ApiMisuse)
        ),
        RecordsError::Io(_) | RecordsError::Taken | RecordsError::Closed => false,
    }
}

/// A connection, and which file it is to.
struct Database {
    connection: Connection,
    identity: (u64, u64),
}

impl Database {
    fn open(path: &Path, api: Option<Api>, patience: Duration) -> Result<Self, RecordsError> {
        make(path).map_err(RecordsError::at(path))?;
        let connection = super::open_to_write(path)?;
        connection.busy_timeout(patience)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // Synced by `wal`.
        connection.pragma_update(None, "synchronous", "normal")?;
        // A record is never refused for what the API has deleted in the meantime: a schedule, say.
        connection.pragma_update(None, "foreign_keys", false)?;
        schema::ensure(&connection, api)?;
        connection.busy_timeout(SLICE)?;
        let gone = || RecordsError::at(path)(std::io::ErrorKind::NotFound.into());
        let identity = identity(path).ok_or_else(gone)?;
        Ok(Self { connection, identity })
    }
}

/// Makes the file if it is not there: for this user and its group, whatever the umask, since the API is another user.
fn make(path: &Path) -> std::io::Result<()> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o660).open(path) {
        Ok(file) => file.set_permissions(fs::Permissions::from_mode(0o660)),
        Err(why) if why.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(why) => Err(why),
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).map(|there| (there.dev(), there.ino())).ok()
}

/// Takes the lock that makes this daemon the only one on this database.
fn lock(path: &Path) -> Result<File, RecordsError> {
    let mut name = path.as_os_str().to_owned();
    name.push(LOCK_SUFFIX);
    let name = PathBuf::from(name);
    let opened = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&name);
    let file = opened.map_err(RecordsError::at(&name))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(RecordsError::Taken),
        Err(why) => Err(RecordsError::at(&name)(why.into())),
    }
}
