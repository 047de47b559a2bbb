//! What stands under a daemon: fakes, a MariaDB of this machine, or a server in a container. A scenario is written once, against
//! [`Stand`], and runs on each of them.
//!
//! A stand owns a [`TestEnv`] (the daemon, its directories and records, all seen from this machine) and a server with data in
//! it. Its [`Content`] is what an operator would miss: equal content before a backup and after its restore is the proof.

mod container;
pub(crate) mod data;
mod fakes;
mod local;

use std::path::{Path, PathBuf};

use super::TestEnv;

/// What a server holds: a line for each table with rows and checksum, for each view, trigger, event and routine; or for each
/// file of a fake server.
pub(crate) type Content = Vec<String>;

/// Where scenarios run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Fake tools and a fake server.
    Fakes,
    /// The MariaDB that is installed on this machine.
    Local,
    /// The image `dbcalm-test-<name>`, which `ci/images` builds.
    Container(&'static str),
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Fakes => "fakes",
            Self::Local => "local",
            Self::Container(name) => name,
        }
    }

    /// Sets the stand up, with a running server that holds the seed, and the daemon not yet started. None, and a line in the
    /// list of what was skipped: it is not wanted, or cannot be set up here.
    pub(crate) fn set_up(self) -> Option<Box<dyn Stand>> {
        if !is_wanted(self.name()) {
            return None;
        }
        let mut stand: Box<dyn Stand> = match self {
            Self::Fakes => Box::new(fakes::Fakes::new()),
            Self::Local => Box::new(local::Local::new()?),
            Self::Container(name) => Box::new(container::Contained::new(name)?),
        };
        stand.seed();
        Some(stand)
    }
}

/// Whether `DBCALM_STANDS` (names, with commas between) leaves this one in; a test that it leaves out is told as skipped.
pub(crate) fn is_wanted(name: &str) -> bool {
    let wanted = std::env::var("DBCALM_STANDS").ok();
    let is_left_out = wanted.is_some_and(|wanted| !wanted.split(',').any(|wanted| wanted.trim() == name));
    if is_left_out {
        super::left_out(&format!("DBCALM_STANDS leaves out {name}"));
    }
    !is_left_out
}

/// Fakes, for a test of the harness itself.
pub(crate) fn fakes() -> Box<dyn Stand> {
    Box::new(fakes::Fakes::new())
}

/// A server with data, its tools, and a daemon for it.
pub(crate) trait Stand {
    /// The daemon and all that can be seen of it.
    fn env(&self) -> &TestEnv;
    /// The same, to change its settings.
    fn env_mut(&mut self) -> &mut TestEnv;
    /// What the backup tool is called here.
    fn tool(&self) -> &'static str {
        "mariabackup"
    }
    /// The server's data directory, as this machine sees it.
    fn data_dir(&self) -> PathBuf;

    /// Gives the server its first data.
    fn seed(&mut self);
    /// Changes the data: rows, tables and schemas come, change and go, differently in each round.
    fn change(&mut self, round: u32);
    /// What the server holds.
    fn content(&self) -> Content;
    /// Brings the server to rest before a backup, where its tool cannot copy a server that works.
    fn calm(&self) {}
    /// Lets the server be written to as long as `during` takes.
    fn write_while(&self, during: &dyn Fn());
    /// Checks that what was written during a backup is there in whole transactions. Where nothing was, it has nothing to say.
    fn check_written(&self);

    /// Starts the server on its data directory, if it does not run.
    fn start_server(&mut self);
    /// Stops the server, if it runs.
    fn stop_server(&mut self);
    /// Stops the server and takes everything out of its data directory.
    fn lose_everything(&mut self);
    /// What a database restore has brought: the server is started on its data directory.
    fn restored(&mut self) -> Content {
        self.start_server();
        self.content()
    }
    /// What a folder restore has brought: a server is started over a copy of it.
    fn restored_folder(&mut self, folder: &Path) -> Content;

    /// Runs statements in the server, with a semicolon after each; gives the rows, a line each.
    fn sql(&self, statements: &str) -> String {
        panic!("a fake server speaks no SQL: {statements}");
    }
    /// The credentials file of the account that the daemon has.
    fn credentials(&self) -> String {
        self.credentials_of("dbcalm", data::PASSWORD)
    }
    /// A credentials file for an account.
    fn credentials_of(&self, user: &str, password: &str) -> String {
        format!("[client-dbcalm]\nuser={user}\npassword={password}\n")
    }
    /// Runs the backup tool itself, as root, with paths as the daemon has them; it must end well.
    fn run_tool(&self, args: &[&str]) {
        panic!("a fake tool is not run by hand: {args:?}");
    }

    /// Puts a fake before the backup tool, so that a script decides which call goes wrong and how. Before the daemon is started.
    fn script_the_tool(&mut self);

    /// Takes a full backup, to its end.
    fn full(&self, id: &str) -> String {
        self.calm();
        self.env().full(id)
    }
    /// Takes an incremental backup, to its end.
    fn incremental(&self, id: &str, base: &str) -> String {
        self.calm();
        self.env().incremental(id, base)
    }
}
