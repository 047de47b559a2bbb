//! The backup tools, and all their differences in one table.
//!
//! `mariabackup` (MariaDB) and `xtrabackup` (MySQL, by Percona) take the same commands for the same work. Where they differ,
//! a row of [`Flavour::tool`] or a function here says so; nothing else in the daemon asks which of the two it runs.

use std::path::Path;

use super::version::Version;
use crate::command::BackupId;
use crate::config::Config;
use crate::exec::Invocation;

/// Which family of servers: `db_type` in the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// MariaDB, with mariabackup.
    MariaDb,
    /// MySQL, with xtrabackup.
    MySql,
}

/// What differs between the tools.
#[derive(Debug, PartialEq, Eq)]
pub struct Tool {
    /// Where the backup tool is looked for, in order.
    pub backup_candidates: &'static [&'static str],
    /// Where the admin tool is looked for, in order.
    pub admin_candidates: &'static [&'static str],
    /// Names of the checkpoints file. MariaDB renamed it in 11.1 (mariadb.com, "mariadb-backup: Files Created").
    pub checkpoints: &'static [&'static str],
    /// Names of the info file, renamed likewise.
    pub info: &'static [&'static str],
    /// `backup_type` of a working copy to which nothing more is to be applied.
    pub prepared: &'static str,
    /// `backup_type` of a working copy that waits for its next incremental.
    pub applied: &'static str,
    /// What the tool prints, and an LSN behind it, where a prepare came to the end of the redo log; none where the text is
    /// not known from a run.
    pub redo_end: Option<&'static str>,
    /// The process names of the server.
    pub servers: &'static [&'static str],
    /// The package that brings the backup tool, for hints.
    pub package: &'static str,
}

const MARIADB: Tool = Tool {
    backup_candidates: &["/usr/bin/mariabackup", "/usr/bin/mariadb-backup"],
    admin_candidates: &["/usr/bin/mariadb-admin", "/usr/bin/mysqladmin"],
    checkpoints: &["mariadb_backup_checkpoints", "xtrabackup_checkpoints"],
    info: &["mariadb_backup_info", "xtrabackup_info"],
    prepared: "log-applied",
    applied: "log-applied",
    redo_end: Some("InnoDB: End of log at LSN="),
    servers: &["mariadbd", "mysqld"],
    package: "mariadb-backup",
};

/// Percona's documentation of xtrabackup 8.0: "`xtrabackup_checkpoints`", "Prepare incremental backups". No package of it could
/// be run against here, so its own words for the end of the redo log are not relied on.
const MYSQL: Tool = Tool {
    backup_candidates: &["/usr/bin/xtrabackup"],
    admin_candidates: &["/usr/bin/mysqladmin", "/usr/bin/mariadb-admin"],
    checkpoints: &["xtrabackup_checkpoints"],
    info: &["xtrabackup_info"],
    prepared: "full-prepared",
    applied: "log-applied",
    redo_end: None,
    servers: &["mysqld"],
    package: "percona-xtrabackup",
};

/// From this version on, mariabackup knows no `--apply-log-only` and needs none (mariadb.com, "Incremental Backup and
/// Restore with mariadb-backup").
const APPLY_LOG_ONLY_GONE: Version = Version { major: 10, minor: 2 };

impl Flavour {
    /// The row of the table.
    pub fn tool(self) -> &'static Tool {
        match self {
            Self::MariaDb => &MARIADB,
            Self::MySql => &MYSQL,
        }
    }

    /// Its name in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::MariaDb, Self::MySql].into_iter().find(|flavour| flavour.name() == name)
    }

    /// Whether a prepare that is to be followed by another needs `--apply-log-only`, which keeps it from rolling back what the
    /// next incremental goes on with. A version that cannot be told is a current one.
    pub fn needs_apply_log_only(self, version: Option<Version>) -> bool {
        match self {
            Self::MariaDb => version.is_some_and(|version| version < APPLY_LOG_ONLY_GONE),
            Self::MySql => true,
        }
    }
}

/// The question whether the server answers; its exit status 0 says so even where the password is wrong.
pub fn ping(bin: &str, config: &Config) -> Invocation {
    admin(bin, config, "ping")
}

/// A question that only a login answers.
pub fn status(bin: &str, config: &Config) -> Invocation {
    admin(bin, config, "status")
}

/// The question what the server's settings are, all of them.
pub fn variables(bin: &str, config: &Config) -> Invocation {
    admin(bin, config, "variables")
}

fn admin(bin: &str, config: &Config, question: &str) -> Invocation {
    let mut args = login(&config.credentials).to_vec();
    args.extend(host(config));
    // What leads the backup tool to the server leads every tool there.
    args.extend(config.server_options().map(str::to_owned));
    args.push(question.to_owned());
    Invocation::new(bin, args)
}

/// Where every tool finds the server, if the settings say so: a ping of one server proves nothing of another.
pub fn host(config: &Config) -> Option<String> {
    config.host.as_ref().map(|host| format!("--host={host}"))
}

/// Arguments that every call to a server begins with.
pub fn login(credentials: &Path) -> [String; 2] {
    [format!("--defaults-file={}", credentials.display()), "--defaults-group-suffix=-dbcalm".to_owned()]
}

/// How many threads a tool copies with; one is what it has by itself.
pub fn parallel(threads: u16) -> Option<String> {
    (threads > 1).then(|| format!("--parallel={threads}"))
}

/// What the operator's own command is told of the backup that it forwards or fetches.
pub fn backup_environment(id: &BackupId, base: Option<&BackupId>) -> Vec<(&'static str, String)> {
    let kind = if base.is_some() { "incremental" } else { "full" };
    let mut environment = vec![("DBCALM_BACKUP_ID", id.to_string()), ("DBCALM_BACKUP_TYPE", kind.to_owned())];
    environment.push(("DBCALM_FROM_BACKUP_ID", base.map(ToString::to_string).unwrap_or_default()));
    environment
}

#[cfg(test)]
mod tests {
    use super::{Flavour, ping, variables};
    use crate::config::Config;
    use crate::plan::version::Version;

    #[test]
    fn every_tool_is_led_to_the_same_server() {
        let config = |lines: &str| Config::parse(&format!("db_type: mariadb\nbackup_dir: /b\n{lines}")).unwrap();
        let login = "--defaults-file=/etc/dbcalm/credentials.cnf --defaults-group-suffix=-dbcalm";
        let said = |lines: &str| ping("admin", &config(lines)).args.join(" ");
        assert_eq!(said(""), format!("{login} ping"));
        assert_eq!(said("host: db.example\n"), format!("{login} --host=db.example ping"));
        let options = "backup_options: [--throttle=9, --port=3317, --socket=/run/two.sock]\n";
        assert_eq!(said(options), format!("{login} --port=3317 --socket=/run/two.sock ping"));
        let asked = variables("admin", &config(options)).args.join(" ");
        assert_eq!(asked, format!("{login} --port=3317 --socket=/run/two.sock variables"));
    }

    #[test]
    fn apply_log_only_is_for_xtrabackup_and_the_oldest_mariabackup() {
        let version = |text| Version::parse(text);
        assert!(Flavour::MySql.needs_apply_log_only(version("8.0.35")));
        assert!(Flavour::MariaDb.needs_apply_log_only(version("10.1.48-MariaDB")));
        assert!(!Flavour::MariaDb.needs_apply_log_only(version("10.2.0-MariaDB")));
        assert!(!Flavour::MariaDb.needs_apply_log_only(version("11.8.6-MariaDB")));
        assert!(!Flavour::MariaDb.needs_apply_log_only(None));
    }
}
