//! The credentials file as the backup tool reads it: more than a user and a password may stand in it.
//!
//! In: the file's path. Out: nothing, or the first option that would make a backup of less than everything, with its section. The tool
//! takes its options not from its own sections alone, but from those of every client too: `databases = shop` made a backup without a table
//! that ended with `completed OK!`, in `[mariabackup]` as in `[client-dbcalm]`, where the admin tool does not know it and the ping fails, but
//! for `loose-databases` (seen with 10.11.19). Other option files it does not read: the daemon names this one with `--defaults-file`.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;

use super::tool_options::objection_in_file;

/// Sections that mariadb-backup reads, each with the suffix too (10.5, 10.11, 11.8: its `--help`, and seen with 10.11.19), and xtrabackup
/// (its source). Those of the server give it the options that it shares with the server alone.
const SECTIONS: [&str; 11] = [
    "client",
    "client-mariadb",
    "client-server",
    "galera",
    "mariabackup",
    "mariadb",
    "mariadb-backup",
    "mariadbd",
    "mysqld",
    "server",
    "xtrabackup",
];

/// What the daemon has the tools read beside each section.
const SUFFIX: &str = "-dbcalm";

/// Files that include each other are followed so deep, as deep as the tools do at the least (MariaDB's `my_default.c`: 10).
const MAX_DEPTH: usize = 10;

/// How much is read of a file and all that it includes, in bytes.
const MAX_SIZE: u64 = 1024 * 1024;

/// Option files that are read, each once.
struct Files {
    read: Vec<PathBuf>,
    left: u64,
    /// Whether only those count that root or the daemon's own user has written: a process of anybody's may name one.
    is_own: bool,
}

impl Files {
    fn new(is_own: bool) -> Self {
        Self { read: Vec::new(), left: MAX_SIZE, is_own }
    }

