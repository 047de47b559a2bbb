//! A cursor over bytes of a binary log: little-endian numbers and texts, each only if it is all there.

/// What is left to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    /// The next so many.
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next number, of so many bytes; no more than 8.
    pub(super) fn number(&mut self, bytes: usize) -> Option<u64> {
        Some(self.take(bytes)?.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// The next number of one byte.
    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// The next number of two bytes.
    pub(super) fn short(&mut self) -> Option<u16> {
        self.number(2)?.try_into().ok()
    }

    /// The next number of four bytes.
    pub(super) fn word(&mut self) -> Option<u32> {
        self.number(4)?.try_into().ok()
    }

    /// The next number of eight bytes.
    pub(super) fn long(&mut self) -> Option<u64> {
        self.number(8)
    }

    /// The next number of eight bytes, of things that each take `size` bytes of what is left: no more than can be there.
    pub(super) fn count(&mut self, size: usize) -> Option<usize> {
        usize::try_from(self.long()?).ok().filter(|count| *count <= self.0.len() / size)
    }

    /// A name of so many bytes, with a NUL behind it.
    pub(super) fn name(&mut self, length: usize) -> Option<String> {
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        (self.byte()? == 0).then_some(text)
    }
}
