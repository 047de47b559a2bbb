//! The one place where a moment becomes text: UTC, `YYYY-MM-DD HH:MM:SS.ffffff`, always six digits, no zone.
//!
//! Python's ORM reads nothing else, and both APIs sort by the text.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

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
        // Go: `2026-11-22 08:48:53.4+00:00`, or ` +0000 UTC` at its end.
        let text = text.trim_end_matches(" UTC").replace(" +", "+").replacen(' ', "T", 1);
        text.parse().ok().map(Self)
    }

    /// How long before `other` it is; nothing, where it is not.
    pub fn until(self, other: Self) -> std::time::Duration {
        other.0.duration_since(self.0).try_into().unwrap_or_default()
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

/// A text of the records as seconds since 1970, to the microsecond; the Go daemon's have a zone.
pub(super) fn seconds(text: &str) -> Option<f64> {
    let in_utc = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
    let at = text.parse::<Timestamp>().ok().or_else(in_utc)?;
    #[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 are whole in it until the year 2255")]
    let microseconds = at.as_microsecond() as f64;
    Some(microseconds / 1e6)
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
    fn the_texts_of_all_daemons_are_read() {
        assert_eq!(super::seconds("1970-01-01 00:01:01.500001"), Some(61.500_001));
        assert_eq!(super::seconds("1970-01-01 01:01:01.5+01:00"), Some(61.5));
        assert_eq!(super::seconds("1970-01-01T00:01:01Z"), Some(61.0));
        assert_eq!(
            super::seconds(&Moment("2026-11-22T08:48:53.4Z".parse().unwrap()).to_string()),
            Some(1_795_337_333.4)
        );
        assert_eq!(super::seconds("yesterday"), None);
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
        ] {
            assert_eq!(Moment::read(text).unwrap().to_string(), "2026-11-22 08:48:53.400000", "{text}");
        }
        assert_eq!(Moment::read("yesterday"), None);
        let (one, other) = (Moment::read("2026-11-22 08:00:00").unwrap(), Moment::read("2026-11-22 08:01:00").unwrap());
        assert_eq!((one.until(other).as_secs(), other.until(one).as_secs()), (60, 0));
    }
}
