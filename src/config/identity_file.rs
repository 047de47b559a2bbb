//! The identity file: the secret key of a backup, read where a restore or a verification needs it and forgotten again.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::age::{self, Identity, IdentityError};

/// A file of identities is not larger than this, in bytes.
const MAX_SIZE: u64 = 64 * 1024;

/// Why no identity comes from the file.
#[derive(Debug, Error)]
pub enum IdentityFileError {
    /// It cannot be read.
    #[error("identity_file '{}' cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It holds none.
    #[error("identity_file '{}' cannot be used", path.display())]
    Unfit {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: IdentityError,
    },
}

/// Who may read the file beside its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposed(u32);

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "may be read or written by others than its owner (mode {:04o})", self.0)
    }
}

/// Reads the identities.
///
/// # Errors
/// The file cannot be read, or holds none that can be used.
pub fn read(path: &Path) -> Result<Vec<Identity>, IdentityFileError> {
    let unreadable = |source| IdentityFileError::Unreadable { path: path.to_owned(), source };
    let mut text = Zeroizing::new(Vec::new());
    take(path, &mut text).map_err(unreadable)?;
    age::identities(&text).map_err(|source| IdentityFileError::Unfit { path: path.to_owned(), source })
}

fn take(path: &Path, text: &mut Vec<u8>) -> io::Result<()> {
    // One that was put there to be waited for is not.
    let file = File::from(openat(CWD, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
    let there = file.metadata()?;
    if !there.is_file() || there.len() > MAX_SIZE {
        return Err(io::Error::other("it is no plain file, or is too large"));
    }
    file.take(MAX_SIZE).read_to_end(text)?;
    Ok(())
}

/// Whether others than its owner may get at it. One that is not there is nobody's.
pub fn exposed(path: &Path) -> Option<Exposed> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(Exposed(mode))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::{MAX_SIZE, read};
    use crate::model::causes;

    /// A key behind the limit would not be read, and a pipe would be waited for.
    #[test]
    fn a_file_that_is_too_large_or_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let said = |name: &str| {
            let why = causes(&read(&dir.path().join(name)).unwrap_err());
            why.replace(&dir.path().display().to_string(), "~")
        };
        let most = usize::try_from(MAX_SIZE).unwrap();
        fs::write(dir.path().join("full"), "#".repeat(most)).unwrap();
        fs::write(dir.path().join("large"), "#".repeat(most + 1)).unwrap();
        mknodat(CWD, dir.path().join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let told = ["full", "large", "pipe", "."].map(said).join("\n");
        insta::assert_snapshot!(told, @r"
        identity_file '~/full' cannot be used: it holds no secret key: a line that begins with AGE-SECRET-KEY-1
        identity_file '~/large' cannot be read: it is no plain file, or is too large
        identity_file '~/pipe' cannot be read: it is no plain file, or is too large
        identity_file '~/.' cannot be read: it is no plain file, or is too large
        ");
    }
}
