//! What a step is at.

/// What a step is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The tool takes a backup.
    Backup,
    /// A stored backup is copied.
    Copy,
    /// A stored stream is extracted.
    Extract,
    /// A forwarded stream is fetched and extracted.
    Fetch,
    /// The working copy is prepared.
    Prepare,
    /// An incremental is applied to it.
    Apply,
    /// The archived binary log is applied to the working copy.
    Replay,
    /// The working copy becomes the data directory.
    MoveBack,
    /// The working copy is copied to the data directory.
    CopyBack,
    /// The tools are done: what they left is verified and synced.
    Seal,
    /// What is whole here is sent to the repository.
    Send,
}

impl Phase {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup | Self::Copy => "copying",
            Self::Extract => "extracting",
            Self::Fetch => "fetching",
            Self::Prepare => "preparing",
            Self::Apply => "applying",
            Self::Replay => "replaying the binary log",
            Self::MoveBack => "moving back",
            Self::CopyBack => "copying back",
            Self::Seal => "verifying and syncing",
            Self::Send => "sending to the repository",
        }
    }
}
