//! Why a request is refused: the only error that reaches a client.
//!
//! Some texts are frozen, since users and test suites of the APIs match on them; they are marked. Every text names what the
//! person who reads it can change.

use std::path::PathBuf;

use super::{BackupId, Shortage};

/// A refusal. Its `Display` is the `status` of the reply, [`Rejection::code`] the `code`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Frozen. The command is none of the three.
    #[error("Invalid command")]
    InvalidCommand,
    /// Frozen. The argument of this name is absent or null.
    #[error("Missing required argument {0}")]
    MissingArgument(&'static str),
    /// The request is not what it should be; the text says how.
    #[error("{0}")]
    Malformed(String),
    /// Neither the peer's user nor one of its groups may give commands.
    #[error("user {0} may not give commands: neither it nor one of its groups is in allowed_users or allowed_groups")]
    Forbidden(u32),
    /// Frozen. The base of an incremental is not known or its folder is gone.
    #[error("Base backup with id {0} not found")]
    BaseNotFound(BackupId),
    /// What an incremental would be taken from is there, and could not be restored itself.
    #[error("the chain of base {base} cannot be restored: {why}; take a full backup")]
    BrokenBase {
        /// What it would be taken from.
        base: BackupId,
        /// What is wrong with its chain, with the member named.
        why: String,
    },
    /// Frozen. A backup to restore is not known or its folder is gone.
    #[error("Backup with id {0} not found")]
    BackupNotFound(BackupId),
    /// A backup to restore, or the base of an incremental, that the operator is removing.
    #[error("Backup with id {0} is being removed")]
    BeingRemoved(BackupId),
    /// A backup to remove that something works with now; the text says what.
    #[error("Backup with id {id} cannot be removed now: {by}")]
    InUse {
        /// The backup.
        id: BackupId,
        /// What works with it.
        by: &'static str,
    },
    /// A backup to remove without those that were taken from it.
    #[error("Backup with id {id} is needed by {by}")]
    Needed {
        /// The backup.
        id: BackupId,
        /// Those that could not be restored without it, in words.
        by: String,
    },
    /// The archived binary log does not lead from the chain to the moment that is wanted; the text says why.
    #[error("{0}")]
    NoReplay(String),
    /// A backup to restore whose stream was forwarded, and there is no command that fetches it.
    #[error(
        "Backup with id {0} was forwarded elsewhere and is not here: set 'fetch' to a command that writes its stream to stdout"
    )]
    Forwarded(BackupId),
    /// A backup to restore that is encrypted, and the secret key is not here.
    #[error("Backup with id {id} is encrypted to {to}, and cannot be decrypted here: {why}")]
    Locked {
        /// The backup.
        id: BackupId,
        /// To which public keys.
        to: String,
        /// What is missing.
        why: String,
    },
    /// What lies there under this id does not prove itself, or its base does not.
    #[error("'{id}' cannot be adopted: {why}")]
    NotAdoptable {
        /// Its id.
        id: BackupId,
        /// What is wrong with it.
        why: String,
    },
    /// Frozen. The id is recorded, in flight, or the name of something in `backup_dir`.
    #[error("Backup with id {0} already exists")]
    AlreadyExists(BackupId),
    /// Frozen. No credentials to reach the server with.
    #[error("credentials file not found or missing [client-dbcalm] section")]
    Credentials,
    /// The credentials file has an option that makes less than a whole backup.
    #[error("cannot create backup, {0}")]
    LessThanWhole(String),
    /// Frozen. A backup needs a server that answers.
    #[error("cannot create backup, MySQL/MariaDB server is not running")]
    ServerNotRunning,
    /// The ping did not get through, and nobody knows whether a server runs; with the admin tool's reason, and what helps.
    #[error("cannot create backup, the admin tool says '{reason}': {hint}")]
    NotReached {
        /// In the tool's words.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// Options lead the tools to two servers.
    #[error("cannot create backup, {0}")]
    TwoServers(String),
    /// The server that answers is not that of the settings: a backup of it would be one of other data.
    #[error(
        "cannot create backup, the server that answers has its data in '{}', but data_dir is '{}': set data_dir to that, or point socket, \
         host or port in the credentials file at the other server",
        server.display(), data_dir.display()
    )]
    OtherServer {
        /// Where it has its data.
        server: PathBuf,
        /// What the settings say.
        data_dir: PathBuf,
    },
    /// The server that answers has other files than those here, in a directory of the same name.
    #[error(
        "cannot create backup, the server that answers runs on host '{host}', and '{}' here has other data: point host, in the settings or \
         the credentials file, at the server on this host",
        data_dir.display()
    )]
    ServerElsewhere {
        /// What it calls its host.
        host: String,
        /// The data directory of the settings.
        data_dir: PathBuf,
    },
    /// The server's data do not descend from the base: an incremental would lack what they have of their own.
    #[error(
        "cannot create backup, the data in '{}' do not descend from backup {base}: they were restored, copied or made anew since. Take a full backup",
        data_dir.display()
    )]
    OtherHistory {
        /// The base.
        base: BackupId,
        /// Where the server has its data.
        data_dir: PathBuf,
    },
    /// Frozen. A database restore needs a server that is surely stopped.
    #[error("cannot restore to database, MySQL/MariaDb server is not stopped")]
    ServerNotStopped,
    /// The ping did not get through, and nobody knows whether a server runs; with the admin tool's reason, and what helps.
    #[error(
        "cannot restore to database, whether the server is stopped is not known: the admin tool says '{reason}': {hint}"
    )]
    NotKnownToBeStopped {
        /// In the tool's words.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// A process works in the data directory, or may, behind no socket that a ping knows.
    #[error("cannot restore to database, MySQL/MariaDb server is not stopped: {0}")]
    DataDirUsed(String),
    /// Frozen. The data directory holds something.
    #[error("cannot restore to database, mysql/mariadb data directory is not empty (usually /var/lib/mysql)")]
    DataDirNotEmpty,
    /// A place outside the data directory, where the server that was backed up keeps files, is not free.
    #[error("cannot restore to database, {0}")]
    PlaceTaken(String),
    /// Another database restore is under way.
    #[error("cannot restore to database, another restore holds the data directory")]
    DataDirBusy,
    /// A backup that plainly does not fit on the disk.
    #[error("cannot create backup, {0}")]
    NoRoomForBackup(Shortage),
    /// A restore that plainly does not fit on a disk.
    #[error("cannot restore, {0}")]
    NoRoomForRestore(Shortage),
    /// The daemon has been told to stop.
    #[error("the daemon is shutting down")]
    ShuttingDown,
    /// Something that the client cannot mend: the tool, the records, the backup directory.
    #[error("{0}")]
    Broken(String),
}

