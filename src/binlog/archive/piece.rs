//! A piece of a file, put into the archive: at the end of what it has of the file, or, encrypted, as a file of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::document::sync_parent;
use super::entry::Piece;
use super::sealed::Sealer;
use super::{ArchiveError, at};
use crate::age::Recipient;
use crate::binlog::event::{FLAGS_AT, IN_USE};
use crate::model::Compression;
use crate::stream::Codec;
use crate::witness::manifest::hexadecimal;

/// How much is compressed at once, in bytes: each such block is a frame of its own.
const BLOCK: u64 = 1 << 20;

/// Where a piece goes. What stood there, which no document counts, is overwritten.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    /// Behind the first so many bytes of this file.
    Behind(&'a Path, u64),
    /// Into this file alone, encrypted to these.
    Sealed(&'a Path, &'a [Recipient]),
}

impl<'a> Target<'a> {
    fn path(self) -> &'a Path {
        match self {
            Self::Behind(path, _) | Self::Sealed(path, _) => path,
        }
    }

    /// Where in the file it begins.
    fn begin(self) -> u64 {
        match self {
            Self::Behind(_, stored) => stored,
            Self::Sealed(..) => 0,
        }
    }
}

/// Puts `length` bytes of `source`, from `from` on, where they belong, and syncs that.
///
/// # Errors
/// The system's; or what is in `source` is not what was checked, by its CRC-32.
pub(super) fn append(
    (source, source_path): (&mut File, &Path),
    from: u64,
    (length, crc): (u64, u32),
    target: Target<'_>,
) -> Result<Piece, ArchiveError> {
    let (path, stored) = (target.path(), target.begin());
    let is_new = stored == 0;
    let mut to =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o640).open(path).map_err(at(path))?;
    let there = to.metadata().map_err(at(path))?.len();
    if there < stored {
        let what = format!("is {there} bytes long, but {stored} were archived");
        return Err(ArchiveError::Broken { path: path.to_owned(), what });
    }
    let begin = |to: &mut File| to.set_len(stored).and_then(|()| to.seek(SeekFrom::Start(stored)));
    begin(&mut to).map_err(at(path))?;
    let written = Written { to: &mut to, sha256: Sha256::new(), stored: 0 };
    let copied = copy((source, source_path), from, (length, crc), target, written).and_then(|piece| {
        to.sync_all().map_err(at(path))?;
        if is_new {
            sync_parent(path).map_err(at(path))?;
        }
        Ok(piece)
    });
    if copied.is_err() {
        // On a full disk somebody may need the room.
        let _gone = if is_new { fs::remove_file(path) } else { to.set_len(stored) };
    }
    copied
}

/// What is written of a piece.
struct Written<'a> {
    to: &'a mut File,
    sha256: Sha256,
    stored: u64,
}

impl Written<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sha256.update(bytes);
        self.stored += bytes.len() as u64;
        self.to.write_all(bytes)
    }
}

fn copy(
    (source, source_path): (&mut File, &Path),
    from: u64,
    (length, crc): (u64, u32),
    target: Target<'_>,
    mut written: Written<'_>,
) -> Result<Piece, ArchiveError> {
    let path = target.path();
    let mut sealer = match target {
        Target::Behind(..) => None,
        Target::Sealed(_, recipients) => {
            let (head, sealer) = Sealer::begin(recipients).map_err(at(path))?;
            written.put(&head).map_err(at(path))?;
            Some(sealer)
        }
    };
    let codec = Codec::new(Compression::Zstd, None);
    source.seek(SeekFrom::Start(from)).map_err(at(source_path))?;
    let (mut done, mut hash) = (0, crc32fast::Hasher::new());
    while done < length {
        let wanted = BLOCK.min(length - done);
        let mut block = Vec::new();
        Read::take(&mut *source, wanted).read_to_end(&mut block).map_err(at(source_path))?;
        if block.len() as u64 != wanted {
            return Err(ArchiveError::Changed(source_path.to_owned()));
        }
        if from + done == 0
            && let Some(flags) = usize::try_from(FLAGS_AT).ok().and_then(|at| block.get_mut(at))
        {
            *flags &= !IN_USE;
        }
        hash.update(&block);
        let frame = codec.piece(block).map_err(at(path))?;
        match &mut sealer {
            None => written.put(&frame),
            Some(sealer) => sealer.seal(&frame).and_then(|sealed| written.put(&sealed)),
        }
        .map_err(at(path))?;
        done += wanted;
    }
    if let Some(sealer) = sealer {
        sealer.end().and_then(|sealed| written.put(&sealed)).map_err(at(path))?;
    }
    if hash.finalize() != crc {
        return Err(ArchiveError::Changed(source_path.to_owned()));
    }
    let sha256 = hexadecimal(&written.sha256.finalize());
    Ok(Piece { length, crc32: crc, stored: written.stored, sha256, to: None })
}

/// The CRC-32 of a part of a file, as the archive has it. None if the file is shorter.
pub(super) fn crc_of(file: &mut File, from: u64, length: u64) -> io::Result<Option<u32>> {
    file.seek(SeekFrom::Start(from))?;
    let mut hash = crc32fast::Hasher::new();
    let mut done = 0;
    while done < length {
        let mut block = Vec::new();
        Read::take(&mut *file, BLOCK.min(length - done)).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(None);
        }
        let here = from + done;
        if let Some(flags) =
            FLAGS_AT.checked_sub(here).and_then(|at| usize::try_from(at).ok()).and_then(|at| block.get_mut(at))
        {
            *flags &= !IN_USE;
        }
        hash.update(&block);
        done += block.len() as u64;
    }
    Ok(Some(hash.finalize()))
}
