//! The identity file: the secret key of a backup, read where a restore or a verification needs it and forgotten again.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::age::{self, Identity, IdentityError};

/// A file of identities is smaller than this, in bytes.
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
    File::open(path).and_then(|file| file.take(MAX_SIZE).read_to_end(&mut text)).map_err(unreadable)?;
    age::identities(&text).map_err(|source| IdentityFileError::Unfit { path: path.to_owned(), source })
}

/// Whether others than its owner may get at it. One that is not there is nobody's.
pub fn exposed(path: &Path) -> Option<Exposed> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(Exposed(mode))
}
