//! `extract`: a stored stream, made into the directory that it is of.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{flavour, run, say_left};
use crate::disk::links;
use crate::model::{Flavour, at};
use crate::stream::{Extract, StreamError};

/// Extract a stream
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ExtractArgs {
    /// The stream, or - for stdin
    #[arg(long)]
    from: PathBuf,
    /// The stream's name
    #[arg(long)]
    name: String,
    /// The directory to make
    #[arg(long)]
    into: PathBuf,
    /// Whose stream it is: mariadb or mysql
    #[arg(long, value_parser = flavour)]
    flavour: Flavour,
    /// The manifest that has its hash
    #[arg(long)]
    manifest: Option<PathBuf>,
    /// Accepted and ignored: reading, decompressing and writing have a thread each
    #[arg(long, default_value_t = 1)]
    threads: u16,
}

pub(in crate::cli) fn extract(args: &ExtractArgs) -> ExitCode {
    run("extract", || {
        // The operator's own command answers for what it fetches.
        let (input, is_vouched): (Box<dyn Read + Send>, bool) = if args.from == Path::new("-") {
            (Box::new(io::stdin()), true)
        } else {
            let (file, is_vouched) =
                links::open_vouched(&args.from).map_err(|why| StreamError::Read(at(&args.from)(why)))?;
            (Box::new(file), is_vouched)
        };
        let extract = Extract {
            name: &args.name,
            into: Some(&args.into),
            flavour: args.flavour,
            manifest: args.manifest.as_deref(),
        };
        let extracted = extract.run(input)?;
        let left = if is_vouched {
            0
        } else {
            links::forget(&args.into).map_err(|why| StreamError::Read(at(&args.into)(why)))?
        };
        say_left(left);
        Ok::<_, StreamError>(format!(
            "extracted {} files from a stream of {} bytes",
            extracted.whole.files, extracted.bytes
        ))
    })
}
