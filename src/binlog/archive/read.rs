//! What the archive has, read again: the bytes of a file as far as they are counted, each piece held to its hash, and decrypted if it is encrypted.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};

use sha2::{Digest as _, Sha256};

use super::elsewhere::Place;
use super::entry::{Entry, Piece};
use super::sealed::Opener;
use super::{Archive, ArchiveError, at};
use crate::age::Identity;
use crate::config::identity_file;
use crate::model::causes;
use crate::witness::manifest::hexadecimal;

/// A file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// Its timeline.
    pub timeline: u32,
    /// What is said of it.
    pub entry: Entry,
}

impl Archived {
    /// Opens it for reading, from its beginning to the end of what is archived. What is encrypted is read with the key that the archive was
    /// [given](Archive::with_identity).
    ///
    /// # Errors
    /// The system's; or a piece is encrypted, and there is no key for it.
    pub fn open(&self, archive: &Archive) -> Result<ArchivedReader, ArchiveError> {
        let identities = self.entry.unlocked(archive)?;
        let pieces: Vec<_> = self.entry.placed().map(|(begin, piece)| (begin, piece.clone())).collect();
        let mut reader = ArchivedReader {
            archive: archive.clone(),
            timeline: self.timeline,
            file: self.entry.file.clone(),
            there: None,
            identities,
            pieces: pieces.into_iter(),
            plain: 0,
            current: None,
        };
        // That nothing is there is told before anything is read.
        reader.current = match reader.pieces.next() {
            Some((begin, piece)) => Some(reader.begin(begin, piece)?),
            None => None,
        };
        Ok(reader)
    }
}

impl Entry {
    /// The identities by which all encrypted pieces are read; none, if there are no such pieces.
    fn unlocked(&self, archive: &Archive) -> Result<Vec<Identity>, ArchiveError> {
        let mut sets = self.pieces.iter().filter_map(|piece| piece.to).collect::<Vec<_>>();
        sets.dedup();
        let Some(first) = sets.first() else { return Ok(Vec::new()) };
        let locked = |set: usize, why: String| {
            let plain = |name: &String| name.escape_debug().to_string();
            let to = self.recipients.get(set).map_or_else(
                || "keys that it does not name".to_owned(),
                |names| names.iter().map(plain).collect::<Vec<_>>().join(", "),
            );
            ArchiveError::Locked { file: self.file.clone(), to, why }
        };
        let Some(file) = &archive.identity_file else {
            let why = "set identity_file to the file with the secret key of one of them".to_owned();
            return Err(locked(*first, why));
        };
        let identities = identity_file::read(file).map_err(|why| locked(*first, causes(&why)))?;
        let own: Vec<_> = identities.iter().map(|identity| identity.recipient().to_string()).collect();
        let is_for = |set: &usize| self.recipients.get(*set).is_some_and(|to| to.iter().any(|name| own.contains(name)));
        match sets.iter().find(|set| !is_for(set)) {
            None => Ok(identities),
            Some(set) => Err(locked(*set, format!("identity_file '{}' is of {}", file.display(), own.join(", ")))),
        }
    }
}

/// The bytes of a file of the archive. What was changed since it was archived is an error, and none of it is given out behind that.
pub struct ArchivedReader {
    archive: Archive,
    timeline: u32,
    file: String,
    /// Where the repository has it. None as long as that was not asked.
    there: Option<Place>,
    identities: Vec<Identity>,
    pieces: std::vec::IntoIter<(u64, Piece)>,
    /// What the pieces take that are not encrypted and were begun until now.
    plain: u64,
    current: Option<Current>,
}

/// The piece that is being read.
struct Current {
    decoder: zstd::stream::read::Decoder<'static, io::BufReader<Layer>>,
    piece: Piece,
    given: u64,
    crc: crc32fast::Hasher,
}

/// The compressed bytes of a piece.
enum Layer {
    Plain(Hashing),
    Sealed(Box<Opener<Hashing>>),
}

/// The stored bytes of a piece.
struct Hashing {
    input: io::Take<Box<dyn Read + Send>>,
    hash: Sha256,
}

impl Read for Hashing {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(to)?;
        self.hash.update(to.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl Read for Layer {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(to),
            Self::Sealed(input) => input.read(to),
        }
    }
}

impl Layer {
    fn stored(&self) -> &Hashing {
        match self {
            Self::Plain(input) => input,
            Self::Sealed(input) => input.input(),
        }
    }
}

impl ArchivedReader {
    fn begin(&mut self, begin: u64, piece: Piece) -> Result<Current, ArchiveError> {
        let input = self.input(begin, &piece)?;
        if piece.to.is_none() {
            self.plain += piece.stored;
        }
        let path = self.archive.path(self.timeline, &self.file, piece.to.map(|_| begin));
        self.layered(input, piece).map_err(at(&path))
    }

    /// The stored bytes of a piece: here, or in the repository.
    fn input(&mut self, begin: u64, piece: &Piece) -> Result<Box<dyn Read + Send>, ArchiveError> {
        let path = self.archive.path(self.timeline, &self.file, piece.to.map(|_| begin));
        let from = if piece.to.is_none() { self.plain } else { 0 };
        let why = match File::open(&path) {
            Ok(mut file) => {
                file.seek(SeekFrom::Start(from)).map_err(at(&path))?;
                return Ok(Box::new(file));
            }
            Err(why) => at(&path)(why),
        };
        if self.there.is_none() {
            self.there = Place::of(&self.archive, self.timeline)?;
        }
        match &self.there {
            Some(there) => Ok(Box::new(there.open(&self.file, begin, piece)?)),
            None => Err(why),
        }
    }

    fn layered(&self, input: Box<dyn Read + Send>, piece: Piece) -> io::Result<Current> {
        let hashing = Hashing { input: input.take(piece.stored), hash: Sha256::new() };
        let layer = match piece.to {
            None => Layer::Plain(hashing),
            Some(_) => Layer::Sealed(Box::new(Opener::begin(hashing, &self.identities)?)),
        };
        let decoder = zstd::stream::read::Decoder::new(layer)?;
        Ok(Current { decoder, piece, given: 0, crc: crc32fast::Hasher::new() })
    }
}

impl Read for ArchivedReader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(current) = &mut self.current else {
                let Some((begin, piece)) = self.pieces.next() else { return Ok(0) };
                self.current = Some(self.begin(begin, piece).map_err(io::Error::other)?);
                continue;
            };
            let count = current.decoder.read(to)?;
            if count > 0 {
                current.given += count as u64;
                current.crc.update(to.get(..count).unwrap_or_default());
                return Ok(count);
            }
            if to.is_empty() {
                return Ok(0);
            }
            current.check()?;
            self.current = None;
        }
    }
}

impl Current {
    /// Holds a piece that has been read to what is said of it.
    fn check(&self) -> io::Result<()> {
        let stored = self.decoder.get_ref().get_ref().stored();
        let is_all = stored.input.limit() == 0;
        let sha256 = hexadecimal(&stored.hash.clone().finalize());
        let is_same = self.given == self.piece.length && self.crc.clone().finalize() == self.piece.crc32;
        if is_all && is_same && sha256 == self.piece.sha256 {
            return Ok(());
        }
        Err(io::Error::other("what is archived is not what it was"))
    }
}
