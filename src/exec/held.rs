//! A program that does not outlive whoever has started it.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Becomes this program, with these arguments, which is killed when the parent of this process dies. Gives why not.
pub fn held(program: &[String]) -> io::Error {
    if let Err(why) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return why.into();
    }
    // Whoever has no parent any more has got the system's first process for one.
    if getppid().is_some_and(Pid::is_init) {
        return io::Error::other("the step that has started it has ended");
    }
    let Some((name, args)) = program.split_first() else { return io::Error::other("no program is named") };
    #[expect(clippy::disallowed_methods, reason = "it starts none, but becomes one")]
    let mut command = Command::new(name);
    command.args(args).exec()
}
