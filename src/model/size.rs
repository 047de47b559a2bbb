//! Sizes as people read them, and what a place lacks.

use std::fmt;
use std::path::PathBuf;

/// What a place lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// Where.
    pub place: PathBuf,
    /// How much will be written there at least, in bytes.
    pub needed: u64,
    /// How much is free there for this user, in bytes.
    pub free: u64,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, needed, free } = self;
        let missing = Amount(needed.saturating_sub(*free));
        let (place, needed, free) = (place.display(), Amount(*needed), Amount(*free));
        write!(f, "no room in '{place}': at least {needed} are needed and {free} are free, {missing} are missing")
    }
}

/// Bytes as a person reads them.
pub struct Amount(pub u64);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("PiB", 50), ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        let Some((unit, bits)) = units.into_iter().find(|(_, bits)| self.0 >> bits > 0) else {
            return write!(f, "{} B", self.0);
        };
        // In tenths, rounded down: what is missing is more rather than less.
        let tenths = (u128::from(self.0) * 10) >> bits;
        if tenths < 1000 {
            write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
        } else {
            write!(f, "{} {unit}", tenths / 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Amount, Shortage};

    #[test]
    fn what_is_missing_is_said_for_a_person() {
        let shortage = Shortage { place: "/b".into(), needed: 13_207_024_435, free: 4 << 30 };
        assert_eq!(
            shortage.to_string(),
            "no room in '/b': at least 12.2 GiB are needed and 4.0 GiB are free, 8.2 GiB are missing"
        );
        let said = [0, 1023, 1024, 1536, 123_456_789, 5 << 40, u64::MAX].map(|bytes| Amount(bytes).to_string());
        assert_eq!(said, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "117 MiB", "5.0 TiB", "16383 PiB"]);
    }
}
