//! A stored stream made files again: a private copy of the backup, as another one is that was stored as files.
//!
//! Reading with its hash, and checking and writing, each have a thread of their own, decompressing several. No path of the stream leads out of the
//! directory, which is made for it: each file is new, and each directory is made on the way to it. Holes of page compression stay holes.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use tokio_util::sync::CancellationToken;

use super::busy::Busy;
use super::chunks::{Chunk, Chunks, Kind};
use super::codec::is_as_named;
use super::inspect::{Effect, Inspector, Whole};
use super::pack::{Unpacking, unpacking};
use super::pool::Joined;
use super::{StreamError, cannot_write};
use crate::age::Identity;
use crate::model::{Flavour, Packed};
use crate::witness::manifest;

/// What is to be extracted, and where to.
#[derive(Debug)]
pub struct Extract<'a> {
    /// The stream's name, by the ending of which it is decompressed.
    pub name: &'a str,
    /// The directory to make; None if the stream is only looked through.
    pub into: Option<&'a Path>,
    /// Whose stream it is.
    pub flavour: Flavour,
    /// The manifest that has its hash; a predecessor's stream has none.
    pub manifest: Option<&'a Path>,
    /// By whom it is decrypted, if it is encrypted.
    pub identities: &'a [Identity],
    /// On how many threads it is decrypted and decompressed.
    pub threads: usize,
}

/// What was extracted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// What the stream held.
    pub whole: Whole,
    /// How long it was, uncompressed, in bytes.
    pub bytes: u64,
}

impl Extract<'_> {
    /// Extracts the stream `input`, and counts in `busy` what took how long.
    ///
    /// # Errors
    /// It is not whole, not what it was, or cannot be read or written. What was extracted by then is left.
    pub fn run(&self, mut input: impl Read + Send, busy: &Busy) -> Result<Extracted, StreamError> {
        let packed = Packed::of_name(self.name);
        if packed.is_encrypted && self.identities.is_empty() {
            return Err(StreamError::Locked);
        }
        let wanted_hash = self.wanted_hash()?;
        if let Some(into) = self.into {
            DirBuilder::new().mode(0o700).create(into).map_err(cannot_write(into))?;
        }
        let mut beginning = Vec::new();
        (&mut input).take(8).read_to_end(&mut beginning).map_err(StreamError::Read)?;
        is_as_named(&beginning, packed)?;
        let input = io::Cursor::new(beginning).chain(input);
        let (extracted, hash) = thread::scope(|scope| {
            let how = Unpacking { packed, identities: self.identities, threads: self.threads };
            let (plain, hashing) = unpacking(scope, input, how, busy);
            let extracted = self.files(Joined::new(plain), busy);
            // It is of the whole only if it was read to its end.
            (extracted, hashing.join().ok())
        });
        match (wanted_hash, extracted) {
            (Some(wanted), Ok(_)) if hash.as_ref() != Some(&wanted) => Err(StreamError::Changed(self.name.to_owned())),
            (_, extracted) => extracted,
        }
    }

    /// Holds what is stored against its hash alone, which takes no identity.
    ///
    /// # Errors
    /// It is not what it was, has no manifest that says so, or cannot be read.
    pub fn check_hash(&self, input: impl Read) -> Result<(), StreamError> {
        let wanted = self.wanted_hash()?.ok_or(StreamError::Locked)?;
        let hash = manifest::hash_of(input, &CancellationToken::new()).map_err(StreamError::Read)?;
        if hash == wanted { Ok(()) } else { Err(StreamError::Changed(self.name.to_owned())) }
    }

    fn wanted_hash(&self) -> Result<Option<String>, StreamError> {
        let Some(path) = self.manifest else { return Ok(None) };
        let text = fs::read(path).map_err(StreamError::Read)?;
        let named = manifest::parse(&text).unwrap_or_default().remove(Path::new(self.name));
        let not_named = || StreamError::NotNamed { path: path.to_owned(), name: self.name.to_owned() };
        named.map(Some).ok_or_else(not_named)
    }

    fn files(&self, input: impl Read, busy: &Busy) -> Result<Extracted, StreamError> {
        let mut chunks = Chunks::new(input);
        let mut inspector = Inspector::new(self.flavour.tool());
        let mut files = self.into.map(|into| Files { into, open: HashMap::new(), made: HashSet::new() });
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            let begin = chunks.at();
            let broken = |what| StreamError::Broken { at: begin, what };
            let seen = busy.with("checking", || {
                let Some(chunk) = chunks.next(&mut buffer)? else { return Ok(None) };
                let effect = inspector.take(&chunk, &buffer).map_err(broken)?;
                Ok::<_, StreamError>(Some((chunk, effect)))
            });
            let Some((chunk, effect)) = seen? else { break };
            if let Some(files) = &mut files {
                busy.with("writing", || files.follow(&effect, &chunk, inspector.data(), &buffer))?;
            }
        }
        let bytes = chunks.at();
        Ok(Extracted { whole: inspector.finish(bytes)?, bytes })
    }
}

