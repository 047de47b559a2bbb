//! The format of a stream of files: chunk after chunk.
//!
//! A stream has no head and no tail. A chunk is the magic, a byte of flags, a byte for its type, and the path with its length (u32) before
//! it; a payload has further its length and its offset in the file (u64 each) and its CRC-32 (u32, zlib's). All numbers are little-endian
//! (read from streams of mariadb-backup 10.5.23, 10.11.19 and 11.8.6; the type is `P` for a payload and `E` for a file's end).
//!
//! Where tables are dropped, renamed or altered meanwhile, the tool sends after the files what became of them (read from streams of 10.11.19):
//! `D`, the path is to be removed, a file or a directory with all that is in it; `R`, the file has another name from now on, which follows with
//! its length (u32) before it; and payloads with flags 2, the file is written anew. What there is of a partitioned table it calls `t#P#*`.
//! Holes of tables with page compression come as zeros. A chunk of another type, such as xtrabackup writes for such holes, is refused: what is
//! not understood cannot be vouched for.
//!
//! Every path, to be removed and a new name too, is held to the same rule. mbstream 10.11.19 looks at that of a file that begins alone: it
//! removes and renames what is outside its directory (`streams::mbstream::what_becomes_of_files_is_done_wherever_a_path_leads`).

use std::ffi::OsString;
use std::io::Read;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use super::{Fault, StreamError};

/// What every chunk begins with.
pub(super) const MAGIC: &[u8; 8] = b"XBSTCK01";
/// The length of what comes before the path, in bytes.
const HEAD: usize = 14;
/// The length of what comes between the path and a payload, in bytes.
const PAYLOAD_HEAD: usize = 20;
/// Flags of a file that is written anew, whether it was there or not.
const ANEW: u8 = 2;
/// The longest path, in bytes: mbstream takes none of 512 (seen with 10.11.19).
const LONGEST_PATH: usize = 511;
/// The longest payload that is taken, in bytes: the tools write 10 MiB at the most (seen with mariadb-backup 10.11.19).
const LONGEST_PAYLOAD: u64 = 64 << 20;

/// A chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The file that it belongs to: relative, and nowhere but below where it is extracted to.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Whether it is of a file that is written anew.
    pub is_anew: bool,
}

/// What a chunk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A part of the file.
    Payload {
        /// Where in the file it begins, in bytes.
        offset: u64,
        /// Where in the buffer it is.
        bytes: Range<usize>,
    },
    /// The end of the file.
    End,
    /// The file is to be removed, or a directory with all in it.
    Removed,
    /// The file gets another name, under which none is left that was there.
    Renamed {
        /// The name: relative, and nowhere but below where the stream is extracted to.
        to: PathBuf,
    },
}

/// Reads chunks.
#[derive(Debug)]
pub struct Chunks<R> {
    input: R,
    /// How much of the stream was read, in bytes.
    at: u64,
}

impl<R: Read> Chunks<R> {
    /// The chunks of this stream.
    pub fn new(input: R) -> Self {
        Self { input, at: 0 }
    }

