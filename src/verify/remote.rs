//! A stream that lies in a repository: looked for there, or read from there to its end.

use std::fs;
use std::io;
use std::path::Path;

use super::{Depth, Found, Verifier, Wanted};
use crate::bucket::{Bucket, BucketError, Class, Download, Patience};
use crate::model::{BackupId, Remote, RemoteStream, Stream};
use crate::repository::card::{self, Card, Form};
use crate::stream::StreamError;

impl Verifier<'_> {
    /// A stream of a repository, and what of the backup is here.
    pub(super) fn remote(
        &self,
        id: &BackupId,
        stream: &Stream,
        there: &RemoteStream,
        wanted: Wanted,
        found: &mut Found,
    ) -> io::Result<()> {
        let folder = stream.path.parent().unwrap_or(self.backup_dir);
        let remote = self.repository.map_or_else(|| there.repository.clone(), |own| own.reaching(&there.repository));
        let bucket = match open(&remote, id, folder, there, found) {
            Ok(bucket) => bucket,
            Err(why) => {
                self.folder(folder, Some(&stream.name), wanted, found)?;
                found.unasked = Some(why.to_string());
                return Ok(());
            }
        };
        let input = || {
            let download = bucket.download(&there.key).and_then(|download| {
                let missing = || BucketError::new(Class::NotFound, format!("{remote} has no '{}'", there.key));
                download.ok_or_else(missing)
            });
            let length = download.as_ref().map_or(0, Download::size);
            Ok((download.map_err(StreamError::Repository), length))
        };
        self.stream(stream, wanted, found, (self.depth > Depth::Quick).then_some(input))
    }
}

/// Looks for what the repository has to have; what is not right there is a problem.
fn open(
    remote: &Remote,
    id: &BackupId,
    folder: &Path,
    there: &RemoteStream,
    found: &mut Found,
) -> Result<Bucket, BucketError> {
    let bucket = Bucket::open(remote, Patience::SHORT)?;
    match bucket.read(&remote.card(id), card::MAX_SIZE)? {
        None => found.problem(format!("{remote} has no '{}', without which there is no backup", remote.card(id))),
        Some(text) if fs::read(folder.join(card::NAME)).is_ok_and(|here| here != text) => {
            found.problem(format!("'{}' in {remote} is not the one that is here", remote.card(id)));
        }
        Some(_) => {}
    }
    // What it says itself counts before what was noted when it was sent.
    let said = Card::read(folder).ok().flatten().and_then(|card| match card.form {
        Form::Stream { stored_size, .. } => stored_size,
        Form::Directory { .. } => None,
    });
    let wanted = said.unwrap_or(there.size);
    match bucket.look(&there.key)? {
        None => found.problem(format!("{remote} has no '{}'", there.key)),
        Some(object) if object.size != wanted => {
            found.problem(format!("'{}' in {remote} has {} bytes, not {wanted}", there.key, object.size));
        }
        Some(_) => {}
    }
    Ok(bucket)
}
