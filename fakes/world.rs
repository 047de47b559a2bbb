//! The fake server's state on disk: `BIN/world/`. Tests write it, the fake tools only read it, but for the
//! counter of a `live` one.
//!
//! - `up`: there while the server runs.
//! - `version`: the server's version, one line.
//! - `data/`: the data directory as the server sees it.
//! - `variables`: settings of the server, `name=value` a line. It calls `data/` what its `datadir` says: `BIN/../data`, where a daemon of
//!   a test restores to, unless that is set.
//! - `lsn.json`: the log sequence number of the server, and those at which each file was created and last changed.
//! - `live`: there where the server is a real one; holds the path of its data directory. Then whether it is up is what its
//!   socket says, its LSN is a counter that each backup moves on, and every file counts as changed since the last one.
//!   A copy is taken file by file, so it is a backup only while nothing writes to the server; a real server has to finish
//!   it by its own recovery.
//!
//! A test includes this file with `#[path = "../fakes/world.rs"] mod world;`.

#![allow(dead_code, reason = "shared: each program that includes it uses another part of it")]

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

/// The LSN of a server whose `lsn.json` says nothing; also that of every file it does not name.
const FIRST_LSN: u64 = 1;

/// How far a backup's redo log reaches past the server's LSN. Real servers are nearly always a few records past it
/// (123 bytes seen with mariadb-backup 10.11.19), so `last_lsn` is not `to_lsn`.
const REDO_TAIL: u64 = 9;

/// How far a backup moves the counter of a real server on.
const LIVE_STEP: u64 = 1000;

/// What `lsn.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lsns {
    /// The server's current LSN.
    pub(crate) lsn: u64,
    /// The last checkpoint, where it stays behind the LSN; see [`World::hold_checkpoint`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint: Option<u64>,
    /// LSN of the last change, by path relative to the data directory.
    #[serde(default)]
    pub(crate) changed: BTreeMap<String, u64>,
    /// LSN at creation, by path relative to the data directory.
    #[serde(default)]
    pub(crate) created: BTreeMap<String, u64>,
}

impl Lsns {
    /// What a backup taken now has as `to_lsn`.
    pub(crate) fn to_lsn(&self) -> u64 {
        self.checkpoint.unwrap_or(self.lsn)
    }

    /// What a backup taken now has as `last_lsn`.
    pub(crate) fn last_lsn(&self) -> u64 {
        self.lsn + REDO_TAIL
    }

    /// When the file was last changed.
    pub(crate) fn changed(&self, path: &str) -> u64 {
        self.changed.get(path).copied().unwrap_or(FIRST_LSN)
    }

    /// When the file was created.
    pub(crate) fn created(&self, path: &str) -> u64 {
        self.created.get(path).copied().unwrap_or(FIRST_LSN)
    }
}

/// A fake server.
#[derive(Debug, Clone)]
pub(crate) struct World {
    root: PathBuf,
}

impl World {
    /// Makes a running server with an `ibdata1` and nothing else, beside the fake tools in `bin`.
    pub(crate) fn create(bin: &Path) -> io::Result<Self> {
        let world = Self::at(bin);
        fs::create_dir_all(world.data())?;
        world.put("ibdata1", b"system tablespace\n")?;
        world.start()?;
        Ok(world)
    }

    /// The server beside the fake tools in `bin`, as it is.
    pub(crate) fn at(bin: &Path) -> Self {
        Self { root: bin.join("world") }
    }

