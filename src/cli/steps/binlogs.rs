//! `archive-binlogs`: what the server has written to its binary log, put into the archive.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::send::end_with_parent;
use super::{print_error, run};
use crate::age::Recipient;
use crate::binlog::archive::{ArchiveError, Pass};

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
