//! A daemon of a test's own: its directories, its settings, its tools (fake or real), and everything that can be seen of it.
//!
//! It accounts for itself when its test ends: [`account`].

#![allow(dead_code, reason = "each topic uses another part")]

mod account;
pub(crate) mod boto;
pub(crate) mod bucket;
pub(crate) mod container;
pub(crate) mod daemon;
pub(crate) mod device;
pub(crate) mod mariadb;
pub(crate) mod page;
pub(crate) mod proxy;
pub(crate) mod radosgw;
mod records;
pub(crate) mod small_disk;
pub(crate) mod stand;
pub(crate) mod tls;
#[path = "../../fakes/world.rs"]
pub(crate) mod world;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use container::{MOUNTS, Vessel, WHOLE};
use daemon::Daemon;
use mariadb::MariaDb;
use sha2::{Digest, Sha256};
use world::World;

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon of a test's own.
pub(crate) struct TestEnv {
    root: tempfile::TempDir,
    /// The fake server; with real tools it is not asked.
    pub(crate) world: World,
    settings: BTreeMap<String, String>,
    /// The container that the daemon runs in, if it does not run here.
    vessel: Option<Rc<Vessel>>,
    daemon: RefCell<Option<Daemon>>,
    claimed: RefCell<Vec<String>>,
    replies: RefCell<Vec<String>>,
    /// Whether its directories stay when its test fails.
    keeps: Cell<bool>,
}

impl TestEnv {
    /// A running daemon over fake tools and a fake server that is up.
    pub(crate) fn start() -> Self {
        let env = Self::new();
        env.start_daemon();
        env
    }

    /// The same, with the daemon not yet started.
    pub(crate) fn new() -> Self {
        let env = Self::bare();
        let bin = env.path("bin");
        symlink(env!("CARGO_BIN_EXE_fake-mariabackup"), bin.join("mariabackup")).unwrap();
        symlink(env!("CARGO_BIN_EXE_fake-mariadb-admin"), bin.join("mariadb-admin")).unwrap();
        env.world.put("shop/orders.ibd", b"order 1\n").unwrap();
        env.world.put("shop/orders.frm", b"definition").unwrap();
        env.credentials("[client-dbcalm]\nuser=backup\npassword=s3cret-of-the-test\n");
        let mut env = env;
        env.set("backup_bin", &bin.join("mariabackup").display().to_string());
        env.set("admin_bin", &bin.join("mariadb-admin").display().to_string());
        env
    }

    /// A daemon over the real tools and a real server, not yet started.
    pub(crate) fn real(server: &MariaDb) -> Self {
        let mut env = Self::bare();
        env.credentials(&format!("[client-dbcalm]\nuser=root\nsocket={}\n", server.socket().display()));
        env.set("data_dir", &server.data_dir().display().to_string());
        env.set("parallel", "");
        env
    }

    /// Lets the fake of this name stand before a real program, so that its script can strike where that one works.
    pub(crate) fn relay(&mut self, tool: &str, real: &Path) {
        let is_admin = tool.contains("admin");
        let fake =
            if is_admin { env!("CARGO_BIN_EXE_fake-mariadb-admin") } else { env!("CARGO_BIN_EXE_fake-mariabackup") };
        let place = self.path("bin").join(tool);
        symlink(fake, &place).unwrap();
        fs::write(self.path("bin").join(format!("{tool}.real")), real.display().to_string()).unwrap();
        self.set(if is_admin { "admin_bin" } else { "backup_bin" }, &place.display().to_string());
    }

    /// A daemon in a container, installed as the README says, with the settings' defaults wherever there are any; not yet
    /// started. None, and a skip: there is no such container here.
    pub(crate) fn contained(image: &str) -> Option<(Self, Rc<Vessel>)> {
        let mut env = Self::empty();
        // What is mounted has to be reached by other users than this one.
        fs::set_permissions(env.root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let vessel = Rc::new(Vessel::start(image, env.root.path())?);
        env.vessel = Some(Rc::clone(&vessel));
        env.set("backup_dir", "/var/backups/dbcalm");
        env.set("db_type", "mariadb");
        Some((env, vessel))
    }

    fn empty() -> Self {
        let root = tempfile::Builder::new().prefix("dbcalm").tempdir().unwrap();
        fs::create_dir(root.path().join("bin")).unwrap();
        let world = World::create(&root.path().join("bin")).unwrap();
        Self {
            world,
            settings: BTreeMap::new(),
            vessel: None,
            daemon: RefCell::default(),
            claimed: RefCell::default(),
            replies: RefCell::default(),
            keeps: Cell::new(keeps()),
            root,
        }
    }

    fn bare() -> Self {
        let mut env = Self::empty();
        for dir in ["backups", "run", "lib"] {
            fs::create_dir(env.path(dir)).unwrap();
        }
        fs::set_permissions(env.path("run"), fs::Permissions::from_mode(0o770)).unwrap();
        for (key, path) in [
            ("backup_dir", "backups"),
            ("backup_credentials_file", "credentials.cnf"),
            ("data_dir", "data"),
            ("database_path", "lib/db.sqlite3"),
            ("log_file", "lib/dbcalm.log"),
        ] {
            let path = env.path(path).display().to_string();
            env.set(key, &path);
        }
        env.set("db_type", "mariadb");
        // The same commands on every machine.
        env.set("parallel", "1");
        env
    }

    /// The test's own directory.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Lets the directories stay if the test fails, without `DBCALM_KEEP`.
    pub(crate) fn keep_if_it_fails(&self) {
        self.keeps.set(true);
    }

    /// A path below the test's own directory.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    /// A path of the backup directory.
    pub(crate) fn backup(&self, id: &str) -> PathBuf {
        self.path("backups").join(id)
    }

    /// Writes one setting into the file; an empty value takes it out.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.settings.insert(key.to_owned(), value.to_owned());
        let lines = self.settings.iter().filter(|(_, value)| !value.is_empty());
        let lines: Vec<_> = lines.map(|(key, value)| format!("{key}: {value}")).collect();
        self.write_etc("config.yml", &lines.join("\n"));
    }

