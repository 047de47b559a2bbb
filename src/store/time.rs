//! The one place where a moment becomes text: UTC, `YYYY-MM-DD HH:MM:SS.ffffff`, always six digits, no zone.
//!
//! Python's ORM reads nothing else, and both APIs sort by the text.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A moment, as the records keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Timestamp);

impl Moment {
    /// Now, by the system's clock.
    pub fn now() -> Self {
        Self(Timestamp::now())
    }

    /// The name of a directory made at this moment: UTC, to the second.
    pub fn directory_name(self) -> String {
        let at = self.0.to_zoned(TimeZone::UTC);
        let (date, time) = (at.date(), at.time());
        format!(
            "{:04}-{:02}-{:02}-{:02}-{:02}-{:02}",
            date.year(),
            date.month(),
            date.day(),
            time.hour(),
            time.minute(),
            time.second()
        )
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.0.to_zoned(TimeZone::UTC);
        let (date, time) = (at.date(), at.time());
        write!(
            f,
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}",
            date.year(),
            date.month(),
            date.day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.subsec_nanosecond() / 1000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Moment;

    #[test]
    fn the_text_is_what_pythons_orm_reads() {
        let moment = |text: &str| Moment(text.parse().unwrap());
        assert_eq!(moment("2026-11-22T08:48:53.4Z").to_string(), "2026-11-22 08:48:53.400000");
        assert_eq!(moment("2026-01-02T03:04:05Z").to_string(), "2026-01-02 03:04:05.000000");
        assert_eq!(moment("2026-01-02T03:04:05.0000019+02:00").to_string(), "2026-01-02 01:04:05.000001");
        assert_eq!(moment("2026-01-02T03:04:05Z").directory_name(), "2026-01-02-03-04-05");
    }
}
