//! A server as it describes itself: what it is, and where it keeps its files.
//!
//! In: what `mariadb-admin variables` prints. Out: a [`Server`]. Option files are not asked: a server may have its options from a file of
//! its own, from its command line or from within a container, and what it then uses stands in no file that a tool reads.

pub mod answer;
pub mod checkpoint;
pub mod login;
mod mounts;
pub mod probe;
pub mod tenant;
pub(crate) mod throwaway;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::Lsn;

/// The data directory.
const DATA_DIR: &str = "datadir";
/// The server's version.
const VERSION: &str = "version";
/// What tells servers apart: MariaDB's is made of the machine and the port (`server_uid`, from 10.5), MySQL's lies in `auto.cnf`.
const IDENTITIES: [&str; 2] = ["server_uid", "server_uuid"];
/// The directory of the system tablespace, and its files.
const HOME: &str = "innodb_data_home_dir";
const FILES: &str = "innodb_data_file_path";
/// The directory of the redo log.
const REDO: &str = "innodb_log_group_home_dir";

/// Where `MyRocks` has its files in a data directory, unless it is told otherwise.
const ROCKSDB: &str = "#rocksdb";

/// Where a server may keep files outside its data directory, by the names of its options (mariadb.com, "InnoDB System Variables",
/// "Aria System Variables", "`MyRocks` System Variables"; dev.mysql.com, "InnoDB Startup Options and System Variables").
const PLACES: [&str; 6] = ["aria_log_dir_path", FILES, HOME, REDO, "innodb_undo_directory", "rocksdb_datadir"];

/// What the host is called that it runs on.
pub const HOST: &str = "hostname";
/// Directories in its data directory that it takes for no databases, with commas between.
pub const IGNORED: &str = "ignore_db_dirs";
/// Where its binary log lies, from MariaDB 12.3 (mariadb.com, "InnoDB-Based Binary Log").
pub const BINLOG_ENGINE: &str = "binlog_storage_engine";
/// Whether its redo log is kept for ever, from MariaDB 13.0 (mariadb.com, "InnoDB System Variables").
pub const LOG_ARCHIVE: &str = "innodb_log_archive";

/// What its status says of the last checkpoint (MariaDB from 10.5; mariadb.com, "InnoDB Status Variables").
const CHECKPOINT: &str = "Innodb_lsn_last_checkpoint";

/// Whether it has a binary log, and its list of the files (mariadb.com, "Replication and Binary Log System Variables"; dev.mysql.com, "Binary
/// Logging Options and Variables").
pub const LOG_BIN: &str = "log_bin";
/// Where that list is.
pub const BINLOG_INDEX: &str = "log_bin_index";
/// Whether the files are encrypted: MariaDB's and MySQL's name for it.
pub const BINLOG_ENCRYPTED: [&str; 2] = ["encrypt_binlog", "binlog_encryption"];
/// When it removes files of its own accord: the time since they were written to, in seconds, and its older name, in days.
pub const BINLOG_EXPIRY: [&str; 2] = ["binlog_expire_logs_seconds", "expire_logs_days"];
/// Whether each event has a checksum.
pub const BINLOG_CHECKSUM: &str = "binlog_checksum";

/// What a statement in its binary log may depend on without saying so: what a new table is made as, and what its name is (mariadb.com, "Server System
/// Variables", "InnoDB System Variables").
const HABITS: [&str; 9] = [
    "character_set_server",
    "collation_server",
    "default_storage_engine",
    "explicit_defaults_for_timestamp",
    "innodb_compression_algorithm",
    "innodb_default_row_format",
    "innodb_encrypt_tables",
    "innodb_file_per_table",
    "lower_case_table_names",
];

/// What is asked for the moment.
const NOW: [&str; 11] = [
    HOST,
    IGNORED,
    BINLOG_ENGINE,
    LOG_ARCHIVE,
    LOG_BIN,
    BINLOG_INDEX,
    BINLOG_ENCRYPTED[0],
    BINLOG_ENCRYPTED[1],
    BINLOG_EXPIRY[0],
    BINLOG_EXPIRY[1],
    BINLOG_CHECKSUM,
];

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its version, as it says it.
    pub version: String,
    /// Its name for itself. None if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// What it says of each place where it may keep files elsewhere, by the name of the option.
    #[serde(default)]
    pub places: BTreeMap<String, String>,
    /// What it says of each option that statements in its binary log may depend on, by the name of the option.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub habits: BTreeMap<String, String>,
    /// What else it says of itself, by the name of the variable; of no use once the server has changed.
    #[serde(skip)]
    pub(crate) now: BTreeMap<&'static str, String>,
}

