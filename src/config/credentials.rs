//! The credentials file: read afresh for every request, for two things alone.
//!
//! The daemon never logs in itself; the tools read this file. It looks whether the section is there, so that a request can be
//! refused at once, and takes the passwords, so that none of them is ever stored or logged from a tool's output.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

/// The section that the tools read, by `--defaults-group-suffix=-dbcalm`.
pub const SECTION: &str = "[client-dbcalm]";

/// Texts that must appear nowhere.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(Vec<String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Why the tools could not log in with this file.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Not there, or not readable.
    #[error("no credentials from the file")]
    Unreadable(#[source] io::Error),
    /// No section for the daemon.
    #[error("no section [client-dbcalm] in the credentials file")]
    NoSection,
}

/// Reads the file at `path`; gives what must be kept secret.
pub fn read(path: &Path) -> Result<Secrets, CredentialsError> {
    parse(&String::from_utf8_lossy(&fs::read(path).map_err(CredentialsError::Unreadable)?))
}

fn parse(text: &str) -> Result<Secrets, CredentialsError> {
    if !text.lines().any(|line| line.trim() == SECTION) {
        return Err(CredentialsError::NoSection);
    }
    let secrets = text.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        let value = value.trim();
        let bare = value.strip_prefix(['"', '\'']).and_then(|rest| rest.strip_suffix(['"', '\''])).unwrap_or(value);
        (key.trim() == "password" && !bare.is_empty()).then(|| bare.to_owned())
    });
    Ok(Secrets(secrets.collect()))
}

#[cfg(test)]
mod tests {
    use super::{CredentialsError, parse};

    #[test]
    fn the_section_must_be_there() {
        assert!(parse("[client]\nuser=x\n").is_err());
        assert!(parse("# [client-dbcalm]\n").is_err());
        assert!(matches!(parse(""), Err(CredentialsError::NoSection)));
        assert!(parse(" [client-dbcalm] \r\nuser=x\r\n").is_ok());
    }

    #[test]
    fn passwords_are_taken_without_their_quotes_and_never_shown() {
        let secrets = parse("[client-dbcalm]\npassword = \"a=b\"\n[mysqldump]\npassword=c\nuser=d\n").unwrap();
        assert_eq!(secrets.iter().collect::<Vec<_>>(), ["a=b", "c"]);
        assert_eq!(format!("{secrets:?}"), "Secrets(2)");
    }
}
