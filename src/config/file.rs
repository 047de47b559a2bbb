//! From YAML to [`Config`]: each key's name, default and mistakes. What YAML itself is knows [`raw`] alone.

mod binlogs;
mod encryption;
mod raw;
mod repository;

use std::io;
use std::path::PathBuf;

pub(super) use raw::Problem;
use raw::Raw;
use serde_yaml::Value;
use thiserror::Error;
use tracing::level_filters::LevelFilter;

use super::access::{Access, Kind};
use super::{Binlogs, Config, Repository, Streaming, tool_options};
use crate::model::{Api, Compression, Flavour};

/// Why there are no settings.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the settings cannot be read from '{}'", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is there, and something in it is wrong.
    #[error("bad settings in '{}'{}: {}", path.display(), problem.place(), problem.text)]
    Bad {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: Problem,
    },
}

impl ConfigError {
    /// What the operator can do.
    pub fn hint(&self) -> &str {
        match self {
            Self::Unreadable { .. } => {
                "write the settings there, readable by this user, or name another file with --config"
            }
            Self::Bad { problem, .. } => &problem.hint,
        }
    }
}

impl Config {
    /// Reads settings from YAML.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line where it has one.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let raw = Raw::read(text)?;
        let streaming = raw.streaming()?;
        let config = Self {
            flavour: raw.flavour()?,
            backup_dir: raw.required_path("backup_dir", "/var/backups/dbcalm")?,
            credentials: raw.path_or("backup_credentials_file", "/etc/dbcalm/credentials.cnf")?,
            backup_bin: raw.path("backup_bin", "/usr/bin/mariadb-backup")?,
            admin_bin: raw.path("admin_bin", "/usr/bin/mariadb-admin")?,
            data_dir: raw.path_or("data_dir", "/var/lib/mysql")?,
            access: raw.access()?,
            repository: raw.repository(streaming.is_some())?,
            streaming,
            binlogs: raw.binlogs()?,
            identity_file: raw.identity_file()?,
            fetch: raw.shell_command("fetch", "ssh backup@host cat \"$DBCALM_BACKUP_ID\"")?,
            parallel: raw.threads("parallel")?,
            use_memory: raw.use_memory()?,
            backup_options: raw.backup_options()?,
            progress: raw.boolean("progress", true)?,
            host: raw.host()?,
            database_path: raw.path_or("database_path", "/var/lib/dbcalm/db.sqlite3")?,
            records_for: raw.records_for()?,
            metrics_file: raw.metrics_file()?,
            log_file: raw.path_or("log_file", "/var/log/dbcalm/dbcalm.log")?,
            log_level: raw.log_level()?,
        };
        raw.check_asked_once()?;
        if config.binlogs.is_some() && !config.is_local() {
            return Err(raw.problem(
                "binlog_archive",
                "binlog_archive needs a server on this host",
                "remove 'binlog_archive', or set host to localhost: the server's files are read here",
            ));
        }
        Ok(config)
    }
}