/// Whether a line of `variables` is one that [`Server::parse`] reads.
pub fn is_asked_for(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    row(&text).is_some_and(|(name, _)| {
        [DATA_DIR, VERSION].contains(&name)
            || IDENTITIES.contains(&name)
            || PLACES.contains(&name)
            || HABITS.contains(&name)
            || NOW.contains(&name)
    })
}

/// A row of the table: `| datadir | /var/lib/mysql/ |`, each cell padded with blanks. The end of a very long row may be missing.
fn row(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix("| ")?.split_once('|')?;
    let value = value.trim_end();
    Some((name.trim(), value.strip_suffix('|').unwrap_or(value).trim()))
}

/// The LSN of the last checkpoint, if a line of `extended-status` has it.
fn checkpoint_of(line: &str) -> Option<Lsn> {
    row(line).filter(|(name, _)| *name == CHECKPOINT)?.1.parse().ok()
}

impl Server {
    /// Reads what `mariadb-admin variables` printed, as seen with 10.11.19.
    ///
    /// # Errors
    /// The name of the variable that is not there.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let said: BTreeMap<_, _> = text.lines().filter_map(row).filter(|(_, value)| !value.is_empty()).collect();
        let get = |name: &'static str| said.get(name).map(|value| (*value).to_owned());
        Ok(Self {
            version: get(VERSION).ok_or(VERSION)?,
            uid: IDENTITIES.into_iter().find_map(get),
            data_dir: get(DATA_DIR).map(|dir| plain(&dir)).ok_or(DATA_DIR)?,
            places: PLACES.into_iter().filter_map(|name| Some((name.to_owned(), get(name)?))).collect(),
            habits: HABITS.into_iter().filter_map(|name| Some((name.to_owned(), get(name)?))).collect(),
            now: NOW.into_iter().filter_map(|name| Some((name, get(name)?))).collect(),
        })
    }

    /// What it says of one of [`HOST`], [`IGNORED`] and the others that are asked for the moment. None if it says nothing, or is not asked any more.
    pub fn says(&self, name: &str) -> Option<&str> {
        self.now.get(name).map(String::as_str)
    }

    /// The options by which another server executes its statements as it does. What is no plain word is left out.
    pub fn habit_options(&self) -> Vec<String> {
        let is_word = |value: &str| value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let known = self.habits.iter().filter(|(name, value)| HABITS.contains(&name.as_str()) && is_word(value));
        known.map(|(name, value)| format!("--loose-{}={value}", name.replace('_', "-"))).collect()
    }

    /// The name of the host that it runs on, if that is not this one's.
    pub fn other_host(&self) -> Option<&str> {
        let name = rustix::system::uname();
        let own = name.nodename().to_string_lossy();
        self.says(HOST).filter(|host| *host != own)
    }

    /// The directory of its redo log.
    pub fn redo_dir(&self) -> PathBuf {
        self.places
            .get(REDO)
            .map_or_else(|| self.data_dir.clone(), |dir| plain(&self.data_dir.join(dir).display().to_string()))
    }

    /// The places that it has outside its data directory.
    pub fn outside(&self) -> Vec<Outside> {
        let mut found = self.named();
        found.retain(|place| !self.is_inside(&place.dir));
        found
    }

    /// The places where its files come when they are restored to `data_dir`: those outside, and directories of their own below it, which
    /// mariadb-backup 10.11.19 makes if it is told of them by their full paths. Not told, it puts these files at the top.
    pub fn places_in(&self, data_dir: &Path) -> Vec<Outside> {
        let mut found = self.outside();
        found.extend(self.named().into_iter().filter_map(|place| {
            let below = place.dir.strip_prefix(&self.data_dir).ok().filter(|_| self.is_inside(&place.dir))?;
            let is_usual = below == Path::new("") || below == Path::new(ROCKSDB) || place.option == FILES;
            (!is_usual).then(|| Outside { dir: data_dir.join(below), is_made: true, ..place })
        }));
        found
    }

    fn named(&self) -> Vec<Outside> {
        let mut found = Vec::new();
        for (option, value) in &self.places {
            let names = match option.as_str() {
                "aria_log_dir_path" => Names::Aria,
                REDO => Names::Redo,
                "innodb_undo_directory" => Names::Undo,
                "rocksdb_datadir" => Names::All,
                // The files of the system tablespace say where they are, with it or without.
                _ => continue,
            };
            found.push(Outside { option: option.clone(), dir: self.path(value), names, is_made: false });
        }
        let home = self.places.get(HOME).map_or("", String::as_str);
        // Each file has its size behind it: `ibdata1:12M:autoextend`.
        for file in self.places.get(FILES).map_or("", String::as_str).split(';').filter(|file| !file.is_empty()) {
            let file = self.path(&Path::new(home).join(file.split(':').next().unwrap_or_default()).to_string_lossy());
            if let (Some(dir), Some(name)) = (file.parent(), file.file_name()) {
                let names = Names::One(name.to_string_lossy().into_owned());
                found.push(Outside { option: FILES.to_owned(), dir: dir.to_owned(), names, is_made: false });
            }
        }
        found
    }

    /// What a tool has to be told so that it puts files where this server looks for them: it reads option files, which may say nothing of
    /// that, and never those of a backup (seen with mariadb-backup 10.11.19).
    pub fn restore_options(&self, data_dir: &Path) -> Vec<String> {
        let places = self.places_in(data_dir);
        let tell = |(name, value): (&String, &String)| {
            let place = places.iter().find(|place| place.option == *name);
            let told = match place {
                // A list of files has no directory of its own.
                Some(place) if name != FILES => place.dir.display().to_string(),
                Some(_) => value.clone(),
                None if name == HOME && places.iter().any(|place| place.option == FILES) => value.clone(),
                None => return None,
            };
            Some(format!("--{}={told}", name.replace('_', "-")))
        };
        self.places.iter().filter_map(tell).collect()
    }

    /// Whether a directory is the data directory or below it; `../redo` is not, though its path begins with that of the data directory.
    fn is_inside(&self, dir: &Path) -> bool {
        let below = dir.strip_prefix(&self.data_dir);
        below.is_ok_and(|below| !below.components().any(|part| part == std::path::Component::ParentDir))
    }

    fn path(&self, value: &str) -> PathBuf {
        plain(&self.data_dir.join(value).to_string_lossy())
    }
}

