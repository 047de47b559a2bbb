//! A piece of a file, put at the end of what the archive has of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::entry::Piece;
use super::place::sync_parent;
use super::{ArchiveError, at};
use crate::binlog::event::{FLAGS_AT, IN_USE};
use crate::model::Compression;
use crate::stream::Codec;
use crate::witness::manifest::hexadecimal;

/// How much is compressed at once, in bytes: each such block is a frame of its own.
const BLOCK: u64 = 1 << 20;

/// Puts `length` bytes of `source`, from `from` on, behind the first `stored` bytes of the file at `path`, and syncs that. What stood there, which
/// no document counts, is overwritten.
///
/// # Errors
/// The system's; or what is in `source` is not what was checked, by its CRC-32.
pub(super) fn append(
    (source, source_path): (&mut File, &Path),
    from: u64,
    (length, crc): (u64, u32),
    path: &Path,
    stored: u64,
) -> Result<Piece, ArchiveError> {
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
    let mut copy = Copy { hash: crc32fast::Hasher::new(), sha256: Sha256::new(), stored: 0 };
    let copied = copy.run((source, source_path), (from, length), (&mut to, path)).and_then(|()| {
        if copy.hash.clone().finalize() != crc {
            return Err(ArchiveError::Changed(source_path.to_owned()));
        }
        to.sync_all().map_err(at(path))?;
        if is_new { sync_parent(path).map_err(at(path)) } else { Ok(()) }
    });
    if let Err(why) = copied {
        // On a full disk somebody may need the room.
        let _cut_off = to.set_len(stored);
        return Err(why);
    }
    let sha256 = hexadecimal(&copy.sha256.finalize());
    Ok(Piece { length, crc32: crc, stored: copy.stored, sha256 })
}

struct Copy {
    hash: crc32fast::Hasher,
    sha256: Sha256,
    stored: u64,
}

impl Copy {
    fn run(
        &mut self,
        (source, source_path): (&mut File, &Path),
        (from, length): (u64, u64),
        (to, path): (&mut File, &Path),
    ) -> Result<(), ArchiveError> {
        let codec = Codec::new(Compression::Zstd, None);
        source.seek(SeekFrom::Start(from)).map_err(at(source_path))?;
        let mut done = 0;
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
            self.hash.update(&block);
            let frame = codec.piece(block).map_err(at(path))?;
            self.sha256.update(&frame);
            to.write_all(&frame).map_err(at(path))?;
            self.stored += frame.len() as u64;
            done += wanted;
        }
        Ok(())
    }
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
