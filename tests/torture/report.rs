//! What a crash sweep has done, counted.

use std::fmt;

use super::strike::{Hit, Moment};

/// What a sweep has done.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) hit: Hit,
    pub(super) rounds: u32,
    pub(super) during: u32,
    pub(super) after: u32,
    pub(super) timed: u32,
    pub(super) requests: u32,
    pub(super) succeeded: u32,
    pub(super) failed: u32,
    pub(super) refused: u32,
    pub(super) unanswered: u32,
    pub(super) restored: u32,
    pub(super) undone: u32,
    pub(super) backups: u32,
    /// How many of the backups are streams.
    pub(crate) streams: u32,
    /// How many backups were removed undisturbed; in how many removals the daemon was killed; how many of those the next one did from the
    /// first step on.
    pub(super) removed: u32,
    pub(crate) struck: u32,
    pub(super) finished: u32,
    /// How many of the backups were kept in the bucket alone; how many were adopted from there, with the daemon killed in between; how often the
    /// bucket was looked at, and how many backups were whole there, in all.
    pub(crate) elsewhere: u32,
    pub(crate) adopted: u32,
    pub(super) looks: u32,
    pub(crate) seen: usize,
    pub(crate) restored_at_the_end: usize,
}

impl Report {
    /// Counts a strike.
    pub(super) fn count(&mut self, hit: Hit, moment: Moment) {
        self.hit.daemons += hit.daemons;
        self.hit.tools += hit.tools;
        match moment {
            Moment::Share(_) => self.timed += 1,
            Moment::During(_) => self.during += 1,
            Moment::After(..) => self.after += 1,
        }
    }

    /// How often KILL was sent.
    pub(crate) fn kills(&self) -> u32 {
        self.hit.daemons + self.hit.tools
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hit, rounds, during, after, timed, requests, succeeded, failed, refused, unanswered, .. } = self;
        let Self {
            restored,
            undone,
            backups,
            streams,
            restored_at_the_end,
            removed,
            struck,
            finished,
            elsewhere,
            adopted,
            looks,
            seen,
            ..
        } = self;
        writeln!(
            f,
            "{} kills ({} of a daemon, {} of a tool) in {rounds} rounds",
            self.kills(),
            hit.daemons,
            hit.tools
        )?;
        writeln!(f, "  {during} while the tool stood still, {after} just after it went on, {timed} at a time")?;
        writeln!(
            f,
            "{requests} requests: {succeeded} succeeded, {failed} failed, {refused} refused, {unanswered} without an answer"
        )?;
        writeln!(
            f,
            "{backups} backups recorded, {streams} of them streams; {restored} restores had all the data, {undone} left the data directory as it was"
        )?;
        writeln!(
            f,
            "{removed} removals in peace, {struck} struck, of which the next daemon did {finished} but for the first step"
        )?;
        if *looks > 0 {
            writeln!(
                f,
                "{elsewhere} backups in the bucket alone, {adopted} adopted from there; {looks} looks at the bucket found {seen} backups, and nothing else"
            )?;
        }
        write!(f, "{restored_at_the_end} restores at the end, of every backup that was left: all the data")
    }
}
