//! The files that tell about a backup: checkpoints, info and `backup-my.cnf`.
//!
//! Their fields are those that mariadb-backup 10.11.19 writes.

use std::fs;
use std::path::Path;

use crate::log::Flavour;

/// The names of a backup's files, which differ by tool and version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    /// `xtrabackup_checkpoints`, for MariaDB from 11.1 on `mariadb_backup_checkpoints` (by its documentation).
    pub(crate) checkpoints: &'static str,
    /// `xtrabackup_info`, for MariaDB from 11.1 on `mariadb_backup_info` (by its documentation).
    pub(crate) info: &'static str,
    /// The position in the binary log that prepare leaves behind.
    pub(crate) binlog_position: &'static str,
    /// `ib_logfile0`, for xtrabackup and MariaDB 10.1 `xtrabackup_logfile`.
    pub(crate) redo: &'static str,
}

impl Names {
    /// The names that this version of the tool gives.
    pub(crate) fn of(flavour: Flavour, version: (u32, u32)) -> Self {
        let redo = if is_percona_like(flavour, version) { "xtrabackup_logfile" } else { "ib_logfile0" };
        if flavour == Flavour::Mariabackup && version >= (11, 1) {
            Self {
                checkpoints: "mariadb_backup_checkpoints",
                info: "mariadb_backup_info",
                binlog_position: "mariadb_backup_binlog_pos_innodb",
                redo,
            }
        } else {
            Self {
                checkpoints: "xtrabackup_checkpoints",
                info: "xtrabackup_info",
                binlog_position: "xtrabackup_binlog_pos_innodb",
                redo,
            }
        }
    }
}

/// Whether the tool needs `--apply-log-only`: xtrabackup always, mariabackup before 10.2.
pub(crate) fn is_percona_like(flavour: Flavour, version: (u32, u32)) -> bool {
    flavour == Flavour::Xtrabackup || version < (10, 2)
}

/// Whether the tool has the new names of its options for incrementals: xtrabackup from 8.4.0-8, and from 9.7.2-2 on (Percona's release notes).
pub(crate) fn has_new_names(flavour: Flavour, version: &str) -> bool {
    let mut parts = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or_default());
    let version: [u32; 4] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let is_lts = (version[0], version[1]) == (8, 4) && version >= [8, 4, 0, 8];
    flavour == Flavour::Xtrabackup && (is_lts || version >= [9, 7, 2, 2])
}

/// Whether it is an old MariaDB, with a redo log of blocks and fewer words: so seen with 10.5.23, and not with 10.11.19.
pub(crate) fn is_old(flavour: Flavour, version: (u32, u32)) -> bool {
    flavour == Flavour::Mariabackup && version < (10, 6)
}

/// Major and minor version in a text such as `10.11.19-MariaDB`.
pub(crate) fn version_of(text: &str) -> (u32, u32) {
    let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or_default());
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// What the checkpoints file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoints {
    /// `full-backuped`, `incremental`, `log-applied`, `full-prepared`.
    pub(crate) backup_type: String,
    /// Where the backup begins: 0, or its base's `to_lsn`.
    pub(crate) from_lsn: u64,
    /// The checkpoint it was taken at.
    pub(crate) to_lsn: u64,
    /// The end of its redo log.
    pub(crate) last_lsn: u64,
}

impl Checkpoints {
    /// Reads the text of a checkpoints file; nothing where a field is missing or no number.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.lines().filter_map(|line| line.split_once(" = ")).find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let number = |name| field(name)?.trim().parse().ok();
        Some(Self {
            backup_type: field("backup_type")?.to_owned(),
            from_lsn: number("from_lsn")?,
            to_lsn: number("to_lsn")?,
            last_lsn: number("last_lsn")?,
        })
    }

    /// The text of the checkpoints file.
    pub(crate) fn text(&self, flavour: Flavour, version: (u32, u32)) -> String {
        let Self { backup_type, from_lsn, to_lsn, last_lsn } = self;
        let tail = match flavour {
            Flavour::Mariabackup if is_old(flavour, version) => String::new(),
            Flavour::Mariabackup => "recover_binlog_info = 0\n".to_owned(),
            Flavour::Xtrabackup => format!("flushed_lsn = {last_lsn}\nredo_memory = 0\nredo_frames = 0\n"),
        };
        format!("backup_type = {backup_type}\nfrom_lsn = {from_lsn}\nto_lsn = {to_lsn}\nlast_lsn = {last_lsn}\n{tail}")
    }
}

