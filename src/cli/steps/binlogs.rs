//! `archive-binlogs`: what the server has written to its binary log, put into the archive; `send-binlogs`: the archive put into the repository.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::remote::RemoteArgs;
use super::send::{end_with_parent, retried};
use super::{print_error, run};
use crate::age::Recipient;
use crate::binlog::archive::{Archive, ArchiveError, Pass, send};
use crate::binlog::line;
use crate::bucket::Patience;

/// Archive the server's binary log
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct BinlogArgs {
    /// The directory of the backups
    #[arg(long)]
    backup_dir: PathBuf,
    /// The server's list of its files
    #[arg(long)]
    index: PathBuf,
    /// Its data directory
    #[arg(long)]
    data_dir: PathBuf,
    /// What it calls itself
    #[arg(long)]
    server_uid: Option<String>,
    /// To whom what is archived is encrypted
    #[arg(long = "recipient", value_name = "PUBLIC KEY")]
    recipients: Vec<Recipient>,
}

/// Bring the repository in step with the archive
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct SendBinlogsArgs {
    /// The directory of the backups
    #[arg(long)]
    backup_dir: PathBuf,
    /// Erase there what is not here any more, and send nothing
    #[arg(long)]
    erase: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

pub(in crate::cli) fn send_binlogs(args: &SendBinlogsArgs) -> ExitCode {
    run("send-binlogs", || {
        end_with_parent()?;
        let (archive, bucket) = (Archive::of(&args.backup_dir), args.remote.open(Patience::SHORT)?);
        if args.erase {
            let left = line::erase_unneeded(&archive, &bucket)?;
            return match left.first() {
                None => Ok(format!("nothing that is needed no more is left in {}", bucket.remote())),
                Some(why) => Err(ArchiveError::Left { count: left.len(), why: why.clone() }),
            };
        }
        let sent = send(&archive, &bucket)?;
        Ok(format!("{} pieces, {} bytes sent{}", sent.pieces, sent.bytes, retried(&bucket)))
    })
}

pub(in crate::cli) fn archive_binlogs(args: &BinlogArgs) -> ExitCode {
    if let Err(why) = end_with_parent() {
        print_error(&format!("archive-binlogs: {why}"));
        return ExitCode::FAILURE;
    }
    run("archive-binlogs", || {
        let (backup_dir, server_uid) = (&args.backup_dir, args.server_uid.as_deref());
        let (index, data_dir, recipients) = (&args.index, &args.data_dir, &args.recipients);
        let pass = Pass { backup_dir, index, data_dir, server_uid, recipients }.run()?;
        for (timeline, because) in &pass.begun {
            print_error(&format!("archive-binlogs: timeline {timeline} is begun: {because}"));
        }
        Ok::<_, ArchiveError>(format!(
            "archived {} transactions, {} bytes as {}, on timeline {}",
            pass.transactions, pass.bytes, pass.stored, pass.timeline
        ))
    })
}
