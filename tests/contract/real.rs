//! Real tools and a real server as a stand: those installed here, and those of each series in its container.
//!
//! A stand is started once a run and shared; only one case at a time has its server.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use testcontainers::core::{ImageExt, Mount};
use testcontainers::runners::SyncRunner;
use testcontainers::{Container, GenericImage};

use super::agent::{Agent, Task, run_root};
use super::stand::{Content, Control, Job, Login, Outcome, Race, Series, Server, Stand, Tool};
use super::stock;
use crate::harness::container::look_for;
use crate::harness::{mariadb, program, skip, wait_for};

/// Whose server and tools they are.
struct Product {
    server: &'static str,
    client: &'static str,
    /// The backup tool, its other name, and the admin tool.
    tools: [&'static str; 3],
    /// A log that never fills and pages that are never too dirty: seldom comes a checkpoint but one that is asked for.
    options: &'static [&'static str],
}

const MARIADB: Product = Product {
    server: "mariadbd",
    client: "mariadb",
    tools: ["/usr/bin/mariadb-backup", "/usr/bin/mariabackup", "/usr/bin/mariadb-admin"],
    options: &[
        "--innodb-buffer-pool-size=32M",
        "--innodb-log-file-size=32M",
        "--innodb-max-dirty-pages-pct=99",
        "--innodb-max-dirty-pages-pct-lwm=99",
    ],
};

const MYSQL: Product = Product {
    server: "mysqld",
    client: "mysql",
    tools: ["/usr/bin/xtrabackup", "/usr/bin/xtrabackup", "/usr/bin/mysqladmin"],
    options: &["--mysqlx=OFF", "--skip-log-bin"],
};

/// A server, its tools, and who runs them.
pub(crate) struct Real {
    product: &'static Product,
    agent: Agent,
    /// Held as long as this process lives; it removes itself at the end (see [`super::agent`]).
    _container: Option<Container<GenericImage>>,
    series: Series,
    version: String,
    root: PathBuf,
    stock: OnceLock<PathBuf>,
    count: AtomicU32,
    server: Mutex<Option<Task>>,
    alone: Mutex<()>,
}

/// Where a container has a data directory as `mariadb-install-db` makes it.
const TEMPLATE: &str = "/usr/local/share/dbcalm/data";

