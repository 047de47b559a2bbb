//! `extract`: a stored stream, made into the directory that it is of.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::remote::RemoteArgs;
use super::{flavour, print_error, run, say_left, warn};
use crate::age::Identity;
use crate::bucket::{BucketError, Class, Patience};
use crate::config::identity_file;
use crate::disk::links;
use crate::model::{Flavour, at, causes};
use crate::stream::{Busy, Extract, Extracted, StreamError};

/// Extract a stream
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ExtractArgs {
    /// The stream, or - for stdin
    #[arg(long, required_unless_present = "key")]
    from: Option<PathBuf>,
    /// The stream's key in the repository; with --from, that of a copy which is read if the stream is damaged
    #[arg(long, requires = "repository")]
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

/// A stream, and whether nobody but those who may restore can have written it.
type Opened = (Box<dyn Read + Send>, bool);

/// The stream that is here, or that the operator's command fetches.
fn local(from: &Path) -> Result<Opened, StreamError> {
    // The operator's own command answers for what it fetches.
    if from == Path::new("-") {
        return Ok((Box::new(io::stdin()), true));
    }
    let (file, is_vouched) = links::open_vouched(from).map_err(|why| StreamError::Read(at(from)(why)))?;
    Ok((Box::new(file), is_vouched))
}

/// The stream of the repository.
fn remote(args: &ExtractArgs, key: &str) -> Result<Opened, StreamError> {
    let cannot = |why: BucketError| StreamError::Read(io::Error::other(why));
    let bucket = args.remote.open(Patience::LONG).map_err(cannot)?;
    let download = bucket.download(key).map_err(cannot)?;
    let missing = || cannot(BucketError::new(Class::NotFound, format!("{} has no '{key}'", bucket.remote())));
    // The manifest, which is here, answers for what comes.
    Ok((Box::new(download.ok_or_else(missing)?.holding(bucket)), true))
}

/// Extracts what is opened, and says whether its files may lead out of the data directory.
fn extracted(
    args: &ExtractArgs,
    identities: &[Identity],
    opened: Result<Opened, StreamError>,
) -> Result<(Extracted, bool), StreamError> {
    let (input, is_vouched) = opened?;
    let extract = Extract {
        name: &args.name,
        into: Some(&args.into),
        flavour: args.flavour,
        manifest: args.manifest.as_deref(),
        identities,
        threads: args.threads.into(),
    };
    let busy = Busy::default();
    let extracted = extract.run(input, &busy)?;
    print_error(&format!("extract: {busy}"));
    Ok((extracted, is_vouched))
}

/// Extracts the stream that is here; if that is damaged, its copy.
fn either(args: &ExtractArgs, identities: &[Identity]) -> Result<(Extracted, bool), StreamError> {
    let (here, there) = (args.from.as_deref(), args.key.as_deref());
    let Some(from) = here else { return extracted(args, identities, remote(args, there.unwrap_or_default())) };
    // What was there before is not this step's to take away.
    let is_new = fs::symlink_metadata(&args.into).is_err();
    match (extracted(args, identities, local(from)), there) {
        // What cannot be written or decrypted here will not be from there.
        (Err(why), Some(key))
            if is_new && !matches!(why, StreamError::Write { .. } | StreamError::Identity(_) | StreamError::Locked) =>
        {
            match fs::remove_dir_all(&args.into) {
                Err(gone) if gone.kind() != io::ErrorKind::NotFound => return Err(why),
                Ok(()) | Err(_) => {}
            }
            warn(&format!(
                "'{}' is damaged, so its copy in {} is restored: {}",
                from.display(),
                args.remote.address(),
                causes(&why)
            ));
            extracted(args, identities, remote(args, key))
        }
        (done, _) => done,
    }
}

pub(in crate::cli) fn extract(args: &ExtractArgs) -> ExitCode {
    run("extract", || {
        let file = args.identity.as_deref();
        if let Some((file, exposed)) = file.and_then(|file| Some((file, identity_file::exposed(file)?))) {
            warn(&format!("identity_file '{}' {exposed}", file.display()));
        }
        let identities =
            args.identity.as_deref().map(identity_file::read).transpose().map_err(StreamError::Identity)?;
        let identities = identities.unwrap_or_default();
        let (extracted, is_vouched) = either(args, &identities)?;
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
