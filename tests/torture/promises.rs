//! What must hold after every restart of the daemon, whatever was killed before it.
//!
//! In: a sandbox whose daemon is ready and has no job under way, and what was promised so far. Out: every promise that is broken,
//! in words. Looks at records, files and processes; changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::rc::Rc;

use rusqlite::Connection;

use super::processes;
use super::stored;
use crate::harness::stand::Content;
use crate::harness::{TestEnv, wait_for};

/// Folders of the backup directory that are no backup.
const OWN: [&str; 3] = ["tmp", "restores", ".sending"];

/// A backup that was recorded: from now on it stays, byte by byte.
pub(crate) struct Kept {
    pub(crate) base: Option<String>,
    /// What the server held when it was taken.
    pub(crate) content: Rc<Content>,
    /// Its manifest, when it was first seen to be whole.
    pub(crate) manifest: Vec<u8>,
}

/// What was promised so far.
#[derive(Default)]
pub(crate) struct Promised {
    pub(crate) backups: BTreeMap<String, Kept>,
    /// The accepted requests, and what their newest row ended as once they had.
    pub(crate) accepted: BTreeMap<String, Option<String>>,
    /// The newest row of `process` that was seen.
    last_row: i64,
    /// Whether backups are kept in a bucket, here or not.
    has_bucket: bool,
}

impl Promised {
    /// Nothing so far.
    pub(super) fn new(has_bucket: bool) -> Self {
        Self { has_bucket, ..Self::default() }
    }

    /// Every promise that is broken.
    pub(crate) fn broken(&mut self, env: &TestEnv) -> Vec<String> {
        let mut broken = Vec::new();
        let database = env.database();
        self.rows(&database, &mut broken);
        self.backups(env, &database, &mut broken);
        restores(env, &database, &mut broken);
        leftovers(env, &database, &mut broken);
        broken
    }

    /// No row is `running`, none vanishes, and every accepted request has ended and stays so.
    fn rows(&mut self, database: &Connection, broken: &mut Vec<String>) {
        let running =
            texts(database, "SELECT id || ' ' || command FROM process WHERE status NOT IN ('success', 'failed')");
        broken.extend(running.iter().map(|row| format!("the row {row} has not ended")));
        let (rows, newest): (i64, i64) = database
            .query_row("SELECT count(*), coalesce(max(id), 0) FROM process", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        if newest < self.last_row || rows != newest {
            broken.push(format!("{rows} rows, the newest {newest}, where row {} was seen before", self.last_row));
        }
        self.last_row = newest;
        let lies = "SELECT p.id || ' ' || p.command FROM process p WHERE p.type = 'restore' AND p.status = 'success'
             AND p.id IN (SELECT max(id) FROM process GROUP BY command_id)
             AND NOT EXISTS (SELECT 1 FROM restore WHERE process_id = p.id)";
        broken.extend(texts(database, lies).iter().map(|row| format!("a success without a restore: the row {row}")));
        let newest = newest_statuses(database);
        for (id, seen) in &mut self.accepted {
            let status = newest.get(id).cloned();
            if status.is_none() || (seen.is_some() && *seen != status) {
                broken.push(format!("request {id} was accepted, was {seen:?} and is {status:?}"));
            }
            *seen = status;
        }
    }

    /// Every row has a whole backup, every folder a row, and what was recorded once stays as it was.
    fn backups(&self, env: &TestEnv, database: &Connection, broken: &mut Vec<String>) {
        let rows: BTreeSet<String> = texts(database, "SELECT id FROM backup").into_iter().collect();
        let folders = names(env, "backups");
        for id in self.backups.keys().filter(|id| !rows.contains(*id)) {
            broken.push(format!("the backup {id} was recorded, and is no more"));
        }
        for name in &folders {
            if !OWN.contains(&name.as_str()) && !rows.contains(name) {
                broken.push(format!("'{name}' in the backup directory is of no recorded backup"));
            }
        }
        for id in &rows {
            let base = database.query_row("SELECT from_backup_id FROM backup WHERE id = ?1", [id], |row| row.get(0));
            let base: Option<String> = base.unwrap();
            let base = base.map(|base| env.backup(&base));
            match (stored::examine(&env.backup(id), base.as_deref(), self.has_bucket), self.backups.get(id)) {
                (Err(why), _) => broken.push(format!("the backup {id} is recorded and not whole: {why}")),
                (Ok(manifest), Some(kept)) if manifest != kept.manifest => {
                    broken.push(format!("the backup {id} is not what it was when it was recorded"));
                }
                (Ok(_), _) => {}
            }
        }
    }
}

/// Every restored folder is recorded.
fn restores(env: &TestEnv, database: &Connection, broken: &mut Vec<String>) {
    let recorded = texts(database, "SELECT target_path FROM restore WHERE upper(target) = 'FOLDER'");
    for name in names(env, "backups/restores") {
        if !recorded.contains(&env.path("backups/restores").join(&name).display().to_string()) {
            broken.push(format!("'restores/{name}' is of no recorded restore"));
        }
    }
}

/// Neither working copies nor processes are left.
fn leftovers(env: &TestEnv, database: &Connection, broken: &mut Vec<String>) {
    broken.extend(names(env, "backups/tmp").iter().map(|name| format!("'tmp/{name}' is left")));
    let ids: BTreeSet<String> = texts(database, "SELECT DISTINCT command_id FROM process").into_iter().collect();
    let ours = || processes::of_ours(env.root(), &ids, env.daemon_pid());
    for tool in ours().iter().filter(|process| process.command_id.is_some()) {
        broken.push(format!("process {} is left: {}", tool.pid, tool.arguments));
    }
    if broken.is_empty() {
        // A ping or a question for the version that a killed daemon waits for no more ends by itself.
        wait_for("what a killed daemon asked to end", || ours().is_empty().then_some(()));
    }
}

/// What people see of each request: the status of its newest row.
fn newest_statuses(database: &Connection) -> BTreeMap<String, String> {
    let query = "SELECT command_id, status FROM process WHERE id IN (SELECT max(id) FROM process GROUP BY command_id)";
    let mut statement = database.prepare_cached(query).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// The texts of a query's first column.
pub(crate) fn texts(database: &Connection, query: &str) -> Vec<String> {
    let mut statement = database.prepare_cached(query).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// What lies in a directory below the sandbox's, hidden or not; nothing, if it is not there.
fn names(env: &TestEnv, relative: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(env.path(relative)) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}
