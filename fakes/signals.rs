//! The signals that the backup tools do not end by.
//!
//! mariadb-backup has HUP, QUIT, PIPE, ALRM and TERM blocked from its beginning to its end, in every mode (`SigBlk` of a backup, an
//! apply and a copy-back of 10.11.19); INT and KILL end it.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;

use rustix::process::Signal;

/// Starts this program anew, as the same process, with the signals blocked; nothing happens where they are. No safe function
/// of Rust blocks a signal, so it is done by `env` (coreutils 8.31 or later).
pub(crate) fn block() -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    let blocked = blocked.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    if blocked & 1 << (Signal::TERM.as_raw() - 1) != 0 {
        return Ok(());
    }
    let mut words = std::env::args_os();
    // `env` would look for a bare name along the path.
    let program = words.next().filter(|name| name.to_string_lossy().contains('/'));
    let program = program.map_or_else(std::env::current_exe, |program| Ok(program.into()))?;
    #[expect(clippy::disallowed_methods, reason = "it becomes the program, and starts none")]
    let mut env = std::process::Command::new("/usr/bin/env");
    Err(env.arg("--block-signal=HUP,QUIT,PIPE,ALRM,TERM").arg(program).args(words).exec())
}
