//! A fake of `mariabackup`, `mariadb-backup` and `xtrabackup` for the tests; the name it is called by says which.
//!
//! In: argv, the fake server beside it ([`world`]), and a script of faults ([`player`]). Out: backups, prepared
//! directories and data directories that follow the real tool's rules, as seen with mariadb-backup 10.11.19; what is
//! xtrabackup's alone follows its documentation. It changes nothing of the server, and never touches `/var/lib/mysql`.
//! Where it stands before a real tool it does nothing of this itself: see [`relay`].

mod backup;
mod connect;
mod copy_back;
mod damage;
mod faults;
mod files;
mod log;
mod metadata;
mod options;
mod player;
mod prepare;
mod redo;
mod relay;
mod signals;
mod streaming;
mod world;
mod xbstream;

use std::process::ExitCode;

use log::{Flavour, Log};
use metadata::Names;
use options::{Grammar, Options};
use player::{Call, Damage, Fault, Step, Stop};
use world::World;

/// Exit code of what the real tool does and the fake does not: 95.
const NOT_FAKED: u8 = 95;

/// The flags; the last two are known to xtrabackup alone and to mariabackup before 10.2, and the very last to xtrabackup with the new names.
const FLAGS: &[&str] = &[
    "version",
    "backup",
    "prepare",
    "copy-back",
    "move-back",
    "force-non-empty-directories",
    "no-lock",
    "galera-info",
    "slave-info",
    "safe-slave-backup",
    "no-version-check",
    "close-files",
    "innodb-log-checkpoint-now",
    "verbose",
    "apply-log-only",
    "apply-redo-only",
];
/// Those with a value; the last two are xtrabackup's with the new names.
const VALUES: &[&str] = &[
    "target-dir",
    "incremental-basedir",
    "incremental-dir",
    "datadir",
    "host",
    "user",
    "password",
    "socket",
    "port",
    "parallel",
    "use-memory",
    "tmpdir",
    "throttle",
    "ftwrl-wait-timeout",
    "open-files-limit",
    "protocol",
    "stream",
    "extra-lsndir",
    "backup-incremental-base",
    "prepare-incremental-from-dir",
];
/// What xtrabackup calls otherwise from 8.4.0-8 and 9.7.2-2 on (Percona's release notes).
const RENAMED: [(&str, &str); 3] = [
    ("apply-log-only", "apply-redo-only"),
    ("incremental-basedir", "backup-incremental-base"),
    ("incremental-dir", "prepare-incremental-from-dir"),
];
/// Options that change what comes out, so the fake refuses them instead of ignoring them.
const REFUSED: &[&str] = &["compress", "incremental-lsn", "databases", "tables", "export"];

/// Everything a job of the tool needs to know.
pub(crate) struct Tool {
    /// The call and its fault.
    pub(crate) call: Call,
    /// Its options.
    pub(crate) options: Options,
    /// Where it logs.
    pub(crate) log: Log,
    /// Which tool it is.
    pub(crate) flavour: Flavour,
    /// The version as text.
    pub(crate) version: String,
    /// The version's first two numbers.
    pub(crate) release: (u32, u32),
    /// The file names that go with it.
    pub(crate) names: Names,
    /// The server.
    pub(crate) world: World,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => stop.exit_code(),
    }
}

fn run() -> Step<()> {
    signals::block()?;
    let call = Call::take()?;
    relay::take_over(&call)?;
    let flavour = if call.tool.contains("xtrabackup") { Flavour::Xtrabackup } else { Flavour::Mariabackup };
    let world = World::at(&call.bin);
    let default = if flavour == Flavour::Xtrabackup { "8.0.35-30" } else { "10.11.19-MariaDB" };
    let version = world.version().unwrap_or_else(|| default.to_owned());
    let release = metadata::version_of(&version);
    let options = parse(&call, flavour, release, metadata::has_new_names(flavour, &version))?;
    let names = Names::of(flavour, release);
    let tool = Tool { call, options, log: Log { flavour }, flavour, version, release, names, world };
    tool.check_fault()?;
    if let Some(Fault::Says(text)) = &tool.call.fault {
        return Err(Stop::because(1, text));
    }
    tool.set_out()?;
    if tool.options.has("version") {
        tool.banner();
        return Ok(());
    }
    let [backup, prepare, copy_back, move_back] =
        ["backup", "prepare", "copy-back", "move-back"].map(|mode| tool.options.has(mode));
    let both = match (prepare, copy_back, move_back) {
        (_, true, true) => Some("--copy-back and --move-back"),
        (true, true, _) => Some("--copy-back and --apply-log"),
        (true, _, true) => Some("--move-back and --apply-log"),
        _ => None,
    };
    if let Some(both) = both {
        tool.log.note(0, &format!("Error: {both} are mutually exclusive\n"));
        return Err(Stop::Exit(1));
    }
    streaming::check(&tool)?;
    // Every mode reads the options file, even where it connects to nothing.
    let login = tool.options.login()?;
    if let Some(word) = tool.options.words.first() {
        tool.log.note(0, &format!("{}: Error: unknown argument: '{word}'", tool.flavour.name()));
        return Err(Stop::Exit(1));
    }
    if backup && !prepare {
        backup::run(&tool, &login)?;
    } else if prepare && !backup {
        prepare::run(&tool)?;
    } else if (copy_back || move_back) && !backup {
        copy_back::run(&tool)?;
    } else {
        tool.banner();
        player::print("Open source backup tool for InnoDB and XtraDB\n");
        player::print(&format!("Usage: {} [--defaults-file=#] [--backup | --prepare] [OPTIONS]", tool.call.tool));
        return Err(Stop::Exit(1));
    }
    if !tool.call.has(&Fault::NoCompletedOk) {
        tool.log.completed();
    }
    faults::at_the_end(&tool.call)
}

