//! How far a job is, for whoever asks: the row that says `running`, systemd's status line.
//!
//! In: what a step is, how much it has written, how much it is expected to write, and what its tool says. Out: one short line. What is
//! here is pure; [`follow`](super::follow) looks at the disk, [`Jobs`](crate::world::Jobs) has what all jobs are at.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::model::Amount;
use crate::plan::Phase;

/// Over how long a rate is taken: 10 s, so that a file system that writes in bursts does not let it jump.
const WINDOW: Duration = Duration::from_secs(10);

/// How much of a file's name is shown, in bytes.
const LONGEST_NAME: usize = 80;

/// Which step of how many, and what it is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Which, from 1 on.
    pub(crate) number: usize,
    /// Of how many.
    pub(crate) of: usize,
    /// What it is at.
    pub(crate) phase: Phase,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.of > 1 {
            write!(f, "step {} of {}, ", self.number, self.of)?;
        }
        f.write_str(self.phase.as_str())
    }
}

/// How much is written, of how much, and how fast: `1.2 GiB of 4.0 GiB (30 %), 210 MB/s, about 13 s left`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Figures {
    /// In bytes.
    pub(crate) written: u64,
    /// In bytes, where it can be told. What has grown beyond it is no longer held against it.
    pub(crate) expected: Option<u64>,
    /// In bytes a second, once it can be told.
    pub(crate) rate: Option<u64>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { written, expected, rate } = *self;
        let expected = expected.filter(|expected| *expected > written);
        write!(f, "{}", Amount(written))?;
        if let Some(expected) = expected {
            let share = u128::from(written) * 100 / u128::from(expected);
            write!(f, " of {} ({share} %)", Amount(expected))?;
        }
        let Some(rate) = rate else { return Ok(()) };
        write!(f, ", {}", Rate(rate))?;
        match expected.and_then(|expected| (expected - written).checked_div(rate)).map(TimeLeft) {
            Some(left) if left.is_worth_saying() => write!(f, ", about {left} left"),
            Some(_) | None => Ok(()),
        }
    }
}

/// Bytes a second.
struct Rate(u64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MEGA: u64 = 1_000_000;
        match self.0 {
            rate @ 0..MEGA => write!(f, "{} kB/s", rate / 1000),
            rate if rate < 10 * MEGA => write!(f, "{}.{} MB/s", rate / MEGA, rate % MEGA / (MEGA / 10)),
            rate => write!(f, "{} MB/s", rate / MEGA),
        }
    }
}

/// Seconds, as coarse as a guess is.
struct TimeLeft(u64);

impl TimeLeft {
    /// A guess of months is none.
    fn is_worth_saying(&self) -> bool {
        self.0 < 30 * 24 * 3600
    }
}

impl fmt::Display for TimeLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds @ 0..90 => write!(f, "{} s", seconds.max(1)),
            seconds @ 90..5400 => write!(f, "{} min", seconds.div_ceil(60)),
            seconds @ 5400..172_800 => write!(f, "{} h {} min", seconds / 3600, seconds % 3600 / 60),
            seconds => write!(f, "{} days", seconds.div_ceil(24 * 3600)),
        }
    }
}

/// Takes in how much was written when, and gives the rate.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    seen: VecDeque<(Duration, u64)>,
}

impl Meter {
    /// Takes in that so much was there at a time, which is not before the last one.
    pub(crate) fn see(&mut self, at: Duration, written: u64) {
        // The oldest is the last one that is out of the window, so that the window is always covered.
        while self.seen.get(1).is_some_and(|(second, _)| *second + WINDOW <= at) {
            self.seen.pop_front();
        }
        self.seen.push_back((at, written));
    }

    /// In bytes a second; none before there are two looks at different times.
    pub(crate) fn rate(&self) -> Option<u64> {
        let ((from, before), (to, now)) = (self.seen.front()?, self.seen.back()?);
        let millis = to.saturating_sub(*from).as_millis();
        let grown = u128::from(now.saturating_sub(*before)) * 1000;
        u64::try_from(grown.checked_div(millis)?).ok()
    }
}

/// What of a tool's line says how far it is: a share of a hundred, or the name of the file that it is at. Nothing else of it, since
/// who may read the records need not be told what a tool says.
pub(crate) fn telling(line: &str) -> Option<String> {
    let words = line.split([' ', '\t', '\'', '"', ',', ';']).filter(|word| !word.is_empty());
    let file = |word: &str| {
        let word = word.trim_end_matches(['.', ':']);
        let path = Path::new(word);
        let ending = path.extension()?.to_str()?;
        let is_table = ["ibd", "delta", "frm", "MYD", "MYI", "MAD", "MAI"].contains(&ending);
        let name = path.file_name()?.to_str()?;
        let parent = path.parent().and_then(Path::file_name).and_then(|parent| parent.to_str());
        let name = parent.map_or_else(|| name.to_owned(), |parent| format!("{parent}/{name}"));
        (is_table && name.len() <= LONGEST_NAME && name.bytes().all(|byte| byte.is_ascii_graphic())).then_some(name)
    };
    share(line).map(|share| format!("{share} %")).or_else(|| words.into_iter().find_map(file))
}

/// The last number before a `%`, if it is one of a hundred.
fn share(line: &str) -> Option<u64> {
    let (before, _) = line.rsplit_once('%')?;
    let before = before.trim_end();
    let digits = before.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = before.get(digits.len()..)?.split('.').next()?;
    number.parse().ok().filter(|share| *share <= 100)
}

#[cfg(test)]
mod tests;
