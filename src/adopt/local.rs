//! The backups in `backup_dir` that may be recorded: described by what lies there, and held against it at a glance.
//!
//! All metadata is read, and each file that a manifest names looked for, with the sizes that the card promises; of the content nothing. Whoever
//! wants each byte held against its hash verifies what was adopted.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Candidate, Described, Form, Proof, stream_head};
use crate::model::{BackupId, Flavour, Moment, Packed, Stored, Stream, at, causes, stream_name};
use crate::repository::card::{self, Card, CardError, Kind, Lsns};
use crate::repository::stored;
use crate::verify::{Depth, Remotely, Verifier};
use crate::witness::{self, Checkpoints, Doubt, MetadataError, manifest, metadata};

/// How many things that are wrong with a backup are told.
const TOLD: usize = 3;

/// Where to look.
#[derive(Debug, Clone, Copy)]
pub struct Local<'a> {
    /// Where the backups are.
    pub backup_dir: &'a Path,
    /// Whose backups they are.
    pub flavour: Flavour,
}

/// The ids of all that looks like a backup in `backup_dir`, recorded or not.
///
/// # Errors
/// The directory cannot be read.
pub fn ids(backup_dir: &Path) -> io::Result<BTreeSet<BackupId>> {
    let id = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        if entry.file_type().ok()?.is_dir() {
            // Under another name than a new backup can have, only what has the files of one.
            let is_backup = || entry.path().join(metadata::OPTIONS).symlink_metadata().is_ok();
            return name.parse().ok().or_else(|| BackupId::recorded(&name).ok().filter(|_| is_backup()));
        }
        // Where the Go daemon put its streams.
        let stem = name.strip_prefix("backup-")?.split(".xbstream").next()?;
        let id: BackupId = stem.parse().ok()?;
        Packed::ALL.into_iter().any(|kind| stream_name(&id, kind) == name).then_some(id)
    };
    Ok(fs::read_dir(backup_dir).map_err(at(backup_dir))?.filter_map(|entry| id(entry.ok()?)).collect())
}

