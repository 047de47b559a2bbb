//! Every option that the backup tools have, and what becomes of it in `backup_options` and in the credentials file.
//!
//! The names are those that `--help` of mariadb-backup 10.5.23, 10.11.19 and 11.8.9 prints, and those that Percona's documentation and
//! source of xtrabackup 8.0, 8.4 and 9.7 have: `tests/contract/options/` holds them, and the contract suite holds that to the real tools.
//! One table is enough for all: no name means one thing to one tool and another to the next. What an option does is by that help or
//! documentation unless it says "seen", which is mariadb-backup 10.11.19.

/// What becomes of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Taken: whatever its value, a backup that is a success is whole, here, of the right server and can be prepared. With the reason.
    Safe(&'static str),
    /// Taken, and the ping has to be told too: it says which server.
    Server,
    /// Refused where it is turned off, since it is on by itself. The text goes on after the option.
    SafeWhileOn(&'static str),
    /// Refused wherever it stands, in the credentials file too: the tool would say success of a backup that is not whole or cannot be
    /// prepared by itself. The text goes on after the option.
    NotWhole(&'static str),
    /// Refused in `backup_options`: the daemon's own arguments win over an option file, or the tool fails by itself. The text goes on
    /// after the option.
    NotHere(&'static str),
}

/// Options of one verdict.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) verdict: Verdict,
    pub(super) names: &'static [&'static str],
}

/// The row of the option with this name, in lower case and with `-` for `_`.
pub(super) fn row(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.names.contains(&name))
}

/// Each option that a text may be short for.
pub(super) fn beginning_with(text: &str) -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(move |row| row.names.iter().any(|name| name.starts_with(text)))
}

