//! The age format, version 1, for recipients of the X25519 kind: keys, the head of an encrypted file, and its chunks.
//!
//! In: bytes and the public keys that they are for, or an encrypted file and a secret key. Out: what `age -d` reads, or the bytes, each chunk
//! proven before it is given out. It reads no other kind of recipient: a passphrase or a plugin's key opens nothing here. The format is
//! published as C2SP's `age.md`; Debian's `age` and the published test vectors hold us to it. The primitives are those of `ring` and
//! `x25519-dalek`; nothing here knows of streams or backups.

mod header;
mod identity;
mod key;
mod payload;

use thiserror::Error;

pub use header::{Opened, begin, open};
pub use identity::{Identity, IdentityError, identities};
pub use key::{BadRecipient, Recipient};
pub use payload::{CHUNK, PayloadKey, SEALED, TAG};

/// What an encrypted file begins with.
pub const MAGIC: &[u8] = b"age-encryption.org/v1\n";

/// Why an encrypted file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AgeError {
    /// Its head is none of the format.
    #[error("its head is damaged: {0}")]
    Header(&'static str),
    /// None of the identities is one of its recipients'.
    #[error("it is for {recipients} recipients, none of whom the identity is of")]
    NoMatch {
        /// How many recipients it has.
        recipients: usize,
    },
    /// The head has been changed.
    #[error("its head has been changed")]
    Mac,
    /// It ends too early.
    #[error("it ends before its last chunk")]
    Cut,
    /// A chunk is not what was written there.
    #[error("chunk {0} is not what was written there")]
    Chunk(u64),
    /// Something comes behind the last chunk.
    #[error("something comes behind its last chunk")]
    Trailing,
    /// The machine gives no random numbers, or the primitives refuse.
    #[error("the machine's cryptography does not work")]
    Broken,
}
