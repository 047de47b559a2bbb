//! A backup whose tool has ended well: marked in the server's data directory, and described by its card.
//!
//! The mark comes first: a card that says so is only written when it is there. A mark without a backup proves nothing of anything.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tracing::warn;

use super::error::JobError;
use super::run::{Job, blocking};
use crate::config::Streaming;
use crate::disk;
use crate::exec::Finished;
use crate::model::{BackupId, Footprint, Lengths, Moment, stream_name};
use crate::plan::{Goal, NewBackup};
use crate::records::failure::Reason;
use crate::repository::card::{Card, Encryption, FORMAT, Form, Kind, Lsns, Trace};
use crate::repository::history;
use crate::server::Server;
use crate::server::probe::{self, ANSWER_WITHIN};
use crate::witness::findings::Findings;
use crate::witness::imported::{self, Found};
use crate::witness::young::{self, Names};
use crate::witness::{self, Checkpoints, manifest, outside, said_directory};

impl Job {
    /// Marks and describes a backup; a restore has nothing to be described.
    pub(super) async fn describe(&mut self, finished: &Arc<Finished>) -> Result<(), JobError> {
        let Goal::Backup(NewBackup { id, uuid, schedule_id, dir, is_stream, .. }) = self.plan.goal.clone() else {
            return Ok(());
        };
        let server = self.server().await?;
        let data_dir = self.config.data_dir.clone();
        let said = said_directory(&finished.first.stderr.text).map(PathBuf::from);
        let streaming = self.config.streaming.as_ref().filter(|_| is_stream);
        let streaming = streaming.cloned();
        let is_encrypted = streaming.as_ref().is_some_and(|streaming| streaming.packed().is_encrypted);
        let names = young::names(&finished.first.stderr.watched);
        let heard = Arc::clone(finished);
        let (tool, flavour) = (self.config.flavour.tool(), self.config.flavour);
        let (history, base, start) = (self.origin.history.take(), self.origin.base.take(), self.start);
        let backups = self.config.backup_dir.clone();
        self.warnings.extend(self.left_out().await);
        let begin = SystemTime::now().checked_sub(self.begun_at.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        blocking(move || {
            // The tool asks the server itself, and may have reached another one by an option of its own.
            if let Some(said) = said.filter(|said| !disk::is_same(said, &data_dir)) {
                let text = format!(
                    "the tool copied '{}', but data_dir is '{}': another server was backed up",
                    said.display(),
                    data_dir.display()
                );
                return Err(JobError::new(Reason::Verification, text));
            }
            let unreadable = |why: witness::MetadataError| JobError::disproved(&why, crate::model::causes(&why));
            let checkpoints = Checkpoints::read(&dir, tool).map_err(unreadable)?;
            let info = witness::info(&dir, tool).map_err(unreadable)?;
            let found = imported::find(&data_dir).or_else(|why| {
                let is_none = why.kind() == ErrorKind::NotFound;
                let text = || format!("'{}' cannot be searched for imported tables: {why}", data_dir.display());
                if is_none { Ok(Vec::new()) } else { Err(JobError::at_work(&why, text())) }
            })?;
            if let Some(base) = &base {
                carries_all(&found, &backups.join(&base.id), &base.id)?;
                can_be_applied(&names, &dir, is_stream.then_some(&*heard), (&backups.join(&base.id), &base.id))?;
            }
            let redo_begins_at = history::redo_begins_at(&server.redo_dir());
            let form = form(&dir, &id, streaming.as_ref(), &heard)
                .map_err(|why| JobError::at_work(&why, format!("'{}' cannot be measured: {why}", dir.display())))?;
            let mut card = Card {
                format: FORMAT,
                id: id.to_string(),
                uuid: uuid.to_string(),
                kind: if base.is_some() { Kind::Incremental } else { Kind::Full },
                from: base,
                schedule_id,
                start: start.to_string(),
                end: Moment::now().to_string(),
                db_type: flavour.name().to_owned(),
                server,
                tool_version: info.tool_version,
                tool_uuid: info.uuid,
                lsn: Lsns { from: checkpoints.from_lsn, to: checkpoints.to_lsn, last: checkpoints.last_lsn },
                binlog: info.binlog,
                form,
                history: Trace { marked: false, redo_begins_at },
                imported: imported::known(&found, begin),
                young: if is_encrypted { young::hide_all(names) } else { names },
            };
            card.history.marked = history.is_some_and(|history| is_marked(&history, &card, &data_dir));
            card.write(&dir).map_err(|why| {
                JobError::at_work(&why, format!("'{}' cannot be given its backup.json: {why}", dir.display()))
            })
        })
        .await
    }

    /// What the server has and no backup: said in the log, and in the row.
    async fn left_out(&self) -> Vec<String> {
        let data_dir = self.config.data_dir.clone();
        // Nothing is proved by it: what cannot be looked at is passed over.
        let found = blocking(move || outside::connect_tables(&data_dir).map_err(|why| why.to_string())).await;
        let tables = found.unwrap_or_default().iter().map(|path| format!("'{}'", path.display())).collect::<Vec<_>>();
        if tables.is_empty() {
            return Vec::new();
        }
        let text = format!("the rows of CONNECT's tables are in files that no backup has: {}", witness::some(&tables));
        warn!("{text}");
        vec![format!("warning: {text}")]
    }

    /// The server that was backed up; asked now, if it did not say so before.
    async fn server(&mut self) -> Result<Server, JobError> {
        if let Some(server) = self.origin.server.take() {
            return Ok(server);
        }
        let said = probe::server(self.world.executor.as_ref(), &self.config, ANSWER_WITHIN).await;
        let said = said.unwrap_or_else(|why| Err(why.to_string()));
        let server = said.map_err(|why| {
            JobError::new(Reason::Server, format!("the server does not name its data directory: {why}"))
        })?;
        let (its, own) = (server.data_dir.clone(), self.config.data_dir.clone());
        let is_same = blocking(move || Ok::<_, JobError>(disk::is_same(&its, &own))).await?;
        if is_same {
            Ok(server)
        } else {
            let text = format!(
                "the server has its data in '{}', but data_dir is '{}'",
                server.data_dir.display(),
                self.config.data_dir.display()
            );
            Err(JobError::new(Reason::Verification, text))
        }
    }
}

/// In which form the backup lies in `dir`.
fn form(dir: &Path, id: &BackupId, streaming: Option<&Streaming>, finished: &Finished) -> io::Result<Form> {
    let Some(streaming) = streaming else {
        let (files, data_size) = manifest::extent(dir)?;
        return Ok(Form::Directory { data_size: Some(data_size), files: Some(files) });
    };
    let said = || finished.rest.iter().map(|stage| &stage.stderr.text);
    let lengths = said().find_map(|text| Lengths::said(text));
    let name = stream_name(id, streaming.packed());
    Ok(Form::Stream {
        sha256: manifest::recorded_hash(dir, Path::new(&name))?,
        name,
        compression: streaming.compression.name().to_owned(),
        encryption: Encryption::to(&streaming.recipients),
        forwarded: streaming.forward.is_some(),
        stored_size: lengths.map(|lengths| lengths.stored),
        data_size: lengths.map(|lengths| lengths.data),
        extracted: said().find_map(|text| Footprint::said(text)),
    })
}

/// Whether no table was imported since the base was taken: of its rows the incremental has none.
fn carries_all(found: &[Found], folder: &Path, base: &str) -> Result<(), JobError> {
    if found.is_empty() {
        return Ok(());
    }
    // What cannot be read is told where the base is looked at; a base without a card knew of no import.
    let known = Card::read(folder).ok().flatten().map(|card| card.imported).unwrap_or_default();
    let since = imported::unknown(found, &known).iter().map(|file| format!("'{}'", file.display())).collect::<Vec<_>>();
    if since.is_empty() {
        return Ok(());
    }
    let text = format!(
        "imported since '{base}' was taken (IMPORT TABLESPACE): {}; an incremental leaves them out, since it takes pages by an LSN that \
         imported ones lack: take a full backup",
        witness::some(&since)
    );
    Err(JobError::new(Reason::Verification, text))
}

/// Whether no young table has another name in the base, which no apply gets over. `streamed` is what was heard of a stream; None if the files
/// are in `dir`.
fn can_be_applied(
    names: &Names,
    dir: &Path,
    streamed: Option<&Finished>,
    (folder, base): (&Path, &str),
) -> Result<(), JobError> {
    // A base without a card, or of before this was noted, tells nothing.
    let known = Card::read(folder).ok().flatten().map(|card| card.young).unwrap_or_default();
    let heard = streamed.into_iter().flat_map(|finished| &finished.rest);
    let heard = heard.flat_map(|stage| stage.stderr.watched.iter().cloned()).collect::<Vec<_>>();
    let files = Findings::read(&heard).young.into_iter().collect::<HashMap<_, _>>();
    let clashing = young::clashes(&known, names, |name| match streamed {
        Some(_) => files.get(Path::new(&format!("{name}.new"))).copied(),
        // One that cannot be read is told where the backup is sealed.
        None => young::taken(dir, name).ok().flatten(),
    });
    if clashing.is_empty() {
        return Ok(());
    }
    let text = format!(
        "renamed since '{base}' was taken, which has them as new tables: {}; the tool cannot apply such an incremental, take the backup again",
        witness::some(&clashing)
    );
    Err(JobError::new(Reason::Verification, text))
}

/// Leaves the backup's mark. Where that cannot be, the backup is good all the same, and what is taken from it is known less surely.
fn is_marked(history: &history::History, card: &Card, data_dir: &Path) -> bool {
    match history.add(card.mark()) {
        Ok(()) => true,
        Err(why) => {
            let data_dir = data_dir.display();
            warn!(%data_dir, reason = %why, "the backup's mark cannot be written to the data directory: an incremental from this backup cannot be checked against the server's history");
            false
        }
    }
}
