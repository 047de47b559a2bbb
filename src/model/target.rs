//! Where a chain is restored to.

use serde::Serialize;

/// Where a chain is restored to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The server's data directory.
    Database,
    /// A folder under `<backup_dir>/restores`, which is kept.
    Folder,
}
