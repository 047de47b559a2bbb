//! How long the cores were busy with each thing that is done to a stream, on whichever threads.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long cores were busy with what.
#[derive(Debug, Default)]
pub struct Busy(Mutex<BTreeMap<&'static str, Duration>>);

impl Busy {
    /// Does it, and counts the time of a core that it took on this thread.
    pub(super) fn with<T>(&self, what: &'static str, work: impl FnOnce() -> T) -> T {
        let begun = core_time();
        let done = work();
        let took = core_time().saturating_sub(begun);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += took;
        done
    }
}

/// How long this thread has kept a core busy.
fn core_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default())
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("core seconds:")?;
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.iter().enumerate().try_for_each(|(index, (what, time))| {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma} {what} {:.2}", time.as_secs_f64())
        })
    }
}