/// What the info file says beside the checkpoints.
pub(crate) struct Info<'a> {
    /// The tool's name.
    pub(crate) tool: &'a str,
    /// Its arguments.
    pub(crate) command: &'a str,
    /// Version of tool and server.
    pub(crate) version: &'a str,
    /// When the backup began and ended.
    pub(crate) times: (&'a str, &'a str),
    /// The LSNs.
    pub(crate) checkpoints: &'a Checkpoints,
    /// `file`, or the name of the stream's format.
    pub(crate) format: &'a str,
}

impl Info<'_> {
    /// The text of the info file.
    pub(crate) fn text(&self) -> String {
        let Self { tool, command, version, times: (start, end), checkpoints, format } = self;
        let incremental = if checkpoints.backup_type == "incremental" { "Y" } else { "N" };
        let (from, to) = (checkpoints.from_lsn, checkpoints.to_lsn);
        let id = std::process::id();
        format!(
            "uuid = 00000000-0000-11f1-8000-{id:012x}\nname = \ntool_name = {tool}\ntool_command = {command}\n\
             tool_version = {version}\nibbackup_version = {version}\nserver_version = {version}\n\
             start_time = {start}\nend_time = {end}\nlock_time = 0\nbinlog_pos = \n\
             innodb_from_lsn = {from}\ninnodb_to_lsn = {to}\npartial = N\nincremental = {incremental}\n\
             format = {format}\ncompressed = N\n"
        )
    }
}

/// The text of `backup-my.cnf`.
pub(crate) const BACKUP_MY_CNF: &str = "# This options file was generated by innobackupex.\n\n# The server\n[mysqld]\n\
    innodb_checksum_algorithm=crc32\ninnodb_data_file_path=ibdata1:12M:autoextend\ninnodb_log_file_size=100663296\n\
    innodb_page_size=16384\ninnodb_undo_directory=./\ninnodb_undo_tablespaces=0\ninnodb_compression_level=6\n\n\n";

/// Why a checkpoints file gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// There is no such file, or it cannot be opened.
    CannotOpen,
    /// It says something else.
    CannotParse,
}

/// Reads the checkpoints of the backup in `dir`; else says what is wrong with each file that was tried.
pub(crate) fn read_checkpoints(dir: &Path, names: Names) -> Result<Checkpoints, Vec<(&'static str, Unread)>> {
    let read = |name: &'static str| {
        let text = fs::read_to_string(dir.join(name)).ok().ok_or((name, Unread::CannotOpen))?;
        Checkpoints::parse(&text).ok_or((name, Unread::CannotParse))
    };
    // From 11.1 on the tool tries the old name too: seen with 11.8.6.
    let tried = [names.checkpoints, OLD_CHECKPOINTS];
    let tried = if names.checkpoints == OLD_CHECKPOINTS { &tried[..1] } else { &tried[..] };
    let mut wrong = Vec::new();
    for name in tried {
        match read(name) {
            Ok(checkpoints) => return Ok(checkpoints),
            Err(why) => wrong.push(why),
        }
    }
    Err(wrong)
}

/// The name of checkpoints that every version reads.
const OLD_CHECKPOINTS: &str = "xtrabackup_checkpoints";

#[cfg(test)]
mod tests {
    use super::version_of;

    #[test]
    fn versions() {
        assert_eq!(version_of("10.11.19-MariaDB"), (10, 11));
        assert_eq!(version_of("11.1.2"), (11, 1));
        assert_eq!(version_of("8.0.35-30"), (8, 0));
    }
}