impl Local<'_> {
    /// Looks at what lies there under this id: a candidate, or why it is none. None if nothing does.
    ///
    /// # Errors
    /// This user may not read it: that says nothing of it.
    pub fn look(&self, id: &BackupId) -> io::Result<Option<Result<Candidate, String>>> {
        let found = stored::look(self.backup_dir, id).map_err(Why::from);
        let looked = found.and_then(|found| found.map(|stored| self.stored(id, &stored)).transpose());
        match looked {
            Ok(candidate) => Ok(candidate.map(Ok)),
            Err(Why::Unfit(why)) => Ok(Some(Err(why))),
            Err(Why::Denied(why)) => Err(why),
        }
    }

    fn stored(&self, id: &BackupId, stored: &Stored) -> Result<Candidate, Why> {
        match stored {
            Stored::Directory(folder) => self.folder(id, folder, Form::Directory, None),
            Stored::Stream(stream) if stream.path.parent() == Some(self.backup_dir) => Self::beside(id, stream),
            Stored::Stream(stream) => self.folder(id, &self.backup_dir.join(id.as_str()), Form::Stream, Some(stream)),
            Stored::Remote(stream, there) => self
                .folder(id, &self.backup_dir.join(id.as_str()), Form::Repository, Some(stream))
                .map(|found| Candidate { size: there.size, ..found }),
            Stored::Forwarded(stream) => {
                self.folder(id, &self.backup_dir.join(id.as_str()), Form::Forwarded, Some(stream))
            }
        }
    }

    /// What tells of a backup here whether another was taken from it.
    pub fn described(&self, id: &BackupId) -> Described {
        let folder = self.backup_dir.join(id.as_str());
        let card = Card::read(&folder).ok().flatten();
        let read = Checkpoints::read(&folder, self.flavour.tool()).ok().map(|found| lsns(&found));
        let lsn = read.or_else(|| card.as_ref().map(|card| card.lsn));
        Described { id: id.clone(), uuid: card.map(|card| card.uuid), lsn }
    }

    fn folder(&self, id: &BackupId, folder: &Path, form: Form, stream: Option<&Stream>) -> Result<Candidate, Why> {
        let tool = self.flavour.tool();
        let card = Card::read_vouched(folder)?;
        let checkpoints = Checkpoints::read(folder, tool)?;
        let kind = match checkpoints.backup_type.as_str() {
            "full-backuped" => Kind::Full,
            "incremental" => Kind::Incremental,
            other => {
                return Err(unfit(format!(
                    "its checkpoints say '{}': it was prepared, and is no backup any more",
                    other.escape_debug()
                )));
            }
        };
        let named = manifest::names(folder)?;
        self.glance(id, kind, card.as_ref().map(|(card, _)| card))?;
        if stream.is_some() && named.is_empty() {
            return Err(unfit(format!("it has a stream, and no manifest '{}' with it", manifest::NAME)));
        }
        if let Some(found) = metadata::partial(folder, tool)? {
            return Err(unfit(causes(&Doubt::Partial { dir: folder.to_owned(), found })));
        }
        let size = size(folder)?;
        if let Some((card, is_vouched)) = card {
            self.fits(id, kind, &card, &checkpoints)?;
            lengths(folder, &card, form, stream, &named)?;
            let time = |text: &str| {
                let wrong = || unfit(format!("its backup.json has no time in '{}'", text.escape_debug()));
                Moment::read(text).ok_or_else(wrong)
            };
            let own = "others than the daemon's user and root may have written its backup.json".to_owned();
            return Ok(Candidate {
                id: id.clone(),
                kind,
                start: time(&card.start)?,
                end: time(&card.end)?,
                lsn: Some(card.lsn),
                schedule_id: card.schedule_id,
                form,
                size,
                proof: Proof::Card,
                notes: {
                    let to = card.encryption().map(|to| format!("it is encrypted to {}", to.names()));
                    (!is_vouched).then_some(own).into_iter().chain(to).collect()
                },
                from: card.from,
                uuid: Some(card.uuid),
            });
        }
        let is_sealed = !named.is_empty();
        if is_sealed && !tool.checkpoints.iter().any(|name| named.contains(Path::new(name))) {
            return Err(unfit("its manifest names its stream alone: the backup was broken off before it was whole"));
        }
        if let Some(other) = witness::taken_into(folder, tool).filter(|other| other != id.as_str()) {
            return Err(unfit(format!(
                "it was taken as '{}': its folder was renamed, or is another backup's; give it its name again",
                other.escape_debug()
            )));
        }
        let (start, end) = match metadata::times(folder, tool)? {
            Some(times) => times,
            None => written(folder).map(|at| (at, at))?,
        };
        let proof = if is_sealed { Proof::Manifest } else { Proof::Metadata };
        let mut notes = Vec::new();
        if form == Form::Forwarded {
            notes.push("that its stream was forwarded is not written anywhere: it is not here".to_owned());
        }
        Ok(Candidate {
            id: id.clone(),
            kind,
            uuid: None,
            from: None,
            lsn: Some(lsns(&checkpoints)),
            start,
            end,
            schedule_id: None,
            form,
            size,
            proof,
            notes,
        })
    }

    /// A stream of the Go daemon's, which has nothing beside it. What it was taken from, and whether it is whole, is told at its end.
    fn beside(id: &BackupId, stream: &Stream) -> Result<Candidate, Why> {
        let there = fs::symlink_metadata(&stream.path).map_err(at(&stream.path))?;
        let kind = stream_head::kind(&stream.path).map_err(|why| unfit(causes(&why)))?;
        let kind = kind.ok_or_else(|| unfit("its stream begins with no file of InnoDB"))?;
        let ended = written(&stream.path)?;
        Ok(Candidate {
            id: id.clone(),
            kind,
            uuid: None,
            from: None,
            lsn: None,
            start: ended,
            end: ended,
            schedule_id: None,
            form: Form::Stream,
            size: there.len(),
            proof: Proof::Head,
            notes: vec!["its times are that of its file".to_owned()],
        })
    }

    /// What a quick verification says of it.
    fn glance(&self, id: &BackupId, kind: Kind, card: Option<&Card>) -> Result<(), Why> {
        let verifier = Verifier {
            backup_dir: self.backup_dir,
            flavour: self.flavour,
            depth: Depth::Quick,
            repository: None,
            remotely: Remotely::Nothing,
            threads: 1,
            count: None,
            identities: &[],
        };
        let from = card.map(|card| card.lsn.from);
        let found = verifier.look(id, kind == Kind::Incremental, from)?;
        let problems = found.map(|found| found.problems).unwrap_or_default();
        match problems.as_slice() {
            [] => Ok(()),
            few if few.len() <= TOLD => Err(unfit(few.join("; "))),
            many => {
                let told = many.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join("; ");
                Err(unfit(format!("{told}; and {} more", many.len() - TOLD)))
            }
        }
    }

    /// Whether a card is that of the backup it lies with.
    fn fits(&self, id: &BackupId, kind: Kind, card: &Card, checkpoints: &Checkpoints) -> Result<(), Why> {
        if card.id != id.as_str() {
            return Err(unfit(format!(
                "its backup.json is that of '{}': its folder was renamed, or is another backup's; give it its name again",
                card.id.escape_debug()
            )));
        }
        if card.db_type != self.flavour.name() {
            let other = card.db_type.escape_debug();
            return Err(unfit(format!("it is of {other}, and db_type is {}", self.flavour.name())));
        }
        if let Some(base) = card.from.as_ref().filter(|base| BackupId::recorded(&base.id).is_err()) {
            return Err(unfit(format!("it names a base that none can be: '{}'", base.id.escape_debug())));
        }
        if card.kind != kind || card.lsn != lsns(checkpoints) || card.from.is_some() != (kind == Kind::Incremental) {
            return Err(unfit("its backup.json and its checkpoints are not of one backup"));
        }
        Ok(())
    }
}

