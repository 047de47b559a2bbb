//! Backups whose times are in the future: the clock was ahead when they were taken, or is behind now.

use super::strays::bounded;
use crate::config::Config;
use crate::model::Moment;
use crate::records::reader::Reader;

/// Each that was found: what it is, and what to do about it. Empty if the records cannot be read: `check` says that elsewhere.
pub(super) fn ahead(config: &Config, now: Moment) -> Vec<(String, String)> {
    let rows = Reader::open(&config.database_path).and_then(|reader| reader.backups(false)).unwrap_or_default();
    let is_ahead = |text: &Option<String>| text.as_deref().and_then(Moment::read).is_some_and(|at| at.is_ahead_of(now));
    let found = rows.iter().filter_map(|row| {
        let at = [&row.start_time, &row.end_time].into_iter().find(|text| is_ahead(text))?.as_deref()?;
        Some((
            format!("backup '{}' is dated {at} UTC, in the future: the clock was ahead then, or is behind now", row.id),
            "check the clock: timedatectl; the daemon orders backups by their records, but the API orders them by time and takes this one \
             for the newest until then"
                .to_owned(),
        ))
    });
    bounded(found.collect(), "dated in the future")
}
