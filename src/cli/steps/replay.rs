//! `replay`: the archived binary log, applied to what a chain restored.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tokio::runtime::Builder;

use super::remote::RemoteArgs;
use super::{print_error, run, warn};
use crate::binlog::archive::Archive;
use crate::binlog::gtid::State;
use crate::binlog::replay::{At, ReplayError, Run};
use crate::exec;
use crate::model::Amount;

/// Apply the archived binary log
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ReplayArgs {
    /// The prepared data directory
    #[arg(long)]
    work: PathBuf,
    /// A directory for temporary files and the binary logs
    #[arg(long)]
    own: PathBuf,
    /// The directory of the backups
    #[arg(long)]
    backup_dir: PathBuf,
    /// The timeline
    #[arg(long)]
    timeline: u32,
    /// From where: file and position, with a colon between
    #[arg(long)]
    from: At,
    /// To where, likewise
    #[arg(long)]
    to: At,
    /// The GTIDs there were at the beginning
    #[arg(long)]
    gtids_before: Option<State>,
    /// The GTIDs there were at the end
    #[arg(long)]
    gtids: State,
    /// An option of the server that was backed up
    #[arg(long = "server-option", allow_hyphen_values = true)]
    options: Vec<String>,
    /// The file with the secret key, if the archive is encrypted
    #[arg(long)]
    identity: Option<PathBuf>,
    #[command(flatten)]
    remote: RemoteArgs,
    /// How much memory the server may take, in bytes
    #[arg(long)]
    memory: Option<u64>,
}

pub(in crate::cli) fn replay(args: &ReplayArgs) -> ExitCode {
    run("replay", || {
        let archive = Archive::of(&args.backup_dir).with_identity(args.identity.clone());
        let archive = archive.with_repository(args.remote.remote());
        let work = Run {
            work: &args.work,
            own: &args.own,
            archive: &archive,
            timeline: args.timeline,
            from: args.from.clone(),
            to: args.to.clone(),
            before: args.gtids_before.clone(),
            after: args.gtids.clone(),
            memory: args.memory,
            options: &args.options,
        };
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|why| ReplayError::Io(args.own.clone(), why))?;
        let replayed = runtime.block_on(work.run(|text| print_error(&format!("replay: {text}"))))?;
        if !replayed.disabled.is_empty() {
            let events = replayed.disabled.join(", ");
            warn(&format!(
                "these events were made or changed in what was replayed, and are disabled: ALTER EVENT … ENABLE: {events}"
            ));
        }
        Ok::<_, ReplayError>(format!(
            "applied {} of {} binary logs, from {} to {}",
            Amount(replayed.bytes),
            replayed.files,
            args.from,
            args.to
        ))
    })
}

/// Run a program that ends with the step that has started it
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct HeldArgs {
    /// The program and its arguments
    #[arg(required = true, last = true)]
    program: Vec<String>,
}

pub(in crate::cli) fn held(args: &HeldArgs) -> ExitCode {
    let why = exec::held(&args.program);
    print_error(&format!("held: {why}"));
    ExitCode::FAILURE
}
