//! What the operator's subcommands have in common: what they read, how they say it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::exit::Failure;
use crate::config::Config;
use crate::model::Moment;
use crate::records::reader::Reader;

/// How something is said.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Output {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Print nothing; the exit status tells the result
    #[arg(long, short)]
    pub(super) quiet: bool,
}

impl Output {
    /// Says `value`, or the text that a person reads.
    pub(super) fn say(self, value: &impl Serialize, text: impl FnOnce() -> String) {
        if self.quiet {
            return;
        }
        let said = if self.json { serde_json::to_string_pretty(value).unwrap_or_default() + "\n" } else { text() };
        // Whoever reads it may have read enough.
        let _closed = io::stdout().write_all(said.as_bytes());
    }
}

/// The records, for reading.
pub(super) fn records(config: &Config) -> Result<Reader, Failure> {
    let path = config.database_path.display();
    Reader::open(&config.database_path).map_err(|why| {
        Failure::new(&why, format!("the daemon creates '{path}'; run this as root, or as a user who can read it"))
    })
}

/// An error while the records are read.
pub(super) fn unread(why: &crate::records::RecordsError) -> Failure {
    Failure::new(why, "check the database: dbcalm-db-cmd check")
}

/// A table: columns as wide as they need to be, the numbers' on the right.
pub(super) fn table(head: &[&str], right: &[usize], rows: &[Vec<String>]) -> String {
    let head: Vec<_> = head.iter().map(|&text| text.to_owned()).collect();
    let mut widths = vec![0; head.len()];
    for row in std::iter::once(&head).chain(rows) {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = text.chars().count().max(*width);
        }
    }
    let mut said = String::new();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (at, (text, width)) in row.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width - text.chars().count());
            let (before, after) = if right.contains(&at) { (pad, String::new()) } else { (String::new(), pad) };
            let _infallible = write!(line, "{before}{text}{after}  ");
        }
        said.push_str(line.trim_end());
        said.push('\n');
    }
    said
}

/// Lines of a name and what it is; those with nothing to say are left out.
pub(super) fn facts(facts: &[(&str, Option<String>)]) -> String {
    let facts = facts.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    facts.map(|(name, value)| format!("{name:<12} {value}\n")).collect::<Vec<_>>().concat()
}

/// A duration for a person: the two largest units, `3 d 4 h`.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// How long something took, by the records.
pub(super) fn took(start: Option<&str>, end: Option<&str>) -> Option<Duration> {
    Some(Moment::read(start?)?.until(Moment::read(end?)?))
}

/// The age of what is to come yet.
pub(super) const IN_THE_FUTURE: &str = "in the future";

/// How long ago something was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// So long.
    Ago(Duration),
    /// It is to come yet, in so long: the clock was ahead then, or is behind now.
    Ahead(Duration),
}

impl Age {
    /// For a person, in a table.
    pub(super) fn text(self) -> String {
        match self {
            Self::Ago(age) => span(age),
            Self::Ahead(_) => IN_THE_FUTURE.to_owned(),
        }
    }

    /// For a person, behind a time.
    pub(super) fn ago(self) -> String {
        match self {
            Self::Ago(age) => format!("{} ago", span(age)),
            Self::Ahead(_) => self.text(),
        }
    }

    /// For JSON: to the millisecond, and less than 0 of what is in the future.
    pub(super) fn seconds(self) -> f64 {
        match self {
            Self::Ago(age) => seconds(age),
            Self::Ahead(time) => -seconds(time),
        }
    }

    /// Whether it is no longer ago than that.
    pub(super) fn is_within(self, time: Duration) -> bool {
        matches!(self, Self::Ahead(_)) || matches!(self, Self::Ago(age) if age <= time)
    }
}

/// How long ago something was, by the records.
pub(super) fn age(start: Option<&str>, now: Moment) -> Option<Age> {
    let start = Moment::read(start?)?;
    Some(if start.is_ahead_of(now) { Age::Ahead(now.until(start)) } else { Age::Ago(start.until(now)) })
}

/// A duration in seconds, for JSON: to the millisecond.
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

/// What is not known.
pub(super) fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Age, age, span, table};
    use crate::model::Moment;

    #[test]
    fn durations_are_for_people() {
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7265, "2 h 1 min"), (90_000, "1 d 1 h")] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn what_is_in_the_future_is_no_age_of_0() {
        let now = Moment::read("2026-11-28 12:00:00").unwrap();
        let of = |start: &str| age(Some(start), now).unwrap();
        let (past, little, ahead) = (of("2026-11-28 11:59:00"), of("2026-11-28 12:01:00"), of("2026-12-28 12:00:00"));
        assert_eq!((past.text().as_str(), past.ago().as_str(), past.seconds()), ("1 min 0 s", "1 min 0 s ago", 60.0));
        assert_eq!(little, Age::Ago(Duration::ZERO), "clocks are set back a little now and then");
        assert_eq!((ahead.text(), ahead.ago()), ("in the future".to_owned(), "in the future".to_owned()));
        assert!((ahead.seconds() + 30.0 * 86_400.0).abs() < 1e-6);
        assert!(ahead.is_within(Duration::ZERO) && !past.is_within(Duration::from_secs(59)));
        assert_eq!(age(Some("never"), now), None);
    }

    #[test]
    fn a_table_is_as_wide_as_it_needs_to_be() {
        let rows =
            [vec!["a".to_owned(), "100".to_owned(), "x".to_owned()], vec!["long".into(), "1".into(), String::new()]];
        assert_eq!(table(&["ID", "N", "WHY"], &[1], &rows), "ID      N  WHY\na     100  x\nlong    1\n");
    }
}