    /// The server's data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.live().unwrap_or_else(|| self.root.join("data"))
    }

    /// Lets the world be that of a real server with this data directory.
    pub(crate) fn set_live(&self, data: &Path) -> io::Result<()> {
        fs::write(self.root.join("live"), data.display().to_string())
    }

    /// The data directory of the real server, if it is one.
    fn live(&self) -> Option<PathBuf> {
        fs::read_to_string(self.root.join("live")).ok().map(|text| PathBuf::from(text.trim()))
    }

    /// Whether a server answers whoever comes by this socket.
    pub(crate) fn answers(&self, socket: &str) -> bool {
        if self.live().is_some() { UnixStream::connect(socket).is_ok() } else { self.is_up() }
    }

    /// The log sequence numbers of a backup that is begun now.
    pub(crate) fn lsns_of_a_backup(&self) -> io::Result<Lsns> {
        let mut lsns = self.lsns()?;
        if self.live().is_some() {
            lsns.lsn += LIVE_STEP;
            self.write_lsns(&lsns)?;
            lsns.changed = files(&self.data())?.into_iter().map(|path| (path, lsns.lsn)).collect();
        }
        Ok(lsns)
    }

    /// Whether the file goes into a backup; the server's logs, sockets and the like do not.
    pub(crate) fn backs_up(&self, path: &str) -> bool {
        // A schema's directory is copied by the files' endings, and this file has none.
        if path == "mysql/dbcalm-history" {
            return false;
        }
        let is = |extensions: &[&str]| {
            Path::new(path).extension().is_some_and(|found| extensions.iter().any(|extension| found == *extension))
        };
        if self.live().is_some() {
            // The real server's own redo log is what makes the copy whole.
            let is_temporary = path.starts_with("ibtmp") || path.starts_with("#innodb_temp");
            return !is_temporary && !is(&["sock", "lock", "pid", "err", "cnf", "flag", "pem"]);
        }
        path.contains('/')
            || !(is(&["sock", "pid", "err", "cnf", "flag"]) || path.starts_with("ib_") || path.starts_with("ibtmp"))
    }

    /// Lets the server answer.
    pub(crate) fn start(&self) -> io::Result<()> {
        fs::write(self.root.join("up"), b"")
    }

    /// Lets the server answer no more.
    pub(crate) fn stop(&self) -> io::Result<()> {
        ignore_missing(fs::remove_file(self.root.join("up")))
    }

    /// Whether the server answers.
    pub(crate) fn is_up(&self) -> bool {
        self.root.join("up").exists()
    }

    /// Sets the version that server and tools say they have.
    pub(crate) fn set_version(&self, version: &str) -> io::Result<()> {
        fs::write(self.root.join("version"), version)
    }

    /// The version set, if one is.
    pub(crate) fn version(&self) -> Option<String> {
        fs::read_to_string(self.root.join("version")).ok().map(|text| text.trim().to_owned())
    }

    /// Sets a variable of the server.
    pub(crate) fn set_variable(&self, name: &str, value: &str) -> io::Result<()> {
        let path = self.root.join("variables");
        let text = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, format!("{text}{name}={value}\n"))
    }

    /// Its data directory, as the server calls it.
    pub(crate) fn named_data(&self) -> PathBuf {
        self.live().unwrap_or_else(|| {
            let named = self.variables("").into_iter().find(|(name, _)| name == "datadir");
            named.map_or_else(|| self.data(), |(_, value)| PathBuf::from(value.trim_end_matches('/')))
        })
    }

    /// The server's variables, by their names.
    pub(crate) fn variables(&self, version: &str) -> Vec<(String, String)> {
        let data_dir = self.root.parent().and_then(Path::parent).unwrap_or(Path::new("/")).join("data");
        let mut all = BTreeMap::from([
            ("datadir".to_owned(), format!("{}/", data_dir.display())),
            ("version".to_owned(), version.to_owned()),
        ]);
        let set = fs::read_to_string(self.root.join("variables")).unwrap_or_default();
        all.extend(
            set.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into())),
        );
        all.into_iter().collect()
    }

    /// What of the server's status a test has set: the variables that begin as InnoDB's status does.
    pub(crate) fn status(&self) -> Vec<(String, String)> {
        let mut all = self.variables("");
        all.retain(|(name, _)| name.starts_with("Innodb_lsn"));
        all
    }

    /// Creates or changes a file of the data directory; the LSN grows by the length of `bytes` and 100.
    pub(crate) fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let file = self.data().join(path);
        let is_new = !file.exists();
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(file, bytes)?;
        let mut lsns = self.lsns()?;
        lsns.lsn += u64::try_from(bytes.len()).unwrap_or_default() + 100;
        lsns.changed.insert(path.to_owned(), lsns.lsn);
        if is_new {
            lsns.created.insert(path.to_owned(), lsns.lsn);
        }
        self.write_lsns(&lsns)
    }

    /// Removes a file of the data directory; the LSN grows by 100.
    pub(crate) fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.data().join(path))?;
        let mut lsns = self.lsns()?;
        lsns.lsn += 100;
        lsns.changed.remove(path);
        lsns.created.remove(path);
        self.write_lsns(&lsns)
    }

    /// Keeps the checkpoint where it is from now on, as a server with few writes does for hours: incremental backups
    /// then have `from_lsn = to_lsn` while their `last_lsn` grows (seen with mariadb-backup 10.11.19).
    pub(crate) fn hold_checkpoint(&self) -> io::Result<()> {
        let mut lsns = self.lsns()?;
        lsns.checkpoint = Some(lsns.to_lsn());
        self.write_lsns(&lsns)
    }

    /// Lets the checkpoint follow the LSN again.
    pub(crate) fn release_checkpoint(&self) -> io::Result<()> {
        self.write_lsns(&Lsns { checkpoint: None, ..self.lsns()? })
    }

    /// The log sequence numbers as they are.
    pub(crate) fn lsns(&self) -> io::Result<Lsns> {
        match fs::read(self.root.join("lsn.json")) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Lsns { lsn: FIRST_LSN, checkpoint: None, changed: BTreeMap::new(), created: BTreeMap::new() })
            }
            Err(error) => Err(error),
        }
    }

    /// Every file of the data directory with its content: what a restore has to bring back.
    pub(crate) fn content(&self) -> io::Result<BTreeMap<String, Vec<u8>>> {
        content_of(&self.data())
    }

    fn write_lsns(&self, lsns: &Lsns) -> io::Result<()> {
        fs::create_dir_all(&self.root)?;
        let new = self.root.join("lsn.json.new");
        fs::write(&new, serde_json::to_vec_pretty(lsns)?)?;
        fs::rename(new, self.root.join("lsn.json"))
    }
}

