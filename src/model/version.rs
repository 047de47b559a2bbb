//! The version of a backup tool, out of what it says of itself.

use std::fmt;

/// A version, as far as the differences between the tools go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 10 of 10.11.19.
    pub major: u32,
    /// 11 of 10.11.19.
    pub minor: u32,
}

impl Version {
    /// Finds the server version in the text of `--version`, or in a bare version.
    ///
    /// `mariabackup based on MariaDB server 10.11.19-MariaDB debian-linux-gnu (x86_64)` names the series it belongs to behind
    /// "server"; `xtrabackup version 8.0.35-30 based on MySQL server 8.0.35 Linux (x86_64)` likewise (Percona's documentation).
    pub fn parse(text: &str) -> Option<Self> {
        let from = text.split_once(" server ").map_or(text, |(_, behind)| behind);
        let mut numbers = from.trim_start().split(|c: char| !c.is_ascii_digit());
        Some(Self { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn the_tools_texts_are_read() {
        let cases = [
            (
                "/usr/bin/mariabackup based on MariaDB server 10.11.19-MariaDB debian-linux-gnu (x86_64)\n",
                Some((10, 11)),
            ),
            ("mariadb-backup based on MariaDB server 11.8.6-MariaDB Linux (x86_64)", Some((11, 8))),
            (
                "xtrabackup version 8.0.35-30 based on MySQL server 8.0.35 Linux (x86_64) (revision id: 6beb4b49)",
                Some((8, 0)),
            ),
            ("10.1.48-MariaDB", Some((10, 1))),
            ("mariadb-backup: unknown option", None),
            ("", None),
        ];
        for (text, version) in cases {
            assert_eq!(Version::parse(text), version.map(|(major, minor)| Version { major, minor }), "{text}");
        }
    }
}
