//! A piece that is encrypted: a file of the age format of its own, since such files cannot be put one behind the other.

use std::io::{self, Read};

use crate::age::{self, AgeError, CHUNK, Identity, PayloadKey, Recipient, SEALED};

/// How many chunks are encrypted or decrypted at once: 1 MiB.
const CHUNKS: usize = 16;

fn broken(why: AgeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Encrypts what it is given.
pub(super) struct Sealer {
    key: PayloadKey,
    number: u64,
    open: Vec<u8>,
}

impl Sealer {
    /// Begins a piece for these. Gives what stands before its chunks.
    pub(super) fn begin(recipients: &[Recipient]) -> io::Result<(Vec<u8>, Self)> {
        let (head, key) = age::begin(recipients).map_err(broken)?;
        Ok((head, Self { key, number: 0, open: Vec::new() }))
    }

    /// Takes in bytes, and gives those that are encrypted by now. The last chunk is kept back: only what something follows is not the last.
    pub(super) fn seal(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.open.extend_from_slice(bytes);
        let whole = self.open.len().saturating_sub(1) / CHUNK;
        if whole == 0 {
            return Ok(Vec::new());
        }
        let rest = self.open.split_off(whole * CHUNK);
        let sealed = self.key.seal(self.number, &self.open, false).map_err(broken)?;
        self.number += whole as u64;
        self.open = rest;
        Ok(sealed)
    }

    /// Gives the rest, with the mark of the end.
    pub(super) fn end(self) -> io::Result<Vec<u8>> {
        self.key.seal(self.number, &self.open, true).map_err(broken)
    }
}

/// Decrypts what it reads. A piece that ends too early is an error.
pub(super) struct Opener<R> {
    input: R,
    key: PayloadKey,
    number: u64,
    /// What is read and not decrypted yet.
    sealed: Vec<u8>,
    plain: io::Cursor<Vec<u8>>,
    is_over: bool,
}

impl<R: Read> Opener<R> {
    /// Reads the head, and opens it by one of these.
    pub(super) fn begin(mut input: R, identities: &[Identity]) -> io::Result<Self> {
        let key = age::open(&mut input, identities)?.map_err(broken)?.key;
        let mut opener =
            Self { input, key, number: 0, sealed: Vec::new(), plain: io::Cursor::default(), is_over: false };
        opener.sealed = opener.unit()?;
        Ok(opener)
    }

    /// What is decrypted.
    pub(super) fn input(&self) -> &R {
        &self.input
    }

    fn unit(&mut self) -> io::Result<Vec<u8>> {
        let mut unit = Vec::new();
        (&mut self.input).take((CHUNKS * SEALED) as u64).read_to_end(&mut unit)?;
        Ok(unit)
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.plain.read(to)?;
            if count > 0 || to.is_empty() || self.is_over {
                return Ok(count);
            }
            let next = self.unit()?;
            self.is_over = next.is_empty();
            let plain = self.key.open(self.number, &self.sealed, self.is_over).map_err(broken)?;
            self.number += CHUNKS as u64;
            self.sealed = next;
            self.plain = io::Cursor::new(plain);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::{Opener, Sealer};
    use crate::age::{CHUNK, Identity, identities};

    fn identity() -> Vec<Identity> {
        identities(b"AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0").unwrap()
    }

    fn sealed(bytes: &[u8], at_once: usize) -> Vec<u8> {
        let (mut all, mut sealer) = Sealer::begin(&[identity()[0].recipient()]).unwrap();
        for part in bytes.chunks(at_once) {
            all.extend(sealer.seal(part).unwrap());
        }
        all.extend(sealer.end().unwrap());
        all
    }

    #[test]
    fn what_is_sealed_in_parts_of_any_length_is_opened_whole_and_no_cut_is_passed_over() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 16 * CHUNK, 16 * CHUNK + 1, 33 * CHUNK + 7] {
            let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            for at_once in [777, CHUNK, 1 << 20] {
                let all = sealed(&bytes, at_once);
                let mut opened = Vec::new();
                Opener::begin(&*all, &identity()).unwrap().read_to_end(&mut opened).unwrap();
                assert!(opened == bytes, "{length} {at_once}");
                let cut = &all[..all.len() - 1];
                let read = Opener::begin(cut, &identity()).and_then(|mut all| all.read_to_end(&mut Vec::new()));
                assert!(read.is_err(), "{length}");
            }
        }
    }
}