    fn write_etc(&self, name: &str, text: &str) {
        let path = self.etc(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        if self.vessel.is_some() {
            // The directory's group is that of the daemon.
            let group = fs::metadata(path.parent().unwrap()).unwrap().gid();
            std::os::unix::fs::chown(&path, None, Some(group)).unwrap();
        }
    }

    /// A file of the daemon's settings.
    pub(crate) fn etc(&self, name: &str) -> PathBuf {
        if self.vessel.is_some() { self.path("etc").join(name) } else { self.path(name) }
    }

    /// Where this machine has a path that the daemon names.
    pub(crate) fn here(&self, named: &str) -> PathBuf {
        let mount = MOUNTS.into_iter().filter(|_| self.vessel.is_some());
        let found = mount
            .into_iter()
            .find_map(|(own, installed)| Some(self.path(own).join(Path::new(named).strip_prefix(installed).ok()?)));
        found.unwrap_or_else(|| PathBuf::from(named))
    }

    /// Writes the credentials file.
    pub(crate) fn credentials(&self, text: &str) {
        self.write_etc("credentials.cnf", text);
    }

    /// Makes the fake `mariabackup` a `xtrabackup`, as for MySQL.
    pub(crate) fn mysql(&mut self) {
        fs::rename(self.path("bin/mariabackup"), self.path("bin/xtrabackup")).unwrap();
        let bin = self.path("bin/xtrabackup").display().to_string();
        self.set("backup_bin", &bin);
        self.set("db_type", "mysql");
    }

    /// Adds a line to a fake's script; see `fakes/player.rs`.
    pub(crate) fn script(&self, tool: &str, line: &str) {
        let path = self.path("bin").join(format!("{tool}.script"));
        let mut text = fs::read_to_string(&path).unwrap_or_default();
        text.push_str(line);
        text.push('\n');
        fs::write(path, text).unwrap();
    }

    /// Puts in a fake's place what cannot be started: a file that is not executable, or one whose interpreter is nowhere.
    pub(crate) fn cannot_start(&self, tool: &str, is_executable: bool) {
        let place = self.path("bin").join(tool);
        fs::rename(&place, place.with_extension("aside")).unwrap();
        fs::write(&place, "#!/nowhere/interpreter\n").unwrap();
        let mode = if is_executable { 0o755 } else { 0o644 };
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Puts the fake back in its place.
    pub(crate) fn can_start_again(&self, tool: &str) {
        let place = self.path("bin").join(tool);
        fs::rename(place.with_extension("aside"), place).unwrap();
    }

    /// Waits until a fake has come to the point at which its script lets it wait; gives its pid.
    pub(crate) fn wait_for_fake(&self, tool: &str) -> i32 {
        let path = self.path("bin").join(format!("{tool}.waiting"));
        wait_for(&format!("{tool} to wait"), || fs::read_to_string(&path).ok()?.trim().parse().ok())
    }

    /// The arguments of every call of a fake so far, but for `--version`, the test's own paths taken out.
    pub(crate) fn calls(&self, tool: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path("bin").join(format!("{tool}.calls"))).unwrap_or_default();
        text.lines()
            .map(|line| {
                let call: serde_json::Value = serde_json::from_str(line).unwrap();
                let argv: Vec<String> = serde_json::from_value(call["argv"].clone()).unwrap();
                self.redact(&argv[1..].join(" "))
            })
            .filter(|call| call != "--version")
            .collect()
    }

    /// Every file below the backup directory or another one, by its content's fingerprint: equal means byte-identical.
    pub(crate) fn fingerprint(&self, relative: &str) -> BTreeMap<String, String> {
        let root = self.path(relative);
        let paths = world::files(&root).unwrap();
        let fingerprint = |path: &str| {
            let bytes = fs::read(root.join(path)).unwrap();
            let hash = u64::from_be_bytes(Sha256::digest(&bytes)[..8].try_into().unwrap());
            format!("{} bytes, {hash:016x}", bytes.len())
        };
        paths.into_iter().map(|path| (path.clone(), fingerprint(&path))).collect()
    }

    /// The names in a directory below the test's own, sorted; a directory's with `/`.
    pub(crate) fn listing(&self, relative: &str) -> String {
        listing(&self.path(relative))
    }

    /// Takes the test's own paths, ids and moments out of a text: what is left is the same wherever the daemon runs.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut text = text.replace(&self.root.path().display().to_string(), "~");
        if self.vessel.is_some() {
            text = text.replace("/var/run/", "/run/").replace(&format!("{WHOLE}/"), "~/");
            for (own, installed) in MOUNTS {
                text = text.replace(installed, &if own == "etc" { "~".to_owned() } else { format!("~/{own}") });
            }
        }
        redact(&text)
    }
}

