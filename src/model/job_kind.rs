//! What kind of work a row is about.

/// What kind of work a command belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// A full or incremental backup.
    Backup,
    /// A restore.
    Restore,
}

impl JobKind {
    /// As the records spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
        }
    }
}
