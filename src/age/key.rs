//! A recipient: the public half of a key, `age1…`.

use std::fmt;
use std::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use thiserror::Error;

/// What a public key begins with.
const BEGIN: &str = "age1";
/// Before the 1.
const HRP: Hrp = Hrp::parse_unchecked("age");

/// The public half of a key, to which something is encrypted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipient(pub(super) [u8; 32]);

/// Why a text is no recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadRecipient {
    /// It is a secret key.
    #[error(
        "is a secret key: it belongs on no host that is backed up. Its public key is needed, as age-keygen -y tells it"
    )]
    Secret,
    /// It is of another kind.
    #[error("does not begin with {BEGIN}: age's own public keys alone are taken, none of SSH or of a plugin")]
    Kind,
    /// A letter of it is another, or is missing.
    #[error("has a typo in it: its checksum is wrong")]
    Typo,
}

impl FromStr for Recipient {
    type Err = BadRecipient;

    fn from_str(text: &str) -> Result<Self, BadRecipient> {
        if text
            .get(..super::identity::BEGIN.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(super::identity::BEGIN))
        {
            return Err(BadRecipient::Secret);
        }
        // Those of plugins have a name before another 1.
        if !text.starts_with(BEGIN) {
            return Err(BadRecipient::Kind);
        }
        decode(text, HRP).map(Self).ok_or(BadRecipient::Typo)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bech32::encode_lower_to_fmt::<Bech32, _>(f, HRP, &self.0).map_err(|_unspecified| fmt::Error)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The 32 bytes of a key in Bech32 (BIP 173), if it is written as it should be.
pub(super) fn decode(text: &str, hrp: Hrp) -> Option<[u8; 32]> {
    let checked = CheckedHrpstring::new::<Bech32>(text).ok()?;
    if checked.hrp() != hrp {
        return None;
    }
    let mut bytes = checked.byte_iter();
    let mut key = [0; 32];
    for byte in &mut key {
        *byte = bytes.next()?;
    }
    let is_canonical = bytes.next().is_none()
        && bech32::encode_lower::<Bech32>(hrp, &key).is_ok_and(|again| again.eq_ignore_ascii_case(text));
    is_canonical.then_some(key)
}
