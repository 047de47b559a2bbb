//! A real server with a daemon, whose data go through several hands: restored, by the daemon and by hand, copied, put back, made anew.

use std::fs;
use std::path::Path;

use super::harness::mariadb::{MariaDb, is_installed, template};
use super::harness::{TestEnv, program};

/// A server with a daemon, whose data go through several hands.
pub(crate) struct Site {
    // The daemon ends before its server does.
    pub(crate) env: TestEnv,
    pub(crate) server: MariaDb,
    written: u32,
}

impl Site {
    pub(crate) fn new() -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let server = MariaDb::start();
        let env = TestEnv::real(&server);
        env.start_daemon();
        let site = Self { env, server, written: 0 };
        site.create();
        Some(site)
    }

    fn create(&self) {
        self.server.sql("CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY AUTO_INCREMENT, note VARCHAR(200)) ENGINE=InnoDB");
    }

    /// Writes so much that the server's LSN goes past that of any backup before.
    pub(crate) fn write(&mut self) {
        self.written += 1;
        let note = format!(
            "INSERT INTO shop.orders (note) SELECT concat('{} ', seq, repeat('x', 150)) FROM shop.seq_1_to_3000",
            self.written
        );
        self.server.sql(&note);
    }

    /// Asks for an incremental; gives the reply, and whether it came to a success.
    pub(crate) fn incremental(&self, id: &str, base: &str) -> Result<(), String> {
        let reply = self
            .env
            .send(&format!(r#"{{"cmd":"incremental_backup","args":{{"id":"{id}","from_backup_id":"{base}"}}}}"#));
        if !reply.contains(r#""code": 202"#) {
            return Err(reply);
        }
        self.env.settled();
        if self.env.count("backup", &format!("id = '{id}'")) == 1 { Ok(()) } else { Err(self.env.newest("error")) }
    }

    /// Restores a chain to the data directory, and starts the server.
    pub(crate) fn restore(&mut self, chain: &[&str]) {
        self.server.lose_everything();
        self.env.restore(chain, "database");
        self.server.run();
    }

    /// The same by the tool itself, as an operator does.
    pub(crate) fn restore_by_hand(&mut self, chain: &[&str]) {
        let tool = |args: &[String]| {
            let said = program("mariadb-backup").args(args).output().unwrap();
            assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        };
        let work = tempfile::tempdir().unwrap();
        let own = |id: &str| work.path().join(id);
        for id in chain {
            copy(&self.env.backup(id), &own(id));
        }
        let target = format!("--target-dir={}", own(chain[0]).display());
        tool(&["--prepare".to_owned(), target.clone()]);
        for id in &chain[1..] {
            tool(&["--prepare".to_owned(), target.clone(), format!("--incremental-dir={}", own(id).display())]);
        }
        self.server.lose_everything();
        tool(&["--move-back".to_owned(), target, format!("--datadir={}", self.server.data_dir().display())]);
        self.server.run();
    }

    /// A copy of the data, with the server at rest.
    pub(crate) fn copy_data(&mut self) -> tempfile::TempDir {
        let kept = tempfile::tempdir().unwrap();
        self.server.stop();
        copy(&self.server.data_dir(), &kept.path().join("data"));
        self.server.run();
        kept
    }

    /// Puts a copy in the place of the data.
    pub(crate) fn put_back(&mut self, kept: &Path) {
        self.server.lose_everything();
        fs::remove_dir(self.server.data_dir()).unwrap();
        copy(kept, &self.server.data_dir());
        self.server.run();
    }

    /// Installs the server anew.
    pub(crate) fn install_anew(&mut self) {
        self.put_back(template());
        self.create();
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(program("cp").arg("-a").args([from, to]).status().unwrap().success());
}
