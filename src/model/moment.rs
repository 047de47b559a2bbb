//! The one place where a moment becomes text: UTC, `YYYY-MM-DD HH:MM:SS.ffffff`, always six digits, no zone.
//!
//! Python's ORM reads nothing else, and both APIs sort by the text.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

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

    /// Reads a moment from the records, by whichever program it was written; a time without a zone is UTC.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        // Python and this daemon: no zone, and no detour either, since a list reads tens of thousands.
        if !text.get(10..).is_some_and(|time| time.contains(['+', '-', 'Z', 'U'])) {
            let civil: jiff::civil::DateTime = text.parse().ok()?;
            return civil.to_zoned(TimeZone::UTC).ok().map(|at| Self(at.timestamp()));
        }
        // Go: `2026-11-22 08:48:53.4+00:00`; or its `time.Time.String`, which says the offset, the zone's name and, of a reading of the
        // monotonic clock, ` m=+51.540198008` (pkg.go.dev/time).
        let mut parts = text.split(' ');
        let (date, time, offset) = (parts.next()?, parts.next(), parts.next());
        let separator = if time.is_some() { "T" } else { "" };
        format!("{date}{separator}{}{}", time.unwrap_or_default(), offset.unwrap_or_default()).parse().ok().map(Self)
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
    fn the_times_of_every_program_are_read() {
        for text in [
            "2026-11-22 08:48:53.400000",
            "2026-11-22 08:48:53.4+00:00",
            "2026-11-22T08:48:53.4Z",
            "2026-11-22 08:48:53.4 +0000 UTC",
            "2026-11-22 10:48:53.4+02:00",
            "2026-11-22 08:48:53.400000185 +0000 UTC m=+51.540198008",
            "2026-11-22 09:48:53.400000789 +0100 CET m=+2.1",
            "2026-11-22 03:48:53.4 -0500 EST",
        ] {
            let read = Moment::read(text).unwrap();
            assert_eq!(read.to_string(), "2026-11-22 08:48:53.400000", "{text}");
            assert!((read.seconds() - 1_795_337_333.4).abs() < 1e-6, "{text}");
        }
        for text in ["yesterday", "", "2026-11-22 08:48:53.4 m=+2.1", "2026-11-22 08:48:53 UTC"] {
            assert_eq!(Moment::read(text), None, "{text}");
        }
        let (one, other) = (Moment::read("2026-11-22 08:00:00").unwrap(), Moment::read("2026-11-22 08:01:00").unwrap());
        assert_eq!((one.until(other).as_secs(), other.until(one).as_secs()), (60, 0));
        let later = Moment::read("2026-11-22 08:01:01").unwrap();
        assert!(!other.is_ahead_of(one) && later.is_ahead_of(one) && !one.is_ahead_of(later));
    }
}