/// The names in a directory, sorted, a directory's with `/`; `(empty)` or `(absent)`.
pub(crate) fn listing(dir: &Path) -> String {
    let Ok(entries) = fs::read_dir(dir) else { return "(absent)".to_owned() };
    let name = |entry: fs::DirEntry| {
        let mark = if entry.file_type().unwrap().is_dir() { "/" } else { "" };
        format!("{}{mark}", entry.file_name().to_string_lossy())
    };
    let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
    names.sort();
    if names.is_empty() { "(empty)".to_owned() } else { redact(&names.join(" ")) }
}

/// The one table of redactions: command ids, and the moments that name directories.
pub(crate) fn redact(text: &str) -> String {
    let is = |shape: &str, text: &[u8]| {
        text.len() == shape.len()
            && shape.bytes().zip(text).all(|(shape, byte)| match shape {
                b'x' => byte.is_ascii_hexdigit(),
                b'0' => byte.is_ascii_digit(),
                other => other == *byte,
            })
    };
    let shapes = [("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "[ID]"), ("0000-00-00-00-00-00", "[TIME]")];
    let (mut redacted, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let found =
            shapes.iter().find(|(shape, _)| rest.as_bytes().get(..shape.len()).is_some_and(|text| is(shape, text)));
        let taken = if let Some((shape, mark)) = found {
            redacted.push_str(mark);
            // A number after a moment keeps two directories of one second apart.
            let number = |text: &str| {
                text.strip_prefix('-').map(|text| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
            };
            let digits = rest.get(shape.len()..).and_then(number).filter(|digits| *digits > 0 && *mark == "[TIME]");
            shape.len() + digits.map_or(0, |digits| digits + 1)
        } else {
            redacted.push(first);
            first.len_utf8()
        };
        rest = &rest[taken..];
    }
    redacted
}

/// Waits until there is something, bounded by [`PATIENCE`].
pub(crate) fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, what, look)
}

/// The same, bounded by this time.
pub(crate) fn wait_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited {patience:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether what a failed test used is kept for a look: `DBCALM_KEEP`.
pub(crate) fn keeps() -> bool {
    std::env::var_os("DBCALM_KEEP").is_some()
}

/// Says why a test is skipped; `ci/test` counts these, and forbids them where it is not told otherwise.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("DBCALM_NO_SKIPS").is_none(), "{why}, and DBCALM_NO_SKIPS forbids skips");
    left_out(why);
}

/// Says why a test was left out as it was asked for: `ci/test` counts it as skipped, and does not forbid it.
pub(crate) fn left_out(why: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    eprintln!("SKIPPED {test}: {why}");
    // What a passing test prints is not shown, so `ci/test` names a file to be told.
    if let Some(path) = std::env::var_os("DBCALM_SKIPS") {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        std::io::Write::write_all(&mut file, format!("{test}: {why}\n").as_bytes()).unwrap();
    }
}

/// Says that what a test is about is not on this machine, and cannot be had from its package sources either: no skip that somebody
/// could do something about, so `ci/test` lists it apart. Where it has to be, `DBCALM_NOTHING_MISSING` makes it a failure.
pub(crate) fn not_here(what: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    eprintln!("NOT HERE {test}: needs {what}");
    assert!(
        std::env::var_os("DBCALM_NOTHING_MISSING").is_none(),
        "{what}: not here, and DBCALM_NOTHING_MISSING is set"
    );
    if let Some(path) = std::env::var_os("DBCALM_NOT_HERE") {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        std::io::Write::write_all(&mut file, format!("{test}: needs {what}\n").as_bytes()).unwrap();
    }
}

/// Another program, with the umask that systems come with, whatever these tests were started with: modes are part of what is tested.
pub(crate) fn program(path: impl AsRef<std::ffi::OsStr>) -> Command {
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    #[expect(clippy::disallowed_methods, reason = "the tests' one place that starts programs")]
    Command::new(path)
}

/// The same with no signal ignored or blocked, whatever these tests were started with: a script's background has INT ignored. `env` is that of
/// coreutils 8.31 or later, as for the fakes; it becomes the program.
pub(crate) fn program_by_itself(path: impl AsRef<std::ffi::OsStr>) -> Command {
    nix::sys::signal::SigSet::empty().thread_set_mask().unwrap();
    let mut command = program("/usr/bin/env");
    command.arg("--default-signal").arg(path);
    command
}
