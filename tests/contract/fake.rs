//! The fakes as a stand: tools and a server in a directory of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};

use super::agent::run_root;
use super::stand::{Content, Control, Job, Login, Outcome, Race, Series, Server, Stand, Tool};
use super::stock;
use crate::harness::{program_by_itself, wait_for, world::World};

/// Fake tools of one version, and their server, which runs.
pub(super) struct Fake {
    root: PathBuf,
    _owned: Option<tempfile::TempDir>,
    world: World,
    series: Series,
    /// The backup tool, its other name, and the admin tool.
    names: [&'static str; 3],
    count: AtomicU32,
}

impl Fake {
    /// The fakes of MariaDB, as of a version.
    pub(super) fn of(version: &str) -> Self {
        Self::named(["mariadb-backup", "mariabackup", "mariadb-admin"], version)
    }

    /// The fakes of Percona and MySQL, as of a version.
    pub(super) fn of_xtrabackup(version: &str) -> Self {
        Self::named(["xtrabackup", "xtrabackup", "mysqladmin"], version)
    }

    fn named(names: [&'static str; 3], version: &str) -> Self {
        let root = tempfile::Builder::new().prefix("dbcalm-c.").tempdir().unwrap();
        let path = root.path().to_path_buf();
        Self::at(&path, Some(root), names, version)
    }

    fn at(root: &Path, owned: Option<tempfile::TempDir>, names: [&'static str; 3], version: &str) -> Self {
        let bin = root.join("bin");
        fs::create_dir(&bin).unwrap();
        for name in BTreeSet::from([names[0], names[1]]) {
            symlink(env!("CARGO_BIN_EXE_fake-mariabackup"), bin.join(name)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_fake-mariadb-admin"), bin.join(names[2])).unwrap();
        let world = World::create(&bin).unwrap();
        world.set_version(version).unwrap();
        world.hold_checkpoint().unwrap();
        let mut numbers = version.split('.').map(|number| number.parse().unwrap_or_default());
        let series = Series(numbers.next().unwrap(), numbers.next().unwrap());
        Self { root: root.to_owned(), _owned: owned, world, series, names, count: AtomicU32::new(0) }
    }

    fn next(&self) -> u32 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    fn job(&self, tool: Tool, args: &[&str]) -> FakeJob {
        let name = match tool {
            Tool::Backup => self.names[0],
            Tool::OldName => self.names[1],
            Tool::Admin => self.names[2],
        };
        let out = self.root.join(format!("out-{}", self.next()));
        fs::create_dir(&out).unwrap();
        let mut command = program_by_itself(self.bin().join(name));
        command.args(args).env_clear().current_dir(&out).stdin(Stdio::null());
        command.stdout(File::create(out.join("stdout")).unwrap()).stderr(File::create(out.join("stderr")).unwrap());
        let child = command.spawn().unwrap();
        FakeJob { command: format!("{name} {}", args.join(" ")), child: Running(child), out, go_on: None }
    }

    fn script(&self) -> PathBuf {
        self.bin().join(format!("{}.script", self.names[0]))
    }

    fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }
}

/// The files of a table: `shop.orders` has its definition in `shop/orders.frm`.
fn file_of(table: &str, extension: &str) -> String {
    format!("{}.{extension}", table.replace('.', "/"))
}

impl Stand for Fake {
    fn series(&self) -> Series {
        self.series
    }

    fn new_dir(&self) -> PathBuf {
        let dir = self.root.join(format!("case-{}", self.next()));
        fs::create_dir(&dir).unwrap();
        dir
    }

    fn start_half_way(&self, args: &[&str]) -> Box<dyn Job> {
        let go_on = self.root.join(format!("go-on-{}", self.next()));
        let line = serde_json::json!({"fault": {"slow_until": go_on}});
        fs::write(self.script(), format!("{line}\n")).unwrap();
        let waiting = self.bin().join(format!("{}.waiting", self.names[0]));
        let _ = fs::remove_file(&waiting);
        let job = FakeJob { go_on: Some(go_on), ..self.job(Tool::Backup, args) };
        wait_for("the fake to come to its middle", || waiting.exists().then_some(()));
        Box::new(job)
    }

    fn during(&self, args: &[&str], does: &mut dyn FnMut()) -> Outcome {
        let job = self.start_half_way(args);
        does();
        job.outcome()
    }

    /// A rename and a replacement are faults of the tool's next call, which finds the tables as they are after it.
    fn race(&self, args: &[&str], race: Race) -> Outcome {
        let change = || {
            for path in crate::harness::world::files(&self.world.data().join("race")).unwrap() {
                let from = format!("race/{path}");
                if path == "db.opt" {
                    continue;
                }
                match race {
                    Race::Rename => {
                        let content = fs::read(self.world.data().join(&from)).unwrap();
                        self.world.put(&format!("race/new_{path}"), &content).unwrap();
                        self.world.remove(&from).unwrap();
                    }
                    Race::Replace => self.world.put(&from, b"").unwrap(),
                    Race::Drop => self.world.remove(&from).unwrap(),
                }
            }
        };
        let fault = match race {
            _ if self.series == Series(10, 5) => {
                let outcome = Box::new(self.job(Tool::Backup, args)).outcome();
                change();
                return outcome;
            }
            Race::Rename => "loses_tables",
            Race::Replace => "takes_tables_away",
            Race::Drop => return self.during(args, &mut || change()),
        };
        change();
        fs::write(self.script(), format!("{{\"fault\": \"{fault}\"}}\n")).unwrap();
        Box::new(self.job(Tool::Backup, args)).outcome()
    }

    fn start(&self, tool: Tool, args: &[&str]) -> Box<dyn Job> {
        Box::new(self.job(tool, args))
    }

    /// A user without privileges is a fault of the tool's next call.
    fn login(&self, login: Login) -> String {
        match login {
            Login::Good => "user=backup\npassword=good\n".to_owned(),
            Login::WrongPassword => "user=backup\npassword=wrong\n".to_owned(),
            Login::NoPrivileges => {
                fs::write(self.script(), "{\"fault\": \"secret\"}\n").unwrap();
                "user=nobody\npassword=right\n".to_owned()
            }
        }
    }

    fn server(&self) -> Server<'_> {
        Server { control: self, _alone: None }
    }

    fn content_of(&self, data_dir: &Path) -> Content {
        let mut content = Content::new();
        for path in crate::harness::world::files(data_dir).unwrap() {
            let Some(table) = path.strip_suffix(".frm") else { continue };
            let rows = ["ibd", "MYD"]
                .iter()
                .find_map(|kind| fs::read_to_string(data_dir.join(format!("{table}.{kind}"))).ok());
            let rows = rows.map_or(vec!["(unreadable)".to_owned()], |rows| rows.lines().map(str::to_owned).collect());
            content.insert(table.replace('/', "."), rows);
        }
        content
    }

    /// Made once for all fakes of a version, by one that nothing else is asked of.
    fn stock(&self) -> PathBuf {
        static STOCKS: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
        let mut stocks = STOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.world.version().unwrap();
        let make = || {
            let root = run_root().join(format!("{}-{version}", self.names[0]));
            fs::create_dir(&root).unwrap();
            stock::make(&Self::at(&root, None, self.names, &version))
        };
        stocks.entry(version.clone()).or_insert_with(make).clone()
    }
}

impl Control for Fake {
    fn create_database(&self, name: &str) {
        self.world.put(&format!("{name}/db.opt"), b"default-character-set=utf8mb4\n").unwrap();
    }

    fn drop_database(&self, name: &str) {
        for path in crate::harness::world::files(&self.world.data()).unwrap() {
            if path.starts_with(&format!("{name}/")) {
                self.world.remove(&path).unwrap();
            }
        }
        fs::remove_dir(self.world.data().join(name)).unwrap();
    }

    fn create_table(&self, name: &str) {
        self.world.put(&file_of(name, "frm"), b"definition").unwrap();
        self.world.put(&file_of(name, "ibd"), b"").unwrap();
    }

    fn create_plain_table(&self, name: &str) {
        for extension in ["frm", "MYD", "MYI"] {
            self.world.put(&file_of(name, extension), b"").unwrap();
        }
    }

    fn create_aria_table(&self, name: &str) {
        for extension in ["frm", "MAD", "MAI"] {
            self.world.put(&file_of(name, extension), b"").unwrap();
        }
    }

    fn drop_table(&self, name: &str) {
        for extension in ["frm", "ibd"] {
            self.world.remove(&file_of(name, extension)).unwrap();
        }
    }

    fn insert(&self, table: &str, row: &str) {
        let path = ["ibd", "MYD"].map(|kind| file_of(table, kind));
        let path = path.iter().find(|path| self.world.data().join(path).exists()).unwrap();
        let rows = fs::read_to_string(self.world.data().join(path)).unwrap();
        self.world.put(path, format!("{rows}{row}\n").as_bytes()).unwrap();
    }

    fn checkpoint(&self) {
        self.world.release_checkpoint().unwrap();
        self.world.hold_checkpoint().unwrap();
    }

    fn stop(&self) {
        self.world.stop().unwrap();
    }

    fn start(&self) {
        self.world.start().unwrap();
    }
}

struct FakeJob {
    command: String,
    child: Running,
    out: PathBuf,
    /// What it waits for.
    go_on: Option<PathBuf>,
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Job for FakeJob {
    fn signal(&self, name: &str) {
        let signal = match name {
            "HUP" => Signal::HUP,
            "INT" => Signal::INT,
            "KILL" => Signal::KILL,
            "QUIT" => Signal::QUIT,
            "TERM" => Signal::TERM,
            other => panic!("no signal {other}"),
        };
        kill_process(Pid::from_child(&self.child.0), signal).unwrap();
    }

    fn outcome(mut self: Box<Self>) -> Outcome {
        if let Some(path) = &self.go_on {
            fs::write(path, "").unwrap();
        }
        let status: ExitStatus =
            wait_for(&format!("the end of '{}'", self.command), || self.child.0.try_wait().unwrap());
        let text = |name: &str| String::from_utf8_lossy(&fs::read(self.out.join(name)).unwrap()).into_owned();
        Outcome {
            command: self.command.clone(),
            code: status.code(),
            signal: status.signal(),
            stdout: text("stdout"),
            stderr: text("stderr"),
        }
    }
}
