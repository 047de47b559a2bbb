//! The log: structured lines to stderr, which the journal takes, and to the log file where it can be written.
//!
//! No line holds a secret: settings are not logged, arguments of the tools hold none, and their output is not logged.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

/// The log that is in force.
pub struct Log {
    file: LogFile,
    level: reload::Handle<LevelFilter, Registry>,
}

impl Log {
    /// Puts the log in force, once in a process.
    ///
    /// # Errors
    /// The log file cannot be written; stderr is in force all the same.
    pub fn install(path: &Path, level: LevelFilter) -> (Self, io::Result<()>) {
        let file = LogFile::default();
        let (filter, handle) = reload::Layer::new(level);
        // A second log in one process is a test's, and the first stays in force.
        let _installed = tracing_subscriber::registry()
            .with(filter)
            .with(fmt::layer().with_target(false).with_writer(io::stderr))
            .with(fmt::layer().with_target(false).with_writer(file.clone()))
            .try_init();
        let log = Self { file, level: handle };
        let opened = log.file.open(path);
        (log, opened)
    }

    /// Puts another level and file in force. The file is opened anew even if it is the same: it may have been rotated.
    ///
    /// # Errors
    /// The file cannot be written; the one before stays in force.
    pub fn change(&self, path: &Path, level: LevelFilter) -> io::Result<()> {
        // It can only fail after the subscriber is gone, which is never.
        let _changed = self.level.reload(level);
        self.file.open(path)
    }
}

/// A file that lines are appended to; none, and they are dropped.
#[derive(Clone, Default)]
struct LogFile(Arc<Mutex<Option<File>>>);

impl LogFile {
    fn open(&self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }
}

impl Write for &LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            // A full disk under the log is no reason to stop taking backups; stderr has the line.
            Some(file) => Ok(file.write(bytes).unwrap_or(bytes.len())),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = &'a LogFile;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}
