//! Backups that somebody takes for newer than they are: the clock was ahead when they were taken, or is behind now; or the API sorts by the
//! text of a time that its daemon wrote in another zone.

use super::strays::bounded;
use crate::config::Config;
use crate::model::Moment;
use crate::records::reader::Reader;

/// Each that was found: what it is, and what to do about it. Empty if the records cannot be read: `check` says that elsewhere.
pub(super) fn in_the_future(config: &Config, now: Moment) -> Vec<(String, String)> {
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

/// Each backup of the past that an API, which sorts times as texts, takes for newer than one that is begun now. The Go API's driver writes
/// the local time with its zone behind it, and this daemon UTC: east of Greenwich that is so for as many hours as the zone is ahead.
pub(super) fn sorted_wrongly(config: &Config, now: Moment) -> Vec<(String, String)> {
    let rows = Reader::open(&config.database_path).and_then(|reader| reader.sorted_after(now)).unwrap_or_default();
    let found = rows.iter().filter_map(|(id, text)| {
        let at = Moment::read(text).filter(|at| !at.is_ahead_of(now))?;
        let until = text.get(..19)?;
        Some((
            format!(
                "backup '{id}' was begun at {at} UTC, is recorded as '{text}', and the API sorts by that text: until {until} UTC it takes it \
                 for newer than those that are taken now"
            ),
            "until then, name from_backup_id in the API for each incremental, since it looks for the newest full backup itself; here the \
             order is right"
                .to_owned(),
        ))
    });
    bounded(found.collect(), "that the API takes for newer")
}
