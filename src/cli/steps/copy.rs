//! `copy`: a stored backup, copied to where the tool prepares it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{run, say_left};
use crate::copying::{CopyError, Copying};

/// Copy a stored backup
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct CopyArgs {
    /// The backup's folder
    #[arg(long)]
    from: PathBuf,
    /// The directory to make
    #[arg(long)]
    into: PathBuf,
    /// On how many threads
    #[arg(long, default_value_t = 1)]
    threads: u16,
}

pub(in crate::cli) fn copy(args: &CopyArgs) -> ExitCode {
    run("copy", || {
        let copied = Copying { from: &args.from, into: &args.into, threads: args.threads.into() }.run()?;
        let shared =
            if copied.shared > 0 { format!(", {} of them by sharing blocks", copied.shared) } else { String::new() };
        say_left(copied.links);
        Ok::<_, CopyError>(format!("copied {} files{shared}, {} bytes", copied.files, copied.bytes))
    })
}
