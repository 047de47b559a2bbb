//! Whether the clock was set, by the one that nobody sets.
//!
//! The file says when the last backup was taken. Written under a clock that is ahead, it would keep an alert silent once that is set right,
//! until the next job: so it is written anew then.

use std::time::{Duration, Instant};

use crate::model::Moment;

/// How often the clock is looked at: each minute.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The clock that is set, and the one that only runs on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    wall: Moment,
    steady: Instant,
}

impl Clock {
    pub(super) fn now() -> Self {
        Self { wall: Moment::now(), steady: Instant::now() }
    }

    /// Waits until the clock has been set: what was no success of the future may be one now.
    pub(super) async fn jumps(self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.has_jumped(Self::now()) {
                return;
            }
        }
    }

    /// Whether the one clock has gone otherwise than the other until `later`, and not by a little.
    fn has_jumped(self, later: Self) -> bool {
        let expected = self.wall.after(later.steady.saturating_duration_since(self.steady));
        later.wall.is_ahead_of(expected) || expected.is_ahead_of(later.wall)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Clock;
    use crate::model::Moment;

    #[test]
    fn a_clock_that_is_set_has_jumped_and_one_that_runs_has_not() {
        let start = Instant::now();
        let at = |wall: &str, seconds| {
            let steady = start + Duration::from_secs(seconds);
            Clock { wall: Moment::read(wall).unwrap(), steady }
        };
        let before = at("2026-12-28 12:00:00", 0);
        for (wall, seconds, has_jumped) in [
            ("2026-12-28 12:01:00", 60, false),
            ("2026-12-28 12:01:30", 60, false),
            ("2026-12-28 12:03:00", 60, true),
            ("2026-11-28 12:01:00", 60, true),
            ("2027-01-28 12:01:00", 60, true),
            ("2026-12-29 12:00:00", 86_400, false),
        ] {
            assert_eq!(before.has_jumped(at(wall, seconds)), has_jumped, "{wall}");
        }
    }
}
