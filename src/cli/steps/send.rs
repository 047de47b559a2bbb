//! `send`, `erase` and `receive`: a stored backup sent to the repository, what there is of one taken away there, and what describes one put
//! into `backup_dir`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use thiserror::Error;

use super::remote::RemoteArgs;
use super::{print_error, run};
use crate::binlog;
use crate::binlog::archive::{Archive, ArchiveError};
use crate::bucket::{Bucket, BucketError, Class, Patience};
use crate::model::BackupId;
use crate::repository::catalog::{self, ReceivingError};
use crate::repository::sending::{self, SendingError};

/// Send a stored backup to the repository
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct SendArgs {
    /// The directory of the backups
    #[arg(long)]
    backup_dir: PathBuf,
    /// Which backup
    #[arg(long)]
    id: BackupId,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Take away what the repository has of a backup
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct EraseArgs {
    /// Which backup
    #[arg(long)]
    id: BackupId,
    /// Its own uuid
    #[arg(long)]
    uuid: uuid::Uuid,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Put what describes a backup of the repository into the directory of the backups
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ReceiveArgs {
    /// The directory of the backups
    #[arg(long)]
    backup_dir: PathBuf,
    /// Which backup
    #[arg(long)]
    id: BackupId,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Ends with the daemon: these steps have no row by which its next start would find them.
pub(super) fn end_with_parent() -> Result<(), BucketError> {
    let asked = set_parent_process_death_signal(Some(Signal::TERM));
    asked
        .map_err(|why| BucketError::new(Class::Broken, format!("the end of the daemon would not be noticed: {why}")))?;
    match getppid() {
        // Whoever has no parent any more has got the system's first process for one.
        Some(parent) if parent.is_init() => Err(BucketError::new(Class::Broken, "the daemon has ended")),
        Some(_) | None => Ok(()),
    }
}

/// What was tried again.
pub(super) fn retried(bucket: &Bucket) -> String {
    match (bucket.retries(), bucket.last_retry()) {
        (0, _) | (_, None) => String::new(),
        (count, Some(last)) => format!(", {count} requests tried again (the last: {last})"),
    }
}

pub(in crate::cli) fn send(args: &SendArgs) -> ExitCode {
    run("send", || {
        end_with_parent()?;
        let bucket = args.remote.open(Patience::LONG)?;
        let sent = sending::send(&bucket, &args.backup_dir, &args.id)?;
        let now = if sent.sent == 0 { "was there".to_owned() } else { format!("{} bytes sent", sent.sent) };
        Ok::<_, SendingError>(format!(
            "'{}' is in {}: a stream of {} bytes, {now}{}",
            args.id,
            bucket.remote(),
            sent.size,
            retried(&bucket)
        ))
    })
}

pub(in crate::cli) fn erase(args: &EraseArgs) -> ExitCode {
    run("erase", || {
        end_with_parent()?;
        let bucket = args.remote.open(Patience::SHORT)?;
        let left = sending::erase(&bucket, &args.id, &args.uuid.to_string())?;
        match left.into_iter().next() {
            None => Ok(format!("nothing of '{}' is left in {}", args.id, bucket.remote())),
            Some(why) => Err(why),
        }
    })
}

/// Why something is not received.
#[derive(Debug, Error)]
enum ReceiveError {
    #[error(transparent)]
    Backup(#[from] ReceivingError),
    #[error(transparent)]
    Binlogs(#[from] ArchiveError),
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

pub(in crate::cli) fn receive(args: &ReceiveArgs) -> ExitCode {
    run("receive", || {
        end_with_parent()?;
        let bucket = args.remote.open(Patience::SHORT)?;
        // Before the backup, which would not be received again if this failed.
        let binlogs = binlog::archive::receive(&Archive::of(&args.backup_dir), &bucket)?;
        for why in binlogs.refused {
            print_error(&format!("receive: of the archived binary logs {why}"));
        }
        let card = catalog::receive(&bucket, &args.backup_dir, &args.id)?;
        Ok::<_, ReceiveError>(format!(
            "'{}' of {}, begun {} UTC, is described here",
            args.id,
            bucket.remote(),
            card.start
        ))
    })
}