/// Each key that is more than a text or a path.
impl Raw<'_> {
    fn flavour(&self) -> Result<Flavour, Problem> {
        let hint = "write 'db_type: mariadb' or 'db_type: mysql'";
        match self.text("db_type", "mariadb")?.as_deref() {
            Some(name) => Flavour::named(name).ok_or_else(|| {
                self.problem("db_type", format!("db_type '{}' is not known", name.escape_debug()), hint)
            }),
            None => Err(self.problem("db_type", "db_type is not set", hint)),
        }
    }

    fn records_for(&self) -> Result<Option<Api>, Problem> {
        let key = "records_for";
        let Some(name) = self.text(key, "go")? else { return Ok(None) };
        let found = Api::ALL.into_iter().find(|api| api.name().eq_ignore_ascii_case(&name));
        found.map(Some).ok_or_else(|| {
            let text = format!("{key} '{}' is neither python nor go", name.escape_debug());
            self.problem(
                key,
                text,
                "write 'records_for: python' or 'records_for: go', or leave it out: the database tells",
            )
        })
    }

    fn host(&self) -> Result<Option<String>, Problem> {
        let Some(host) = self.text("host", "localhost")? else { return Ok(None) };
        if host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let text = format!("host '{}' contains white space", host.escape_debug());
            return Err(self.problem("host", text, "write 'host: localhost' or another host name or address"));
        }
        Ok(Some(host))
    }

    fn access(&self) -> Result<Access, Problem> {
        let names = |kind: Kind| self.names(kind.key());
        let (users, groups) = (names(Kind::User)?, names(Kind::Group)?);
        Access::new(users.as_deref(), groups.as_deref()).map_err(|(kind, name)| {
            let key = kind.key();
            self.problem(
                key,
                format!("{key} names '{}', which this system does not know", name.escape_debug()),
                format!(
                    "take it out of '{key}', or make that {} first",
                    if kind == Kind::User { "user" } else { "group" }
                ),
            )
        })
    }

    fn metrics_file(&self) -> Result<Option<PathBuf>, Problem> {
        let (key, example) = ("metrics_file", "/var/lib/prometheus/node-exporter/dbcalm.prom");
        let path = self.path(key, example)?;
        match path.filter(|path| path.extension().is_none_or(|ending| ending != "prom")) {
            None => self.path(key, example),
            // The collector would not read it.
            Some(path) => Err(self.problem(
                key,
                format!("{key} '{}' does not end in .prom", path.display()),
                format!("write '{key}: {example}' or another path that ends in .prom"),
            )),
        }
    }

    fn log_level(&self) -> Result<LevelFilter, Problem> {
        let Some(text) = self.text("log_level", "info")? else { return Ok(LevelFilter::INFO) };
        match text.to_ascii_lowercase().as_str() {
            "error" | "critical" | "fatal" => Ok(LevelFilter::ERROR),
            "warn" | "warning" => Ok(LevelFilter::WARN),
            "info" => Ok(LevelFilter::INFO),
            "debug" => Ok(LevelFilter::DEBUG),
            "trace" => Ok(LevelFilter::TRACE),
            _ => Err(self.problem(
                "log_level",
                format!("log_level '{}' is not known", text.escape_debug()),
                "write 'log_level: info', or one of error, warn, debug, trace",
            )),
        }
    }

    fn streaming(&self) -> Result<Option<Streaming>, Problem> {
        let is_stream = self.boolean("stream", false)?;
        let recipients = self.recipients(is_stream)?;
        if !is_stream {
            let needing = ["compression", "compression_level", "compression_threads", "forward"];
            return match needing.into_iter().find(|key| self.get(key).is_some()) {
                Some(key) => Err(self.problem(
                    key,
                    format!("{key} needs stream: true"),
                    format!("write 'stream: true' too, or remove '{key}'"),
                )),
                None => Ok(None),
            };
        }
        let compression = self.compression()?;
        Ok(Some(Streaming {
            compression,
            level: self.level(compression)?,
            threads: self.threads("compression_threads")?,
            recipients,
            forward: self.shell_command("forward", "ssh backup@host \"cat > $DBCALM_BACKUP_ID\"")?,
        }))
    }

    fn compression(&self) -> Result<Compression, Problem> {
        match self.text("compression", "zstd")?.as_deref() {
            None => Ok(Compression::None),
            Some("gzip") => Ok(Compression::Gzip),
            Some("zstd") => Ok(Compression::Zstd),
            Some(other) => Err(self.problem(
                "compression",
                format!("compression '{}' is not known", other.escape_debug()),
                "write 'compression: zstd' or 'compression: gzip', or leave it empty",
            )),
        }
    }

    fn level(&self, compression: Compression) -> Result<Option<i32>, Problem> {
        let key = "compression_level";
        let Some((lowest, highest)) = compression.levels() else {
            return match self.get(key) {
                None => Ok(None),
                Some(_) => Err(self.problem(
                    key,
                    format!("{key} needs compression"),
                    format!("write 'compression: zstd' too, or remove '{key}'"),
                )),
            };
        };
        let level = self.integer(key, i64::from(lowest), i64::from(highest))?;
        Ok(level.and_then(|level| i32::try_from(level).ok()))
    }

    /// A number of threads: as many as there are cores, but no more than 8, unless it is set.
    fn threads(&self, key: &str) -> Result<u16, Problem> {
        const MOST: i64 = 64;
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8));
        let set = self.integer(key, 1, MOST)?.and_then(|threads| u16::try_from(threads).ok());
        Ok(set.unwrap_or_else(|| u16::try_from(cores()).unwrap_or(1)))
    }

    fn use_memory(&self) -> Result<u64, Problem> {
        const UNSET: u64 = 2 << 30;
        const LEAST: u64 = 10 << 20;
        let key = "use_memory";
        let bytes = match self.get(key) {
            None => return Ok(UNSET),
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => bytes(text.trim()),
            Some(Value::Null | Value::Bool(_) | Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_)) => None,
        };
        bytes.filter(|bytes| *bytes >= LEAST).ok_or_else(|| {
            self.problem(
                key,
                format!("{key} must be an amount of memory of at least 10M"),
                format!("write '{key}: 1G', or another number with M or G behind it"),
            )
        })
    }

    fn backup_options(&self) -> Result<Vec<String>, Problem> {
        let key = "backup_options";
        let options = self.names(key)?.unwrap_or_default();
        match options.iter().find_map(|option| Some((option, tool_options::objection(option)?))) {
            None => Ok(options),
            Some((option, why)) => Err(self.problem(
                key,
                format!("{key}: '{}' {why}", option.escape_debug()),
                format!("write '{key}: [\"--throttle=100\"]', or other options of the backup tool that tune it"),
            )),
        }
    }

    /// A command of the operator's, for a shell.
    fn shell_command(&self, key: &str, example: &str) -> Result<Option<String>, Problem> {
        let command = self.text(key, example)?;
        match command.filter(|command| command.contains(|c: char| c.is_control() && c != '\n' && c != '\t')) {
            None => self.text(key, example),
            Some(_) => Err(self.problem(
                key,
                format!("{key} contains a control character"),
                format!("write '{key}: {example}' or another command"),
            )),
        }
    }
}

/// An amount of memory: a number, in bytes or with K, M or G behind it.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let bits = match text.get(digits.len()..)?.trim().to_ascii_uppercase().trim_end_matches("IB").trim_end_matches('B')
    {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << bits)
}

#[cfg(test)]
mod example;
#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests;
