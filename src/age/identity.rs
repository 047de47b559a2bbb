//! An identity: the secret half of a key, and the files in which `age-keygen` writes it.

use std::fmt;

use bech32::Hrp;
use thiserror::Error;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroize;

use super::key::{Recipient, decode};

/// What a secret key begins with.
pub(super) const BEGIN: &str = "AGE-SECRET-KEY-1";
/// Before the last 1.
const HRP: Hrp = Hrp::parse_unchecked("age-secret-key-");

/// The secret half of a key, with which something is decrypted. It is overwritten when it is dropped.
#[derive(Clone)]
pub struct Identity {
    secret: StaticSecret,
    public: Recipient,
}

/// Why a text holds no identities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// It is encrypted itself.
    #[error(
        "it is protected by a passphrase, which nobody is there to type: write it decrypted, readable by the daemon's user alone (age -d FILE)"
    )]
    Passphrase,
    /// It has none.
    #[error("it holds no secret key: a line that begins with {BEGIN}")]
    Empty,
    /// A line is none.
    #[error("line {line} of it {what}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it; nothing of its text.
        what: &'static str,
    },
}

impl Identity {
    /// Of these bytes.
    fn new(mut bytes: [u8; 32]) -> Self {
        let secret = StaticSecret::from(bytes);
        bytes.zeroize();
        let public = Recipient(PublicKey::from(&secret).to_bytes());
        Self { secret, public }
    }

    /// Its public half.
    pub fn recipient(&self) -> Recipient {
        self.public
    }

    /// What it and another public key have in common. None if that key is of those with which all have the same in common.
    pub(super) fn shared(&self, other: [u8; 32]) -> Option<[u8; 32]> {
        shared(&self.secret, other)
    }
}

/// What a secret and a public key have in common (RFC 7748); the public key of the secret is [`public`].
pub(super) fn shared(secret: &StaticSecret, other: [u8; 32]) -> Option<[u8; 32]> {
    let shared = secret.diffie_hellman(&PublicKey::from(other));
    shared.was_contributory().then(|| shared.to_bytes())
}

/// The public key of a secret one.
pub(super) fn public(secret: &StaticSecret) -> [u8; 32] {
    PublicKey::from(secret).to_bytes()
}

impl fmt::Debug for Identity {
    /// Nothing of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the identity of {}", self.public)
    }
}

/// Reads the text of a file of identities: one a line, beside comments that begin with `#` and empty lines.
///
/// # Errors
/// It holds none, or something else.
pub fn identities(text: &[u8]) -> Result<Vec<Identity>, IdentityError> {
    let is_encrypted = text.starts_with(b"age-encryption.org/") || text.starts_with(b"-----BEGIN AGE ENCRYPTED FILE");
    if is_encrypted {
        return Err(IdentityError::Passphrase);
    }
    let mut found = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let bad = |what| IdentityError::Line { line: index + 1, what };
        let line = std::str::from_utf8(line).map_err(|_unspecified| bad("is no text"))?.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with("age1") {
            return Err(bad("is a public key: the secret one is needed here"));
        }
        if line.starts_with("AGE-PLUGIN-") {
            return Err(bad("is a plugin's identity, which is not taken"));
        }
        if line.starts_with("-----BEGIN") {
            return Err(bad("begins a key of SSH or another kind, which is not taken"));
        }
        if !line.starts_with(BEGIN) {
            return Err(bad("is no secret key of age"));
        }
        found.push(Identity::new(decode(line, HRP).ok_or_else(|| bad("has a typo in it: its checksum is wrong"))?));
    }
    if found.is_empty() { Err(IdentityError::Empty) } else { Ok(found) }
}
