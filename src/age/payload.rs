//! The chunks of an encrypted file: 64 KiB each but the last, each sealed for itself by its number and by whether it is the last.

use std::fmt;
use std::sync::Arc;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::AgeError;

/// How long a chunk is, in bytes; the last may be shorter.
pub const CHUNK: usize = 64 * 1024;
/// By how much it is longer sealed, in bytes.
pub const TAG: usize = 16;
/// How long it is sealed, in bytes.
pub const SEALED: usize = CHUNK + TAG;

/// What seals the chunks of one file, and opens them, on any thread and in any order.
#[derive(Clone)]
pub struct PayloadKey(Arc<LessSafeKey>);

impl fmt::Debug for PayloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key of a file")
    }
}

/// A chunk's number, big-endian in 11 bytes, and whether it is the last.
fn nonce(number: u64, is_last: bool) -> Nonce {
    let mut nonce = [0; 12];
    let (_, low) = nonce.split_at_mut(3);
    if let Some((counter, last)) = low.split_first_chunk_mut::<8>() {
        *counter = number.to_be_bytes();
        last.fill(u8::from(is_last));
    }
    Nonce::assume_unique_for_key(nonce)
}

impl PayloadKey {
    pub(super) fn new(key: &[u8; 32]) -> Result<Self, AgeError> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_unspecified| AgeError::Broken)?;
        Ok(Self(Arc::new(LessSafeKey::new(key))))
    }

    /// Seals chunks from this number on: all of them whole, unless they are the last. No number may be given twice.
    ///
    /// # Errors
    /// The primitives refuse.
    pub fn seal(&self, first: u64, plain: &[u8], is_last: bool) -> Result<Vec<u8>, AgeError> {
        let count = plain.len().div_ceil(CHUNK).max(1);
        let mut sealed = Vec::with_capacity(plain.len() + count * TAG);
        for index in 0..count {
            let chunk = plain.get(index * CHUNK..(index * CHUNK + CHUNK).min(plain.len())).unwrap_or_default();
            let begin = sealed.len();
            sealed.extend_from_slice(chunk);
            let nonce = nonce(first + index as u64, is_last && index + 1 == count);
            let tag =
                self.0.seal_in_place_separate_tag(nonce, Aad::empty(), sealed.get_mut(begin..).unwrap_or_default());
            sealed.extend_from_slice(tag.map_err(|_unspecified| AgeError::Broken)?.as_ref());
        }
        Ok(sealed)
    }

    /// Opens chunks from this number on: all of them whole, unless they are the last.
    ///
    /// # Errors
    /// One is not what was sealed under its number; or the last is not the last, or is missing.
    pub fn open(&self, first: u64, sealed: &[u8], is_last: bool) -> Result<Vec<u8>, AgeError> {
        if sealed.is_empty() {
            return Err(AgeError::Cut);
        }
        let mut plain = Vec::with_capacity(sealed.len());
        let count = sealed.len().div_ceil(SEALED);
        for (index, chunk) in sealed.chunks(SEALED).enumerate() {
            let number = first + index as u64;
            let is_last = is_last && index + 1 == count;
            let (chunk, tag) = chunk.split_last_chunk::<TAG>().ok_or(AgeError::Cut)?;
            if chunk.is_empty() && number > 0 {
                // Only a file of nothing has a chunk of nothing.
                return Err(AgeError::Chunk(number));
            }
            let begin = plain.len();
            plain.extend_from_slice(chunk);
            if self.opens(number, plain.get_mut(begin..).unwrap_or_default(), *tag, is_last) {
                continue;
            }
            let mut again = chunk.to_vec();
            return Err(match self.opens(number, &mut again, *tag, !is_last) {
                true if is_last => AgeError::Cut,
                true => AgeError::Trailing,
                false => AgeError::Chunk(number),
            });
        }
        Ok(plain)
    }

    fn opens(&self, number: u64, chunk: &mut [u8], tag: [u8; TAG], is_last: bool) -> bool {
        self.0.open_in_place_separate_tag(nonce(number, is_last), Aad::empty(), tag.into(), chunk, 0..).is_ok()
    }
}
