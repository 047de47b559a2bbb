//! The hidden subcommands: steps of a backup or a restore that the daemon runs as it runs the backup tool, with a pid, a row and a kill of
//! their own. Like the tool, each says what it did on stderr, and `completed OK!` last.

use std::fmt::Display;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use super::print_error;
use crate::copying::Copying;
use crate::disk::links;
use crate::model::{Compression, Flavour, at};
use crate::stream::{Codec, Destination, Extract, Store};

/// Store the stream that comes on stdin
#[derive(Debug, Clone, Args)]
pub(super) struct StoreArgs {
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

/// Extract a stream
#[derive(Debug, Clone, Args)]
pub(super) struct ExtractArgs {
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

/// Copy a stored backup
#[derive(Debug, Clone, Args)]
pub(super) struct CopyArgs {
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

fn flavour(name: &str) -> Result<Flavour, String> {
    Flavour::named(name).ok_or_else(|| "mariadb or mysql".to_owned())
}

fn compression(name: &str) -> Result<Compression, String> {
    let mut all = Compression::ALL.into_iter();
    all.find(|compression| compression.name() == name).ok_or_else(|| "none, gzip or zstd".to_owned())
}

pub(super) fn store(args: &StoreArgs) -> ExitCode {
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
        Ok::<_, crate::stream::StreamError>(format!(
            "{what} '{}': {} bytes, of a stream of {} bytes with {files} files; {}",
            args.name, stored.bytes_out, stored.bytes_in, stored.whole.footprint
        ))
    })
}

pub(super) fn extract(args: &ExtractArgs) -> ExitCode {
    run("extract", || {
        // The operator's own command answers for what it fetches.
        let (input, is_vouched): (Box<dyn Read + Send>, bool) = if args.from == Path::new("-") {
            (Box::new(io::stdin()), true)
        } else {
            let (file, is_vouched) =
                links::open_vouched(&args.from).map_err(|why| crate::stream::StreamError::Read(at(&args.from)(why)))?;
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
            links::forget(&args.into).map_err(|why| crate::stream::StreamError::Read(at(&args.into)(why)))?
        };
        say_left(left);
        Ok::<_, crate::stream::StreamError>(format!(
            "extracted {} files from a stream of {} bytes",
            extracted.whole.files, extracted.bytes
        ))
    })
}

pub(super) fn copy(args: &CopyArgs) -> ExitCode {
    run("copy", || {
        let copied = Copying { from: &args.from, into: &args.into, threads: args.threads.into() }.run()?;
        let shared =
            if copied.shared > 0 { format!(", {} of them by sharing blocks", copied.shared) } else { String::new() };
        say_left(copied.links);
        Ok::<_, crate::copying::CopyError>(format!("copied {} files{shared}, {} bytes", copied.files, copied.bytes))
    })
}

/// Says that so many tables come into the data directory instead of to their own places.
fn say_left(links: usize) {
    if links > 0 {
        print_error(&format!(
            "left out {links} links to tables outside the data directory, because other users may have written them: these tables are put \
             into it"
        ));
    }
}

/// Does it, and says how it went.
fn run<E: std::error::Error>(name: &str, work: impl FnOnce() -> Result<String, E>) -> ExitCode {
    let begun = Instant::now();
    let say = |text: &dyn Display| print_error(&format!("{name}: {text}"));
    match work() {
        Ok(done) => {
            say(&format!("{done} in {:.2} s", begun.elapsed().as_secs_f64()));
            say(&"completed OK!");
            ExitCode::SUCCESS
        }
        Err(why) => {
            say(&crate::model::causes(&why));
            ExitCode::FAILURE
        }
    }
}