impl Real {
    /// What is installed on this machine; a skip where nothing is.
    pub(crate) fn here() -> Option<&'static Self> {
        static HERE: OnceLock<Real> = OnceLock::new();
        mariadb::is_installed().then(|| {
            HERE.get_or_init(|| {
                let root = run_root().join("here");
                let agent = Agent::here(&root);
                let mut install = vec!["mariadb-install-db".to_owned(), "--no-defaults".to_owned()];
                install
                    .extend(["--auth-root-authentication-method=normal", "--skip-test-db", "--rpm"].map(str::to_owned));
                install.push(format!("--datadir={}", root.join("data").display()));
                install.push(format!("--tmpdir={}", root.display()));
                install.extend(as_root().map(str::to_owned));
                let made = agent.run(install);
                assert_eq!(made.code, Some(0), "{made}");
                Self::over(&MARIADB, agent, None, root)
            })
        })
    }

    /// The xtrabackup and the MySQL server that are installed on this machine, if they are. No machine that this was written on
    /// had both.
    pub(super) fn xtrabackup_here() -> Option<&'static Self> {
        static HERE: OnceLock<Real> = OnceLock::new();
        let is_mysql = || {
            let version = program("mysqld").args(["--no-defaults", "--version"]).output();
            version
                .is_ok_and(|said| said.status.success() && !String::from_utf8_lossy(&said.stdout).contains("MariaDB"))
        };
        (Path::new(MYSQL.tools[0]).exists() && is_mysql()).then(|| {
            HERE.get_or_init(|| {
                let root = run_root().join("mysql");
                let agent = Agent::here(&root);
                let data_dir = format!("--datadir={}", root.join("data").display());
                let install = ["mysqld", "--no-defaults", "--initialize-insecure", &data_dir];
                let made = agent.run(install.into_iter().chain(as_root()));
                assert_eq!(made.code, Some(0), "{made}");
                Self::over(&MYSQL, agent, None, root)
            })
        })
    }

    /// A container of this series; a skip where there is no Docker or no image.
    pub(crate) fn in_a_container(series: &'static str) -> Option<&'static Self> {
        static CONTAINERS: [OnceLock<Result<Real, String>>; 3] = [const { OnceLock::new() }; 3];
        let index = super::CONTAINERS.iter().position(|known| *known == series).unwrap();
        match CONTAINERS[index].get_or_init(|| Self::start(series)) {
            Ok(real) => Some(real),
            Err(why) => {
                skip(why);
                None
            }
        }
    }

    fn start(series: &str) -> Result<Self, String> {
        let (name, tag) = ("dbcalm-test-mariadb", series);
        let image = format!("{name}-{tag}");
        look_for(&image)?;
        let root = run_root().join(series);
        fs::create_dir_all(&root).unwrap();
        let mut started = None;
        let agent = Agent::in_place(&root, |script| {
            let path = root.display().to_string();
            let user = format!("{}:{}", rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
            let request = GenericImage::new(image.as_str(), "latest")
                .with_entrypoint("perl")
                .with_cmd([script.display().to_string(), path.clone()])
                .with_mount(Mount::bind_mount(path.clone(), path))
                .with_user(user)
                .with_network("none")
                .with_label("dbcalm.contract", std::process::id().to_string())
                .with_host_config_modifier(|host| host.auto_remove = Some(true));
            started = Some(request.start());
        });
        let container = started.unwrap().map_err(|error| format!("no container of {image}: {error}"))?;
        let copied = agent.run(["cp", "-r", TEMPLATE, &root.join("data").display().to_string()]);
        assert_eq!(copied.code, Some(0), "{copied}");
        Ok(Self::over(&MARIADB, agent, Some(container), root))
    }

    /// Starts the server over the data directory that is there.
    fn over(
        product: &'static Product,
        agent: Agent,
        container: Option<Container<GenericImage>>,
        root: PathBuf,
    ) -> Self {
        let version = agent.run([product.server, "--no-defaults", "--version"]).stdout;
        let number = |text: &str| text.split_once("Ver ").map(|(_, version)| version.to_owned());
        let version = number(&version).unwrap_or_else(|| panic!("no version in {version:?}"));
        let version = version.split_whitespace().next().unwrap_or_default().to_owned();
        let mut numbers = version.split('.').map(|number| number.parse().unwrap());
        let series = Series(numbers.next().unwrap(), numbers.next().unwrap());
        let real = Self {
            product,
            agent,
            _container: container,
            series,
            version,
            root,
            stock: OnceLock::new(),
            count: AtomicU32::new(0),
            server: Mutex::default(),
            alone: Mutex::default(),
        };
        Control::start(&real);
        real.sql("CREATE USER nobody@localhost IDENTIFIED BY 'right'");
        real
    }

    /// A fresh directory with the same path for the tools.
    pub(crate) fn dir(&self) -> PathBuf {
        self.new_dir()
    }

    /// The version, as the server says it.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Whether a backup's own files are named after xtrabackup: before 11.1.
    pub(crate) fn has_old_names(&self) -> bool {
        self.series < Series(11, 1)
    }

    /// Runs a program in a directory, over this input; gives how it ended and its output as it is.
    pub(crate) fn feed(&self, argv: &[&str], dir: &Path, stdin: &[u8]) -> (Outcome, Vec<u8>) {
        self.agent.feed(argv, dir, stdin)
    }

    /// Keeps others from the server while it is held.
    pub(crate) fn alone(&self) -> MutexGuard<'_, ()> {
        // A case that failed has left its tables; those that follow make others, or all of the stock.
        self.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Streams a backup of the server.
    pub(crate) fn stream(&self, args: &[&str]) -> (Outcome, Vec<u8>) {
        let socket = format!("--socket={}", self.socket().display());
        let login = [self.product.tools[0], "--no-defaults", "--user=root", &socket, "--backup"];
        self.feed(&[&login, args].concat(), &self.root, b"")
    }

    fn next(&self) -> u32 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    fn socket(&self) -> PathBuf {
        self.root.join("db.sock")
    }

    /// Starts a server and waits until it answers.
    fn serve(&self, data_dir: &Path, socket: &Path) -> Task {
        let log = socket.with_extension("err");
        let mut argv = vec![self.product.server.to_owned()];
        argv.extend(["--no-defaults", "--skip-networking"].iter().chain(self.product.options).map(ToString::to_string));
        argv.push(format!("--datadir={}", data_dir.display()));
        argv.push(format!("--socket={}", socket.display()));
        argv.push(format!("--pid-file={}", socket.with_extension("pid").display()));
        argv.push(format!("--log-error={}", log.display()));
        // A server that starts removes the temporary tables of all that have the same directory for them (seen with 10.11.19).
        let tmp = socket.with_extension("tmp");
        let made = self.agent.run(["mkdir", "-p", &tmp.display().to_string()]);
        assert_eq!(made.code, Some(0), "{made}");
        argv.push(format!("--tmpdir={}", tmp.display()));
        argv.extend(as_root().map(str::to_owned));
        let task = self.agent.start(argv);
        wait_for("the server to answer", || {
            assert!(task.runs(), "the server ended: {}", fs::read_to_string(&log).unwrap_or_default());
            (socket.exists() && self.try_sql(socket, "SELECT 1").code == Some(0)).then_some(())
        });
        task
    }

    fn try_sql(&self, socket: &Path, statements: &str) -> Outcome {
        Box::new(self.client(socket, statements)).outcome()
    }

    /// A client that runs statements.
    fn client(&self, socket: &Path, statements: &str) -> Task {
        let socket = format!("--socket={}", socket.display());
        let options = [self.product.client, "--no-defaults", "--user=root", "--batch", "--skip-column-names"];
        self.agent.start(options.into_iter().chain([socket.as_str(), "--execute", statements]))
    }

    /// Runs statements in the server; see [`Self::alone`].
    pub(crate) fn sql(&self, statements: &str) -> String {
        let said = self.try_sql(&self.socket(), statements);
        assert_eq!(said.code, Some(0), "{said}");
        said.stdout
    }
}

/// The server does not run as root unless it is told to.
fn as_root() -> Option<&'static str> {
    rustix::process::getuid().is_root().then_some("--user=root")
}

