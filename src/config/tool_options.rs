//! `backup_options`: what the operator adds to each call of the backup tool, and which of it is refused.
//!
//! In: the texts of the list. Out: nothing, or what is wrong with the first that would break what the daemon promises: where a
//! backup goes, what it is taken from, that it is whole, and that it can be restored without a further tool. The tools take the
//! beginning of an option's name for the option and `_` for `-` (MySQL's and MariaDB's manual, "Program Option Modifiers"), so a text
//! is refused too if it could be read as one of these.

/// What the daemon itself says to the tool, or says by other settings.
const OURS: [&str; 21] = [
    "apply-log-only",
    "backup",
    "copy-back",
    "datadir",
    "defaults-extra-file",
    "defaults-file",
    "defaults-group",
    "defaults-group-suffix",
    "extra-lsndir",
    "force-non-empty-directories",
    "host",
    "incremental-basedir",
    "incremental-dir",
    "incremental-lsn",
    "login-path",
    "move-back",
    "no-defaults",
    "prepare",
    "stream",
    "target-dir",
    "use-memory",
];

/// What makes something else of a call than a backup.
const OTHERWISE: [&str; 7] = ["decompress", "decrypt", "export", "help", "innobackupex", "print-defaults", "version"];

/// After which a backup has not all data, or needs another tool before it can be prepared.
const NOT_WHOLE: [&str; 14] = [
    "compress",
    "compress-chunk-size",
    "compress-threads",
    "databases",
    "databases-exclude",
    "databases-file",
    "encrypt",
    "encrypt-key",
    "encrypt-key-file",
    "incremental-history-name",
    "incremental-history-uuid",
    "tables",
    "tables-exclude",
    "tables-file",
];

/// What would stand in every list of processes, and in the records.
const SECRET: [&str; 1] = ["password"];

/// What may stand before an option's name.
const MODIFIERS: [&str; 5] = ["loose-", "skip-", "enable-", "disable-", "maximum-"];

/// What is wrong with an option; none, if nothing is. The text goes on after the option itself.
pub(super) fn objection(option: &str) -> Option<&'static str> {
    let Some(name) = option.strip_prefix("--").filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()))
    else {
        return Some("is no long option, which begins with -- and has its value behind =");
    };
    if option.contains(char::is_control) {
        return Some("holds a control character");
    }
    let name = name.split('=').next().unwrap_or_default().replace('_', "-");
    if name.contains(char::is_whitespace) {
        return Some("is more than one option: write each as an item of its own");
    }
    if name == "parallel" {
        return Some("is what the setting 'parallel' is for");
    }
    let mut name = name.as_str();
    while let Some(rest) = MODIFIERS.iter().find_map(|modifier| name.strip_prefix(modifier)) {
        name = rest;
    }
    let may_be = |names: &[&str]| names.iter().any(|known| known.starts_with(name));
    if may_be(&SECRET) {
        return Some("would be seen by every user: passwords belong in the credentials file");
    }
    if may_be(&NOT_WHOLE) {
        return Some("makes backups that are not whole, or that need another tool before they can be restored");
    }
    if may_be(&OURS) || may_be(&OTHERWISE) || name == "mysqld-args" {
        return Some("is the daemon's own to say");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::objection;

    #[test]
    fn what_tunes_a_backup_is_taken() {
        for option in [
            "--throttle=100",
            "--ftwrl-wait-timeout=60",
            "--galera-info",
            "--slave_info",
            "--safe-slave-backup",
            "--kill-long-queries-timeout=20",
            "--open-files-limit=65535",
            "--ssl-ca=/etc/ssl/ca.pem",
            "--socket=/run/mysqld/mysqld.sock",
            "--tmpdir=/var/tmp with a space",
            "--rsync",
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
            "--loose-target-dir=/elsewhere",
            "--stream=xbstream",
            "--stre=xbstream",
            "--incremental-basedir=/b",
            "--defaults-file=/f",
            "--skip-backup",
            "--extra_lsndir=/x",
            "--loose-skip-host=x",
            "--mysqld-args",
            "--decompress",
            "--help",
        ] {
            assert_eq!(objection(option), Some("is the daemon's own to say"), "{option}");
        }
        let partial = "makes backups that are not whole, or that need another tool before they can be restored";
        for option in ["--databases=shop", "--tables=x", "--compress", "--compr", "--encrypt=AES256"] {
            assert_eq!(objection(option), Some(partial), "{option}");
        }
        assert!(objection("--password=x").unwrap().starts_with("would be seen"));
        assert!(objection("--pass").unwrap().starts_with("would be seen"));
        assert!(objection("--parallel=4").unwrap().contains("setting 'parallel'"));
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for option in ["throttle=100", "-p", "-u root", "--", "---x", "", "--=x"] {
            assert!(objection(option).unwrap().starts_with("is no long option"), "{option:?}");
        }
        assert!(objection("--throttle 100").unwrap().starts_with("is more than one"));
        assert!(objection("--throttle=1\n").unwrap().starts_with("holds a control"));
    }
}
