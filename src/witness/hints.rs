//! What helps where a tool's last line does not say it.
//!
//! In: what a backup tool wrote on stderr before it ended badly. Out: what to do, for people. Each text was seen with mariadb-backup 10.11.19.

use crate::server::answer;

/// What the tool said, all of it, and what helps. The first row counts.
const HELP: [(&[&str], &str); 7] = [
    (
        &["Was only able to copy log", "still fits within the log capacity"],
        "the server's redo log was given another size while the tool copied (SET GLOBAL innodb_log_file_size): take the backup again; or the files \
         that the tool copies are not those of the server that it speaks to",
    ),
    (
        &["Was only able to copy log"],
        "the server wrote its redo log faster than the tool read it: make innodb_log_file_size larger, or take the backup at another hour",
    ),
    (
        &["Too many open files"],
        "the tool has each file of InnoDB open at once: write --open-files-limit=N in backup_options and LimitNOFILE=N in the daemon's unit, with \
         N above the number of these files, which dbcalm-db-cmd check tells",
    ),
    (
        &["Unable to obtain lock. Please try again later."],
        "--ftwrl-wait-timeout gives up at any query that runs, a SELECT too: take it out of backup_options, or take the backup at another hour",
    ),
    (
        &["rocksdb_create_checkpoint", "SUPER"],
        "a server with MyRocks asks more of the user of the credentials file: GRANT SUPER ON *.*",
    ),
    (
        &["Unable to create temporary file"],
        "the directory for temporary files (/tmp, or tmpdir in the tool's options) is read-only or closed to the daemon's user: a prepare needs it",
    ),
    (
        &["Can't open dir "],
        "the data directory has a folder that the daemon's user may not read: dbcalm-db-cmd check names it, with what helps",
    ),
];

/// What the tool says before the server's or the client library's own words.
const CONNECT: &str = "Failed to connect to ";

/// What helps against it. None if its last lines say it themselves, or nothing is known.
pub(crate) fn hint(stderr: &str) -> Option<&'static str> {
    let row = HELP.iter().find(|(words, _)| words.iter().all(|word| stderr.contains(word)));
    let refused = || {
        let reason = stderr.lines().find_map(|line| line.split_once(CONNECT)?.1.split_once(": "))?.1;
        answer::known_hint(reason)
    };
    row.map(|(_, help)| *help).or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::hint;

    #[test]
    fn what_misleads_is_told_with_what_helps() {
        for (said, help) in [
            (
                "[00] 2026-11-30 15:32:11 Was only able to copy log from 48699 to 177331, not 177347\n\
                 [00] mariabackup: The required redo still fits within the log capacity, so it has not been overwritten; check whether the \
                 server and backup configuration are the same.\nmariabackup: Stopping log copying thread.\n",
                "SET GLOBAL innodb_log_file_size",
            ),
            ("[00] Was only able to copy log from 1 to 2, not 3; try increasing innodb_log_file_size\n", "larger"),
            (
                "InnoDB: Error number 24 means 'Too many open files'\n[00] FATAL ERROR: Failed to validate first page of the file many/t19, error 61\n",
                "--open-files-limit",
            ),
            (
                "[00] Unable to obtain lock. Please try again later.\n[00] Error on BACKUP STAGE START query execution\n",
                "--ftwrl-wait-timeout",
            ),
            (
                "[00] FATAL ERROR: failed to execute query SET GLOBAL rocksdb_create_checkpoint='/d': Access denied; you need (at least one of) the SUPER privilege(s) for this operation\n",
                "GRANT SUPER",
            ),
            (
                "InnoDB: Unable to create temporary file; errno: 30\n[00] mariadb-backup: srv_start() returned 11 (Generic error).\n",
                "read-only",
            ),
            (
                "[00] Can't open dir ./lost+found\n[00] merror: xb_load_tablespaces() failed with error Generic error.\n",
                "check names it",
            ),
            (
                "[00] Failed to connect to MariaDB server: SSL connection error: SSL is required, but the server does not support it.\n",
                "skip-ssl",
            ),
        ] {
            assert!(hint(said).is_some_and(|told| told.contains(help)), "{said}: {:?}", hint(said));
        }
        for said in [
            "",
            "[00] FATAL ERROR: no\n",
            "[00] Failed to connect to MariaDB server: Access denied for user 'x'@'localhost' (using password: YES).\n",
            "[00] Failed to connect to MariaDB server: Can't connect to local server through socket '/s' (2 \"No such file or directory\").\n",
        ] {
            assert_eq!(hint(said), None, "{said}");
        }
    }
}