/// How much a backup's folder takes, in bytes: what the records have of one that was taken.
fn size(folder: &Path) -> io::Result<u64> {
    let sealed = fs::symlink_metadata(folder.join(manifest::NAME)).map_or(0, |there| there.len());
    Ok(manifest::extent(folder)?.1 + sealed)
}

/// Holds the files that the manifest names against the lengths that the card has.
fn lengths(
    folder: &Path,
    card: &Card,
    form: Form,
    stream: Option<&Stream>,
    named: &BTreeSet<PathBuf>,
) -> Result<(), Why> {
    if !named.contains(Path::new(card::NAME)) {
        let why =
            format!("its manifest does not name its {}: the backup was broken off before it was whole", card::NAME);
        return Err(unfit(why));
    }
    let length = |path: &Path| Ok::<_, io::Error>(fs::symlink_metadata(path).map_err(at(path))?.len());
    let differ =
        |what: &str, is: u64, wanted: u64| unfit(format!("{what} {is} bytes, and its backup.json says {wanted}"));
    match (&card.form, form, stream) {
        (card::Form::Directory { data_size, .. }, Form::Directory, _) => {
            let own = Path::new(card::NAME);
            let data = named.iter().filter(|path| *path != own).map(|path| length(&folder.join(path)));
            let data = data.sum::<io::Result<u64>>()?;
            match data_size {
                Some(wanted) if *wanted != data => Err(differ("its files have", data, *wanted)),
                Some(_) | None => Ok(()),
            }
        }
        (card::Form::Stream { stored_size, .. }, Form::Stream, Some(stream)) => {
            let is = length(&stream.path)?;
            match stored_size {
                Some(wanted) if *wanted != is => Err(differ("its stream has", is, *wanted)),
                Some(_) | None => Ok(()),
            }
        }
        // Of what is in a repository, its note was written when it was whole there.
        (card::Form::Stream { .. }, Form::Repository, _)
        | (card::Form::Stream { forwarded: true, .. }, Form::Forwarded, _) => Ok(()),
        (card::Form::Stream { name, .. }, ..) => Err(unfit(format!("its stream '{}' is missing", name.escape_debug()))),
        (card::Form::Directory { .. }, ..) => Err(unfit("it is a directory by its backup.json, and a stream here")),
    }
}

fn lsns(found: &Checkpoints) -> Lsns {
    Lsns { from: found.from_lsn, to: found.to_lsn, last: found.last_lsn }
}

/// When a file was written last.
fn written(path: &Path) -> io::Result<Moment> {
    let at_path = at(path);
    let changed = fs::symlink_metadata(path).and_then(|there| there.modified()).map_err(at_path)?;
    Moment::of(changed).ok_or_else(|| io::Error::other(format!("'{}' has no time", path.display())))
}

/// Why something is no candidate.
enum Why {
    /// It does not prove itself.
    Unfit(String),
    /// This user may not look.
    Denied(io::Error),
}

fn unfit(why: impl Into<String>) -> Why {
    Why::Unfit(why.into())
}

impl From<io::Error> for Why {
    fn from(why: io::Error) -> Self {
        if why.kind() == io::ErrorKind::PermissionDenied { Self::Denied(why) } else { Self::Unfit(why.to_string()) }
    }
}

impl From<MetadataError> for Why {
    fn from(why: MetadataError) -> Self {
        match why {
            MetadataError::Unreadable { path, source } if source.kind() == io::ErrorKind::PermissionDenied => {
                Self::Denied(at(&path)(source))
            }
            MetadataError::Missing { name, .. } => Self::Unfit(format!(
                "it has no '{name}': the tool writes that at its end, so it was broken off, or is no backup"
            )),
            why @ (MetadataError::Unreadable { .. } | MetadataError::Field { .. }) => Self::Unfit(causes(&why)),
        }
    }
}

impl From<CardError> for Why {
    fn from(why: CardError) -> Self {
        match why {
            CardError::Unreadable { path, source } if source.kind() == io::ErrorKind::PermissionDenied => {
                Self::Denied(at(&path)(source))
            }
            why @ (CardError::Unreadable { .. } | CardError::Newer { .. }) => Self::Unfit(causes(&why)),
        }
    }
}
