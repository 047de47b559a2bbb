//! `store`: the stream of a backup, kept or passed on.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::remote::RemoteArgs;
use super::send::retried;
use super::{flavour, print_error, run};
use crate::age::Recipient;
use crate::bucket::{Bucket, BucketError, Class, Patience, Upload};
use crate::disk::tree_size;
use crate::model::{BackupId, Compression, Flavour, Remote};
use crate::repository::journal::Entry;
use crate::stream::{Busy, Codec, Destination, Packing, Store, StreamError};

/// Store the stream that comes on stdin
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct StoreArgs {
    /// The backup's folder
    #[arg(long)]
    into: PathBuf,
    /// The stream's name
    #[arg(long)]
    name: String,
    /// Whose stream it is: mariadb or mysql
    #[arg(long, value_parser = flavour)]
    flavour: Flavour,
    /// none, gzip or zstd
    #[arg(long, value_parser = compression)]
    compression: Compression,
    /// The compression's level
    #[arg(long)]
    level: Option<i32>,
    /// Whom it is encrypted to
    #[arg(long = "recipient", value_name = "PUBLIC KEY")]
    recipients: Vec<Recipient>,
    /// On how many threads it is compressed
    #[arg(long, default_value_t = 1)]
    threads: u16,
    /// Keep nothing but the manifest, and pass the stream on to stdout
    #[arg(long)]
    forward: bool,
    /// The backup's own uuid, below which its stream is kept in the repository
    #[arg(long, requires = "repository")]
    uuid: Option<uuid::Uuid>,
    /// A directory that the stream, uncompressed, is hardly larger than
    #[arg(long)]
    like: Option<PathBuf>,
    #[command(flatten)]
    remote: RemoteArgs,
}

fn compression(name: &str) -> Result<Compression, String> {
    let mut all = Compression::ALL.into_iter();
    all.find(|compression| compression.name() == name).ok_or_else(|| "none, gzip or zstd".to_owned())
}

/// How large a stream is expected to be at the most where nobody can say, in bytes.
const UNKNOWN: u64 = 600 << 30;

/// Begins the stream's object.
fn upload(args: &StoreArgs, remote: &Remote, uuid: uuid::Uuid) -> Result<(Upload, Bucket), BucketError> {
    let cannot =
        |why: &dyn std::fmt::Display| BucketError::new(Class::Broken, format!("the upload cannot be noted: {why}"));
    let (Some(backup_dir), Some(name)) = (args.into.parent(), args.into.file_name().and_then(|name| name.to_str()))
    else {
        return Err(cannot(&"--into is no folder of a backup"));
    };
    let id: BackupId = name.parse().map_err(|why| cannot(&why))?;
    Entry::new(&id, &uuid.to_string(), remote).write(backup_dir).map_err(|why| cannot(&why))?;
    let bucket = Bucket::open(remote, Patience::LONG)?;
    let size = args.like.as_deref().and_then(tree_size);
    // Compressed it is smaller but for what cannot be compressed; what comes while it is copied comes on top.
    let expected = size.map_or(UNKNOWN, |size| size + size / 4 + (1 << 30));
    let upload = bucket.upload(&remote.file(&id, &uuid.to_string(), &args.name), expected)?;
    Ok((upload, bucket))
}

pub(in crate::cli) fn store(args: &StoreArgs) -> ExitCode {
    let store = Store {
        into: &args.into,
        name: &args.name,
        flavour: args.flavour,
        packing: Packing {
            codec: Codec::new(args.compression, args.level),
            recipients: args.recipients.clone(),
            threads: args.threads.into(),
        },
    };
    run("store", || {
        let (to, bucket) = match (args.remote.remote(), args.uuid) {
            (Some(remote), Some(uuid)) => {
                let (upload, bucket) = upload(args, &remote, uuid).map_err(StreamError::Repository)?;
                (Destination::Bucket(upload), Some(bucket))
            }
            (_, _) if args.forward => (Destination::Forward(io::stdout()), None),
            (_, _) => (Destination::Folder, None),
        };
        let busy = Busy::default();
        let stored = store.run(io::stdin().lock(), to, &busy)?;
        print_error(&format!("store: {busy}"));
        stored.whole.tables.lines().lines().for_each(print_error);
        let what = match (&bucket, args.forward) {
            (Some(_), _) => "sent",
            (None, true) => "passed on",
            (None, false) => "stored",
        };
        let (files, retried) = (stored.whole.files, bucket.as_ref().map(retried).unwrap_or_default());
        Ok::<_, StreamError>(format!(
            "{what} '{}': {} with {files} files{retried}; {}",
            args.name, stored.lengths, stored.whole.footprint
        ))
    })
}