/// Each row once, for reasons that differ.
pub(super) const ROWS: &[Row] = &[
    Row {
        verdict: Verdict::Safe("how fast and how long it works"),
        names: &[
            "throttle",
            "log-copy-interval",
            "read-buffer-size",
            "open-files-limit",
            "estimate-memory",
            "incremental-force-scan",
            "innodb-log-checkpoint-now",
            "dump-innodb-buffer-pool",
            "dump-innodb-buffer-pool-pct",
            "dump-innodb-buffer-pool-timeout",
            "register-redo-log-consumer",
            "redo-log-arch-dir",
            "page-tracking",
            "rocksdb-checkpoint-max-age",
            "rocksdb-checkpoint-max-count",
        ],
    },
    Row {
        verdict: Verdict::Safe("how long it waits for locks, and what it ends for them: without its locks it fails"),
        names: &[
            "ftwrl-wait-timeout",
            "ftwrl-wait-threshold",
            "ftwrl-wait-query-type",
            "startup-wait-timeout",
            "kill-long-queries-timeout",
            "kill-long-query-type",
            "backup-lock-timeout",
            "backup-lock-retry-count",
            "lock-ddl-timeout",
            "lock-ddl-per-table",
            "safe-slave-backup",
            "safe-slave-backup-timeout",
        ],
    },
    Row {
        verdict: Verdict::Safe("what it writes down beside the data"),
        names: &["galera-info", "slave-info", "binlog-info", "history", "verbose", "core-file", "tmpdir"],
    },
    Row {
        verdict: Verdict::Safe(
            "what it makes sure of: without it the step that would have failed fails later, and not in silence (seen)",
        ),
        names: &[
            "check-privileges",
            "tables-compatibility-check",
            "extended-validation",
            "encrypted-backup",
            "strict",
            "no-server-version-check",
            "no-version-check",
        ],
    },
    Row {
        verdict: Verdict::Safe("how it logs in and over what: whoever answers is the server that was pinged"),
        names: &[
            "user",
            "secure-auth",
            "ssl",
            "ssl-ca",
            "ssl-capath",
            "ssl-cert",
            "ssl-cipher",
            "ssl-crl",
            "ssl-crlpath",
            "ssl-fips-mode",
            "ssl-fp",
            "ssl-fplist",
            "ssl-key",
            "ssl-mode",
            "ssl-session-data",
            "ssl-session-data-continue-on-failed-reuse",
            "ssl-verify-server-cert",
            "tls-version",
            "tls-ciphersuites",
            "tls-sni-servername",
            "get-server-public-key",
            "server-public-key-path",
        ],
    },
    Row { verdict: Verdict::Server, names: &["socket", "port", "protocol"] },
    Row {
        verdict: Verdict::Safe("where the keys of encrypted tables are: without them it fails"),
        names: &["keyring-file-data", "xtrabackup-plugin-dir", "plugin-load", "server-id"],
    },
    Row {
        verdict: Verdict::Safe(
            "how InnoDB works that it starts inside of itself; nothing of where files are or of what is in them",
        ),
        names: &[
            "innodb-adaptive-hash-index",
            "innodb-autoextend-increment",
            "innodb-buffer-pool-size",
            "innodb-compression-level",
            "innodb-data-file-buffering",
            "innodb-data-file-write-through",
            "innodb-doublewrite",
            "innodb-file-io-threads",
            "innodb-file-per-table",
            "innodb-flush-log-at-trx-commit",
            "innodb-flush-method",
            "innodb-io-capacity",
            "innodb-linux-aio",
            "innodb-log-buffer-size",
            "innodb-log-file-buffering",
            "innodb-log-file-mmap",
            "innodb-max-dirty-pages-pct",
            "innodb-open-files",
            "innodb-read-io-threads",
            "innodb-use-native-aio",
            "innodb-write-io-threads",
        ],
    },
    Row {
        verdict: Verdict::Safe("nothing: it is taken and ignored"),
        names: &["innodb", "innodb-buffer-pool-filename", "log", "rsync"],
    },
    Row {
        verdict: Verdict::SafeWhileOn("leaves MyRocks' tables out of the backup, though the backup does not say so"),
        names: &["rocksdb-backup"],
    },
    Row {
        verdict: Verdict::SafeWhileOn("lets a damaged page into the backup unseen"),
        names: &["innodb-checksums", "innodb-log-checksums"],
    },
    Row {
        verdict: Verdict::SafeWhileOn(
            "lets tables be made and dropped while they are copied: such a backup may lack one",
        ),
        names: &["lock-ddl", "backup-locks"],
    },
    Row {
        verdict: Verdict::NotWhole("lets tables be changed while they are copied: such a backup may lack one"),
        names: &["no-lock", "no-backup-locks"],
    },
    Row {
        verdict: Verdict::NotWhole("may leave out a table that is renamed meanwhile: write --open-files-limit=65535"),
        names: &["close-files"],
    },
    Row {
        verdict: Verdict::NotWhole(
            "lets a backup with damaged pages succeed, which no prepare can use: repair the table in the server, then back up",
        ),
        names: &["log-innodb-page-corruption"],
    },
    Row {
        verdict: Verdict::NotWhole("makes backups that are not whole"),
        names: &[
            "compact",
            "databases",
            "databases-exclude",
            "databases-file",
            "tables",
            "tables-exclude",
            "tables-file",
        ],
    },
    Row {
        verdict: Verdict::NotWhole(
            "makes backups that need another tool before they can be restored: write 'stream: true' and 'compression: zstd'",
        ),
        names: &["compress", "compress-chunk-size", "compress-threads", "compress-zstd-level"],
    },
    Row {
        verdict: Verdict::NotWhole("makes backups that need another tool before they can be restored"),
        names: &["encrypt", "encrypt-chunk-size", "encrypt-key", "encrypt-key-file", "encrypt-threads"],
    },
    Row {
        verdict: Verdict::NotWhole(
            "makes backups that only a prepare with the same passphrase or keys can use, and there is none in a restore",
        ),
        names: &["generate-transition-key"],
    },
    Row {
        verdict: Verdict::NotHere("would be visible to every user: passwords belong in the credentials file"),
        names: &["password", "transition-key"],
    },
    Row { verdict: Verdict::NotHere("is what the setting 'parallel' is for"), names: &["parallel"] },
    Row { verdict: Verdict::NotHere("is what the setting 'use_memory' is for"), names: &["use-memory"] },
    Row { verdict: Verdict::NotHere("is what the setting 'host' is for"), names: &["host"] },
    Row {
        verdict: Verdict::NotHere("is what the setting 'stream' is for"),
        names: &["stream", "fifo-dir", "fifo-streams", "fifo-timeout"],
    },
    Row {
        verdict: Verdict::NotHere("is set by the daemon itself"),
        names: &[
            "backup",
            "backup-incremental-base",
            "defaults-extra-file",
            "defaults-file",
            "defaults-group",
            "defaults-group-suffix",
            "extra-lsndir",
            "incremental-basedir",
            "incremental-history-name",
            "incremental-history-uuid",
            "incremental-lsn",
            "login-path",
            "mysqld-args",
            "no-defaults",
            "target-dir",
        ],
    },
    Row {
        verdict: Verdict::NotHere("makes the tool do something other than a backup"),
        names: &[
            "apply-log",
            "copy-back",
            "decompress",
            "decompress-threads",
            "decrypt",
            "help",
            "innobackupex",
            "move-back",
            "prepare",
            "print-defaults",
            "print-param",
            "stats",
            "version",
        ],
    },
    Row {
        verdict: Verdict::NotHere("belongs to a prepare or a copy-back, which do not get it from backup_options"),
        names: &[
            "apply-log-only",
            "apply-redo-only",
            "check-tables",
            "component-keyring-config",
            "component-keyring-file-config",
            "create-ib-logfile",
            "export",
            "force-non-empty-directories",
            "generate-new-master-key",
            "incremental-dir",
            "innodb-force-recovery",
            "plugin-dir",
            "prepare-incremental-from-dir",
            "rebuild-indexes",
            "rebuild-threads",
            "remove-original",
            "rocksdb-datadir",
            "rocksdb-wal-dir",
            "rollback-prepared-trx",
            "to-archived-lsn",
            "use-free-memory-pct",
        ],
    },
    Row {
        // Where the option differed from the server, the server's files were copied (seen: each directory, the page size and the number
        // of undo tablespaces), so nothing but confusion is lost; innodb-checksum-algorithm goes into backup-my.cnf as it is given.
        verdict: Verdict::NotHere(
            "says where the server's files are, or how they are written: the tool asks the server",
        ),
        names: &[
            "aria-log-dir-path",
            "datadir",
            "innodb-checksum-algorithm",
            "innodb-data-file-path",
            "innodb-data-home-dir",
            "innodb-directories",
            "innodb-log-block-size",
            "innodb-log-file-size",
            "innodb-log-files-in-group",
            "innodb-log-group-home-dir",
            "innodb-log-write-ahead-size",
            "innodb-page-size",
            "innodb-redo-log-encrypt",
            "innodb-temp-tablespaces-dir",
            "innodb-undo-directory",
            "innodb-undo-log-encrypt",
            "innodb-undo-tablespaces",
            "log-bin",
            "log-bin-index",
            "temp-tablespaces-dir",
        ],
    },
    Row {
        verdict: Verdict::NotHere("is for the tool's own tests"),
        names: &["debug", "debug-sleep-before-unlock", "debug-sync"],
    },
];