fn parse(call: &Call, flavour: Flavour, release: (u32, u32), has_new_names: bool) -> Step<Options> {
    let refused = |arg: &&String| {
        REFUSED.iter().any(|name| arg.strip_prefix("--").is_some_and(|rest| rest.split('=').next() == Some(name)))
    };
    if let Some(arg) = call.args.iter().find(refused) {
        return Err(Stop::because(NOT_FAKED, &format!("fake: {arg} is not faked")));
    }
    let is_xtrabackup = flavour == Flavour::Xtrabackup;
    let unknown = usize::from(!has_new_names);
    let without_last = FLAGS.len() - unknown - usize::from(!metadata::is_percona_like(flavour, release));
    let grammar = Grammar {
        flags: FLAGS.get(..without_last).unwrap_or(FLAGS),
        values: VALUES.get(..VALUES.len() - 2 * unknown).unwrap_or(VALUES),
        defaults_file_first: true,
        unknown_option: if is_xtrabackup { 255 } else { 2 },
        unknown_variable: if is_xtrabackup { 255 } else { 7 },
    };
    let mut options = Options::parse(call, &grammar)?;
    if has_new_names {
        for (old, new) in RENAMED {
            options.rename(old, new)?;
        }
    }
    Ok(options)
}

impl Tool {
    /// The line with name and version, on stderr as with mariadb-backup 10.11.19, there under the name as called.
    pub(crate) fn banner(&self) {
        let Self { version, .. } = self;
        let text = match self.flavour {
            Flavour::Mariabackup => {
                let name = &self.call.program;
                format!("{name} based on MariaDB server {version} debian-linux-gnu (x86_64)")
            }
            Flavour::Xtrabackup => {
                let server = version.split('-').next().unwrap_or_default();
                format!(
                    "xtrabackup version {version} based on MySQL server {server} Linux (x86_64) (revision id: fake)"
                )
            }
        };
        self.log.plain(&text);
    }

    /// Refuses a fault that cannot strike in this mode: a test that scripts one proves nothing.
    fn check_fault(&self) -> Step<()> {
        let (is_backup, is_prepare) = (self.options.has("backup"), self.options.has("prepare"));
        let fits = match self.call.fault {
            Some(
                Fault::Secret
                | Fault::EmptyMetadata
                | Fault::MissingMetadata
                | Fault::DamagedMetadata(Damage::Info | Damage::Options),
            ) => is_backup,
            Some(
                Fault::WrongLsn
                | Fault::WrongToLsn
                | Fault::WrongLastLsn
                | Fault::CutRedo
                | Fault::DamagedMetadata(Damage::Kind | Damage::Cut | Damage::Checkpoints),
            ) => is_backup || is_prepare,
            // 10.5 copies such tables while all DDL waits: the contract suite has it.
            Some(Fault::LosesTables | Fault::TakesTablesAway) => is_backup && self.release > (10, 5),
            Some(Fault::Up | Fault::Down | Fault::Expired) => false,
            // The file that is cut is in the target directory, where a stream leaves none; `/dev/full` is a full stdout.
            Some(Fault::Enospc | Fault::EnospcAt(_) | Fault::FloodStdout(_)) => !streaming::is_on(self),
            _ => true,
        };
        if fits {
            return Ok(());
        }
        Err(Stop::because(player::BAD_SCRIPT, &format!("fake: {:?} cannot strike in this call", self.call.fault)))
    }

    /// The faults that strike no step of the job: noise, and what it finds at its start.
    fn set_out(&self) -> Step<()> {
        match self.call.fault {
            Some(Fault::NotUtf8) => player::say(b"\xff\xfe"),
            Some(Fault::Flood(bytes)) => flood(bytes, |line| player::say(line.as_bytes())),
            Some(Fault::FloodStdout(bytes)) => flood(bytes, player::print),
            Some(Fault::EnospcAt(bytes)) => files::fill_after(bytes),
            _ => {}
        }
        faults::at_the_start(&self.call)
    }
}

/// Writes at least this many bytes of log.
fn flood(bytes: usize, write: impl Fn(&str)) {
    let line = "[00] 2026-11-22 20:30:56 >> log scanned up to (44388)";
    for _ in 0..bytes.div_ceil(line.len() + 1) {
        write(line);
    }
}
