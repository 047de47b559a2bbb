//! A stream verified, compressed, hashed and stored, in one pass.
//!
//! The stored file comes under a name of its own first, is synced, gets its line in the manifest, and only then its name: whatever dies in
//! between, no file of that name is there that is not whole. What is forwarded has a line in the manifest too, by which it is known when
//! it is fetched.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use super::busy::Busy;
use super::chunks::Chunks;
use super::inspect::{Inspector, Whole};
use super::pack::{Blocks, Packing, packing, write_all};
use super::{StreamError, cannot_write};
use crate::bucket::Upload;
use crate::disk::writeback::begin_writing;
use crate::model::{Flavour, Lengths};
use crate::witness::{Checkpoints, manifest};

/// What is said of a stream that the tool has gone on writing over damaged pages. One that is stored already is extracted all the same: its
/// prepare says whether it can be used.
const CORRUPT: &str =
    "it has 'innodb_corrupted_pages': the tool found damaged pages in the server and backed them up as they are";

/// What is to be stored, and how.
#[derive(Debug)]
pub struct Store<'a> {
    /// The backup's folder.
    pub into: &'a Path,
    /// The stream's name in it.
    pub name: &'a str,
    /// Whose stream it is.
    pub flavour: Flavour,
    /// How it is packed.
    pub packing: Packing,
}

/// Where the stream goes.
#[derive(Debug)]
pub enum Destination<W> {
    /// Into the backup's folder.
    Folder,
    /// On to the operator's command.
    Forward(W),
    /// Into an object of the repository.
    Bucket(Upload),
}

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What the stream held.
    pub whole: Whole,
    /// How long it was, and how long it is as it is stored.
    pub lengths: Lengths,
}

impl Store<'_> {
    /// Stores the stream `input`, and counts in `busy` what took how long.
    ///
    /// # Errors
    /// It is not whole, or cannot be read or written. Nothing of it is left then, but what was forwarded.
    pub fn run<W: Write + Send>(
        &self,
        input: impl Read,
        to: Destination<W>,
        busy: &Busy,
    ) -> Result<Stored, StreamError> {
        match to {
            Destination::Forward(output) => {
                let mut output = output;
                let written = self.write(input, &mut output, &|_, _| Ok(()), busy)?;
                output.flush().map_err(cannot_write("stdout"))?;
                self.seal(&written.1).map_err(cannot_write(self.into.join(manifest::NAME)))?;
                Ok(written.0)
            }
            Destination::Bucket(upload) => {
                let mut upload = upload;
                let (stored, hash) = self.write(input, &mut upload, &|_, _| Ok(()), busy)?;
                upload.finish().map_err(StreamError::Repository)?;
                self.seal(&hash).map_err(cannot_write(self.into.join(manifest::NAME)))?;
                Ok(stored)
            }
            Destination::Folder => {
                let part = self.into.join(format!(".{}.part", self.name));
                let stored = self.store(input, &part, busy);
                if stored.is_err() {
                    // The daemon removes the folder; this is for whoever runs it by hand.
                    let _gone_already = fs::remove_file(&part);
                }
                stored
            }
        }
    }

    fn store(&self, input: impl Read, part: &Path, busy: &Busy) -> Result<Stored, StreamError> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(part).map_err(cannot_write(part))?;
        let begin = |from, to| begin_writing(&file, from, to);
        let mut output = &file;
        let (stored, hash) = self.write(input, &mut output, &begin, busy)?;
        file.sync_all().map_err(cannot_write(part))?;
        let name = self.into.join(self.name);
        self.seal(&hash)
            .and_then(|()| rename_new(part, &name))
            .and_then(|()| File::open(self.into)?.sync_all())
            .map_err(cannot_write(name))?;
        Ok(stored)
    }

    /// Writes the manifest, to the disk.
    fn seal(&self, hash: &str) -> io::Result<()> {
        let mut line = Vec::new();
        manifest::line(&mut line, Path::new(self.name), hash);
        let (new, path) = (self.into.join(manifest::DRAFT), self.into.join(manifest::NAME));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&line)?;
        file.sync_all()?;
        rename_new(&new, &path)?;
        File::open(self.into)?.sync_all()
    }

    /// Passes the stream on to `output`, compressed; `begin` lets the disk write what it has from one byte to another. Gives the hash of
    /// what went there.
    fn write(
        &self,
        input: impl Read,
        output: &mut (impl Write + Send),
        begin: &(dyn Fn(u64, u64) -> io::Result<()> + Sync),
        busy: &Busy,
    ) -> Result<(Stored, String), StreamError> {
        let part = self.into.join(self.name);
        thread::scope(|scope| {
            let (mut blocks, pieces) = packing(scope, &self.packing, busy);
            let writing = scope.spawn(move || write_all(pieces, output, begin, busy));
            let mut chunks = Chunks::new(input);
            let mut inspector = Inspector::new(self.flavour.tool());
            let seen = loop {
                match busy.with("checking", || look(&mut chunks, &mut inspector, &mut blocks)) {
                    Ok(true) => {
                        if !blocks.put_whole() {
                            // Why, the writer says.
                            break Ok(None);
                        }
                    }
                    Ok(false) => break Ok(blocks.put_rest().then_some(())),
                    Err(why) => {
                        blocks.break_off();
                        break Err(why);
                    }
                }
            };
            drop(blocks);
            let written = writing.join().unwrap_or_else(|_panicked| Err(io::Error::other("writing broke off")));
            // Of two errors the stream's own is the one to mend.
            seen?;
            let (bytes_out, hash) = written.map_err(cannot_write(part))?;
            let whole = inspector.finish(chunks.at())?;
            if whole.has_corrupt_pages {
                return Err(StreamError::Broken { at: chunks.at(), what: CORRUPT.to_owned() });
            }
            self.compare(&whole)?;
            Ok((Stored { whole, lengths: Lengths { stored: bytes_out, data: chunks.at() } }, hash))
        })
    }

    /// Holds the checkpoints of the stream against those that the tool has written into the folder, if it has by now: whether they are there
    /// at its end is for the daemon to see.
    fn compare(&self, whole: &Whole) -> Result<(), StreamError> {
        match Checkpoints::read(self.into, self.flavour.tool()) {
            Ok(beside) if beside != whole.checkpoints => {
                let what = "its checkpoints differ from those that the tool wrote beside it".to_owned();
                Err(StreamError::Broken { at: 0, what })
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Takes the next chunk, as it is, into the blocks; false at the end of the stream.
fn look(
    chunks: &mut Chunks<impl Read>,
    inspector: &mut Inspector,
    blocks: &mut Blocks<'_>,
) -> Result<bool, StreamError> {
    let begin = chunks.at();
    let Some(chunk) = chunks.next(&mut blocks.open)? else { return Ok(false) };
    inspector.take(&chunk, &blocks.open).map_err(|what| StreamError::Broken { at: begin, what })?;
    Ok(true)
}

/// Gives a file its name, which nothing else may have.
fn rename_new(from: &Path, to: &PathBuf) -> io::Result<()> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}
