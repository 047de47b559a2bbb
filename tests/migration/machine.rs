//! A machine of a test's own: this one's root with everything written to it kept apart, in namespaces of its own. What is typed on it
//! is typed as root, and has the paths that an operator's machine has.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::harness::mariadb::{is_installed, template};
use crate::harness::stand::data::Sql;
use crate::harness::{not_here, program};

/// What the machine has of its own, beside its root.
const NAMESPACES: [&str; 5] = ["--mount", "--pid", "--net", "--fork", "--kill-child=KILL"];

/// The machine; it ends, with all that runs on it, when it is dropped.
pub(super) struct Machine {
    init: Child,
    pid: String,
    dir: tempfile::TempDir,
}

/// What a script said, and how it ended.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Machine {
    /// A machine with a fresh server, which runs. None, and said: there is no MariaDB here, or this user may not make one.
    pub(super) fn start() -> Option<Self> {
        if !is_installed() {
            return None;
        }
        if !rustix::process::getuid().is_root() {
            not_here("root, who may make a machine of namespaces");
            return None;
        }
        let may = program("unshare").args(NAMESPACES).arg("true").output().unwrap();
        if !may.status.success() {
            not_here(&format!("the right to make namespaces ({})", String::from_utf8_lossy(&may.stderr).trim()));
            return None;
        }
        let template = template();
        let dir = tempfile::Builder::new().prefix("dbcalm-machine").tempdir().unwrap();
        let source = env!("CARGO_MANIFEST_DIR");
        let mut init = program("unshare")
            .args(NAMESPACES)
            .arg("bash")
            .arg(format!("{source}/tests/migration/machine"))
            .arg(dir.path())
            .args([env!("CARGO_BIN_EXE_dbcalm-db-cmd"), source])
            .arg(template)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(init.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n", "no machine could be made");
        let id = init.id();
        let pid = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap().trim().to_owned();
        let machine = Self { init, pid, dir };
        machine.sh("systemctl start mariadb");
        Some(machine)
    }

    /// Where the tests find a path of it.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid))
    }

    /// Where they find the records.
    pub(super) fn records(&self) -> PathBuf {
        self.dir.path().join("lib/db.sqlite3")
    }

    /// Runs a script to its end, as root, with nothing on its stdin.
    pub(super) fn run(&self, script: &str) -> Said {
        let said = program("nsenter")
            .arg(format!("--target={}", self.pid))
            .args(["--mount", "--pid", "--net", "--root", "env", "--chdir=/", "-i", "HOME=/root", "LANG=C.UTF-8"])
            .args(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "bash", "-euc", script])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let status = said.status.code().unwrap_or(-1);
        Said { status, stdout: text(said.stdout), stderr: text(said.stderr) }
    }

    /// Runs a script that must end well; gives what it said.
    pub(super) fn sh(&self, script: &str) -> String {
        let said = self.run(script);
        assert_eq!(said.status, 0, "{script}\n{}{}", said.stdout, said.stderr);
        said.stdout
    }

    /// Runs a script that must not end well; gives what it said.
    pub(super) fn fails(&self, script: &str) -> Said {
        let said = self.run(script);
        assert_ne!(said.status, 0, "{script}\n{}{}", said.stdout, said.stderr);
        said
    }

    /// Stops the server and takes everything out of its data directory.
    pub(super) fn lose_everything(&self) {
        self.sh("systemctl stop mariadb; find /var/lib/mysql -mindepth 1 -delete");
    }
}

impl Sql for Machine {
    fn sql(&self, statements: &str) -> String {
        self.ask("", statements)
    }

    fn statement(&self, statement: &str) -> String {
        self.ask("--delimiter=//", statement)
    }
}

impl Machine {
    fn ask(&self, more: &str, statements: &str) -> String {
        std::fs::write(self.path("/stand/statements"), statements).unwrap();
        self.sh(&format!(
            "mariadb --no-defaults --user=root --socket=/run/mysqld/mysqld.sock --default-character-set=utf8mb4 --batch \
             --skip-column-names {more} </stand/statements"
        ))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the ends of the machine's logs\n{}", self.run("tail -n 40 /stand/*.log").stdout);
        }
        let _ = self.init.kill();
        let _ = self.init.wait();
    }
}
