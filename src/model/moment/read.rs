//! The one parser of times: every form in which a program writes one into the records.
//!
//! | who | form |
//! | --- | --- |
//! | this daemon, and SQLAlchemy 2 | `2026-11-22 08:48:53.400000` |
//! | Python's sqlite3, which leaves zeros out | `2026-11-22 08:48:53` |
//! | mattn/go-sqlite3 1.14 (`SQLiteTimestampFormats`) | `2026-11-22 08:48:53.4+00:00` |
//! | modernc.org/sqlite (`time.Time.String`, pkg.go.dev/time) | `2026-11-22 09:48:53.4 +0100 CET m=+2.1`; without ` m=` unless Go's clock was read for it |
//! | `SQLite` (`sqlite.org/lang_datefunc.html`, "Time Values" 1 to 7 and 12) | `2026-11-22`, `2026-11-22T08:48Z`, a Julian day, seconds since 1970 |
//!
//! In: text. Out: the instant, or nothing. A time of day without a date is none, and neither is one with words behind it.

use jiff::civil::{Date, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// The Julian days that `SQLite` takes for dates: from the year 0 to 9999.
const JULIAN: std::ops::Range<f64> = 1_721_059.5..5_373_484.5;
/// The Julian day of 1970-01-01 00:00.
const UNIX_JULIAN: f64 = 2_440_587.5;

/// Whether this is a time as the daemon writes it, to the letter; its numbers are not looked at.
pub(super) fn is_ours(text: &str) -> bool {
    const SHAPE: &[u8] = b"0000-00-00 00:00:00.000000";
    let same = |(is, wanted): (u8, &u8)| if *wanted == b'0' { is.is_ascii_digit() } else { is == *wanted };
    text.len() == SHAPE.len() && text.bytes().zip(SHAPE).all(same)
}

/// Reads one.
pub(super) fn read(text: &str) -> Option<Timestamp> {
    let Some((date, rest)) = text.split_at_checked(10).filter(|(date, _)| date.contains('-')) else {
        return number(text.parse().ok()?);
    };
    let date: Date = date.parse().ok()?;
    let (time, zone) = match rest.strip_prefix([' ', 'T', 't']) {
        None if rest.is_empty() => (Time::midnight(), rest),
        None => return None,
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.')).unwrap_or(rest.len());
            let (time, zone) = rest.split_at(end);
            (clock(time)?, zone)
        }
    };
    let at = date.to_datetime(time).to_zoned(TimeZone::UTC).ok()?.timestamp();
    at.checked_sub(SignedDuration::from_secs(offset(zone)?.seconds().into())).ok()
}

/// A time of day: `08:48`, `08:48:53`, and a fraction, of which no more than nanoseconds count.
fn clock(text: &str) -> Option<Time> {
    let fraction = text.find('.').map_or(0, |point| text.len() - point);
    text.get(..text.len() - fraction.saturating_sub(10))?.parse().ok()
}

