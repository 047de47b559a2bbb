//! A real store: Ceph's object gateway in a container (`containers/radosgw`), one for all tests of a run, a bucket for each.
//!
//! It is started by who asks for it first, which takes seconds, and ends with this process, however that ends: the container reads a FIFO that
//! only this process has open for writing.

use std::fs::{self, File, OpenOptions};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use testcontainers::core::{CmdWaitFor, ExecCommand, IntoContainerPort, Mount, WaitFor};
use testcontainers::runners::SyncRunner;
use testcontainers::{Container, GenericImage, ImageExt};

use super::bucket::{KEYS, Login};
use super::container::look_for;
use super::stand::is_wanted;
use super::{program, skip};

/// The name of the image, and of the stand in `DBCALM_STANDS`.
const NAME: &str = "radosgw";

/// How long it may take until it answers: it was 3 s on an idle machine of 2 cores.
const PATIENCE: Duration = Duration::from_secs(120);

/// The port of the gateway, in its container.
const PORT: u16 = 8080;

/// A gateway that runs.
pub(crate) struct Radosgw {
    container: Container<GenericImage>,
    endpoint: String,
    buckets: AtomicU32,
    /// Open for as long as this process lives.
    _line: File,
}

/// A bucket of a test's own in the real store.
#[derive(Clone, Debug)]
pub(crate) struct RealBucket {
    owner: Login,
}

impl Radosgw {
    /// The one of this run. None, and a skip: it is not wanted, or there is no Docker or no such image here.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Result<Radosgw, String>> = OnceLock::new();
        if !is_wanted(NAME) {
            return None;
        }
        match SHARED.get_or_init(Self::start) {
            Ok(store) => Some(store),
            Err(why) => {
                skip(why);
                None
            }
        }
    }

    fn start() -> Result<Self, String> {
        let image = format!("dbcalm-test-{NAME}");
        look_for(&image)?;
        let dir = tempfile::Builder::new().prefix("dbcalm-rgw.").tempdir().unwrap();
        let fifo = dir.path().join("line");
        assert!(program("mkfifo").arg(&fifo).status().unwrap().success());
        // Opened for both, so that it waits for nobody. It is closed on exec, so this process alone holds it open.
        let line = OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
        let users = KEYS.map(|(name, key, secret)| format!("{name}:{key}:{secret}"));
        let request = GenericImage::new(image.as_str(), "latest")
            .with_exposed_port(PORT.tcp())
            .with_wait_for(WaitFor::message_on_stdout("store ready"))
            .with_env_var("USERS", users.join(" "))
            .with_mount(Mount::bind_mount(dir.path().display().to_string(), "/life"))
            .with_mount(Mount::tmpfs_mount("/var/lib/ceph"))
            .with_label("dbcalm.test", NAME)
            .with_startup_timeout(PATIENCE)
            .with_host_config_modifier(|host| host.auto_remove = Some(true));
        let container = request.start().map_err(|error| format!("no container of {image}: {error}"))?;
        // The FIFO is open at both ends, and its name has done what it is for.
        fs::remove_dir_all(dir.path()).unwrap();
        let port = container.get_host_port_ipv4(PORT.tcp()).map_err(|error| error.to_string())?;
        Ok(Self { container, endpoint: format!("http://127.0.0.1:{port}"), buckets: AtomicU32::default(), _line: line })
    }

    /// Makes a bucket.
    pub(crate) fn bucket(&self) -> RealBucket {
        self.new_bucket(&[])
    }

    /// Makes a bucket with versions and object lock.
    pub(crate) fn locked_bucket(&self) -> RealBucket {
        self.new_bucket(&["locked"])
    }

    fn new_bucket(&self, more: &[&str]) -> RealBucket {
        let number = self.buckets.fetch_add(1, Ordering::Relaxed);
        let name = format!("dbcalm-backups-{number}");
        let (_, key, secret) = KEYS[0];
        self.run(&[&["bucket", &name, &format!("{key}:{secret}")], more].concat());
        let (endpoint, region) = (self.endpoint.clone(), "us-east-1".to_owned());
        RealBucket { owner: Login { endpoint, region, bucket: name, key: key.to_owned(), secret: secret.to_owned() } }
    }

    /// Runs a command in the container, to its end, which must be a good one.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let command = ExecCommand::new(words.iter().copied()).with_cmd_ready_condition(CmdWaitFor::exit());
        let mut said = self.container.exec(command).unwrap();
        let (code, out) = (said.exit_code().unwrap(), said.stdout_to_vec().unwrap());
        let err = said.stderr_to_vec().unwrap();
        let [out, err] = [out, err].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert_eq!(code, Some(0), "{words:?} in the container: {out}{err}");
        out
    }
}

impl RealBucket {
    /// What its owner has to know.
    pub(crate) fn login(&self) -> &Login {
        &self.owner
    }

    /// The login of somebody who may write, read, list and abort uploads, and not delete.
    pub(crate) fn keeper(&self) -> Login {
        self.owner.of(1)
    }

    /// The login of somebody who may read and list, and nothing else.
    pub(crate) fn reader(&self) -> Login {
        self.owner.of(2)
    }
}
