//! The credentials file: read afresh for every request, for two things alone.
//!
//! The daemon never logs in itself; the tools read this file. It looks whether the section is there, so that a request can be
//! refused at once, and takes the passwords, so that none of them is ever stored or logged from a tool's output.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::option_files;

/// Its name.
const NAME: &str = "client-dbcalm";

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
    // What it includes cannot be read is the tools' to say.
    fs::metadata(path).and_then(|_| fs::File::open(path)).map_err(CredentialsError::Unreadable)?;
    let texts: Vec<_> = option_files::all(path).into_iter().map(|(_, text)| text).collect();
    parse(&texts.join("\n"))
}

/// Who may get at the file beside its owner and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Everybody may read the password.
    Readable,
    /// Everybody may write it, and the tools ignore such a file (`my_default.c` of MariaDB and MySQL).
    Writable,
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Readable => "may be read by everybody",
            Self::Writable => "may be written by everybody, and the tools ignore such a file",
        })
    }
}

/// Whether everybody may get at the file at `path`. One that is not there is nobody's.
pub fn exposure(path: &Path) -> Option<Exposure> {
    let mode_of = |path: &Path| fs::metadata(path).map(|there| there.permissions().mode()).unwrap_or_default();
    let mode =
        option_files::all(path).iter().map(|(path, _)| mode_of(path)).fold(mode_of(path), |all, mode| all | mode);
    if mode & 0o002 != 0 {
        Some(Exposure::Writable)
    } else if mode & 0o004 != 0 {
        Some(Exposure::Readable)
    } else {
        None
    }
}

/// Reads the text of a credentials file.
pub(crate) fn parse(text: &str) -> Result<Secrets, CredentialsError> {
    if !text.lines().any(|line| option_files::section(line).is_some_and(|name| name.eq_ignore_ascii_case(NAME))) {
        return Err(CredentialsError::NoSection);
    }
    let passwords = text.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        let key = key.trim().trim_start_matches("loose-").trim_start_matches("loose_");
        (key == "password").then(|| value.trim())
    });
    let mut secrets: Vec<String> = passwords.flat_map(spellings).filter(|secret| !secret.is_empty()).collect();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.dedup();
    Ok(Secrets(secrets))
}

/// What a value may stand for: as it is written; without quotes or a comment behind it; and with `\\` and the like resolved
/// (mariadb.com, "Configuring MariaDB with Option Files").
fn spellings(value: &str) -> [String; 3] {
    let bare = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let inside = value.get(1..).unwrap_or_default();
            inside.rfind(quote).and_then(|end| inside.get(..end)).unwrap_or(inside)
        }
        Some(_) | None => value.split('#').next().unwrap_or_default().trim_end(),
    };
    let mut resolved = String::with_capacity(bare.len());
    let mut characters = bare.chars();
    while let Some(character) = characters.next() {
        resolved.push(match character {
            '\\' => match characters.next() {
                Some('s') => ' ',
                Some('t') => '\t',
                Some('n') => '\n',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    [value.to_owned(), bare.to_owned(), resolved]
}

/// What the tools take a value of an option file for.
pub(super) fn meant(value: &str) -> String {
    let [_, _, resolved] = spellings(value.trim());
    resolved
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::{CredentialsError, Exposure, exposure, parse, read};

    #[test]
    fn the_section_must_be_there() {
        assert!(parse("[client]\nuser=x\n").is_err());
        assert!(parse("# [client-dbcalm]\n").is_err());
        assert!(matches!(parse(""), Err(CredentialsError::NoSection)));
        assert!(parse(" [client-dbcalm] \r\nuser=x\r\n").is_ok());
        assert!(parse("[client-dbcalm] # for the backups\nuser = dbcalm\npassword = \"pass#word\"\n").is_ok());
        assert!(parse("[client-dbcalm ]; x\nuser=x\n").is_ok() && parse("[Client-DBcalm]\nuser=x\n").is_ok());
        for other in ["[client-dbcalm", "[client-dbcalm-2]\n", "x [client-dbcalm]\n", "[ client-dbcalm]\n"] {
            assert!(parse(other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn what_the_file_includes_belongs_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let write = |name: &str, text: &str| fs::write(path(name), text).unwrap();
        write(
            "credentials.cnf",
            &format!("!include {}\n!includedir {}\n", path("own.txt").display(), path("more").display()),
        );
        fs::create_dir(path("more")).unwrap();
        assert!(matches!(read(&path("credentials.cnf")), Err(CredentialsError::NoSection)));
        assert!(matches!(read(&path("nowhere.cnf")), Err(CredentialsError::Unreadable(_))));
        write("own.txt", "[client-dbcalm] # here\npassword=first\n");
        write(
            "more/a.cnf",
            &format!("[client-dbcalm]\npassword=second\n!include {}\n", path("credentials.cnf").display()),
        );
        write("more/b.txt", "[client-dbcalm]\npassword=never\n");
        let secrets = read(&path("credentials.cnf")).unwrap();
        let has = |text: &str| secrets.iter().any(|secret| secret == text);
        assert!(has("first") && has("second") && !has("never"));
        for file in ["credentials.cnf", "own.txt", "more/a.cnf"] {
            fs::set_permissions(path(file), fs::Permissions::from_mode(0o640)).unwrap();
        }
        assert_eq!(exposure(&path("credentials.cnf")), None);
        fs::set_permissions(path("more/a.cnf"), fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(exposure(&path("credentials.cnf")), Some(Exposure::Readable));
    }

    #[test]
    fn passwords_are_taken_without_their_quotes_and_never_shown() {
        let secrets =
            parse("[client-dbcalm]\npassword = \"a=b\" # note\n[mysqldump]\nloose-password=c#d\nuser=d\n").unwrap();
        let has = |text: &str| secrets.iter().any(|secret| secret == text);
        assert!(has("a=b") && has("c") && has("c#d") && !has("d") && !has(""));
        assert!(parse("[client-dbcalm]\npassword=a\\\\b\n").unwrap().iter().any(|secret| secret == "a\\b"));
        assert_eq!(format!("{:?}", parse("[client-dbcalm]\npassword=x\n").unwrap()), "Secrets(1)");
    }
}
