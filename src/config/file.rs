//! From YAML to [`Config`]: each key's name, default and mistakes. What YAML itself is knows [`raw`] alone.

mod raw;

use std::io;
use std::path::PathBuf;

pub(super) use raw::Problem;
use raw::Raw;
use thiserror::Error;
use tracing::level_filters::LevelFilter;

use super::Config;
use super::access::{Access, Kind};
use crate::plan::tool::Flavour;

/// Why there are no settings.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("no settings from '{}'", path.display())]
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
                "write the settings there, readable for this user, or name another file with --config"
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
        raw.refuse_streams()?;
        Ok(Self {
            flavour: raw.flavour()?,
            backup_dir: raw.required_path("backup_dir", "/var/backups/dbcalm")?,
            credentials: raw.path_or("backup_credentials_file", "/etc/dbcalm/credentials.cnf")?,
            backup_bin: raw.path("backup_bin", "/usr/bin/mariadb-backup")?,
            admin_bin: raw.path("admin_bin", "/usr/bin/mariadb-admin")?,
            data_dir: raw.path_or("data_dir", "/var/lib/mysql")?,
            access: raw.access()?,
            host: raw.host()?,
            database_path: raw.path_or("database_path", "/var/lib/dbcalm/db.sqlite3")?,
            log_file: raw.path_or("log_file", "/var/log/dbcalm/dbcalm.log")?,
            log_level: raw.log_level()?,
        })
    }
}

