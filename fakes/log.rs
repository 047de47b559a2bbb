//! What the fake backup tools write to stderr, in the format of the tool they stand for, and the time that is in it.

#![allow(dead_code, reason = "shared: each program that includes it uses another part of it")]

use std::time::{SystemTime, UNIX_EPOCH};

use crate::player::say;

/// Which tool the fake stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// MariaDB's.
    Mariabackup,
    /// Percona's.
    Xtrabackup,
}

impl Flavour {
    /// What the tool calls itself in its dated messages, by whatever name it was called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mariabackup => "mariabackup",
            Self::Xtrabackup => "xtrabackup",
        }
    }
}

/// Writes the log of one call.
#[derive(Debug)]
pub(crate) struct Log {
    /// Whose format it has.
    pub(crate) flavour: Flavour,
}

impl Log {
    /// A line of the tool's own, of this thread.
    pub(crate) fn note(&self, thread: u8, text: &str) {
        match self.flavour {
            Flavour::Mariabackup => self.plain(&format!("[{thread:02}] {} {text}", now())),
            Flavour::Xtrabackup => self.mysql("Note", "MY-011825", "Xtrabackup", text),
        }
    }

    /// The line that says that the tool gives up.
    pub(crate) fn fatal(&self, text: &str) {
        match self.flavour {
            Flavour::Mariabackup => self.plain(&format!("[00] FATAL ERROR: {} {text}", now())),
            Flavour::Xtrabackup => self.mysql("ERROR", "MY-011825", "Xtrabackup", text),
        }
    }

    /// A line of the storage engine inside the tool; `level` is `Note` or `ERROR`.
    pub(crate) fn innodb(&self, level: &str, text: &str) {
        match self.flavour {
            Flavour::Mariabackup => self.plain(&format!("{} 0 [{level}] InnoDB: {text}", now())),
            Flavour::Xtrabackup => self.mysql(level, "MY-012550", "InnoDB", text),
        }
    }

    /// The line by which a job ends well.
    pub(crate) fn completed(&self) {
        self.note(0, "completed OK!");
    }

    /// A line as it is.
    #[allow(clippy::unused_self, reason = "a log that is asked for is written through, whatever the line")]
    pub(crate) fn plain(&self, text: &str) {
        say(text.as_bytes());
    }

    /// The format of xtrabackup since 8.0.29, by its documentation.
    fn mysql(&self, level: &str, number: &str, part: &str, text: &str) {
        let time = now().replace(' ', "T");
        self.plain(&format!("{time}.000000-00:00 0 [{level}] [{number}] [{part}] {text}"));
    }
}

/// The time in UTC, as `2026-11-22 20:30:56`. The real tools write local time, which is UTC in a clean environment
/// on a machine set to UTC.
pub(crate) fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    text_of(seconds)
}

/// Seconds since 1970 as text; the calendar is Howard Hinnant's `civil_from_days`.
fn text_of(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::text_of;

    #[test]
    fn dates_around_a_leap_day() {
        assert_eq!(text_of(0), "1970-01-01 00:00:00");
        assert_eq!(text_of(1_709_164_799), "2024-02-28 23:59:59");
        assert_eq!(text_of(1_709_251_199), "2024-02-29 23:59:59");
        assert_eq!(text_of(1_795_379_456), "2026-11-22 20:30:56");
    }
}
