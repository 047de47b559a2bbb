//! How long a stream is: as the tool wrote it, and as it is stored.

use std::fmt;

/// The lengths of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lengths {
    /// As it is stored, compressed, in bytes.
    pub stored: u64,
    /// As the tool wrote it, in bytes.
    pub data: u64,
}

/// What stands between the two in words.
const OF: &str = " bytes, of a stream of ";
/// How they end.
const BYTES: &str = " bytes";

impl fmt::Display for Lengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{OF}{}{BYTES}", self.stored, self.data)
    }
}

impl Lengths {
    /// What the step that stores a stream says of it. None if it does not say so.
    pub fn said(text: &str) -> Option<Self> {
        let (before, after) = text.rsplit_once(OF)?;
        let stored = before.rsplit(' ').next()?;
        let (data, _) = after.split_once(BYTES)?;
        Some(Self { stored: stored.parse().ok()?, data: data.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::Lengths;

    #[test]
    fn what_is_said_is_read_again() {
        for lengths in [Lengths::default(), Lengths { stored: 7, data: 1 << 40 }] {
            assert_eq!(Lengths::said(&format!("store: stored 'a 1': {lengths} with 3 files; x\n")), Some(lengths));
        }
        for text in ["", "7 bytes, of a stream of many bytes", "some bytes, of a stream of 7 bytes", "7 bytes"] {
            assert_eq!(Lengths::said(text), None, "{text}");
        }
    }
}
