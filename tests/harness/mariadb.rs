//! A real MariaDB server of a test's own: its data directory, its socket, no network.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, program, wait_for};

/// A server that runs, or can.
pub(crate) struct MariaDb {
    root: tempfile::TempDir,
    running: Option<Child>,
}

/// Whether the server and its backup tool are here; a test without them is a skip that `ci/test` counts and CI forbids.
pub(crate) fn is_installed() -> bool {
    if !super::stand::is_wanted("local") {
        return false;
    }
    let installed = [&SERVER[..], &["/usr/bin/mariabackup", "/usr/bin/mariadb-backup"]]
        .iter()
        .all(|places| places.iter().any(|place| Path::new(place).exists()));
    if !installed {
        super::skip("no MariaDB server and mariadb-backup are installed here (run ci/setup)");
    }
    installed
}

/// What is in the option file of each; options of a test's own come after them, and so count before them.
const OPTIONS: &str = "skip-networking\ninnodb-buffer-pool-size=32M\ninnodb-log-file-size=64M\n";

const SERVER: [&str; 2] = ["/usr/sbin/mariadbd", "/usr/libexec/mariadbd"];

/// A fresh data directory, made once for each version of the server and copied for each test.
pub(crate) fn template() -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let server = SERVER.iter().find(|place| Path::new(place).exists()).unwrap();
        let version =
            String::from_utf8(program(server).args(["--no-defaults", "--version"]).output().unwrap().stdout).unwrap();
        let name: String = version.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("template-{}", name.trim_end_matches('-')));
        if !made.exists() {
            let dir = tempfile::Builder::new().prefix("template").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let tmp = tempfile::tempdir().unwrap();
            let said = program("mariadb-install-db")
                .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--rpm"])
                .args(["--innodb-log-file-size=64M"])
                .arg(format!("--tmpdir={}", tmp.path().display()))
                .arg(format!("--datadir={}", dir.path().display()))
                .args(user())
                .output()
                .unwrap();
            assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
            // Another run of the suite may have been quicker; its template is as good.
            let _ = fs::rename(dir.path(), &made);
        }
        made
    })
}

/// The server does not run as root unless it is told to.
fn user() -> Option<&'static str> {
    rustix::process::getuid().is_root().then_some("--user=root")
}

impl MariaDb {
    /// A fresh server, running.
    pub(crate) fn start() -> Self {
        Self::with(|_root| String::new())
    }

    /// A fresh server with more options, running. `options` is given the directory that the server lies in, where it may make files
    /// and directories, and gives lines of an option file.
    pub(crate) fn with(options: impl FnOnce(&Path) -> String) -> Self {
        Self::over_with(template(), options)
    }

    /// A server over another data directory, which is copied first.
    pub(crate) fn over(dir: &Path) -> Self {
        Self::over_with(dir, |_root| String::new())
    }

    /// The same, with more options, as in [`Self::with`].
    pub(crate) fn over_with(dir: &Path, options: impl FnOnce(&Path) -> String) -> Self {
        let root = tempfile::Builder::new().prefix("dbcalm-db").tempdir().unwrap();
        let copied = program("cp").arg("-r").arg(dir).arg(root.path().join("data")).status().unwrap();
        assert!(copied.success());
        let text = format!("[mysqld]\n{OPTIONS}{}\n", options(root.path()));
        fs::write(root.path().join("my.cnf"), text).unwrap();
        let mut server = Self { root, running: None };
        server.run();
        server
    }

    /// The server's own option file, and the only one that it reads.
    pub(crate) fn option_file(&self) -> PathBuf {
        self.root.path().join("my.cnf")
    }

