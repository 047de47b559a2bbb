//! What a sweep does between its strikes: the server changes, loses its data, and backups are asked for, restored and removed.

use std::fs;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::Signal;

use super::crash::Sweep;
use super::offsite::remove_stream;
use super::request::{DATABASE, FOLDER, Request};
use crate::harness::stand::Place;

/// What a server or a package may leave in a data directory that counts as empty.
const LEFT_OVERS: [&str; 4] = ["host.err", "ib_logfile0", "ib_buffer_pool", "ibdata1"];

/// Within which time of its order a removal is struck, in microseconds: one over fakes takes a few milliseconds.
const LONGEST_REMOVAL: u64 = 6_000;

/// The same of a removal from a bucket and of an adoption from there, which a program of its own does.
const LONGEST_ELSEWHERE: u64 = 100_000;

impl Sweep {
    /// A name that no backup has.
    pub(super) fn name(&mut self) -> String {
        self.names += 1;
        format!("b{:04}", self.names)
    }

    /// The server's data changes.
    pub(super) fn change(&mut self) {
        self.changes += 1;
        self.stand.change(self.changes);
        self.content = Rc::new(self.stand.content());
    }

    /// The server loses its data; left-overs may lie about, or the directory itself be gone.
    pub(super) fn lose_everything(&mut self) {
        self.stand.lose_everything();
        self.is_up = false;
        let dir = self.stand.data_dir();
        match self.random.u32(0..4) {
            0 => fs::remove_dir(dir).unwrap(),
            1 | 2 => {
                for name in LEFT_OVERS {
                    if self.random.bool() {
                        fs::write(dir.join(name), format!("an old {name}")).unwrap();
                    }
                }
            }
            _ => {}
        }
    }

    /// The chain from a full backup to this one.
    pub(super) fn chain_to(&self, id: &str) -> Vec<String> {
        let mut chain = vec![id.to_owned()];
        while let Some(base) = chain.last().and_then(|id| self.promised.backups[id].base.clone()) {
            chain.push(base);
        }
        chain.reverse();
        chain
    }

    /// A chain to any backup that is there.
    fn any_chain(&mut self) -> Option<Vec<String>> {
        let ids: Vec<_> = self.promised.backups.keys().cloned().collect();
        let id = self.random.choice(&ids)?;
        Some(self.chain_to(id))
    }

    /// A backup, or the restore that the lost data waits for.
    pub(super) fn work_in_peace(&mut self) {
        if self.is_up {
            let base = self.random.choice(&self.bases).cloned();
            let request = Request::Backup { id: self.name(), base };
            self.undisturbed("backup", request);
        } else {
            let request = self.restore(DATABASE);
            self.undisturbed(DATABASE, request);
        }
    }

    /// What is asked next, at once.
    pub(super) fn draw_requests(&mut self) -> Vec<Request> {
        if self.is_up && !self.promised.backups.is_empty() && self.random.u32(0..100) < 20 {
            self.lose_everything();
        }
        let count = 1 + self.random.usize(0..self.terms.jobs_at_once);
        let mut requests: Vec<Request> = Vec::new();
        for _ in 0..count {
            let has_database = requests.iter().any(Request::is_of_database);
            let chance = self.random.u32(0..100);
            let request = if self.is_up {
                match (chance, self.random.choice(&self.bases).cloned()) {
                    (0..50, base @ Some(_)) => Request::Backup { id: self.name(), base },
                    (75.., _) => self.restore(FOLDER),
                    _ => Request::Backup { id: self.name(), base: None },
                }
            } else {
                match chance {
                    0..70 if !has_database => self.restore(DATABASE),
                    0..90 => self.restore(FOLDER),
                    _ => Request::Backup { id: self.name(), base: None },
                }
            };
            requests.push(request);
        }
        requests
    }

    /// A restore of any chain; a full backup, where there is nothing to restore.
    fn restore(&mut self, target: &'static str) -> Request {
        match self.any_chain() {
            Some(chain) => Request::Restore { chain, target },
            None => Request::Backup { id: self.name(), base: None },
        }
    }

