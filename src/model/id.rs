//! The two kinds of id: one a client chooses for a backup, one the daemon draws for a request.
//!
//! A [`BackupId`] is a file name by its type: it cannot hold `/`, be `..`, begin with `-`, or be empty. Whatever is joined to
//! a path or an argument from a client's word is one of these.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use uuid::Uuid;

/// The longest id, in bytes: half of what Linux allows a file name, so that a suffix always fits.
pub const MAX_ID: usize = 128;

/// The longest name of a file, in bytes (`NAME_MAX`, limits.h).
const MAX_NAME: usize = 255;

/// Folders that the daemon itself uses inside `backup_dir`.
const RESERVED: [&str; 2] = ["tmp", "restores"];

/// The id of a backup, and the name of its folder in `backup_dir`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct BackupId(String);

/// Why a text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    /// No character at all.
    #[error("it is empty")]
    Empty,
    /// More than [`MAX_ID`] bytes.
    #[error("it is longer than 128 bytes")]
    TooLong,
    /// A byte outside `A-Z a-z 0-9 . _ -`.
    #[error("it may contain only A-Z a-z 0-9 . _ -")]
    Character,
    /// `.` or `-` at its front.
    #[error("it may not begin with '.' or '-'")]
    Front,
    /// A name the daemon needs for itself.
    #[error("the daemon uses this name itself")]
    Reserved,
    /// Of a recorded backup: no file can be called so, or a command that names it would read as another.
    #[error("nothing in backup_dir can safely be called so")]
    NoName,
}

impl BackupId {
    /// The id of a backup that is recorded already, whoever took it: the Go daemon allowed any text. A new backup has an id by
    /// [`FromStr`]; what is there under another one is found by this.
    ///
    /// It is a file name too: no `/`, no `.` at its front, nothing that moves a line or a terminal. And since the records keep a command as
    /// one text, none of what separates programs (`|`) and options (a space and a `-`) there.
    ///
    /// # Errors
    /// It is none of the kind: nothing in `backup_dir` is looked for by it.
    pub fn recorded(text: &str) -> Result<Self, BadId> {
        match text.parse() {
            Err(BadId::Empty) => Err(BadId::Empty),
            Err(BadId::Reserved) => Err(BadId::Reserved),
            Err(_) if text.len() > MAX_NAME || text.starts_with('.') => Err(BadId::NoName),
            Err(_) if text.contains(|c: char| c.is_control() || matches!(c, '/' | '|')) => Err(BadId::NoName),
            Err(_) if text.contains(" -") => Err(BadId::NoName),
            Err(_) => Ok(Self(text.to_owned())),
            strict => strict,
        }
    }

    /// Whether a client may name it: whether it is one that a new backup could have.
    pub fn may_be_new(&self) -> bool {
        self.0.parse::<Self>().is_ok()
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BackupId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() {
            Err(BadId::Empty)
        } else if text.len() > MAX_ID {
            Err(BadId::TooLong)
        } else if !text.bytes().all(allowed) {
            Err(BadId::Character)
        } else if text.starts_with(['.', '-']) {
            Err(BadId::Front)
        } else if RESERVED.contains(&text) {
            Err(BadId::Reserved)
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of one accepted request: a UUID v4, by which the APIs poll the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandId(Uuid);

impl CommandId {
    /// Draws a new one.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The id of this text, as it is written here; none of any other spelling.
    pub(crate) fn read(text: &str) -> Option<Self> {
        Uuid::parse_str(text).ok().map(Self).filter(|id| id.to_string() == text)
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{BackupId, BadId};

    #[test]
    fn ids_that_the_apis_make_are_taken() {
        for text in ["2026-11-22-08-46-51", "20261122-084651", "kebab-case-name", "a", "A.b_c", &"x".repeat(128)] {
            assert_eq!(text.parse::<BackupId>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn of_a_recorded_backup_any_name_that_stays_in_its_directory_is_taken() {
        for text in [
            "my backup",
            "full:1",
            "-rf",
            "ä",
            "it's; $(x) *",
            "x\\y",
            &"x".repeat(255),
            "a",
            "..a".trim_start_matches('.'),
        ] {
            assert_eq!(BackupId::recorded(text).unwrap().as_str(), text);
        }
        assert!(
            !BackupId::recorded("my backup").unwrap().may_be_new() && BackupId::recorded("a").unwrap().may_be_new()
        );
        for (text, why) in [
            ("", BadId::Empty),
            ("tmp", BadId::Reserved),
            ("restores", BadId::Reserved),
            ("..", BadId::NoName),
            (".", BadId::NoName),
            (".hidden", BadId::NoName),
            ("../etc", BadId::NoName),
            ("a/b", BadId::NoName),
            ("/etc", BadId::NoName),
            ("a\0", BadId::NoName),
            ("a\nb", BadId::NoName),
            ("a\u{9b}b", BadId::NoName),
            ("a --datadir=/etc", BadId::NoName),
            ("a | dbcalm-db-cmd store --forward", BadId::NoName),
            (&"x".repeat(256), BadId::NoName),
        ] {
            assert_eq!(BackupId::recorded(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn ids_that_would_leave_the_backup_directory_are_refused() {
        let cases = [
            ("", BadId::Empty),
            (&"x".repeat(129), BadId::TooLong),
            ("../etc", BadId::Character),
            ("a/b", BadId::Character),
            ("a b", BadId::Character),
            ("a\0", BadId::Character),
            ("ä", BadId::Character),
            ("a\n", BadId::Character),
            ("..", BadId::Front),
            (".hidden", BadId::Front),
            ("-rf", BadId::Front),
            ("tmp", BadId::Reserved),
            ("restores", BadId::Reserved),
        ];
        for (text, why) in cases {
            assert_eq!(text.parse::<BackupId>(), Err(why), "{text:?}");
        }
    }
}
