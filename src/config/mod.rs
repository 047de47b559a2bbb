//! The settings, each checked once and typed from then on.
//!
//! In: the YAML file that the daemon shares with the API. Out: a [`Config`], or a [`ConfigError`] that names the key, its
//! line and what to write instead. What the API keeps there for itself is neither read nor logged.

pub mod access;
pub mod credentials;
mod file;
pub mod identity_file;
pub mod one_server;
pub mod option_files;
pub(crate) mod secret_names;
mod tool_options;

use std::path::{Path, PathBuf};
use std::time::Duration;

use access::Access;
pub use file::ConfigError;
pub(crate) use tool_options::stops_replication;
use tracing::level_filters::LevelFilter;

use crate::age::Recipient;
use crate::model::{Api, Compression, Flavour, Packed, Remote};

/// Where the settings are, unless a flag says otherwise.
pub const DEFAULT_PATH: &str = "/etc/dbcalm/config.yml";

/// Every setting of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `db_type`: which server, and so which tools.
    pub flavour: Flavour,
    /// `backup_dir`: absolute, without a `/` at its end.
    pub backup_dir: PathBuf,
    /// `backup_credentials_file`: read afresh for every request.
    pub credentials: PathBuf,
    /// `backup_bin`: the backup tool, if it is not to be looked for.
    pub backup_bin: Option<PathBuf>,
    /// `admin_bin`: the admin tool, if it is not to be looked for.
    pub admin_bin: Option<PathBuf>,
    /// `data_dir`: the server's data directory.
    pub data_dir: PathBuf,
    /// `allowed_users`, `allowed_groups`: who may give commands.
    pub access: Access,
    /// `stream` and what belongs to it: how a backup is streamed; None if it is a directory.
    pub streaming: Option<Streaming>,
    /// `repository` and what belongs to it: the object store that backups are sent to; None if there is none.
    pub repository: Option<Repository>,
    /// `identity_file`: the secret key that a restore of an encrypted backup needs; None where none is done.
    pub identity_file: Option<PathBuf>,
    /// `binlog_archive` and what belongs to it: how the binary log is archived; None if it is not.
    pub binlogs: Option<Binlogs>,
    /// `fetch`: the operator's command that writes a forwarded stream to its stdout.
    pub fetch: Option<String>,
    /// `parallel`: how many threads the tools and our own copying have.
    pub parallel: u16,
    /// `use_memory`: the most that a prepare may take, in bytes.
    pub use_memory: u64,
    /// `backup_options`: what else the backup tool is told at a backup.
    pub backup_options: Vec<String>,
    /// `progress`: whether a running row's output says how far it is.
    pub progress: bool,
    /// `host`: where every tool finds the server. None if the credentials file says so, or nothing does.
    pub host: Option<String>,
    /// `database_path`: the records, shared with the API.
    pub database_path: PathBuf,
    /// `records_for`: which API reads the records. None if the database itself tells.
    pub records_for: Option<Api>,
    /// `metrics_file`: what a monitor reads; None if nobody does.
    pub metrics_file: Option<PathBuf>,
    /// `log_file`, beside stderr.
    pub log_file: PathBuf,
    /// `log_level`.
    pub log_level: LevelFilter,
}

/// How backups are streamed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streaming {
    /// `compression`.
    pub compression: Compression,
    /// `compression_level`; none for the default of that kind.
    pub level: Option<i32>,
    /// `compression_threads`.
    pub threads: u16,
    /// `encrypt_to`: the public keys of those who can read a backup; none, if it is not encrypted.
    pub recipients: Vec<Recipient>,
    /// `forward`: the operator's command that gets the stream on its stdin, and keeps it elsewhere.
    pub forward: Option<String>,
}

impl Streaming {
    /// How a stream is packed.
    pub fn packed(&self) -> Packed {
        Packed { compression: self.compression, is_encrypted: !self.recipients.is_empty() }
    }
}

/// A repository in an object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Where it is.
    pub remote: Remote,
    /// `keep_local`: whether a stream stays in `backup_dir` too.
    pub keep_local: bool,
}

/// How the binary log is archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binlogs {
    /// `binlog_interval`: how long between two looks at the server's files.
    pub interval: Duration,
}

impl Config {
    /// Whether the server is on this host, so that its data directory is here.
    pub fn is_local(&self) -> bool {
        self.host.as_deref().is_none_or(|host| matches!(host, "localhost" | "127.0.0.1" | "::1"))
    }

    /// Those of `backup_options` that say which server is meant (`--socket=…` and the like): whatever asks that server has to be told them
    /// too.
    pub fn server_options(&self) -> impl Iterator<Item = &str> {
        self.backup_options.iter().map(String::as_str).filter(|option| tool_options::says_which_server(option))
    }

    /// Whether the backup tool is told to stop a replica's SQL thread while it copies, here or in the credentials file, which is read for it.
    pub fn stops_replication(&self) -> bool {
        let is_told = self.backup_options.iter().any(|option| tool_options::stops_replication(option));
        is_told || option_files::stops_replication(&self.credentials)
    }

    /// Reads and checks the settings in the file at `path`.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|problem| ConfigError::Bad { path: path.to_owned(), problem })
    }
}