    /// Removes backups where there are too many, ones that no other was taken from: as the API does, row and folder; or by an order, in which
    /// the daemon is killed now and then.
    pub(super) fn thin_out(&mut self) {
        while self.promised.backups.len() > self.terms.backups {
            let is_base = |id: &String| self.promised.backups.values().any(|kept| kept.base.as_ref() == Some(id));
            let last: Vec<_> = self.promised.backups.keys().filter(|id| !is_base(id)).cloned().collect();
            let id = self.random.choice(&last).unwrap();
            match self.random.u32(0..4) {
                0 => {
                    if let Some(offsite) = &mut self.offsite {
                        offsite.left.insert(id.clone());
                    }
                    assert_eq!(self.env().database().execute("DELETE FROM backup WHERE id = ?1", [id]).unwrap(), 1);
                    fs::remove_dir_all(self.env().backup(id)).unwrap();
                }
                1 => {
                    let said = self.env().send(&removal(id));
                    assert!(said.starts_with(r#"{"code": 200"#), "{said}");
                    self.report.removed += 1;
                }
                _ => self.strike_a_removal(id),
            }
            if self.env().count("backup", &format!("id = '{id}'")) == 0 {
                self.promised.backups.remove(id);
                self.bases.retain(|base| base != id);
            }
        }
    }

    /// A removal, a KILL of the daemon at some moment in it or just after it, and the next daemon.
    fn strike_a_removal(&mut self, id: &str) {
        self.note(&format!("removal of {id}, struck"));
        let longest = if self.offsite.is_some() { LONGEST_ELSEWHERE } else { LONGEST_REMOVAL };
        let moment = Duration::from_micros(self.random.u64(0..longest));
        let sent = self.env().try_send_aside(removal(id));
        // Its steps stand nowhere still: a time is all there is.
        std::thread::sleep(moment);
        self.env().signal(Signal::KILL);
        assert_eq!(self.env().wait_for_end(), None);
        drop(sent.join().unwrap());
        let is_recorded = self.env().count("backup", &format!("id = '{id}'")) == 1;
        let is_there = self.env().backup(id).exists();
        self.env().start_daemon();
        if is_recorded && !is_there {
            assert_eq!(self.env().count("backup", &format!("id = '{id}'")), 0, "its removal was begun: {id}");
            self.report.finished += 1;
        }
        self.report.struck += 1;
    }

    /// A backup that no other was taken from loses its record and its folder, and is adopted from the bucket; the daemon is killed at some moment
    /// in it or just after it. What the next one does not have is adopted again.
    pub(super) fn strike_an_adoption(&mut self) {
        let is_base = |id: &String| self.promised.backups.values().any(|kept| kept.base.as_ref() == Some(id));
        let last: Vec<_> = self.promised.backups.keys().filter(|id| !is_base(id)).cloned().collect();
        let Some(id) = self.random.choice(&last) else { return };
        self.note(&format!("adoption of {id}, struck"));
        assert_eq!(self.env().database().execute("DELETE FROM backup WHERE id = ?1", [id]).unwrap(), 1);
        fs::remove_dir_all(self.env().backup(id)).unwrap();
        let moment = Duration::from_micros(self.random.u64(0..LONGEST_ELSEWHERE));
        let order = serde_json::json!({"cmd": "adopt_backup", "args": {"id": id}}).to_string();
        let sent = self.env().try_send_aside(order.clone());
        std::thread::sleep(moment);
        self.env().signal(Signal::KILL);
        assert_eq!(self.env().wait_for_end(), None);
        drop(sent.join().unwrap());
        self.change_form();
        self.env().start_daemon();
        if self.env().count("backup", &format!("id = '{id}'")) == 0 {
            let said = self.env().send(&order);
            assert!(said.starts_with(r#"{"code": 200"#), "{said}");
        }
        self.report.adopted += 1;
        self.look_at_promises();
    }

    /// Every backup that is left is restored with its chain: to a folder, and over fakes to the data directory too; over real tools
    /// the last one is. Where there is a bucket, from there.
    pub(super) fn restore_all(&mut self) {
        let ids: Vec<_> = self.promised.backups.keys().cloned().collect();
        if self.offsite.is_some() {
            for id in &ids {
                remove_stream(&self.env().backup(id));
            }
        }
        for (index, id) in ids.iter().enumerate() {
            let chain = self.chain_to(id);
            self.undisturbed(FOLDER, Request::Restore { chain: chain.clone(), target: FOLDER });
            self.report.restored_at_the_end += 1;
            if self.terms.place == Place::Fakes || index + 1 == ids.len() {
                self.lose_everything();
                self.undisturbed(DATABASE, Request::Restore { chain, target: DATABASE });
                assert!(self.is_up, "the last restore of {id}");
                self.report.restored_at_the_end += 1;
            }
        }
    }
}

/// The order to remove a backup.
fn removal(id: &str) -> String {
    serde_json::json!({"cmd": "remove_backup", "args": {"id_list": [id]}}).to_string()
}