/// Each key that is more than a text or a path.
impl Raw<'_> {
    fn flavour(&self) -> Result<Flavour, Problem> {
        let hint = "write 'db_type: mariadb' or 'db_type: mysql'";
        match self.text("db_type", "mariadb")?.as_deref() {
            Some("mariadb") => Ok(Flavour::MariaDb),
            Some("mysql") => Ok(Flavour::MySql),
            Some(other) => {
                Err(self.problem("db_type", format!("db_type '{}' is not known", other.escape_debug()), hint))
            }
            None => Err(self.problem("db_type", "db_type is not set", hint)),
        }
    }

    fn host(&self) -> Result<String, Problem> {
        let host = self.text("host", "localhost")?.unwrap_or_else(|| "localhost".to_owned());
        if host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let text = format!("host '{}' holds white space", host.escape_debug());
            return Err(self.problem("host", text, "write 'host: localhost' or another host name or address"));
        }
        Ok(host)
    }

    fn access(&self) -> Result<Access, Problem> {
        let names = |kind: Kind| self.names(kind.key());
        let (users, groups) = (names(Kind::User)?, names(Kind::Group)?);
        Access::new(users.as_deref(), groups.as_deref()).map_err(|(kind, name)| {
            let key = kind.key();
            self.problem(
                key,
                format!("{key} names '{}', whom this system does not know", name.escape_debug()),
                format!(
                    "take it out of '{key}', or make that {} first",
                    if kind == Kind::User { "user" } else { "group" }
                ),
            )
        })
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

    /// Streams are not written yet: better no daemon than one that takes other backups than the operator asked for.
    fn refuse_streams(&self) -> Result<(), Problem> {
        if self.boolean("stream")? {
            return Err(self.problem(
                "stream",
                "stream is true, and this version takes no streamed backups",
                "write 'stream: false' for backups in directories",
            ));
        }
        match ["compression", "forward"].into_iter().find(|key| self.get(key).is_some()) {
            Some(key) => Err(self.problem(
                key,
                format!("{key} needs stream: true"),
                format!("remove '{key}', or leave it empty"),
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tracing::level_filters::LevelFilter;

    use super::{Config, Flavour};

    const LEAST: &str = "db_type: mariadb\nbackup_dir: /var/backups/dbcalm/\n";

    fn problem(text: &str) -> String {
        let problem = Config::parse(text).expect_err(text);
        format!("{}{} | {}", problem.place(), problem.text, problem.hint)
    }

    #[test]
    fn the_defaults_are_the_contracts() {
        let config = Config::parse(LEAST).unwrap();
        assert_eq!(config.flavour, Flavour::MariaDb);
        assert_eq!(config.backup_dir, Path::new("/var/backups/dbcalm"), "without the slash");
        assert_eq!(config.credentials, Path::new("/etc/dbcalm/credentials.cnf"));
        assert_eq!((config.backup_bin, config.admin_bin), (None, None));
        assert_eq!(config.data_dir, Path::new("/var/lib/mysql"));
        assert_eq!(config.host, "localhost");
        assert_eq!(config.database_path, Path::new("/var/lib/dbcalm/db.sqlite3"));
        assert_eq!(config.log_file, Path::new("/var/log/dbcalm/dbcalm.log"));
        assert_eq!(config.log_level, LevelFilter::INFO);
    }

    #[test]
    fn the_apis_own_keys_are_no_error_and_an_empty_value_is_an_unset_one() {
        let text = format!(
            "{LEAST}jwt_secret_key: s3cret\ncors_origins: [\"*\"]\napi_port: 8335\nhost:\ndata_dir: ''\nstream:\nforward: \"\"\n"
        );
        assert_eq!(Config::parse(&text), Config::parse(LEAST));
    }

    #[test]
    fn no_path_holds_a_control_character_and_no_problem_takes_more_than_a_line() {
        let said = problem("db_type: mariadb\nbackup_dir: \"/b\\0\\n/c\"\n");
        assert_eq!(
            said,
            r", line 2backup_dir '/b\0\n/c' holds a control character | write 'backup_dir: /var/backups/dbcalm' or another path"
        );
        for bad in ["db_type: \"a\\nb\"\n", "db_type: mysql\nbackup_dir: \"a\\nb\"\n"] {
            assert!(problem(bad).contains(r"a\nb"), "{}", problem(bad));
        }
        for key in ["log_level", "allowed_users", "allowed_groups"] {
            assert!(problem(&format!("{LEAST}{key}: \"a\\nb\"\n")).contains(r"a\nb"), "{key}");
        }
    }

    #[test]
    fn booleans_are_read_as_yaml_1_1_spells_them() {
        for no in ["false", "no", "off", "No", "OFF", "\"0\"", "0", "\"false\"", "n"] {
            assert!(Config::parse(&format!("{LEAST}stream: {no}\n")).is_ok(), "{no}");
        }
        for yes in ["true", "yes", "on", "Yes", "\"1\"", "1", "\"true\"", "y"] {
            let said = problem(&format!("{LEAST}stream: {yes}\n"));
            assert!(said.starts_with(", line 3stream is true"), "{yes}: {said}");
        }
        assert!(problem(&format!("{LEAST}stream: maybe\n")).contains("neither true nor false"));
    }

    #[test]
    fn a_bad_setting_is_named_with_its_line_and_what_to_write() {
        let cases = [
            ("backup_dir: /b\n", "db_type is not set | write 'db_type: mariadb' or 'db_type: mysql'"),
            (
                "db_type: postgres\nbackup_dir: /b\n",
                ", line 1db_type 'postgres' is not known | write 'db_type: mariadb' or 'db_type: mysql'",
            ),
            ("db_type: mysql\n", "backup_dir is not set | add 'backup_dir: /var/backups/dbcalm'"),
            (
                "db_type: mysql\n\nbackup_dir: backups\n",
                ", line 3backup_dir 'backups' is not an absolute path | write 'backup_dir: /var/backups/dbcalm' or another path that begins with /",
            ),
            (
                "db_type: mysql\n'backup_dir': [1]\n",
                ", line 2backup_dir must be a text | write 'backup_dir: /var/backups/dbcalm'",
            ),
            (
                "db_type: mysql\nbackup_dir: /b\nlog_level: loud\n",
                ", line 3log_level 'loud' is not known | write 'log_level: info', or one of error, warn, debug, trace",
            ),
            (
                "db_type: mysql\nbackup_dir: /b\ncompression: gzip\n",
                ", line 3compression needs stream: true | remove 'compression', or leave it empty",
            ),
            ("- a\n- b\n", "it is not a mapping of keys to values | write it as YAML: one 'key: value' a line"),
        ];
        for (text, said) in cases {
            assert_eq!(problem(text), said, "{text}");
        }
    }

    #[test]
    fn what_is_not_yaml_is_refused_without_quoting_a_secret() {
        let said = problem("db_type: mariadb\njwt_secret_key: \"s3cret\n");
        assert!(said.contains("not YAML") && !said.contains("s3cret"), "{said}");
        assert!(problem("db_type: mariadb\ndb_type: mysql\n").contains("twice"));
    }
}
