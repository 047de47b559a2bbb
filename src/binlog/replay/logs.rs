//! The archived files, uncompressed and laid out as a replica's relay logs.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::run::{ReplayError, Run, at};
use crate::binlog::archive::Archived;
use crate::model::Amount;
use crate::server::throwaway::Owner;

/// What the relay logs are called.
pub(super) const RELAY: &str = "relay";

/// The files of a replay.
pub(super) struct Logs {
    /// Each, by the name that its server gave it, with its length in bytes.
    pub(super) files: Vec<(String, u64)>,
    /// An id that none of the servers has that wrote them.
    pub(super) server_id: u32,
}

impl Run<'_> {
    /// Puts the files where the server finds its relay logs.
    pub(super) fn extract(&self, into: &Path, owner: Owner, say: &impl Fn(&str)) -> Result<Logs, ReplayError> {
        let archive = self.archive;
        let (mut files, mut index, mut servers) = (Vec::new(), String::new(), Vec::new());
        let all = archive.files(self.timeline)?;
        let number = |file: &str| all.iter().position(|(_, name)| name == file);
        let missing = |file: &str| ReplayError::Missing(file.to_owned());
        let first = number(&self.from.file).ok_or_else(|| missing(&self.from.file))?;
        let last = number(&self.to.file).ok_or_else(|| missing(&self.to.file))?;
        let wanted = all.get(first..=last).unwrap_or_default();
        let mut before: Option<u64> = None;
        for (place, (number, name)) in wanted.iter().enumerate() {
            // What was removed meanwhile is a gap.
            if before.replace(*number).is_some_and(|before| before + 1 != *number) {
                return Err(missing(&format!("file before {name}")));
            }
            let entry = archive.entry(self.timeline, name)?.ok_or_else(|| missing(name))?;
            let length = if first + place == last { self.to.position } else { entry.length };
            servers.push(entry.server_id);
            let path = into.join(format!("{RELAY}.{:06}", place + 1));
            let mut input = Archived { timeline: self.timeline, entry }.open(archive)?.take(length);
            let copy = || -> io::Result<u64> {
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
                let copied = io::copy(&mut input, &mut file)?;
                owner.give(&path)?;
                // Up to a place in the middle its hash says nothing yet.
                io::copy(&mut input.into_inner(), &mut io::sink())?;
                Ok(copied)
            };
            let copied = copy().map_err(at(&path))?;
            if copied != length {
                return Err(missing(&format!("{name}:{length}")));
            }
            index.extend([path.display().to_string().as_str(), "\n"]);
            files.push((name.clone(), length));
            say(&format!("{name} is extracted, {}", Amount(length)));
        }
        let path = into.join(format!("{RELAY}.index"));
        fs::write(&path, index).and_then(|()| owner.give(&path)).map_err(at(&path))?;
        // Whoever has the id of an event's server takes the event for one of its own, and applies it not.
        let server_id = (1..=u32::MAX).rev().find(|id| !servers.contains(id)).unwrap_or(u32::MAX);
        Ok(Logs { files, server_id })
    }
}