    /// The data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// The socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.root.path().join("db.sock")
    }

    /// Starts the server on its data directory and waits until it answers; one that runs goes on.
    pub(crate) fn run(&mut self) {
        if self.running.is_none() {
            let server = SERVER.iter().find(|place| Path::new(place).exists()).unwrap();
            self.spawn(program(server), &self.data_dir());
        }
    }

    /// Starts it as on a host of the name `elsewhere`, where its data directory is called `at`. That takes root.
    pub(crate) fn run_elsewhere(&mut self, at: &Path) {
        let server = SERVER.iter().find(|place| Path::new(place).exists()).unwrap();
        let mut host = program("unshare");
        let script = r#"hostname elsewhere; [ "$1" = "$2" ] || mount --bind "$1" "$2"; shift 2; exec "$@""#;
        host.args(["--uts", "--mount", "sh", "-ec", script, "sh"]).arg(self.data_dir()).arg(at).arg(server);
        self.spawn(host, at);
    }

    fn spawn(&mut self, mut server: Command, data_dir: &Path) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.root.path().join("log")).unwrap();
        // A server that starts removes the temporary tables of all that have the same directory for them (seen with 10.11.19).
        let tmp = self.root.path().join("tmp");
        fs::create_dir_all(&tmp).unwrap();
        let child = server
            .arg(format!("--defaults-file={}", self.option_file().display()))
            .arg(format!("--datadir={}", data_dir.display()))
            .arg(format!("--socket={}", self.socket().display()))
            .arg(format!("--tmpdir={}", tmp.display()))
            .args(user())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.running = Some(child);
        wait_for("the server to answer", || {
            if let Some(status) = self.running.as_mut().unwrap().try_wait().unwrap() {
                panic!("the server ended with {status}: {}", fs::read_to_string(self.root.path().join("log")).unwrap());
            }
            self.try_sql("SELECT 1").ok()
        });
    }

    /// Stops the server well, and waits for its end.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
            kill_process(pid, Signal::TERM).unwrap();
            wait_for("the server to end", || child.try_wait().unwrap());
        }
    }

    /// Lets the server die as in a power cut, but for the disk.
    pub(crate) fn crash(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops the server and removes all its data.
    pub(crate) fn lose_everything(&mut self) {
        self.stop();
        // A restore that was undone leaves it absent, where it was.
        if self.data_dir().exists() {
            fs::remove_dir_all(self.data_dir()).unwrap();
        }
        fs::create_dir(self.data_dir()).unwrap();
    }

    /// Runs statements; gives their output, a row a line.
    pub(crate) fn sql(&self, statements: &str) -> String {
        self.try_sql(statements).unwrap_or_else(|why| panic!("{statements}: {why}"))
    }

    fn try_sql(&self, statements: &str) -> Result<String, String> {
        self.ask(&[], statements)
    }

    /// A session that runs statements beside the test.
    pub(crate) fn session(&self, statements: &str) -> Child {
        self.client(&[], statements).stdout(Stdio::null()).spawn().unwrap()
    }

    /// A client that runs statements.
    pub(crate) fn client(&self, options: &[&str], statements: &str) -> Command {
        let mut client = program("mariadb");
        client.args([
            "--no-defaults",
            "--user=root",
            "--default-character-set=utf8mb4",
            "--batch",
            "--skip-column-names",
        ]);
        client.arg(format!("--socket={}", self.socket().display())).args(options).args(["--execute", statements]);
        client
    }

    /// Runs statements by a client with these options; gives their output, or what the client says is wrong.
    pub(crate) fn ask(&self, options: &[&str], statements: &str) -> Result<String, String> {
        let said = self.client(options, statements).output().unwrap();
        if said.status.success() {
            Ok(String::from_utf8(said.stdout).unwrap())
        } else {
            Err(String::from_utf8_lossy(&said.stderr).into_owned())
        }
    }

    /// Whether a backup tool has rows of a table of Aria in the database `shop` open: it has its list of Aria's tables then, copies them one
    /// after the other, and goes on to those of `MyISAM`, with DDL let through.
    pub(crate) fn is_being_copied(&self) -> bool {
        backup_tools().any(|tool| self.copied_by(&tool, "MAD").is_some())
    }

    /// Stops the backup tool, by a signal, when it has come to its second table of `MyISAM` in the database `shop`; gives it.
    pub(crate) fn stop_between_tables_of_myisam(&self) -> Pid {
        let tool = wait_for("a backup tool", || backup_tools().find(|tool| self.copied_by(tool, "").is_some()));
        let (mut seen, number) = (HashSet::new(), tool.file_name().unwrap().to_str().unwrap().parse().unwrap());
        let number = Pid::from_raw(number).unwrap();
        let until = Instant::now() + PATIENCE;
        // A table is copied within milliseconds.
        while seen.len() < 2 {
            assert!(Instant::now() < until && tool.exists(), "the tool copied no two tables of MyISAM: {seen:?}");
            seen.extend(self.copied_by(&tool, "MYD"));
        }
        kill_process(number, Signal::STOP).unwrap();
        number
    }

    /// The file with this ending that a process, by its directory in `/proc`, has open in the database `shop`; with none, any of the server's.
    fn copied_by(&self, process: &Path, ending: &str) -> Option<PathBuf> {
        let shop = self.data_dir().join("shop");
        let open = fs::read_dir(process.join("fd")).into_iter().flatten();
        let mut files = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        files.find(|file| match ending {
            "" => file.starts_with(self.data_dir()),
            _ => file.parent() == Some(&shop) && file.extension().is_some_and(|its| its == ending),
        })
    }

    /// What the server holds: every table of every schema but the server's own, with its rows and checksum.
    pub(crate) fn content(&self) -> Vec<String> {
        let tables = self.sql(
            "SELECT concat('`', table_schema, '`.`', table_name, '`') FROM information_schema.tables
             WHERE table_type = 'BASE TABLE'
             AND table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') ORDER BY 1",
        );
        tables
            .lines()
            .map(|table| {
                let rows = self.sql(&format!("SELECT count(*) FROM {table}"));
                format!("{} rows, {}", rows.trim(), self.sql(&format!("CHECKSUM TABLE {table} EXTENDED")).trim())
            })
            .collect()
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            if std::thread::panicking() {
                let ended =
                    child.try_wait().unwrap().map_or("runs".to_owned(), |status| format!("had ended: {status}"));
                let log = fs::read_to_string(self.root.path().join("log")).unwrap_or_default();
                let lines: Vec<_> = log.lines().collect();
                eprintln!("---- the server {ended}; the end of its log");
                eprintln!("{}", lines[lines.len().saturating_sub(40)..].join("\n"));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The backup tools that take a backup, by their directories in `/proc`.
fn backup_tools() -> impl Iterator<Item = PathBuf> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    processes.filter(|process| {
        let words = fs::read(process.join("cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|word| word == b"--backup")
    })
}