    /// How much of the stream was read, in bytes.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Appends the next chunk to `buffer` as it is, and says what it is; none, at the end of the stream.
    ///
    /// # Errors
    /// It is no whole chunk, its checksum is another, it is of a type that is not known, or it names no file that may be; or the stream
    /// cannot be read.
    pub fn next(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Chunk>, StreamError> {
        let begin = self.at;
        let broken = |what: String| StreamError::Broken { at: begin, what };
        let head = self.append(buffer, HEAD as u64)?;
        if head.is_empty() {
            return Ok(None);
        }
        let cut = || broken("the stream ends in the middle of a chunk".to_owned());
        let head = part(buffer, head);
        let (magic, rest) = head.split_at_checked(MAGIC.len()).ok_or_else(cut)?;
        if magic != MAGIC {
            return Err(broken("there is no chunk where one should begin".to_owned()));
        }
        let &[flags, kind, ref length @ ..] = rest else { return Err(cut()) };
        let length = length.first_chunk::<4>().map(|length| u32::from_le_bytes(*length)).ok_or_else(cut)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let is_anew = flags == ANEW && kind == b'P';
        if flags != 0 && !is_anew {
            return Err(broken(format!("a chunk has unknown flags: {flags}")));
        }
        let path = self.path(buffer, begin, length)?;
        let kind = match kind {
            b'E' => Kind::End,
            b'D' => Kind::Removed,
            b'R' => {
                let length = self.append(buffer, 4)?;
                let length = part(buffer, length).first_chunk::<4>().map(|length| u32::from_le_bytes(*length));
                let length = usize::try_from(length.ok_or_else(cut)?).unwrap_or(usize::MAX);
                Kind::Renamed { to: self.path(buffer, begin, length)? }
            }
            b'P' => self.payload(buffer, begin, &path)?,
            other => {
                return Err(broken(format!(
                    "a chunk of '{}' is of an unknown type: '{}'",
                    path.display(),
                    char::from(other).escape_default()
                )));
            }
        };
        Ok(Some(Chunk { path, kind, is_anew }))
    }

    fn path(&mut self, buffer: &mut Vec<u8>, begin: u64, length: usize) -> Result<PathBuf, StreamError> {
        let broken = |what: String| StreamError::Broken { at: begin, what };
        if !(1..=LONGEST_PATH).contains(&length) {
            return Err(broken(format!("a path has {length} bytes")));
        }
        let name = self.append(buffer, length as u64)?;
        if name.len() < length {
            return Err(broken("the stream ends in the middle of a chunk".to_owned()));
        }
        let path = PathBuf::from(OsString::from_vec(part(buffer, name).to_vec()));
        if is_clean(&path) {
            Ok(path)
        } else {
            let path = path.display().to_string();
            Err(broken(format!("the path '{}' is not one of a backup", path.escape_debug())))
        }
    }

    fn payload(&mut self, buffer: &mut Vec<u8>, begin: u64, path: &Path) -> Result<Kind, StreamError> {
        let broken = |what: &str| StreamError::Broken { at: begin, what: format!("{what} of '{}'", path.display()) };
        let cut = || broken("the stream ends in the middle of a chunk");
        let head = self.append(buffer, PAYLOAD_HEAD as u64)?;
        let head = part(buffer, head);
        let (length, rest) = head.split_first_chunk::<8>().ok_or_else(cut)?;
        let (offset, rest) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        let checksum = u32::from_le_bytes(*rest.first_chunk::<4>().ok_or_else(cut)?);
        let (length, offset) = (u64::from_le_bytes(*length), u64::from_le_bytes(*offset));
        if length > LONGEST_PAYLOAD {
            return Err(broken("a payload is longer than any tool writes"));
        }
        let bytes = self.append(buffer, length)?;
        if (bytes.len() as u64) < length {
            return Err(cut());
        }
        if crc32fast::hash(part(buffer, bytes.clone())) != checksum {
            return Err(broken("the checksum is wrong in a chunk"));
        }
        Ok(Kind::Payload { offset, bytes })
    }

    /// Appends as many bytes as there are, but no more than these; says where they are.
    fn append(&mut self, buffer: &mut Vec<u8>, count: u64) -> Result<Range<usize>, StreamError> {
        let begin = buffer.len();
        let read = (&mut self.input).take(count).read_to_end(buffer).map_err(|why| Fault::of(why, self.at))?;
        self.at += read as u64;
        Ok(begin..buffer.len())
    }
}

fn part(buffer: &[u8], range: Range<usize>) -> &[u8] {
    buffer.get(range).unwrap_or_default()
}

/// Whether a path leads nowhere but below, by plain names.
fn is_clean(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    !text.contains(&0)
        && !text.ends_with(b"/")
        && !text.windows(2).any(|pair| pair == b"//")
        && path.components().all(|part| matches!(part, Component::Normal(_)))
        && !text.starts_with(b"./")
        && !text.windows(3).any(|three| three == b"/./")
        && !text.ends_with(b"/.")
}
