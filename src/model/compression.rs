//! What a stream is compressed with.

/// What a stream is compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Nothing.
    None,
    /// gzip, RFC 1952.
    Gzip,
    /// Zstandard, RFC 8878.
    Zstd,
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Gzip, Self::Zstd];

    /// What a stream's name ends in.
    pub fn ending(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }

    /// How a stream of this name is compressed.
    pub fn of_name(name: &str) -> Self {
        // Every name ends in nothing.
        Self::ALL.into_iter().rev().find(|compression| name.ends_with(compression.ending())).unwrap_or(Self::None)
    }

    /// Its name in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The lowest and the highest level that may be set; None if there is nothing to set.
    pub fn levels(self) -> Option<(i32, i32)> {
        match self {
            Self::None => None,
            Self::Gzip => Some((1, 9)),
            Self::Zstd => Some((1, 19)),
        }
    }
}
