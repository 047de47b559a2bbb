//! The processes of a sandbox: what a daemon with its directories below `root` has started.
//!
//! A tool is known by the request's id in its environment and by a path of the sandbox among its arguments. Each is held by a
//! pidfd before it is looked at, so that what is killed is what was looked at.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The variable by which the daemon's tools are known.
const TAG: &[u8] = b"DBCALM_COMMAND_ID=";

/// A process that was seen.
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) arguments: String,
    /// The request that it works for.
    pub(crate) command_id: Option<String>,
    held: OwnedFd,
}

impl Process {
    /// Kills it; false, if it had ended before.
    pub(crate) fn kill(&self) -> bool {
        pidfd_send_signal(&self.held, Signal::KILL).is_ok()
    }
}

/// The tools that work in this sandbox.
pub(crate) fn tools(root: &Path) -> Vec<Process> {
    find(|process| process.command_id.is_some() && names(process, root))
}

/// Whatever works for one of these requests or in this sandbox, but for its daemon.
pub(crate) fn of_ours(root: &Path, command_ids: &BTreeSet<String>, daemon: Pid) -> Vec<Process> {
    let is_known = |process: &Process| process.command_id.as_ref().is_some_and(|id| command_ids.contains(id));
    let daemon = daemon.as_raw_nonzero().get();
    find(|process| process.pid != daemon && (is_known(process) || names(process, root)))
}

fn names(process: &Process, root: &Path) -> bool {
    process.arguments.contains(&format!("{}/", root.display()))
}

fn find(is_wanted: impl Fn(&Process) -> bool) -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| look_at(entry.file_name().to_str()?)).filter(is_wanted).collect()
}

/// A process by its name in `/proc`; none, if it has ended, also where its parent has not noticed yet.
fn look_at(name: &str) -> Option<Process> {
    let pid: i32 = name.parse().ok()?;
    let held = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    let arguments = fs::read(format!("/proc/{name}/cmdline")).ok().filter(|bytes| !bytes.is_empty())?;
    let environment = fs::read(format!("/proc/{name}/environ")).unwrap_or_default();
    let tag = environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(TAG));
    Some(Process {
        pid,
        arguments: String::from_utf8_lossy(&arguments).replace('\0', " "),
        command_id: tag.map(|id| String::from_utf8_lossy(id).into_owned()),
        held,
    })
}
