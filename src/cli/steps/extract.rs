//! `extract`: a stored stream, made into the directory that it is of.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::remote::RemoteArgs;
use super::{flavour, print_error, run, say_left};
use crate::bucket::{BucketError, Class, Patience};
use crate::disk::links;
use crate::model::{Flavour, at};
use crate::stream::{Busy, Extract, StreamError};

/// Extract a stream
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ExtractArgs {
    /// The stream, or - for stdin
    #[arg(long, required_unless_present = "key")]
    from: Option<PathBuf>,
    /// The stream's key in the repository
    #[arg(long, requires = "repository", conflicts_with = "from")]
    key: Option<String>,
    #[command(flatten)]
    remote: RemoteArgs,
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
    /// On how many threads it is decompressed
    #[arg(long, default_value_t = 1)]
    threads: u16,
}

/// The stream, and whether nobody but those who may restore can have written it.
fn open(args: &ExtractArgs) -> Result<(Box<dyn Read + Send>, bool), StreamError> {
    if let Some(key) = &args.key {
        let cannot = |why: BucketError| StreamError::Read(io::Error::other(why));
        let bucket = args.remote.open(Patience::LONG).map_err(cannot)?;
        let download = bucket.download(key).map_err(cannot)?;
        let missing = || cannot(BucketError::new(Class::NotFound, format!("{} has no '{key}'", bucket.remote())));
        // The manifest, which is here, answers for what comes.
        return Ok((Box::new(download.ok_or_else(missing)?.holding(bucket)), true));
    }
    // The operator's own command answers for what it fetches.
    let Some(from) = args.from.as_ref().filter(|from| *from != Path::new("-")) else {
        return Ok((Box::new(io::stdin()), true));
    };
    let (file, is_vouched) = links::open_vouched(from).map_err(|why| StreamError::Read(at(from)(why)))?;
    Ok((Box::new(file), is_vouched))
}

pub(in crate::cli) fn extract(args: &ExtractArgs) -> ExitCode {
    run("extract", || {
        let (input, is_vouched) = open(args)?;
        let extract = Extract {
            name: &args.name,
            into: Some(&args.into),
            flavour: args.flavour,
            manifest: args.manifest.as_deref(),
            threads: args.threads.into(),
        };
        let busy = Busy::default();
        let extracted = extract.run(input, &busy)?;
        print_error(&format!("extract: {busy}"));
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