/// The offset of a zone: nothing, `Z`, `+01:00`, or `+0100 CET m=+2.1` of Go, where the last two say nothing of the instant.
fn offset(zone: &str) -> Option<Offset> {
    let mut words = zone.split_ascii_whitespace();
    let Some(first) = words.next() else { return Some(Offset::UTC) };
    let (name, monotonic) = (words.next(), words.next());
    let is_known = name
        .is_none_or(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-".contains(&byte)))
        && monotonic.is_none_or(|reading| reading.starts_with("m="))
        && words.next().is_none();
    if !is_known {
        return None;
    }
    if matches!(first, "Z" | "z") {
        return Some(Offset::UTC).filter(|_| name.is_none());
    }
    let digits: String = first.get(1..)?.chars().filter(|c| *c != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i32 = digits.parse().ok()?;
    let seconds = number / 100 * 3600 + number % 100 * 60;
    match first.as_bytes().first()? {
        b'+' => Offset::from_seconds(seconds).ok(),
        b'-' => Offset::from_seconds(-seconds).ok(),
        _ => None,
    }
}

/// A number as SQLite's `auto` reads it: a Julian day, or seconds since 1970.
fn number(number: f64) -> Option<Timestamp> {
    if !number.is_finite() {
        return None;
    }
    // A Julian day of now is exact to some 40 microseconds, and is kept to the millisecond (sqlite.org/lang_datefunc.html).
    let seconds = if JULIAN.contains(&number) {
        ((number - UNIX_JULIAN) * 86_400_000.0).round() / 1000.0
    } else if number >= JULIAN.end {
        number
    } else {
        return None;
    };
    Timestamp::UNIX_EPOCH.checked_add(SignedDuration::try_from_secs_f64(seconds).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::Moment;

    /// The instant of each of these is the same.
    const SAME: &str = "2026-11-22 08:48:53.400000";

    #[test]
    fn the_times_of_every_program_are_read() {
        for text in [
            SAME,
            "2026-11-22 08:48:53.4+00:00",
            "2026-11-22 10:48:53.4+02:00",
            "2026-11-22 08:48:53.4 +0000 UTC",
            "2026-11-22 08:48:53.400000185 +0000 UTC m=+51.540198008",
            "2026-11-22 08:48:53.4 +0000 UTC m=-0.000000001",
            "2026-11-22 09:48:53.400000789 +0100 CET m=+2.1",
            "2026-11-22 05:48:53.4 -0300 -03",
            "2026-11-22 14:33:53.4 +0545 +0545 m=+2.1",
            "2026-11-22 03:48:53.4 -0500 EST",
            "2026-11-22T08:48:53.4Z",
            "2026-11-22T08:48:53.400000",
            "2026-11-22 08:48:53.4 Z",
            "2026-11-22 08:48:53.4000000001234",
            "2026-11-21 22:48:53.4-10:00",
            // SQLite: SELECT julianday(…), unixepoch(…, 'subsec').
            "2461366.86728472",
            "1795337333.4",
        ] {
            let read = Moment::read(text).unwrap_or_else(|| panic!("{text}"));
            assert!((read.seconds() - 1_795_337_333.4).abs() < 1e-3, "{text}: {read}");
            let spelt = Moment::spelt(text.to_owned());
            assert!(spelt == SAME || text.starts_with("2461366"), "{text}: {spelt}");
        }
        for (text, utc) in [
            ("2026-11-28 12:35:09.564233185 +0000 UTC m=+51.540198008", "2026-11-28 12:35:09.564233"),
            ("2026-11-28 13:46:18.104975789 +0100 CET m=+2.1", "2026-11-28 12:46:18.104975"),
            ("2026-11-28 12:35:09 +0000 UTC m=+0.000000001", "2026-11-28 12:35:09.000000"),
            ("2026-11-28T12:35:09Z", "2026-11-28 12:35:09.000000"),
            ("2026-11-28 12:35:09", "2026-11-28 12:35:09.000000"),
            ("2026-11-28T12:35", "2026-11-28 12:35:00.000000"),
            ("2026-11-28 12:35+01:00", "2026-11-28 11:35:00.000000"),
            ("2026-11-28", "2026-11-28 00:00:00.000000"),
            ("2461372.5", "2026-11-28 00:00:00.000000"),
            ("1795824000", "2026-11-28 00:00:00.000000"),
        ] {
            assert_eq!(Moment::read(text).map(|at| at.to_string()).as_deref(), Some(utc), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none_and_stays_as_it_is() {
        for text in [
            "yesterday",
            "",
            "12:35:09",
            "2026",
            "2026-11",
            "2026-11-31 00:00:00",
            "2026-11-22x",
            "2026-11-22 ",
            "2026-11-22 24:61",
            "2026-11-22 08:48:53.4 m=+2.1",
            "2026-11-22 08:48:53 UTC",
            "2026-11-22 08:48:53+1",
            "2026-11-22 08:48:53+01:00 and more and more",
            "2026-11-22 08:48:53 Z UTC",
            "2026-11-22 08:48:53 +9900",
            "NaN",
            "-inf",
            "0",
            "1e300",
            "ääääääääää",
        ] {
            let is_trimmed = text.trim() != text;
            assert_eq!(Moment::read(text).filter(|_| !is_trimmed), None, "{text}");
            assert!(is_trimmed || Moment::spelt(text.to_owned()) == text, "{text}");
        }
    }
}
