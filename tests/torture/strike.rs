//! A strike: whom KILL hits, and when. Drawn from the seed; then carried out.
//!
//! The moment is a place (a call of the tool that its script lets wait half-way, or shortly after it went on), so that every step
//! is struck with certainty; or a time, so that what no script knows of is struck too.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::processes::{self, Process};
use crate::harness::TestEnv;

/// How long the start of a daemon may be let go on before it is killed again, at the most, in microseconds: 60 ms, somewhat longer
/// than a recovery mostly takes.
const START: u64 = 60_000;

/// Up to which share of its length a job or a call is struck: somewhat after its end, too.
const BEYOND: f64 = 1.2;

/// Whom it hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The daemon alone; its tools live on until the next one starts.
    Daemon,
    /// The daemon, and after this time the next one, which clears up after it.
    DaemonTwice(Duration),
    /// The tool alone.
    Tool,
    /// The tool, then the daemon.
    ToolThenDaemon,
    /// The daemon, then the tool.
    DaemonThenTool,
}

/// When it hits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Moment {
    /// After this share of the time that such a job takes.
    Share(f64),
    /// While this call of the tool, counted from 0, stands still.
    During(usize),
    /// After this call of the tool went on, and this share of the time that a call takes, with what the daemon does after it.
    After(usize, f64),
}

/// A strike.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strike {
    pub(crate) target: Target,
    pub(crate) moment: Moment,
}

/// What a strike has hit.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Hit {
    pub(crate) daemons: u32,
    pub(crate) tools: u32,
}

impl Strike {
    /// Draws one for jobs that call the tool so often.
    pub(crate) fn draw(random: &mut fastrand::Rng, calls: usize) -> Self {
        let target = match random.u32(0..100) {
            0..40 => Target::Daemon,
            40..55 => Target::DaemonTwice(Duration::from_micros(random.u64(0..START))),
            55..75 => Target::Tool,
            75..88 => Target::ToolThenDaemon,
            _ => Target::DaemonThenTool,
        };
        let share = random.f64() * BEYOND;
        let moment = match random.u32(0..3) {
            1 if calls > 0 => Moment::During(random.usize(0..calls)),
            2 if calls > 0 => Moment::After(random.usize(0..calls), share),
            _ => Moment::Share(share),
        };
        Self { target, moment }
    }

    /// Writes the script that lets the tool stand still where it is to be struck.
    pub(crate) fn aim(&self, env: &TestEnv, tool: &str) {
        Self::clear(env, tool);
        if let Moment::During(call) | Moment::After(call, _) = self.moment {
            (0..call).for_each(|_| env.script(tool, "{}"));
            let go = serde_json::json!({ "fault": { "slow_until": env.path("go") } });
            env.script(tool, &go.to_string());
        }
    }

    /// Takes the script away, and what the tool left of it.
    pub(crate) fn clear(env: &TestEnv, tool: &str) {
        let beside = |kind: &str| env.path("bin").join(format!("{tool}.{kind}"));
        for path in [env.path("go"), beside("script"), beside("waiting")] {
            remove_if_there(&path);
        }
    }

    /// Waits for the moment, then strikes. `length` is what the jobs take, `call` what one call does.
    pub(crate) fn carry_out(&self, env: &TestEnv, tool: &str, length: Duration, call: Duration) -> Hit {
        let mut waiting = None;
        match self.moment {
            Moment::Share(share) => std::thread::sleep(length.mul_f64(share)),
            Moment::During(_) => waiting = Some(env.wait_for_fake(tool)),
            Moment::After(_, share) => {
                env.wait_for_fake(tool);
                fs::write(env.path("go"), b"").unwrap();
                std::thread::sleep(call.mul_f64(share));
            }
        }
        let kill_tools = || {
            let tools = processes::tools(env.root());
            // Where one stands still it is that one; else whichever works.
            let struck = |tool: &&Process| waiting.is_none_or(|pid| pid == tool.pid);
            let count = tools.iter().filter(struck).filter(|tool| tool.kill()).count();
            u32::try_from(count).unwrap()
        };
        let kill_daemon = || env.signal(Signal::KILL);
        let mut hit = Hit { daemons: 1, tools: 0 };
        match self.target {
            Target::Daemon => kill_daemon(),
            Target::DaemonTwice(after) => {
                kill_daemon();
                assert_eq!(env.wait_for_end(), None);
                env.spawn_daemon();
                std::thread::sleep(after);
                kill_daemon();
                hit.daemons = 2;
            }
            Target::Tool => hit = Hit { daemons: 0, tools: kill_tools() },
            Target::ToolThenDaemon => {
                hit.tools = kill_tools();
                kill_daemon();
            }
            Target::DaemonThenTool => {
                kill_daemon();
                hit.tools = kill_tools();
            }
        }
        hit
    }

    /// Whether a daemon has to be started anew.
    pub(crate) fn is_of_daemon(&self) -> bool {
        self.target != Target::Tool
    }
}

fn remove_if_there(path: &Path) {
    match fs::remove_file(path) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => panic!("{}: {why}", path.display()),
        Ok(()) | Err(_) => {}
    }
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target {
            Target::Daemon => write!(f, "KILL to the daemon")?,
            Target::DaemonTwice(after) => write!(f, "KILL to the daemon, and {after:?} after its start to the next")?,
            Target::Tool => write!(f, "KILL to the tool")?,
            Target::ToolThenDaemon => write!(f, "KILL to the tool, then to the daemon")?,
            Target::DaemonThenTool => write!(f, "KILL to the daemon, then to the tool")?,
        }
        match self.moment {
            Moment::Share(share) => write!(f, ", after {share:.3} of the time they take"),
            Moment::During(call) => write!(f, ", during call {call} of the tool"),
            Moment::After(call, share) => write!(f, ", {share:.3} of a call after call {call} of the tool went on"),
        }
    }
}
