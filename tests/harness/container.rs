//! A container of one of the images that `ci/images` builds: a server, its tools, and our daemon as it would be installed.
//!
//! The directories that daemon and server work in are this machine's own, mounted where the installation has them, so a test
//! sees all that they leave.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use testcontainers::core::{CmdWaitFor, ExecCommand, Mount, WaitFor};
use testcontainers::runners::SyncRunner;
use testcontainers::{Container, GenericImage, ImageExt};

use super::program;

/// What is mounted, and where: by the names below the test's own directory.
pub(crate) const MOUNTS: [(&str, &str); 6] = [
    ("backups", "/var/backups/dbcalm"),
    ("lib", "/var/lib/dbcalm"),
    ("log", "/var/log/dbcalm"),
    ("run", "/run/dbcalm"),
    ("etc", "/etc/dbcalm"),
    ("data", "/var/lib/mysql"),
];

/// Where the test's own directory is mounted as a whole.
pub(crate) const WHOLE: &str = "/stand";

/// A label that every container of the tests carries, so that what a killed test run left is found.
const LABEL: (&str, &str) = ("dbcalm.test", "stand");

/// A container that runs, and is removed when it is dropped.
pub(crate) struct Vessel(Option<Container<GenericImage>>);

impl Vessel {
    /// Starts a container of `dbcalm-test-<name>`. None, and a skip: there is no Docker or no such image here.
    pub(crate) fn start(name: &str, root: &Path) -> Option<Self> {
        let image = format!("dbcalm-test-{name}");
        if let Err(why) = look_for(&image) {
            super::skip(&why);
            return None;
        }
        let owner = format!("{}:{}", rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let mut request = GenericImage::new(image.as_str(), "latest")
            .with_wait_for(WaitFor::message_on_stdout("stand ready"))
            .with_env_var("OWNER", owner)
            .with_network("none")
            .with_label(LABEL.0, LABEL.1)
            .with_mount(Mount::bind_mount(root.display().to_string(), WHOLE));
        for (own, installed) in MOUNTS {
            let own = root.join(own);
            std::fs::create_dir_all(&own).unwrap();
            request = request.with_mount(Mount::bind_mount(own.display().to_string(), installed));
        }
        Some(Self(Some(request.start().unwrap())))
    }

    fn container(&self) -> &Container<GenericImage> {
        self.0.as_ref().unwrap()
    }

    /// Runs a command as root, to its end; gives its stdout, or what it said on stderr.
    pub(crate) fn try_run(&self, words: &[&str]) -> Result<String, String> {
        let command = ExecCommand::new(words.iter().copied()).with_cmd_ready_condition(CmdWaitFor::exit());
        let mut said = self.container().exec(command).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if said.exit_code().unwrap() == Some(0) {
            Ok(text(said.stdout_to_vec().unwrap()))
        } else {
            Err(text(said.stderr_to_vec().unwrap()))
        }
    }

    /// Runs a command as root, to its end, which must be a good one.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        self.try_run(words).unwrap_or_else(|why| panic!("{words:?} in the container: {why}"))
    }

    /// Starts a command as root, and does not wait for it.
    pub(crate) fn launch(&self, words: &[&str]) {
        self.container().exec(ExecCommand::new(words.iter().copied())).unwrap();
    }
}

impl Drop for Vessel {
    /// A failed test's container stays if `DBCALM_KEEP` is set.
    fn drop(&mut self) {
        let Some(container) = self.0.take() else { return };
        if std::thread::panicking() && super::keeps() {
            eprintln!("--- kept the container {}", container.id());
            std::mem::forget(container);
        }
    }
}

/// Looks for an image, which must be of the tree that these tests are of.
///
/// # Errors
///
/// Why there is none here.
pub(crate) fn look_for(image: &str) -> Result<(), String> {
    static STAMPS: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let format = r#"{{index .Config.Labels "dbcalm.source"}}"#;
    let said = program("docker").args(["image", "inspect", "--format", format, image]).output();
    let said = said.map_err(|why| format!("no docker here: {why}"))?;
    if !said.status.success() {
        return Err(format!("{} (run ci/images)", String::from_utf8_lossy(&said.stderr).trim()));
    }
    let found = String::from_utf8(said.stdout).unwrap();
    let name = image.strip_prefix("dbcalm-test-").unwrap();
    let mut stamps = STAMPS.lock().unwrap_or_else(PoisonError::into_inner);
    let stamp = stamps.entry(name.to_owned()).or_insert_with(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/ci/images");
        let said = program(script).args(["--stamp", name]).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap()
    });
    assert_eq!(found.trim(), stamp.trim(), "the image {image} is not of this source: run ci/images");
    Ok(())
}