/// A table's name in SQL.
fn quoted(table: &str) -> String {
    let (database, table) = table.split_once('.').unwrap();
    format!("`{database}`.`{table}`")
}

impl Stand for Real {
    fn series(&self) -> Series {
        self.series
    }

    fn new_dir(&self) -> PathBuf {
        let dir = self.root.join(format!("case-{}", self.next()));
        fs::create_dir(&dir).unwrap();
        dir
    }

    fn start(&self, tool: Tool, args: &[&str]) -> Box<dyn Job> {
        let [backup, old_name, admin] = self.product.tools;
        let path = match tool {
            Tool::Backup => backup,
            Tool::OldName => old_name,
            Tool::Admin => admin,
        };
        Box::new(self.agent.start([path].iter().chain(args)))
    }

    fn start_half_way(&self, args: &[&str]) -> Box<dyn Job> {
        Box::new(self.agent.start_half_way(self.product.tools[..1].iter().chain(args)))
    }

    /// The backup waits for a reader of its log. With 10.5 it already holds its locks then; there another client holds the first of
    /// them, which with later versions would keep tables from being made.
    fn during(&self, args: &[&str], does: &mut dyn FnMut()) -> Outcome {
        if self.series != Series(10, 5) {
            let job = self.start_half_way(args);
            does();
            return job.outcome();
        }
        let statements = "BACKUP STAGE START; SELECT CONNECTION_ID(); DO SLEEP(1000)";
        let socket = format!("--socket={}", self.socket().display());
        let options =
            [self.product.client, "--no-defaults", "--user=root", "--batch", "--unbuffered", "--skip-column-names"];
        let holder = self.agent.start(options.into_iter().chain([socket.as_str(), "--execute", statements]));
        let held = || Some(holder.so_far("stdout")).filter(|connection| connection.ends_with('\n'));
        let connection = wait_for("the lock to be held", held);
        let job = self.agent.start(self.product.tools[..1].iter().chain(args));
        wait_for("the backup to wait for the lock", || {
            assert!(job.runs(), "it ended before: {}", job.so_far("stderr"));
            job.so_far("stderr").contains("Acquiring BACKUP LOCKS").then_some(())
        });
        let done = catch_unwind(AssertUnwindSafe(does));
        self.sql(&format!("KILL {}", connection.trim()));
        done.unwrap_or_else(|panic| resume_unwind(panic));
        Box::new(job).outcome()
    }

