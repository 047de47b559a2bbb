//! The MariaDB that is installed on this machine, run as the user of the tests.

use std::path::{Path, PathBuf};

use super::super::mariadb::{MariaDb, is_installed};
use super::super::{TestEnv, program, wait_for};
use super::data::{self, Flavour, Sql};
use super::{Content, Stand};

pub(super) struct Local {
    // The daemon ends before its server does.
    env: TestEnv,
    server: MariaDb,
}

impl Local {
    pub(super) fn new() -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let server = MariaDb::start();
        let env = TestEnv::real(&server);
        let stand = Self { env, server };
        stand.env.credentials(&stand.credentials());
        Some(stand)
    }
}

fn real_tool() -> &'static str {
    ["/usr/bin/mariabackup", "/usr/bin/mariadb-backup"].into_iter().find(|place| Path::new(place).exists()).unwrap()
}

impl Sql for MariaDb {
    fn sql(&self, statements: &str) -> String {
        Self::sql(self, statements)
    }

    fn statement(&self, statement: &str) -> String {
        self.ask(&["--delimiter=//"], statement).unwrap_or_else(|why| panic!("{statement}: {why}"))
    }
}

impl Stand for Local {
    fn env(&self) -> &TestEnv {
        &self.env
    }

    fn env_mut(&mut self) -> &mut TestEnv {
        &mut self.env
    }

    fn data_dir(&self) -> PathBuf {
        self.server.data_dir()
    }

    fn seed(&mut self) {
        data::seed(&self.server, Flavour::MariaDb);
    }

    fn change(&mut self, round: u32) {
        data::change(&self.server, round);
    }

    fn content(&self) -> Content {
        data::content(&self.server, Flavour::MariaDb)
    }

    fn write_while(&self, during: &dyn Fn()) {
        let before = self.server.sql(data::WRITTEN);
        let mut writer = self.server.session("CALL shop.write_on()");
        wait_for("the writing to begin", || (self.server.sql(data::WRITTEN) != before).then_some(()));
        during();
        self.server.sql(data::STOP_WRITING);
        assert!(writer.wait().unwrap().success());
    }

    fn check_written(&self) {
        data::check_written(&self.server);
    }

    fn start_server(&mut self) {
        self.server.run();
    }

    fn stop_server(&mut self) {
        self.server.stop();
    }

    fn lose_everything(&mut self) {
        self.server.lose_everything();
    }

    fn restored_folder(&mut self, folder: &Path) -> Content {
        data::content(&MariaDb::over(folder), Flavour::MariaDb)
    }

    fn sql(&self, statements: &str) -> String {
        self.server.sql(statements)
    }

    fn credentials_of(&self, user: &str, password: &str) -> String {
        let socket = self.server.socket();
        format!("[client-dbcalm]\nuser={user}\npassword={password}\nsocket={}\n", socket.display())
    }

    fn run_tool(&self, args: &[&str]) {
        let said = program(real_tool()).args(args).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }

    fn script_the_tool(&mut self) {
        self.env.relay(self.tool(), Path::new(real_tool()));
    }
}
