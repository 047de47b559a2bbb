//! How a stream is packed: compressed, and maybe encrypted.

use super::Compression;

/// What the name of an encrypted stream ends in.
const ENCRYPTED: &str = ".age";

/// How a stream is packed, as the ending of its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// What it is compressed with.
    pub compression: Compression,
    /// Whether that is encrypted, in the age format.
    pub is_encrypted: bool,
}

impl Packed {
    /// All ways.
    pub const ALL: [Self; 6] = [
        Self { compression: Compression::None, is_encrypted: false },
        Self { compression: Compression::Gzip, is_encrypted: false },
        Self { compression: Compression::Zstd, is_encrypted: false },
        Self { compression: Compression::None, is_encrypted: true },
        Self { compression: Compression::Gzip, is_encrypted: true },
        Self { compression: Compression::Zstd, is_encrypted: true },
    ];

    /// What a stream's name ends in.
    pub fn ending(self) -> String {
        format!("{}{}", self.compression.ending(), if self.is_encrypted { ENCRYPTED } else { "" })
    }

    /// How a stream of this name is packed.
    pub fn of_name(name: &str) -> Self {
        let bare = name.strip_suffix(ENCRYPTED);
        Self { compression: Compression::of_name(bare.unwrap_or(name)), is_encrypted: bare.is_some() }
    }

    /// What its first bytes show.
    pub fn outer(self) -> &'static str {
        if self.is_encrypted { "encrypted" } else { self.compression.name() }
    }
}

impl From<Compression> for Packed {
    /// Not encrypted.
    fn from(compression: Compression) -> Self {
        Self { compression, is_encrypted: false }
    }
}

#[cfg(test)]
mod tests {
    use super::Packed;

    #[test]
    fn a_name_says_how_a_stream_is_packed() {
        for packed in Packed::ALL {
            assert_eq!(Packed::of_name(&format!("backup-a.xbstream{}", packed.ending())), packed);
        }
        let endings = Packed::ALL.map(Packed::ending);
        assert_eq!(endings, ["", ".gz", ".zst", ".age", ".gz.age", ".zst.age"]);
    }
}