/// A file that is being written.
struct Open {
    file: File,
    /// How long it is by what has come of it, in bytes.
    length: u64,
    /// How much of it was written, to the end of the last part that is no hole, in bytes.
    written: u64,
}

/// The files that are being written.
struct Files<'a> {
    into: &'a Path,
    open: HashMap<PathBuf, Open>,
    made: HashSet<PathBuf>,
}

impl Files<'_> {
    /// Does to the files what a chunk says, whose effect is known.
    fn follow(
        &mut self,
        effect: &Effect,
        chunk: &Chunk,
        data: &[Range<usize>],
        buffer: &[u8],
    ) -> Result<(), StreamError> {
        match effect {
            Effect::Begins => self.create(&chunk.path)?,
            Effect::BeginsAnew => {
                self.remove(&chunk.path)?;
                self.create(&chunk.path)?;
            }
            Effect::Removed(paths) => {
                paths.iter().try_for_each(|path| self.remove(path))?;
                // A database that was dropped. It may be no directory, or have files again that came later.
                if fs::remove_dir(self.into.join(&chunk.path)).is_ok() {
                    self.made.remove(&chunk.path);
                }
            }
            Effect::None | Effect::Renamed => {}
        }
        match &chunk.kind {
            Kind::Payload { offset, bytes } => {
                self.write(&chunk.path, *offset, data, buffer.get(bytes.clone()).unwrap_or_default())?;
            }
            Kind::End => self.end(&chunk.path)?,
            Kind::Renamed { to } if *effect == Effect::Renamed => {
                self.directory_of(to)?;
                let to = self.into.join(to);
                fs::rename(self.into.join(&chunk.path), &to).map_err(cannot_write(to))?;
            }
            Kind::Renamed { .. } | Kind::Removed => {}
        }
        Ok(())
    }

    fn remove(&mut self, relative: &Path) -> Result<(), StreamError> {
        let path = self.into.join(relative);
        match fs::remove_file(&path) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(cannot_write(path)(why)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn directory_of(&mut self, relative: &Path) -> Result<(), StreamError> {
        if let Some(parent) = relative.parent().filter(|parent| !self.made.contains(*parent)) {
            let dir = self.into.join(parent);
            DirBuilder::new().mode(0o700).recursive(true).create(&dir).map_err(cannot_write(dir))?;
            self.made.insert(parent.to_owned());
        }
        Ok(())
    }

    fn create(&mut self, relative: &Path) -> Result<(), StreamError> {
        let path = self.into.join(relative);
        self.directory_of(relative)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path);
        let open = Open { file: file.map_err(cannot_write(path))?, length: 0, written: 0 };
        self.open.insert(relative.to_owned(), open);
        Ok(())
    }

    /// Writes what of a part is no hole.
    fn write(&mut self, relative: &Path, offset: u64, data: &[Range<usize>], bytes: &[u8]) -> Result<(), StreamError> {
        let Some(open) = self.open.get_mut(relative) else { return Ok(()) };
        open.length = offset + bytes.len() as u64;
        for range in data {
            let written =
                open.file.write_all_at(bytes.get(range.clone()).unwrap_or_default(), offset + range.start as u64);
            written.map_err(|source| StreamError::Write { path: self.into.join(relative), source })?;
            open.written = offset + range.end as u64;
        }
        Ok(())
    }

    fn end(&mut self, relative: &Path) -> Result<(), StreamError> {
        match self.open.remove(relative) {
            // A hole at its end.
            Some(open) if open.written < open.length => {
                open.file.set_len(open.length).map_err(cannot_write(self.into.join(relative)))
            }
            Some(_) | None => Ok(()),
        }
    }
}
