//! The backups of a repository in an object store that are not in `backup_dir`: described by their `backup.json` alone. What else describes one is
//! fetched, and held against its manifest, before it is recorded.

use super::{Candidate, Form, Proof};
use crate::model::Moment;
use crate::repository::card::{self, Card};
use crate::repository::catalog::Listed;

/// A backup of a repository as a candidate, or why it is none.
///
/// # Errors
/// Its `backup.json` cannot be read, is another backup's, or is that of no stream.
pub fn candidate(listed: Listed) -> Result<Candidate, String> {
    let Listed { id, card } = listed;
    let Card { start, end, form, kind, uuid, from, lsn, schedule_id, .. } = card?;
    let card::Form::Stream { stored_size, .. } = form else {
        return Err("its backup.json is that of a directory, and a repository has streams".to_owned());
    };
    let time = |text: &str| {
        Moment::read(text).ok_or_else(|| format!("its backup.json has no time in '{}'", text.escape_debug()))
    };
    Ok(Candidate {
        start: time(&start)?,
        end: time(&end)?,
        id,
        kind,
        uuid: Some(uuid),
        from,
        lsn: Some(lsn),
        schedule_id,
        form: Form::Repository,
        size: stored_size.unwrap_or_default(),
        proof: Proof::Card,
        notes: Vec::new(),
    })
}
