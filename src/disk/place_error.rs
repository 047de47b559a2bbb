//! Why a place outside the data directory, or one that a table's link leads to, cannot be filled.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a place cannot be filled.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// It is not there.
    #[error("'{}' does not exist, but {option} of the server that was backed up points there: create it for the server's user, or restore to a folder", dir.display())]
    Missing {
        /// Which directory.
        dir: PathBuf,
        /// The option that leads there.
        option: String,
    },
    /// Something lies there.
    #[error("{} in the way, where {option} of the server that was backed up points: move {} aside", named(path, more), if more.is_empty() { "it" } else { "them" })]
    Taken {
        /// Which file.
        path: PathBuf,
        /// Which others.
        more: Vec<PathBuf>,
        /// The option that leads there.
        option: String,
    },
    /// What should have come there did not.
    #[error("'{}' did not arrive whole", .0.display())]
    NotArrived(PathBuf),
    /// Others may have written where it goes.
    #[error(
        "'{}' says where a table's file goes, but others than the daemon's user may have written it: if you trust it, chown it, the \
         directory that it is in and '{}' to that user and chmod go-w all three; or restore to a folder", path.display(), folder.display()
    )]
    NotVouched {
        /// The link.
        path: PathBuf,
        /// The backup's folder.
        folder: PathBuf,
    },
    /// No path that a server gives.
    #[error("'{}' says where a table's file goes, but names no path that a server would use: restore to a folder", .0.display())]
    Nowhere(PathBuf),
    /// It cannot be looked at or changed.
    #[error("'{}' cannot be used", path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// These files, as far as they fit into an answer.
fn named(path: &Path, more: &[PathBuf]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<_> = more.iter().take(SHOWN).map(|path| format!(", '{}'", path.display())).collect();
    let rest = more.len() - shown.len();
    let rest = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    let is = if more.is_empty() { "is" } else { "are" };
    format!("'{}'{}{rest} {is}", path.display(), shown.concat())
}
