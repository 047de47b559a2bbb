//! The one place where a moment becomes text: UTC, `YYYY-MM-DD HH:MM:SS.ffffff`, always six digits, no zone.
//!
//! Python's ORM reads nothing else, and both APIs sort by the text.

mod read;

use std::fmt;
use std::time::SystemTime;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// How far ahead of the clock a moment may be and still count as now, in seconds: what keeps a clock right sets it back by less.
const AHEAD: i64 = 60;

/// A moment, as the records keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Timestamp);

impl Moment {
    /// Now, by the system's clock.
    pub fn now() -> Self {
        Self(Timestamp::now())
    }

    /// A file's time. None if it is before the year -9999 or after the year 9999.
    pub fn of(time: SystemTime) -> Option<Self> {
        Timestamp::try_from(time).ok().map(Self)
    }

    /// So many seconds after the beginning of 1970. None if that is no moment.
    pub fn of_seconds(seconds: u32) -> Option<Self> {
        Timestamp::from_second(seconds.into()).ok().map(Self)
    }

    /// Reads a moment from the records, by whichever program it was written: in a form of `moment::read`, and UTC where it names no zone.
    pub fn read(text: &str) -> Option<Self> {
        read::read(text.trim()).map(Self)
    }

    /// A time of the records as this daemon writes it; as it is, where it is none.
    pub fn spelt(text: String) -> String {
        // Most are ours already, and a list reads tens of thousands.
        if read::is_ours(&text) { text } else { Self::read(&text).map_or(text, |at| at.to_string()) }
    }

    /// As text to the second: `2026-11-30 14:03:05`, UTC.
    pub fn to_seconds(self) -> String {
        self.to_string().chars().take(19).collect()
    }

    /// How long before `other` it is; nothing, where it is not.
    pub fn until(self, other: Self) -> std::time::Duration {
        other.0.duration_since(self.0).try_into().unwrap_or_default()
    }

    /// So much later; itself, past the year 9999.
    #[must_use]
    pub fn after(self, time: std::time::Duration) -> Self {
        self.0.checked_add(time).map_or(self, Self)
    }

    /// So many seconds later, or earlier; itself, past the years that there are.
    #[must_use]
    pub fn shifted(self, seconds: i64) -> Self {
        self.0.checked_add(SignedDuration::from_secs(seconds)).map_or(self, Self)
    }

    /// Whether it is in the future of `now`, and not by the little that a clock is set back by now and then: the clock that it was
    /// read from was ahead, or this one is behind.
    pub fn is_ahead_of(self, now: Self) -> bool {
        self.0.as_second().saturating_sub(now.0.as_second()) > AHEAD
    }

    /// In seconds since 1970, to the microsecond.
    pub fn seconds(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 are whole in it until the year 2255")]
        let microseconds = self.0.as_microsecond() as f64;
        microseconds / 1e6
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
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::Moment;

    /// From the year 1 to the year 9999, to the nanosecond.
    fn moment() -> impl Strategy<Value = Moment> {
        (-62_135_596_800..=253_402_207_200_i64, 0..1_000_000_000)
            .prop_map(|(second, nanosecond)| Moment(Timestamp::new(second, nanosecond).unwrap()))
    }

    /// Another moment, more often than not one that differs in the last digits alone.
    fn two() -> impl Strategy<Value = (Moment, Moment)> {
        let apart = prop_oneof![any::<i64>(), -2_000_000..2_000_000_i64, -5000..5000_i64];
        (moment(), moment(), apart).prop_map(|(one, other, apart)| {
            let near = one.0.checked_add(jiff::SignedDuration::from_nanos(apart));
            (one, near.ok().filter(|near| near.as_second() >= -62_135_596_800).map_or(other, Moment))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

        #[test]
        fn the_text_is_the_moment_to_the_microsecond(moment in moment()) {
            let text = moment.to_string();
            let shape = text.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte }).collect::<Vec<_>>();
            prop_assert_eq!(String::from_utf8(shape).unwrap(), "0000-00-00 00:00:00.000000");
            let read: Timestamp = format!("{}Z", text.replace(' ', "T")).parse().unwrap();
            prop_assert_eq!(i128::from(read.as_microsecond()), moment.0.as_nanosecond().div_euclid(1000));
            prop_assert_eq!(moment.directory_name(), text[..19].replace([' ', ':'], "-"));
        }

        #[test]
        fn texts_sort_as_their_moments_do((one, other) in two()) {
            let microseconds = |moment: Moment| moment.0.as_nanosecond().div_euclid(1000);
            prop_assert_eq!(one.to_string().cmp(&other.to_string()), microseconds(one).cmp(&microseconds(other)));
        }
    }

    #[test]
    fn the_text_is_what_pythons_orm_reads() {
        let moment = |text: &str| Moment(text.parse().unwrap());
        assert_eq!(moment("2026-11-22T08:48:53.4Z").to_string(), "2026-11-22 08:48:53.400000");
        assert_eq!(moment("2026-01-02T03:04:05Z").to_string(), "2026-01-02 03:04:05.000000");
        assert_eq!(moment("2026-01-02T03:04:05.0000019+02:00").to_string(), "2026-01-02 01:04:05.000001");
        assert_eq!(moment("2026-01-02T03:04:05Z").directory_name(), "2026-01-02-03-04-05");
    }

    #[test]
    fn moments_are_ordered_and_a_little_ahead_is_now() {
        let (one, other) = (Moment::read("2026-11-22 08:00:00").unwrap(), Moment::read("2026-11-22 08:01:00").unwrap());
        assert_eq!((one.until(other).as_secs(), other.until(one).as_secs()), (60, 0));
        let later = Moment::read("2026-11-22 08:01:01").unwrap();
        assert!(!other.is_ahead_of(one) && later.is_ahead_of(one) && !one.is_ahead_of(later));
    }
}
