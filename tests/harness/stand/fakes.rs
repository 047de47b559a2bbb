//! The fakes: a server of files, and tools that keep the real ones' rules, in seconds.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::TestEnv;
use super::super::world::content_of;
use super::{Content, Stand};

pub(super) struct Fakes(TestEnv);

impl Fakes {
    pub(super) fn new() -> Self {
        let env = TestEnv::new();
        fs::create_dir(env.path("data")).unwrap();
        Self(env)
    }
}

/// A line for each file, but for the logs that a server leaves in its data directory.
fn shown(dir: &Path) -> Content {
    let files = content_of(dir).unwrap();
    let data = files.iter().filter(|(path, _)| Path::new(path).extension() != Some("err".as_ref()));
    data.map(|(path, bytes)| format!("{path}: {}", String::from_utf8_lossy(bytes))).collect()
}

impl Stand for Fakes {
    fn env(&self) -> &TestEnv {
        &self.0
    }

    fn env_mut(&mut self) -> &mut TestEnv {
        &mut self.0
    }

    fn data_dir(&self) -> PathBuf {
        self.0.path("data")
    }

    fn seed(&mut self) {
        for table in ["orders.ibd", "parts#P#old.ibd", "parts#P#new.ibd", "old.MYD", "old.MYI", "log.MAD", "log.MAI"] {
            self.0.world.put(&format!("shop/{table}"), format!("{table} at first\n").as_bytes()).unwrap();
        }
    }

    fn change(&mut self, round: u32) {
        let world = &self.0.world;
        for table in
            ["shop/orders.ibd", "shop/log.MAD", &format!("shop/made_{round}.ibd"), &format!("extra_{round}/t.ibd")]
        {
            world.put(table, format!("{table} in round {round}\n").as_bytes()).unwrap();
        }
        if round > 1 {
            world.remove(&format!("shop/made_{}.ibd", round - 1)).unwrap();
            world.remove(&format!("extra_{}/t.ibd", round - 1)).unwrap();
        }
    }

    fn content(&self) -> Content {
        shown(&self.0.world.data())
    }

    /// The fake server's files change by themselves at no time: a consistent copy of a server that works is for the real tools
    /// to show.
    fn write_while(&self, during: &dyn Fn()) {
        during();
    }

    fn check_written(&self) {}

    fn start_server(&mut self) {
        self.0.world.start().unwrap();
    }

    fn stop_server(&mut self) {
        self.0.world.stop().unwrap();
    }

    /// The fake server's own files stay, as if they were another machine's: [`Stand::content`] goes on being the original.
    fn lose_everything(&mut self) {
        self.stop_server();
        // A restore that was undone leaves it absent, where it was.
        if self.data_dir().exists() {
            fs::remove_dir_all(self.data_dir()).unwrap();
        }
        fs::create_dir(self.data_dir()).unwrap();
    }

    fn restored(&mut self) -> Content {
        self.start_server();
        shown(&self.data_dir())
    }

    fn restored_folder(&mut self, folder: &Path) -> Content {
        shown(folder)
    }

    fn script_the_tool(&mut self) {}
}