    /// The text of the next one. None if it cannot be read, is no plain file, or has been read.
    fn text(&mut self, path: &Path) -> Option<String> {
        if self.read.iter().any(|read| read == path) {
            return None;
        }
        self.read.push(path.to_owned());
        // A pipe is not waited for.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
        let there = file.metadata().ok()?;
        let is_own = || there.uid() == 0 || there.uid() == geteuid().as_raw();
        if !there.is_file() || (self.is_own && !is_own()) {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(self.left).read_to_end(&mut bytes).ok()?;
        self.left -= bytes.len() as u64;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// A line with an option, of a file or of what it includes.
pub(super) struct Line {
    /// The file that it stands in.
    pub(super) file: PathBuf,
    /// Its section, without the daemon's suffix.
    pub(super) section: String,
    /// Whether its section has the suffix.
    pub(super) is_own: bool,
    /// `name` or `name=value`, as it is written.
    pub(super) text: String,
}

impl Line {
    /// The option's name and its section, as they are written, and the file.
    pub(super) fn place(&self) -> String {
        let option = self.text.split('=').next().unwrap_or_default().trim().escape_debug();
        let suffix = if self.is_own { SUFFIX } else { "" };
        format!("'{option}' in section [{}{suffix}] of '{}'", self.section.escape_debug(), self.file.display())
    }
}

/// The first option in the file at `path`, or in what it includes, that no backup may have; with what is wrong with it. A file that cannot be
/// read has none.
pub fn objection(path: &Path) -> Option<String> {
    lines(path).iter().filter(|line| is_read_by_the_tool(&line.section)).find_map(|line| {
        let why = objection_in_file(&line.text)?;
        Some(format!("{} {why}", line.place()))
    })
}

/// Whether the tool is told in the file at `path`, or in what it includes, to stop a replica's SQL thread while it copies.
pub fn stops_replication(path: &Path) -> bool {
    let lines = lines(path);
    let mut read = lines.iter().filter(|line| is_read_by_the_tool(&line.section));
    read.any(|line| super::tool_options::stops_replication(&line.text))
}

/// The file at `path` and all that it includes, each once, the ones before those that they name; as deep as is followed. One that cannot be
/// read is left out.
pub(super) fn all(path: &Path) -> Vec<(PathBuf, String)> {
    let (mut open, mut found) = (vec![(path.to_owned(), 0)], Vec::<(PathBuf, String)>::new());
    let mut files = Files::new(false);
    while let Some((path, depth)) = open.pop() {
        let Some(text) = files.text(&path) else { continue };
        if depth < MAX_DEPTH {
            let lines = text.lines().filter_map(|line| included(line.trim()));
            open.extend(lines.flatten().map(|path| (path, depth + 1)));
        }
        found.push((path, text));
    }
    found
}

/// The section that a line begins, if it begins one: what stands behind the bracket counts nothing, as to the tools; nor do capitals (both
/// seen with mariadb-admin 10.11.19, which takes a blank before the name for a part of it).
pub(super) fn section(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix('[')?.split_once(']').map(|(name, _comment)| name.trim_end())
}

/// Every option in the file at `path` and in what it includes, in the order in which the tools read them. A file that cannot be read has none.
pub(super) fn lines(path: &Path) -> Vec<Line> {
    let mut found = Vec::new();
    read(path, 0, &mut Files::new(false), &mut found);
    found
}

fn read(path: &Path, depth: usize, files: &mut Files, found: &mut Vec<Line>) {
    let Some(text) = files.text(path) else { return };
    let mut current: Option<String> = None;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            current = Some(section(line).unwrap_or_default().trim().to_ascii_lowercase());
        } else if let Some(paths) = included(line) {
            for path in paths.into_iter().filter(|_| depth < MAX_DEPTH) {
                read(&path, depth + 1, files, found);
            }
        } else if let Some(section) = current.as_deref().filter(|_| !line.is_empty() && !line.starts_with(['#', ';'])) {
            let own = section.strip_suffix(SUFFIX);
            found.push(Line {
                file: path.to_owned(),
                section: own.unwrap_or(section).to_owned(),
                is_own: own.is_some(),
                text: line.to_owned(),
            });
        }
    }
}

/// Sections that a server reads (mariadb.com, "Configuring MariaDB with Option Files"; MySQL's are among them).
const SERVERS: [&str; 6] = ["client-server", "galera", "mariadb", "mariadbd", "mysqld", "server"];

/// The data directory that a server is told by its option file at `path`, or by what that includes. None if nothing there says so, or others than
/// root and the daemon's user have written it.
pub(crate) fn server_data_dir(path: &Path) -> Option<PathBuf> {
    let mut lines = Vec::new();
    read(path, 0, &mut Files::new(true), &mut lines);
    let mut said = lines.iter().filter(|line| {
        let is_versions = SERVERS.iter().any(|name| is_of_a_version(&line.section, name));
        !line.is_own && (SERVERS.contains(&line.section.as_str()) || is_versions)
    });
    said.rfind(|line| line.text.split('=').next().is_some_and(|name| name.trim() == "datadir"))
        .and_then(|line| line.text.split_once('='))
        .map(|(_, value)| PathBuf::from(super::credentials::meant(value)))
}

/// Whether a section is that of a version, such as `mysqld-10.11` for `mysqld`.
fn is_of_a_version(section: &str, name: &str) -> bool {
    let behind = section.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    behind.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether the tool takes options from the section of this name; those of a version (`mysqld-10.11`) are among them.
fn is_read_by_the_tool(section: &str) -> bool {
    SECTIONS.iter().any(|name| section == *name || is_of_a_version(section, name))
}

/// The files that a line names: `!include FILE`, or `!includedir DIRECTORY` for those in it that end in `.cnf`; a blank may stand behind the
/// mark (seen with mariadb-admin 10.11.19). None if it names none.
fn included(line: &str) -> Option<Vec<PathBuf>> {
    let line = line.strip_prefix('!')?.trim_start();
    if let Some(dir) = line.strip_prefix("includedir") {
        let entries = fs::read_dir(dir.trim()).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "cnf"));
        files.sort();
        return Some(files);
    }
    line.strip_prefix("include").map(|file| vec![PathBuf::from(file.trim())])
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{lines, objection, server_data_dir};