impl Rejection {
    /// The code of the reply, after HTTP's.
    pub fn code(&self) -> u16 {
        match self {
            Self::InvalidCommand
            | Self::MissingArgument(_)
            | Self::Malformed(_)
            | Self::BrokenBase { .. }
            | Self::NotAdoptable { .. }
            | Self::NoReplay(_)
            | Self::OtherHistory { .. } => 400,
            Self::Forbidden(_) => 403,
            Self::BaseNotFound(_) | Self::BackupNotFound(_) | Self::Forwarded(_) => 404,
            Self::AlreadyExists(_) | Self::Needed { .. } => 409,
            Self::Broken(_) => 500,
            Self::Credentials
            | Self::LessThanWhole(_)
            | Self::ServerNotRunning
            | Self::NotReached { .. }
            | Self::TwoServers(_)
            | Self::OtherServer { .. }
            | Self::ServerElsewhere { .. }
            | Self::ServerNotStopped
            | Self::NotKnownToBeStopped { .. }
            | Self::DataDirUsed(_)
            | Self::DataDirNotEmpty
            | Self::PlaceTaken(_)
            | Self::DataDirBusy
            | Self::BeingRemoved(_)
            | Self::Locked { .. }
            | Self::InUse { .. }
            | Self::NoRoomForBackup(_)
            | Self::NoRoomForRestore(_)
            | Self::ShuttingDown => 503,
        }
    }
}
