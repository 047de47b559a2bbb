//! What came of a round: each request's end held against its records, its files and the data of its moment.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;

use super::crash::Sweep;
use super::promises::{Kept, texts};
use super::request::{Answer, DATABASE, Request};
use super::stored;
use crate::harness::world;

/// From which size on a file of the data directory is told by its size alone: 1 MiB; left-overs are smaller.
const LARGE: u64 = 1024 * 1024;

/// What lies in a data directory.
pub(super) type DataDir = BTreeMap<String, Vec<u8>>;

impl Sweep {
    /// Looks at what came of the requests, and then at all that was promised.
    pub(super) fn look_at(&mut self, asked: Vec<(Request, Answer)>, before: &DataDir) {
        let mut of_database = None;
        for (request, answer) in asked {
            self.report.requests += 1;
            let status = match answer {
                Answer::Nothing => {
                    self.report.unanswered += 1;
                    None
                }
                Answer::Refused => {
                    self.report.refused += 1;
                    None
                }
                Answer::Accepted(id) => {
                    let status = self.outcome(&id);
                    let is_success = status.as_deref() == Some("success");
                    *if is_success { &mut self.report.succeeded } else { &mut self.report.failed } += 1;
                    self.promised.accepted.insert(id, status.clone());
                    status
                }
            };
            match request {
                Request::Backup { id, base } => self.look_at_backup(id, base, status.as_deref()),
                Request::Restore { chain, target: DATABASE } => of_database = Some((chain, status)),
                Request::Restore { .. } => {}
            }
        }
        self.look_at_promises();
        if let Some(line) = self.env().unclaimed() {
            panic!("a line in the log that no kill explains: {line}");
        }
        self.look_at_folders();
        match of_database {
            Some((chain, status)) => self.look_at_database(&chain, status.as_deref(), before),
            None if !self.is_up => assert_eq!(self.data_dir_now(), *before, "nobody asked for the data directory"),
            None => {}
        }
    }

    /// Looks at all that was promised, here and in the bucket.
    pub(super) fn look_at_promises(&mut self) {
        let mut broken = Vec::new();
        if let Some(offsite) = &self.offsite {
            let env = self.stand.env();
            broken = offsite.broken(env, &texts(&env.database(), "SELECT id FROM backup"));
        }
        broken.extend(self.promised.broken(self.stand.env()));
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }

    /// What people see of a request.
    pub(super) fn outcome(&self, command_id: &str) -> Option<String> {
        let rows = self.env().rows("process", &format!("command_id = '{command_id}'"));
        Some(rows.last()?["status"].as_str().unwrap().to_owned())
    }

    fn look_at_backup(&mut self, id: String, base: Option<String>, status: Option<&str>) {
        let is_recorded = self.env().count("backup", &format!("id = '{id}'")) == 1;
        if let Some(status) = status {
            assert_eq!(status == "success", is_recorded, "the backup {id} ended as {status}; recorded: {is_recorded}");
        }
        if !is_recorded {
            return;
        }
        let base_dir = base.as_ref().map(|base| self.env().backup(base));
        let manifest = stored::examine(&self.env().backup(&id), base_dir.as_deref(), self.offsite.is_some());
        let manifest = manifest.unwrap_or_else(|why| panic!("the backup {id} is recorded and not whole: {why}"));
        self.report.backups += 1;
        let is_stream = |name: &String| name.contains(".xbstream");
        let is_here = world::files(&self.env().backup(&id)).unwrap().iter().any(is_stream);
        self.report.streams += u32::from(is_here);
        self.report.elsewhere += u32::from(self.offsite.is_some() && !is_here);
        self.bases.push(id.clone());
        self.promised.backups.insert(id, Kept { base, content: Rc::clone(&self.content), manifest });
    }

    /// What was restored to folders is what it should be; then it goes, as an operator removes what was looked at.
    fn look_at_folders(&mut self) {
        for row in self.env().rows("restore", &format!("id > {}", self.restores_seen)) {
            self.restores_seen = row["id"].as_i64().unwrap();
            if row["target"].as_str().unwrap().eq_ignore_ascii_case(DATABASE) {
                continue;
            }
            let place = PathBuf::from(row["target_path"].as_str().unwrap());
            let process = self.env().rows("process", &format!("id = {}", row["process_id"])).remove(0);
            let args: serde_json::Value = serde_json::from_str(process["args"].as_str().unwrap()).unwrap();
            let full = row["backup_id"].as_str().unwrap();
            let last = args["id_list"].as_array().unwrap().last().unwrap().as_str().unwrap();
            let wanted = Rc::clone(&self.promised.backups[last].content);
            let found = self.stand.restored_folder(&place.join(full));
            assert!(found == *wanted, "the folder of {last} is not what it was: {found:?} instead of {wanted:?}");
            self.report.restored += 1;
            fs::remove_dir_all(place).unwrap();
        }
    }

    /// The data directory is as it was, or what it was at the backup.
    fn look_at_database(&mut self, chain: &[String], status: Option<&str>, before: &DataDir) {
        if self.data_dir_now() == *before {
            assert_ne!(status, Some("success"), "a success that has restored nothing");
            self.report.undone += 1;
            return;
        }
        // Where the daemon died after the restore was whole and before its record was, what had been set aside stays: that the
        // restore is whole is not known to the next daemon.
        for left in self.data_dir_now().into_keys().filter(|path| path.ends_with(".dbcalm-aside")) {
            assert_ne!(status, Some("success"), "'{left}' was set aside and is left");
            fs::remove_file(self.stand.data_dir().join(left)).unwrap();
        }
        let wanted = Rc::clone(&self.promised.backups[chain.last().unwrap()].content);
        let found = self.stand.restored();
        assert!(found == *wanted, "the data directory is half filled: {found:?} instead of {wanted:?}");
        self.report.restored += 1;
        (self.is_up, self.content) = (true, Rc::new(self.stand.content()));
        self.bases.clear();
    }

    /// What lies in the data directory, while no server works in it: every path with its content, of large files the size.
    pub(super) fn data_dir_now(&self) -> DataDir {
        let dir = self.stand.data_dir();
        if self.is_up || !dir.exists() {
            return DataDir::new();
        }
        let content = |path: &str| match fs::metadata(dir.join(path)).unwrap().len() {
            size @ LARGE.. => size.to_string().into_bytes(),
            _ => fs::read(dir.join(path)).unwrap(),
        };
        let files = world::files(&dir).unwrap().into_iter().map(|path| (path.clone(), content(&path)));
        let directories = world::directories(&dir).unwrap().into_iter().map(|path| (format!("{path}/"), Vec::new()));
        files.chain(directories).collect()
    }
}
