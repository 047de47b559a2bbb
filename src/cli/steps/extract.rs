//! `extract`: a stored stream, made into the directory that it is of.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::remote::RemoteArgs;
use super::{flavour, print_error, run, say_left};
use crate::bucket::{BucketError, Class, Patience};
use crate::config::identity_file;
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
    /// The file with the secret key, if it is encrypted
    #[arg(long)]
    identity: Option<PathBuf>,
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
        let file = args.identity.as_deref();
        if let Some((file, exposed)) = file.and_then(|file| Some((file, identity_file::exposed(file)?))) {
            print_error(&format!("warning: identity_file '{}' {exposed}", file.display()));
        }
        let identities =
            args.identity.as_deref().map(identity_file::read).transpose().map_err(StreamError::Identity)?;
        let identities = identities.unwrap_or_default();
        let (input, is_vouched) = open(args)?;
        let extract = Extract {
            name: &args.name,
            into: Some(&args.into),
            flavour: args.flavour,
            manifest: args.manifest.as_deref(),
            identities: &identities,
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