/// A place outside a data directory where a server keeps files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// The option that leads there.
    pub option: String,
    /// The directory.
    pub dir: PathBuf,
    /// Which files of it are the server's.
    pub names: Names,
    /// Whether it is below the data directory, where the tool makes it.
    pub is_made: bool,
}

/// Names of a server's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// Aria's log and its control file.
    Aria,
    /// The redo log.
    Redo,
    /// Undo tablespaces.
    Undo,
    /// This file.
    One(String),
    /// Whatever lies there.
    All,
}

impl Names {
    /// Whether a file of this name is one of them.
    pub fn have(&self, name: &str) -> bool {
        match self {
            Self::Aria => name.starts_with("aria_log"),
            Self::Redo => name.starts_with("ib_logfile") || name == "#innodb_redo",
            Self::Undo => {
                name.strip_prefix("undo").is_some_and(|rest| rest.starts_with(|c: char| c == '_' || c.is_ascii_digit()))
            }
            Self::One(own) => name == own,
            Self::All => true,
        }
    }
}

/// A path without `.` in it and `/` behind it.
fn plain(path: &str) -> PathBuf {
    Path::new(path).components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Names, Server, is_asked_for};

    const SAID: &str = "\
+-------------------------------+--------------------------------+
| Variable_name                 | Value                          |
+-------------------------------+--------------------------------+
| aria_log_dir_path             | /srv/db/data/                  |
| basedir                       | /usr                           |
| datadir                       | /srv/db/data/                  |
| innodb_data_file_path         | ibdata1:12M:autoextend         |
| innodb_data_home_dir          |                                |
| innodb_log_group_home_dir     | ./                             |
| innodb_undo_directory         | ./                             |
| server_uid                    | fXdYp7ZWAMMBm0PUMZFJoAcM0o0=   |
| version                       | 10.11.19-MariaDB-0+deb12u1     |
| version_comment               | Debian 12                      |
+-------------------------------+--------------------------------+
";

    fn server(place: &str, value: &str) -> Server {
        Server::parse(&format!("{SAID}| {place} | {value} |\n")).unwrap()
    }

    #[test]
    fn a_server_says_what_it_is() {
        let found = Server::parse(SAID).unwrap();
        assert_eq!(found.version, "10.11.19-MariaDB-0+deb12u1");
        assert_eq!(found.data_dir, Path::new("/srv/db/data"));
        assert_eq!(found.uid.as_deref(), Some("fXdYp7ZWAMMBm0PUMZFJoAcM0o0="));
        assert_eq!(found.redo_dir(), Path::new("/srv/db/data"));
        assert_eq!(found.outside(), []);
        let bare = Server::parse("| version | 8.0.35 |\n| datadir | /srv/ |\n").unwrap();
        assert_eq!(bare.outside(), [], "what is not said leads nowhere");
        assert_eq!(Server::parse(""), Err("version"));
        assert_eq!(Server::parse("| version | 8.0.35 |\n"), Err("datadir"));
    }

    #[test]
    fn the_lines_that_are_read_are_those_that_are_kept() {
        let kept: Vec<_> = SAID.lines().filter(|line| is_asked_for(line.as_bytes())).collect();
        assert_eq!(kept.len(), 8);
        assert_eq!(Server::parse(&kept.join("\n")), Server::parse(SAID));
        // A row whose end was cut off, since another value made it very long.
        assert!(is_asked_for(b"| datadir       | /srv/db/data/        "));
        assert!(!is_asked_for(b"datadir"));
    }

    #[test]
    fn places_outside_the_data_directory_are_named() {
        let outside = |place: &str, value: &str| {
            let found = server(place, value).outside();
            found.into_iter().map(|found| (found.option, found.dir)).collect::<Vec<_>>()
        };
        for place in ["innodb_undo_directory", "innodb_log_group_home_dir", "aria_log_dir_path", "rocksdb_datadir"] {
            assert_eq!(outside(place, "/fast/logs/"), [(place.to_owned(), PathBuf::from("/fast/logs"))]);
            assert_eq!(outside(place, "./own"), []);
            let own = server(place, "./own");
            assert_eq!(
                own.places_in(Path::new("/new"))[0].dir,
                Path::new("/new/own"),
                "made anew below the data directory"
            );
            assert_eq!(own.restore_options(Path::new("/new")), [format!("--{}=/new/own", place.replace('_', "-"))]);
            assert_eq!(server(place, "./").places_in(Path::new("/new")), []);
            assert_eq!(outside(place, "../logs"), [(place.to_owned(), PathBuf::from("/srv/db/data/../logs"))]);
            let told = [format!("--{}=/fast/logs", place.replace('_', "-"))];
            assert_eq!(server(place, "/fast/logs").restore_options(Path::new("/new")), told);
        }
        assert_eq!(server("innodb_log_group_home_dir", "/fast/logs").redo_dir(), Path::new("/fast/logs"));
        let two = "ibdata1:12M;/big/ibdata2:12M:autoextend";
        assert_eq!(outside("innodb_data_file_path", two), [("innodb_data_file_path".to_owned(), "/big".into())]);
        assert_eq!(outside("innodb_data_home_dir", "/big"), [("innodb_data_file_path".to_owned(), "/big".into())]);
        let told = ["--innodb-data-file-path=ibdata1:12M:autoextend", "--innodb-data-home-dir=/big"];
        assert_eq!(server("innodb_data_home_dir", "/big").restore_options(Path::new("/new")), told);
    }

    #[test]
    fn myrocks_has_its_own_directory_by_itself() {
        assert_eq!(server("rocksdb_datadir", "./#rocksdb").places_in(Path::new("/new")), []);
    }

    #[test]
    fn the_files_of_a_place_are_known_by_their_names() {
        for (names, own, others) in [
            (Names::Aria, &["aria_log.00000001", "aria_log_control"][..], &["aria", "ib_logfile0"][..]),
            (Names::Redo, &["ib_logfile0", "ib_logfile101", "#innodb_redo"], &["ibdata1"]),
            (Names::Undo, &["undo001", "undo_001"], &["undo", "undoing"]),
            (Names::One("ibdata2".to_owned()), &["ibdata2"], &["ibdata1"]),
            (Names::All, &["000004.sst"], &[]),
        ] {
            assert!(
                own.iter().all(|name| names.have(name)) && !others.iter().any(|name| names.have(name)),
                "{names:?}"
            );
        }
    }
}