/// Every file below `dir` with its content, but for those that the backup tool adds by itself; a restored data
/// directory or folder equals [`World::content`] of the moment of its last backup.
pub(crate) fn content_of(dir: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for path in files(dir)? {
        if !is_added_by_tool(&path) {
            found.insert(path.clone(), fs::read(dir.join(&path))?);
        }
    }
    Ok(found)
}

/// Whether the backup tool adds this file to a backup by itself.
pub(crate) fn is_added_by_tool(path: &str) -> bool {
    path == "backup-my.cnf" || path.starts_with("xtrabackup_") || path.starts_with("mariadb_backup_") || is_redo(path)
}

/// Whether it is a redo log of a real server, MariaDB's or MySQL's.
pub(crate) fn is_redo(path: &str) -> bool {
    path.starts_with("ib_logfile") || path.starts_with("#innodb_redo/")
}

/// The files below `dir` by their path relative to it, sorted.
pub(crate) fn files(dir: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    walk(dir, "", &mut |path, is_dir| {
        if !is_dir {
            found.push(path);
        }
    })?;
    found.sort();
    Ok(found)
}

/// The directories below `dir` by their path relative to it, parents first.
pub(crate) fn directories(dir: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    walk(dir, "", &mut |path, is_dir| {
        if is_dir {
            found.push(path);
        }
    })?;
    found.sort();
    Ok(found)
}

fn walk(dir: &Path, prefix: &str, visit: &mut dyn FnMut(String, bool)) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        // What a server drops while its directory is read was never there.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !prefix.is_empty() => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let is_dir = entry.file_type()?.is_dir();
        if is_dir {
            walk(&entry.path(), &format!("{path}/"), visit)?;
        }
        visit(path, is_dir);
    }
    Ok(())
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
