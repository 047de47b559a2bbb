//! What the operator tells the backup tool, in `backup_options` and in the credentials file, and which of it is refused.
//!
//! In: options, as they are written. Out: nothing, or what is wrong with the first that would break what the daemon promises: where a
//! backup goes, what it is taken from, that it is whole, and that it can be restored without a further tool. What each option does is in
//! [`table`] alone. The tools take `_` for `-` and capitals for small letters (seen with mariadb-backup 10.11.19), and some take the
//! beginning of a name for the name (MySQL's manual, "Program Option Modifiers"); so a text is refused too if it could be read as an
//! option that is refused.

mod table;

use table::Verdict;

use super::secret_names::is_secret;

/// What may stand before an option's name.
const MODIFIERS: [&str; 5] = [LOOSE, "skip-", "enable-", "disable-", "maximum-"];

/// The modifier for what a tool may not know.
const LOOSE: &str = "loose-";

/// Values that turn an option off.
const OFF: [&str; 4] = ["0", "off", "false", "no"];

/// An option, taken apart.
struct Written {
    /// Without modifiers, in lower case, with `-` for `_`.
    name: String,
    is_loose: bool,
    is_off: bool,
}

impl Written {
    /// Reads `name` or `name=value`, without dashes before it.
    fn read(text: &str) -> Self {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let name = name.trim().to_ascii_lowercase().replace('_', "-");
        let mut is_off = value.is_some_and(|value| OFF.iter().any(|off| value.trim().eq_ignore_ascii_case(off)));
        let (mut rest, mut is_loose) = (name.as_str(), false);
        while let Some((modifier, behind)) = MODIFIERS.iter().find_map(|it| Some((*it, rest.strip_prefix(it)?))) {
            is_loose |= modifier == LOOSE;
            is_off |= matches!(modifier, "skip-" | "disable-");
            rest = behind;
        }
        Self { name: rest.to_owned(), is_loose, is_off }
    }

    /// What is wrong with it as an option of a command line.
    fn objection(&self, verdict: Verdict) -> Option<&'static str> {
        match verdict {
            Verdict::Safe(_) | Verdict::Server => None,
            Verdict::SafeWhileOn(why) => self.is_off.then_some(why),
            Verdict::NotWhole(why) | Verdict::NotHere(why) => Some(why),
        }
    }
}

/// Whether an option, with dashes before it or without, has the tool stop a replica's SQL thread while it copies. It starts the thread again
/// at its end, and not where it fails or is killed (mariadb.com, "mariadb-backup Options", `--safe-slave-backup`; its source: each failure
/// leaves by `exit`; and seen on a replica with mariadb-backup 10.11.19: `Slave_SQL_Running` was `No` after a full disk's exit 1, an INT and a
/// KILL, and `Yes` after a backup that ended well).
pub(crate) fn stops_replication(option: &str) -> bool {
    let written = Written::read(option.trim_start_matches('-'));
    written.name == "safe-slave-backup" && !written.is_off
}

/// What is wrong with an option of `backup_options`; None if nothing is. The text goes on after the option itself.
pub(super) fn objection(option: &str) -> Option<&'static str> {
    let Some(text) = option.strip_prefix("--").filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()))
    else {
        return Some("must be a long option, with -- before its name and = before its value");
    };
    if option.contains(char::is_control) {
        return Some("contains a control character");
    }
    if text.split('=').next().unwrap_or_default().contains(char::is_whitespace) {
        return Some("is more than one option: write each as its own item");
    }
    let option = Written::read(text);
    if let Some(row) = table::row(&option.name) {
        return option.objection(row.verdict);
    }
    let mut meant = table::beginning_with(&option.name).peekable();
    if meant.peek().is_some() {
        return meant.find_map(|row| option.objection(row.verdict));
    }
    if is_secret(&option.name) {
        return Some("would be visible to every user: passwords belong in the credentials file");
    }
    if option.is_loose {
        // The operator's own word for it; a tool that does not know it either says so and goes on (seen with mariadb-backup 10.11.19).
        return None;
    }
    Some("is not known here: if your tool has it and still makes a whole backup, write --loose- before its name")
}

