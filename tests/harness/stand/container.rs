//! A server in a container, with the daemon beside it as the unit would run it.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::super::container::{MOUNTS, Vessel, WHOLE};
use super::super::{TestEnv, wait_for};
use super::data::{self, Flavour, Sql};
use super::{Content, Stand};

pub(super) struct Contained {
    // The daemon ends before its container does.
    env: TestEnv,
    server: Server,
}

struct Server {
    vessel: Rc<Vessel>,
    flavour: Flavour,
    socket: &'static str,
}

impl Contained {
    pub(super) fn new(name: &str) -> Option<Self> {
        let flavour = if name.starts_with("mysql") { Flavour::MySql } else { Flavour::MariaDb };
        let (mut env, vessel) = TestEnv::contained(name)?;
        if flavour == Flavour::MySql {
            env.set("db_type", "mysql");
        }
        let server = Server { vessel, flavour, socket: "/run/mysqld/mysqld.sock" };
        server.vessel.run(&["server", "fresh"]);
        server.vessel.run(&["server", "start"]);
        let mut stand = Self { env, server };
        stand.env.credentials(&stand.credentials());
        if flavour == Flavour::MySql {
            // There is no xtrabackup here: the fake one copies the real server's files.
            stand.script_the_tool();
        }
        Some(stand)
    }
}

impl Server {
    fn ask(&self, more: &[&str], statements: &str) -> String {
        let client = if self.flavour == Flavour::MySql { "mysql" } else { "mariadb" };
        let socket = format!("--socket={}", self.socket);
        let mut words = vec![client, "--no-defaults", "--user=root", &socket, "--default-character-set=utf8mb4"];
        words.extend(["--batch", "--skip-column-names"]);
        words.extend(more);
        words.extend(["--execute", statements]);
        self.vessel.run(&words)
    }

    fn real_tool(&self) -> String {
        let place = "command -v /usr/bin/mariabackup || command -v /usr/bin/mariadb-backup";
        self.vessel.run(&["sh", "-c", place]).trim().to_owned()
    }
}

impl Sql for Server {
    fn sql(&self, statements: &str) -> String {
        self.ask(&[], statements)
    }

    fn statement(&self, statement: &str) -> String {
        self.ask(&["--delimiter=//"], statement)
    }
}

impl Stand for Contained {
    fn env(&self) -> &TestEnv {
        &self.env
    }

    fn env_mut(&mut self) -> &mut TestEnv {
        &mut self.env
    }

    fn tool(&self) -> &'static str {
        if self.server.flavour == Flavour::MySql { "xtrabackup" } else { "mariabackup" }
    }

    fn data_dir(&self) -> PathBuf {
        self.env.path("data")
    }

    fn seed(&mut self) {
        data::seed(&self.server, self.server.flavour);
    }

    fn change(&mut self, round: u32) {
        data::change(&self.server, round);
    }

    fn content(&self) -> Content {
        data::content(&self.server, self.server.flavour)
    }

    /// The fake xtrabackup copies files as they lie there, so all that the server knows must be in them.
    fn calm(&self) {
        if self.server.flavour == Flavour::MySql
            && self.server.vessel.try_run(&["test", "-S", self.server.socket]).is_ok()
        {
            self.server
                .sql("SET GLOBAL innodb_max_dirty_pages_pct = 0, innodb_max_dirty_pages_pct_lwm = 0; FLUSH TABLES;");
            let dirty = "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'";
            wait_for("no dirty page", || self.server.sql(dirty).trim().ends_with("\t0").then_some(()));
        }
    }

    fn write_while(&self, during: &dyn Fn()) {
        if self.server.flavour == Flavour::MySql {
            // See `calm`.
            return during();
        }
        let before = self.server.sql(data::WRITTEN);
        self.server.vessel.launch(&["mariadb", "--no-defaults", "--user=root", "--execute", "CALL shop.write_on()"]);
        wait_for("the writing to begin", || (self.server.sql(data::WRITTEN) != before).then_some(()));
        during();
        self.server.sql(data::STOP_WRITING);
        let left =
            "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'CALL%' OR state = 'User sleep'";
        wait_for("the writing to end", || (self.server.sql(left).trim() == "0").then_some(()));
    }

    fn check_written(&self) {
        data::check_written(&self.server);
    }

    fn start_server(&mut self) {
        self.server.vessel.run(&["server", "start"]);
    }

    fn stop_server(&mut self) {
        self.server.vessel.run(&["server", "stop"]);
    }

    fn lose_everything(&mut self) {
        self.stop_server();
        for entry in fs::read_dir(self.data_dir()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
    }

    fn restored_folder(&mut self, folder: &Path) -> Content {
        // The folder is the mysql user's, and stays what the restore made it.
        let inside = in_container(&self.env, folder);
        self.server.vessel.run(&["rm", "-rf", "/stand/over"]);
        self.server.vessel.run(&["cp", "-a", &inside, "/stand/over"]);
        self.server.vessel.run(&["server", "over", "/stand/over"]);
        let over = Server {
            vessel: Rc::clone(&self.server.vessel),
            flavour: self.server.flavour,
            socket: "/run/mysqld/over.sock",
        };
        let content = data::content(&over, over.flavour);
        self.server.vessel.run(&["server", "stop", "over"]);
        content
    }

    fn sql(&self, statements: &str) -> String {
        self.server.sql(statements)
    }

    fn run_tool(&self, args: &[&str]) {
        let tool = self.server.real_tool();
        let mut words = vec![tool.as_str()];
        words.extend(args);
        self.server.vessel.run(&words);
    }

    fn script_the_tool(&mut self) {
        let tool = self.tool();
        let (fake, bin) = ("/usr/local/lib/dbcalm/fake-mariabackup", format!("{WHOLE}/bin"));
        self.server.vessel.run(&["cp", fake, &format!("{bin}/{tool}")]);
        if self.server.flavour == Flavour::MySql {
            fs::write(self.env.path("bin/world/live"), "/var/lib/mysql").unwrap();
        } else {
            fs::write(self.env.path("bin").join(format!("{tool}.real")), self.server.real_tool()).unwrap();
        }
        // The tool keeps its script and its record of calls there.
        self.server.vessel.run(&["chmod", "-R", "a+rwX", &bin]);
        self.env.set("backup_bin", &format!("{bin}/{tool}"));
    }
}

/// Where the container has a path of this machine.
fn in_container(env: &TestEnv, path: &Path) -> String {
    let (own, installed) = MOUNTS.into_iter().find(|(own, _)| path.starts_with(env.path(own))).unwrap();
    Path::new(installed).join(path.strip_prefix(env.path(own)).unwrap()).display().to_string()
}
