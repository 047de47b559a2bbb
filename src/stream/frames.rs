//! A compressed stream cut into what can be decompressed by itself: frames of Zstandard (RFC 8878), members of gzip (RFC 1952).
//!
//! A frame of zstd is found by the heads of its blocks. A member of gzip tells its length nowhere, so ours do in an extra field of their head
//! ([`member`]), which gzip passes over. What is neither small nor says its length, such as the one frame or member of a predecessor, is
//! the rest: it is decompressed as it is read, on one thread.

use std::io::{self, Read};

use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};

use crate::model::Compression;

/// How much is read at once, in bytes.
const STEP: usize = 512 * 1024;
/// The most that a frame becomes which is decompressed as a whole, in bytes. Ours become 2 MiB; before they were cut so, 12 MiB with the
/// chunks that mariadb-backup 10.11.19 writes.
pub(super) const MOST: usize = 16 << 20;
/// How long a frame may be that becomes so much, in bytes: what cannot be compressed grows by far less.
const LONGEST: usize = MOST + MOST / 64;

/// The head of a member with an extra field (RFC 1952, 2.3): no name, no time, of no known system; and the length of the field.
const MEMBER_HEAD: [u8; 12] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0];
/// What our field begins with: two letters that name it, and the length of what it holds.
const LENGTH_FIELD: [u8; 4] = [b'd', b'b', 4, 0];

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Bytes that are decompressed by themselves.
    Frame(Vec<u8>),
    /// What cannot be cut: see [`Frames::into_rest`].
    Rest,
    /// Nothing.
    End,
}

/// Cuts what is read.
pub(super) struct Frames<R> {
    input: R,
    compression: Compression,
    pending: Vec<u8>,
    is_over: bool,
}

impl<R: Read> Frames<R> {
    /// Of a stream with this compression.
    pub(super) fn new(input: R, compression: Compression) -> Self {
        Self { input, compression, pending: Vec::new(), is_over: false }
    }

    /// The next frame.
    ///
    /// # Errors
    /// It cannot be read, or ends in the middle of one.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        loop {
            let length = match self.compression {
                Compression::None => Length::Unknown,
                _ if self.pending.is_empty() => Length::More,
                Compression::Gzip => of_member(&self.pending),
                Compression::Zstd => of_frame(&self.pending),
            };
            match length {
                Length::Is(length) if length <= self.pending.len() => {
                    let rest = self.pending.split_off(length);
                    return Ok(Next::Frame(std::mem::replace(&mut self.pending, rest)));
                }
                Length::Unknown => return Ok(Next::Rest),
                Length::Is(_) | Length::More => {}
            }
            if self.is_over {
                // What is cut is found by who decompresses it.
                return Ok(if self.pending.is_empty() { Next::End } else { Next::Rest });
            }
            let read = (&mut self.input).take(STEP as u64).read_to_end(&mut self.pending)?;
            self.is_over = read == 0;
        }
    }

    /// What was not given out as frames.
    pub(super) fn into_rest(self) -> impl Read {
        io::Cursor::new(self.pending).chain(self.input)
    }
}

/// How long a frame is.
#[derive(Debug, PartialEq, Eq)]
enum Length {
    Is(usize),
    /// More of it has to be read to know that.
    More,
    Unknown,
}

/// The length of the frame of zstd at the beginning.
fn of_frame(bytes: &[u8]) -> Length {
    // The longest head: RFC 8878, 3.1.1.1.
    const HEAD: usize = 18;
    match get_frame_content_size(bytes) {
        Ok(Some(size)) if size <= MOST as u64 => {}
        Err(_) if bytes.len() < HEAD => return Length::More,
        Ok(_) | Err(_) => return Length::Unknown,
    }
    match find_frame_compressed_size(bytes) {
        Ok(length) if length <= LONGEST => Length::Is(length),
        Err(_) if bytes.len() < LONGEST => Length::More,
        Ok(_) | Err(_) => Length::Unknown,
    }
}

/// The length of the member at the beginning, if it is one of ours.
fn of_member(bytes: &[u8]) -> Length {
    let head = [MEMBER_HEAD.as_slice(), &LENGTH_FIELD].concat();
    let Some((there, rest)) = bytes.split_at_checked(head.len()) else { return Length::More };
    if there != head {
        return Length::Unknown;
    }
    let Some(length) = rest.first_chunk::<4>() else { return Length::More };
    match usize::try_from(u32::from_le_bytes(*length)) {
        Ok(length) if (head.len() + 4 + 8..=LONGEST).contains(&length) => Length::Is(length),
        Ok(_) | Err(_) => Length::Unknown,
    }
}

/// A member of gzip of these parts (RFC 1952, 2.2), which says how long it is: what was deflated, and the checksum and the length of what it was
/// made of. One that is longer than such a field can say does without.
pub(super) fn member(deflated: &[u8], checksum: u32, length: usize) -> Vec<u8> {
    let whole = MEMBER_HEAD.len() + LENGTH_FIELD.len() + 4 + deflated.len() + 8;
    let whole = u32::try_from(whole).unwrap_or_default().to_le_bytes();
    // The length modulo 2^32.
    let length = u32::try_from(length as u64 & u64::from(u32::MAX)).unwrap_or_default().to_le_bytes();
    [&MEMBER_HEAD, LENGTH_FIELD.as_slice(), &whole, deflated, &checksum.to_le_bytes(), &length].concat()
}
