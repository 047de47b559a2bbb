//! What the files of a stream take on a disk, once they are extracted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What they take, holes left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// The files themselves, in bytes.
    pub size: u64,
    /// By how much a base grows when they are applied to it, beside pages that are new, in bytes: an apply fills the holes of pages with page
    /// compression. An estimate.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub fills: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_nothing(bytes: &u64) -> bool {
    *bytes == 0
}

/// How [`Footprint`] begins in words.
const TAKES: &str = "its files take ";
/// What stands between its figures.
const FILLS: &str = " bytes on a disk, and fill holes of ";
/// How it ends.
const BYTES: &str = " bytes";

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TAKES}{}{FILLS}{}{BYTES}", self.size, self.fills)
    }
}

impl Footprint {
    /// What the step that stores a stream says of it. None if it does not say so.
    pub fn said(text: &str) -> Option<Self> {
        let (size, rest) = text.rsplit_once(TAKES)?.1.split_once(FILLS)?;
        let (fills, _) = rest.split_once(BYTES)?;
        Some(Self { size: size.parse().ok()?, fills: fills.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::Footprint;

    #[test]
    fn what_is_said_is_read_again() {
        for footprint in [Footprint::default(), Footprint { size: 1 << 40, fills: 77 }] {
            assert_eq!(Footprint::said(&format!("store: stored 'x'; {footprint} in 0.1 s\n")), Some(footprint));
        }
        for text in ["", "its files take many bytes on a disk, and fill holes of 3 bytes", "its files take 3"] {
            assert_eq!(Footprint::said(text), None);
        }
    }
}