/// Whether an option of `backup_options` says which server is meant, so that whatever asks the server has to be told it too.
pub(super) fn says_which_server(option: &str) -> bool {
    let option = Written::read(option.trim_start_matches('-'));
    let mut meant = match table::row(&option.name) {
        Some(row) => vec![row],
        None => table::beginning_with(&option.name).collect(),
    }
    .into_iter();
    meant.any(|row| row.verdict == Verdict::Server)
}

/// What `name=value`, of an option file or behind dashes, says of where the server is: `host`, `port`, `socket` or `protocol`, and the value.
pub(super) fn server_option(text: &str) -> Option<(&'static str, String)> {
    let (_, value) = text.split_once('=')?;
    let name = Written::read(text.trim_start_matches('-')).name;
    let name = ["host", "port", "socket", "protocol"].into_iter().find(|known| *known == name)?;
    Some((name, super::credentials::meant(value)))
}

/// What is wrong with a line `name` or `name=value` of an option file that the tool reads; None if nothing is. No line is short for an
/// option there (seen with mariadb-backup 10.11.19), and what a tool does not know in it is passed over.
pub(super) fn objection_in_file(line: &str) -> Option<&'static str> {
    let option = Written::read(line);
    match table::row(&option.name)?.verdict {
        Verdict::NotWhole(_) if option.is_off => None,
        Verdict::NotWhole(why) => Some(why),
        Verdict::SafeWhileOn(why) => option.is_off.then_some(why),
        Verdict::Safe(_) | Verdict::Server | Verdict::NotHere(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{objection, objection_in_file, says_which_server, table};

    /// The names that each tool has; see [`table`].
    const NAMES: [&str; 4] = [
        include_str!("../../tests/contract/options/mariadb-10.5"),
        include_str!("../../tests/contract/options/mariadb-10.11"),
        include_str!("../../tests/contract/options/mariadb-11.8"),
        include_str!("../../tests/contract/options/xtrabackup"),
    ];

    /// Tools of before have these.
    const OLD: [&str; 2] = ["compact", "innobackupex"];

    #[test]
    fn each_option_of_each_tool_has_one_verdict_and_no_verdict_is_of_none() {
        let all: BTreeSet<&str> = NAMES.iter().flat_map(|names| names.lines()).chain(OLD).collect();
        let known: Vec<&str> = table::ROWS.iter().flat_map(|row| row.names).copied().collect();
        let known_once: BTreeSet<&str> = known.iter().copied().collect();
        assert_eq!(known.len(), known_once.len(), "one is there twice");
        assert_eq!(all.difference(&known_once).collect::<Vec<_>>(), Vec::<&&str>::new(), "without a verdict");
        assert_eq!(known_once.difference(&all).collect::<Vec<_>>(), Vec::<&&str>::new(), "of no tool");
    }

    /// So a whole name is never short for another in a tool that does not have it.
    #[test]
    fn no_option_of_one_tool_is_short_for_a_refused_one_of_another() {
        for names in NAMES {
            let has: BTreeSet<&str> = names.lines().collect();
            let lacks = table::ROWS.iter().flat_map(|row| row.names).filter(|name| !has.contains(*name));
            for lacking in lacks.filter(|name| objection(&format!("--{name}")).is_none()) {
                let longer = has.iter().filter(|name| name.starts_with(lacking));
                let refused: Vec<_> = longer.filter(|name| objection(&format!("--{name}")).is_some()).collect();
                assert_eq!(refused, Vec::<&&str>::new(), "--{lacking}");
            }
        }
    }

    #[test]
    fn what_tunes_a_backup_is_taken() {
        for option in [
            "--throttle=100",
            "--thrott=100",
            "--ftwrl-wait-timeout=60",
            "--galera-info",
            "--slave_info",
            "--safe-slave-backup",
            "--kill-long-queries-timeout=20",
            "--open-files-limit=65535",
            "--ssl-ca=/etc/ssl/ca.pem",
            "--ssl-key=/etc/ssl/key.pem",
            "--socket=/run/mysqld/mysqld.sock",
            "--tmpdir=/var/tmp with a space",
            "--rsync",
            "--log",
            "--skip-encrypted-backup",
            "--lock-ddl",
            "--lock-ddl=REDUCED",
            "--rocksdb-backup",
            "--loose-made-up-tomorrow=1",
        ] {
            assert_eq!(objection(option), None, "{option}");
        }
    }

    #[test]
    fn what_would_break_a_promise_is_refused_however_it_is_spelt() {
        for option in [
            "--target-dir=/elsewhere",
            "--target_dir=/elsewhere",
            "--target-d=/elsewhere",
            "--TARGET-DIR=/elsewhere",
            "--loose-target-dir=/elsewhere",
            "--incremental-basedir=/b",
            "--defaults-file=/f",
            "--skip-backup",
            "--extra_lsndir=/x",
            "--mysqld-args",
        ] {
            assert_eq!(objection(option), Some("is set by the daemon itself"), "{option}");
        }
        for (option, why) in [
            ("--stream=xbstream", "is what the setting 'stream' is for"),
            ("--stre=xbstream", "is what the setting 'stream' is for"),
            ("--loose-skip-host=x", "is what the setting 'host' is for"),
            ("--parallel=4", "is what the setting 'parallel' is for"),
            ("--decompress", "makes the tool do something other"),
            ("--help", "makes the tool do something other"),
            ("--databases=shop", "makes backups that are not whole"),
            ("--TABLES-exclude=x", "makes backups that are not whole"),
            ("--databases-exclude=lost+found", "makes backups that call themselves partial"),
            ("--compr", "makes backups that need another tool"),
            ("--encrypt=AES256", "makes backups that need another tool"),
            ("--log-innodb-page-corruption", "lets a backup with damaged pages succeed"),
            ("--log_innodb_page_corr", "lets a backup with damaged pages succeed"),
            ("--no-lock", "lets tables be changed while they are copied"),
            ("--lock-ddl=off", "lets tables be made and dropped"),
            ("--skip-lock-ddl", "lets tables be made and dropped"),
            ("--skip-rocksdb-backup", "leaves MyRocks' tables out"),
            ("--rocksdb_backup=0", "leaves MyRocks' tables out"),
            ("--innodb-undo-directory=/x", "says where the server's files are"),
            ("--datadir=/x", "says where the server's files are"),
            ("--innodb-force-recovery=1", "belongs to a prepare or a copy-back"),
            ("--password=x", "would be visible"),
            ("--pass", "would be visible"),
            ("--loose-file-key-management-filekey=x", "would be visible"),
            ("--made-up-tomorrow", "is not known here"),
        ] {
            let said = objection(option).unwrap_or_else(|| panic!("{option} is taken"));
            assert!(said.starts_with(why), "{option}: {said}");
        }
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for option in ["throttle=100", "-p", "-u root", "--", "---x", "", "--=x"] {
            assert!(objection(option).unwrap().starts_with("must be a long option"), "{option:?}");
        }
        assert!(objection("--throttle 100").unwrap().starts_with("is more than one"));
        assert!(objection("--throttle=1\n").unwrap().starts_with("contains a control"));
    }

    #[test]
    fn what_says_which_server_is_known() {
        for option in ["--socket=/s", "--SOCKET=/s", "--loose-port=3", "--protocol=tcp", "--sock=/s"] {
            assert!(says_which_server(option), "{option}");
        }
        for option in ["--throttle=1", "--ssl-ca=/x", "--user=x", "--loose-made-up"] {
            assert!(!says_which_server(option), "{option}");
        }
    }

    #[test]
    fn an_option_file_may_not_leave_anything_out() {
        for line in [
            "databases=shop",
            "tables_exclude = shop.orders",
            "loose-tables=x",
            "log-innodb-page-corruption",
            "skip-rocksdb-backup",
            "rocksdb-backup=OFF",
            "no-lock",
            "compress",
        ] {
            assert!(objection_in_file(line).is_some(), "{line}");
        }
        for line in [
            "user=backup",
            "password=x",
            "host=db1",
            "port = 3317",
            "throttle=9",
            "database=shop",
            "tables-exc=shop.orders",
            "skip-log-innodb-page-corruption",
            "innodb-undo-directory=/undo",
            "ssl-ca=/x",
            "target-dir=/x",
            "made-up",
            "",
        ] {
            assert_eq!(objection_in_file(line), None, "{line}");
        }
    }
}