    fn said(text: &str) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.cnf");
        fs::write(&path, text).unwrap();
        objection(&path).map(|said| said.replace(&dir.path().display().to_string(), "~"))
    }

    /// A process of anybody's may name a file as its own.
    #[test]
    fn files_that_include_each_other_or_are_none_take_no_time_and_no_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.cnf");
        let include = format!("! include {}\n", path.display());
        fs::write(&path, format!("[mysqld]\n{}datadir = '/srv/db'\n", include.repeat(50))).unwrap();
        assert_eq!(server_data_dir(&path).as_deref(), Some(Path::new("/srv/db")));
        assert_eq!(lines(&path).len(), 1);
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(server_data_dir(&pipe), None);
        let large = fs::File::create(dir.path().join("large")).unwrap();
        large.set_len(1 << 40).unwrap();
        assert_eq!(server_data_dir(&dir.path().join("large")), None);
        fs::write(dir.path().join("more.cnf"), "[client]\ntables = x\n").unwrap();
        fs::write(&path, format!("[client]\n!  include {}\n", dir.path().join("more.cnf").display())).unwrap();
        assert!(objection(&path).is_some(), "a blank may stand behind the mark");
    }

    #[test]
    fn what_makes_less_than_a_whole_backup_is_named_wherever_the_tool_takes_it_from() {
        assert_eq!(
            said("[client-dbcalm]\nuser=backup\nDatabases = shop\n").unwrap(),
            "'Databases' in section [client-dbcalm] of '~/credentials.cnf' makes backups that are not whole"
        );
        for section in [
            "client",
            "client-mariadb",
            "client-server-dbcalm",
            "mariabackup",
            "MariaBackup",
            "mariabackup-dbcalm",
            "mariadb-backup",
            "xtrabackup",
            "mysqld-10.11",
            "mariadb-11.8-dbcalm",
        ] {
            let text = format!("# a note\n[client-dbcalm]\nuser=b\n\n[ {section} ]\n  skip_rocksdb_backup\n");
            assert!(said(&text).is_some(), "[{section}]");
        }
    }

    #[test]
    fn what_the_tool_does_not_read_or_may_have_is_none_of_ours() {
        for text in [
            "",
            "databases=shop\n",
            "[client-dbcalm]\nuser=b\npassword=tables\nsocket=/s\n# databases=x\n; tables=x\n",
            "[mysqldump]\ndatabases=shop\ntables=x\ncompress\n",
            "[client-other]\ncompress\n",
            "[mariabackup]\nthrottle=5\ninnodb_undo_directory=/undo\n",
            "[client-dbcalm]\ndatabase=shop\n",
        ] {
            assert_eq!(said(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_last_word_on_a_servers_data_directory_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("my.cnf");
        for (text, told) in [
            ("[mysqld]\ndatadir=/a\n[mariadb-10.11]\ndatadir = \"/b c\" # there\n", Some("/b c")),
            ("[mysqld]\ndatadir=/a\n[mysqldump]\ndatadir=/b\n[mysqld-dbcalm]\ndatadir=/c\n", Some("/a")),
            ("[client]\ndatadir=/a\n", None),
            ("datadir=/a\n", None),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(super::server_data_dir(&path), told.map(Into::into), "{text}");
        }
    }

    #[test]
    fn what_is_included_is_read_too_and_no_circle_is_endless() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("more")).unwrap();
        fs::write(path("credentials.cnf"), format!("[client-dbcalm]\n!includedir {}\n", path("more").display()))
            .unwrap();
        let circle = format!("!include {}\n", path("credentials.cnf").display());
        fs::write(path("more/a.cnf"), &circle).unwrap();
        fs::write(path("more/b.txt"), "[client]\ntables=x\n").unwrap();
        assert_eq!(objection(&path("credentials.cnf")), None);
        fs::write(path("more/c.cnf"), "[client]\ntables=x\n").unwrap();
        assert!(objection(&path("credentials.cnf")).unwrap().contains("/more/c.cnf' makes backups"));
        assert_eq!(objection(&path("nowhere.cnf")), None);
    }
}
