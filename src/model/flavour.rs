//! The backup tools, and all their differences in one table.
//!
//! `mariabackup` (MariaDB) and `xtrabackup` (MySQL, by Percona) take the same commands for the same work. Where they differ,
//! a row of [`Flavour::tool`] or a function here says so; nothing else in the daemon asks which of the two it runs.

use super::Version;

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
    /// What the tool prints, and an LSN behind it, where a prepare came to the end of the redo log; None if the text is
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

#[cfg(test)]
mod tests {
    use super::{Flavour, Version};

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