    /// The tool waits for a reader of its log. 10.5 keeps all DDL waiting while it copies such tables, later ones do not.
    fn race(&self, args: &[&str], race: Race) -> Outcome {
        let tables = self.sql(
            "SELECT table_name, engine FROM information_schema.tables
             WHERE table_schema = 'race'",
        );
        let each = tables.lines().map(|line| line.split_once('\t').unwrap());
        let statements = each.map(|(table, engine)| match race {
            Race::Rename => format!("RENAME TABLE race.{table} TO race.new_{table};"),
            Race::Replace => format!("CREATE OR REPLACE TABLE race.{table} (b INT) ENGINE={engine};"),
            Race::Drop => format!("DROP TABLE race.{table};"),
        });
        let statements = statements.collect::<String>();
        let command = self.product.tools[..1].iter().chain(args);
        if self.series != Series(10, 5) {
            let job = self.agent.start_until(command, "aria table file ./race/");
            self.sql(&statements);
            return Box::new(job).outcome();
        }
        let job = self.agent.start_until(command, "Copying ./race/");
        let client = self.client(&self.socket(), &statements);
        let states =
            "SELECT state FROM information_schema.processlist WHERE info LIKE '%race.%' AND id <> connection_id()";
        wait_for("the statement to wait for the backup", || {
            assert!(client.runs(), "it was not kept waiting: {}", client.so_far("stderr"));
            self.sql(states).contains("Waiting for backup").then_some(())
        });
        let outcome = Box::new(job).outcome();
        let ended = Box::new(client).outcome();
        assert_eq!(ended.code, Some(0), "{ended}");
        outcome
    }

    fn login(&self, login: Login) -> String {
        let who = match login {
            Login::Good => "user=root",
            Login::WrongPassword => "user=root\npassword=wrong",
            Login::NoPrivileges => "user=nobody\npassword=right",
        };
        format!("{who}\nsocket={}\n", self.socket().display())
    }

    fn server(&self) -> Server<'_> {
        Server { control: self, _alone: Some(self.alone()) }
    }

    fn content_of(&self, data_dir: &Path) -> Content {
        let socket = self.root.join(format!("other-{}.sock", self.next()));
        let server = self.serve(data_dir, &socket);
        let tables = self.try_sql(
            &socket,
            "SELECT concat(table_schema, '.', table_name) FROM information_schema.tables
             WHERE table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')",
        );
        let rows = |table: &str| {
            let said = self.try_sql(&socket, &format!("SELECT text FROM {} ORDER BY id", quoted(table)));
            if said.code == Some(0) {
                said.stdout.lines().map(str::to_owned).collect()
            } else {
                vec!["(unreadable)".to_owned()]
            }
        };
        let content = tables.stdout.lines().map(|table| (table.to_owned(), rows(table))).collect();
        server.signal("KILL");
        Box::new(server).outcome();
        content
    }

    fn stock(&self) -> PathBuf {
        self.stock.get_or_init(|| stock::make(self)).clone()
    }
}

impl Control for Real {
    fn create_database(&self, name: &str) {
        // A case that failed may have left one.
        self.sql(&format!("DROP DATABASE IF EXISTS `{name}`; CREATE DATABASE `{name}`"));
    }

    fn drop_database(&self, name: &str) {
        self.sql(&format!("DROP DATABASE `{name}`"));
    }

    fn create_table(&self, name: &str) {
        let table = quoted(name);
        self.sql(&format!("CREATE TABLE {table} (id INT PRIMARY KEY AUTO_INCREMENT, text TEXT) ENGINE=InnoDB"));
    }

    fn create_plain_table(&self, name: &str) {
        let table = quoted(name);
        self.sql(&format!("CREATE TABLE {table} (id INT PRIMARY KEY AUTO_INCREMENT, text TEXT) ENGINE=MyISAM"));
    }

    fn create_aria_table(&self, name: &str) {
        let table = quoted(name);
        self.sql(&format!("CREATE TABLE {table} (id INT PRIMARY KEY AUTO_INCREMENT, text TEXT) ENGINE=Aria"));
    }

    fn drop_table(&self, name: &str) {
        self.sql(&format!("DROP TABLE {}", quoted(name)));
    }

    fn insert(&self, table: &str, row: &str) {
        self.sql(&format!("INSERT INTO {} (text) VALUES ('{row}')", quoted(table)));
    }

    /// By a stop and a start: a server that ends well leaves nothing behind its checkpoint.
    fn checkpoint(&self) {
        self.stop();
        Control::start(self);
    }

    fn stop(&self) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take().expect("the server runs");
        server.signal("TERM");
        let ended = Box::new(server).outcome();
        assert_eq!(ended.code, Some(0), "{ended}");
    }

    fn start(&self) {
        if self.server.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return;
        }
        let server = self.serve(&self.root.join("data"), &self.socket());
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
    }
}
