//! `store`: the stream of a backup, kept or passed on.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{flavour, print_error, run};
use crate::model::{Compression, Flavour};
use crate::stream::{Codec, Destination, Store, StreamError};

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
    /// On how many threads it is compressed
    #[arg(long, default_value_t = 1)]
    threads: u16,
    /// Keep nothing but the manifest, and pass the stream on to stdout
    #[arg(long)]
    forward: bool,
}

fn compression(name: &str) -> Result<Compression, String> {
    let mut all = Compression::ALL.into_iter();
    all.find(|compression| compression.name() == name).ok_or_else(|| "none, gzip or zstd".to_owned())
}

pub(in crate::cli) fn store(args: &StoreArgs) -> ExitCode {
    let store = Store {
        into: &args.into,
        name: &args.name,
        flavour: args.flavour,
        codec: Codec::new(args.compression, args.level),
        threads: args.threads.into(),
    };
    let to = if args.forward { Destination::Forward(io::stdout()) } else { Destination::Folder };
    run("store", || {
        let stored = store.run(io::stdin().lock(), to)?;
        stored.whole.tables.lines().lines().for_each(print_error);
        let (what, files) = (if args.forward { "passed on" } else { "stored" }, stored.whole.files);
        Ok::<_, StreamError>(format!(
            "{what} '{}': {} with {files} files; {}",
            args.name, stored.lengths, stored.whole.footprint
        ))
    })
}
