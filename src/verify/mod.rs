//! Stored backups held against what was written with them: nothing is changed, and nothing is restored.
//!
//! In: where a backup is, and what it must go on from. Out: all that is wrong with it, each by its name. It reads by the same parts as a
//! restore, so that what is found whole here is not refused there.

pub mod glance;
pub mod kept;
mod remote;
pub mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::age::Identity;
use crate::copying::source::{Files, Source, Tree};
use crate::copying::{CopyError, widow};
use crate::disk::workers;
use crate::model::{BackupId, Flavour, Lsn, Remote, Stored, Stream, at};
use crate::repository::card::{Card, CardError};
use crate::repository::stored;
use crate::stream::{Busy, Extract, StreamError};
use crate::witness::hashed::Hash;
use crate::witness::tables::{self, Lacking};
use crate::witness::{self, Checkpoints, Doubt, MetadataError, findings, manifest, renames};

/// How closely is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// The metadata, the LSNs, and whether all files are there.
    Quick,
    /// Each byte too.
    Content,
    /// Restored, and each table checked by a server.
    Restore,
}

/// What of a repository in an object store is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remotely {
    /// Nothing: it is not asked, and what lies there counts as what was forwarded.
    Nothing,
    /// The streams that are not here.
    Streams,
    /// Those that are here too.
    Copies,
}

/// How to look.
#[derive(Debug, Clone, Copy)]
pub struct Verifier<'a> {
    /// Where the backups are.
    pub backup_dir: &'a Path,
    /// Whose backups they are.
    pub flavour: Flavour,
    /// How closely.
    pub depth: Depth,
    /// The repository of the settings. None if there is none.
    pub repository: Option<&'a Remote>,
    /// What is looked at there.
    pub remotely: Remotely,
    /// By whom what is encrypted is decrypted; nobody, and its hash alone is looked at.
    pub identities: &'a [Identity],
    /// How many threads read.
    pub threads: usize,
    /// Where the bytes are counted that were read, for whoever watches.
    pub count: Option<&'a AtomicU64>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// What is wrong, in words; nothing, if the backup is whole.
    pub problems: Vec<String>,
    /// Whether there was a manifest to hold it against: a predecessor's backup has none.
    pub is_sealed: bool,
    /// The name of its stream, where only what lies beside it is here: it was forwarded, or is lost.
    pub without: Option<String>,
    /// Why the repository that has its stream could not be asked. None if it was, or has none.
    pub unasked: Option<String>,
    /// The id that it was taken as, by its own metadata.
    pub taken_as: Option<String>,
    /// What it says of itself. None if it says nothing.
    pub card: Option<Card>,
    /// What was met with and says nothing against it.
    pub notes: Vec<String>,
    /// How much was read, in bytes.
    pub bytes: u64,
    /// Where it ends: an incremental taken from it goes on there.
    pub to_lsn: Option<Lsn>,
}

impl Found {
    fn problem(&mut self, why: impl Into<String>) {
        self.problems.push(why.into());
    }
}

/// What a backup must be, by the records.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    is_incremental: bool,
    from: Option<Lsn>,
}

impl Verifier<'_> {
    /// Looks at the backup `id`; an incremental goes on `from` the end of its base, where that is known. None if nothing of it is there.
    ///
    /// # Errors
    /// This user may not read it: that says nothing of the backup.
    pub fn look(&self, id: &BackupId, is_incremental: bool, from: Option<Lsn>) -> io::Result<Option<Found>> {
        let wanted = Wanted { is_incremental, from: if is_incremental { from } else { Some(0) } };
        let Some(stored) = stored::look(self.backup_dir, id)? else { return Ok(None) };
        let stored = match stored {
            Stored::Stream(Stream { copy: Some(there), path, name, manifest }) if self.remotely == Remotely::Copies => {
                Stored::Remote(Stream { copy: None, path, name, manifest }, there)
            }
            Stored::Stream(_) | Stored::Directory(_) | Stored::Remote(..) | Stored::Forwarded(_) => stored,
        };
        let mut found = Found::default();
        match &stored {
            Stored::Directory(dir) => self.folder(dir, None, wanted, &mut found)?,
            Stored::Stream(stream) => {
                let open = || {
                    let file = match File::open(&stream.path) {
                        Err(why) if is_denied(&why) => return Err(at(&stream.path)(why)),
                        opened => opened.map_err(|why| StreamError::Read(at(&stream.path)(why))),
                    };
                    let length = file.as_ref().map_or(0, |file| file.metadata().map_or(0, |file| file.len()));
                    Ok((file, length))
                };
                self.stream(stream, wanted, &mut found, (self.depth > Depth::Quick).then_some(open))?;
            }
            Stored::Remote(stream, there) if self.remotely != Remotely::Nothing => {
                self.remote(id, stream, there, wanted, &mut found)?;
            }
            Stored::Remote(stream, _) | Stored::Forwarded(stream) => {
                found.without = Some(stream.name.clone());
                let folder = stream.path.parent().unwrap_or(self.backup_dir);
                self.folder(folder, Some(&stream.name), wanted, &mut found)?;
            }
        }
        Ok(Some(found))
    }

    /// The files of a backup, or those beside its stream, which is none of them here.
    fn folder(&self, dir: &Path, stream: Option<&str>, wanted: Wanted, found: &mut Found) -> io::Result<()> {
        let source = Source::open(dir).map_err(at(dir))?;
        let tree = match source.tree() {
            Ok(tree) => tree,
            Err(why) => return give_up_or_say(&why, found),
        };
        if let Some(other) = tree.others.first() {
            found.problem(CopyError::NoFile(other.clone()).to_string());
        }
        let consumed = widow(&tree.files);
        let is_consumed = consumed.is_some();
        if let Some(widow) = consumed {
            found.problem(CopyError::Consumed(widow).to_string());
        }
        match sealed(&source).map_err(at(&dir.join(manifest::NAME)))? {
            Sealed::No => {}
            Sealed::Damaged => found.problem(format!("its manifest '{}' is damaged", manifest::NAME)),
            Sealed::As(mut named) => {
                found.is_sealed = true;
                if let Some(name) = stream {
                    named.remove(Path::new(name));
                }
                if is_consumed {
                    // What goes with an apply is told already, in one line.
                    let there: BTreeSet<_> = tree.files.iter().map(|entry| &entry.path).collect();
                    named.retain(|path, _| there.contains(path) || !is_taken_by_an_apply(path));
                }
                self.files(&source, &tree, &named, found)?;
            }
        }
        match Card::read(dir) {
            Ok(card) => found.card = card,
            Err(CardError::Unreadable { path, source }) if is_denied(&source) => return Err(at(&path)(source)),
            // The data prove themselves by all the rest.
            Err(why @ CardError::Newer { .. }) => found.notes.push(why.to_string()),
            Err(why) => found.problem(crate::model::causes(&why)),
        }
        if stream.is_none() {
            let there = tree.files.iter().map(|entry| entry.path.clone()).collect();
            match tables::of_files(dir, &there) {
                Ok(lacking) => lost_tables(dir, lacking, found),
                Err(why) if is_denied(&why) => return Err(why),
                Err(why) => found.problem(format!("the tables' definitions cannot be read: {why}")),
            }
            match renames::noted(dir, tree.files.iter().map(|entry| &entry.path)) {
                Ok(noted) => swapped_tables(&renames::circles(noted), wanted.is_incremental, found),
                Err(why) if is_denied(&why) => return Err(why),
                Err(why) => found.problem(format!("its notes of renamed tables cannot be read: {why}")),
            }
        }
        let tool = self.flavour.tool();
        found.taken_as = witness::taken_into(dir, tool);
        match witness::described(dir, stream, tool) {
            Ok(checkpoints) => {
                found.to_lsn = Some(checkpoints.to_lsn);
                let held = witness::fits(dir, &checkpoints, wanted.is_incremental, wanted.from);
                if let Err(why) = held.and_then(|()| witness::redo_is_long_enough(dir, dir, &checkpoints)) {
                    found.problem(crate::model::causes(&why));
                }
            }
            Err(Doubt::Metadata(MetadataError::Unreadable { path, source })) if is_denied(&source) => {
                return Err(at(&path)(source));
            }
            Err(why) => found.problem(crate::model::causes(&why)),
        }
        Ok(())
    }

    /// Each file that the manifest names: whether it is there, and is what it was.
    fn files(
        &self,
        source: &Source,
        tree: &Tree,
        named: &BTreeMap<PathBuf, Hash>,
        found: &mut Found,
    ) -> io::Result<()> {
        let sizes: BTreeMap<_, _> = tree.files.iter().map(|entry| (&entry.path, entry.size)).collect();
        let (mut there, mut missing): (Vec<_>, Vec<_>) = named.iter().partition(|(path, _)| sizes.contains_key(path));
        let others: BTreeSet<_> = tree.others.iter().collect();
        missing.retain(|(path, _)| !others.contains(path));
        found.problems.extend(missing.iter().map(|(path, _)| format!("'{}' is missing", path.display())));
        if self.depth == Depth::Quick {
            return Ok(());
        }
        let length = |path: &PathBuf| sizes.get(path).copied().unwrap_or_default();
        found.bytes += there.iter().map(|(path, _)| length(path)).sum::<u64>();
        let batches = workers::batches(&mut there, |(path, _)| (path, length(path)));
        let mut changed = self.changed(source, &batches)?;
        changed.sort();
        found.problems.extend(changed);
        Ok(())
    }

    /// A stream, and what lies beside it.
    /// `open` gives its bytes and how many they are; None if they are not read.
    fn stream<R: Read + Send>(
        &self,
        stream: &Stream,
        wanted: Wanted,
        found: &mut Found,
        open: Option<impl FnOnce() -> io::Result<(Result<R, StreamError>, u64)>>,
    ) -> io::Result<()> {
        let beside = match stream.manifest.as_deref().and_then(Path::parent) {
            Some(folder) => {
                self.folder(folder, Some(&stream.name), wanted, found)?;
                found.to_lsn
            }
            None => None,
        };
        let Some(open) = open else { return Ok(()) };
        let (file, length) = open()?;
        let extract = Extract {
            name: &stream.name,
            into: None,
            flavour: self.flavour,
            manifest: stream.manifest.as_deref(),
            identities: self.identities,
            threads: self.threads,
        };
        if stream.is_encrypted() && !self.may_decrypt(found.card.as_ref()) {
            if let Err(why) = file.and_then(|file| extract.check_hash(self.counted(file))) {
                found.problem(crate::model::causes(&why));
            } else {
                found.bytes += length;
                let to = found.card.as_ref().and_then(Card::encryption);
                let to = to.map_or_else(String::new, |to| format!(" to {}", to.names()));
                found.notes.push(format!(
                    "it is encrypted{to}: each byte is what it was, but nothing in it was looked at, since there is no identity for it here"
                ));
            }
            return Ok(());
        }
        match file.and_then(|file| extract.run(self.counted(file), &Busy::default())) {
            Err(why) => found.problem(crate::model::causes(&why)),
            Ok(extracted) => {
                found.bytes += length;
                let folder = stream.path.parent().unwrap_or(self.backup_dir);
                lost_tables(folder, extracted.whole.tables.lacking, found);
                found.problems.extend(
                    extracted
                        .whole
                        .tables
                        .gone
                        .iter()
                        .map(|path| format!("the table of '{}' was lost while the backup was taken", path.display())),
                );
                swapped_tables(&extracted.whole.tables.swapped, wanted.is_incremental, found);
                let is: Checkpoints = extracted.whole.checkpoints;
                found.to_lsn = Some(is.to_lsn);
                if extracted.whole.has_corrupt_pages {
                    found.problem(format!("'{}' has '{}': no prepare can use it", stream.name, witness::CORRUPT_PAGES));
                }
                if beside.is_some_and(|beside| beside != is.to_lsn) {
                    found.problem(format!("'{}' is not the backup that its metadata describes", stream.name));
                } else if stream.manifest.is_none()
                    && let Err(why) = witness::fits(&stream.path, &is, wanted.is_incremental, wanted.from)
                {
                    found.problem(crate::model::causes(&why));
                }
            }
        }
        Ok(())
    }

    /// Whether one of the identities may be for it, by what it says of itself.
    fn may_decrypt(&self, card: Option<&Card>) -> bool {
        !self.identities.is_empty() && card.and_then(Card::encryption).is_none_or(|to| to.is_for(self.identities))
    }

    /// Hashes files on several threads; says which are not what they were.
    fn changed(&self, source: &Source, batches: &[&[(&PathBuf, &Hash)]]) -> io::Result<Vec<String>> {
        let stop = CancellationToken::new();
        let look = |files: &mut Files<'_>, (path, wanted): &(&PathBuf, &Hash)| {
            let hash = files.open(path).and_then(|(file, _)| manifest::hash_of(self.counted(file), &stop));
            Ok(match hash {
                Ok(hash) if hash == **wanted => None,
                Ok(_) => Some(CopyError::Damaged((*path).clone()).to_string()),
                Err(why) if is_denied(&why) => return Err(at(&source.whole(path))(why)),
                Err(why) => Some(format!("'{}' cannot be read: {why}", path.display())),
            })
        };
        let all = |files: &mut Files<'_>, batch: &&[(&PathBuf, &Hash)]| {
            let each = batch.iter().filter_map(|file| look(files, file).transpose());
            each.collect::<io::Result<Vec<_>>>()
        };
        Ok(workers::each_with(self.threads, batches, || source.files(), all)?.concat())
    }

    fn counted<R: Read>(&self, input: R) -> Counted<'_, R> {
        Counted { input, count: self.count }
    }
}

/// An incremental in which tables took each other's names cannot be applied.
fn swapped_tables(tables: &[PathBuf], is_incremental: bool, found: &mut Found) {
    if is_incremental && !tables.is_empty() {
        found.problem(crate::model::causes(&Doubt::Swapped(
            tables.iter().map(|path| path.display().to_string()).collect(),
        )));
    }
}

/// Tables without files of their engine were lost while the backup was taken, where the server had them whole.
fn lost_tables(folder: &Path, lacking: Vec<Lacking>, found: &mut Found) {
    let mut lost = findings::unless_noted(folder, lacking);
    // Whether the server had those like that is not noted.
    lost.retain(|table| !table.may_have_none());
    lost.sort();
    let was_looked_at = found.card.is_some();
    for table in lost {
        // Before there were cards nobody noted which tables were so on the server.
        if was_looked_at {
            found.problem(format!("{table}: it was lost while the backup was taken"));
        } else {
            found.notes.push(format!("{table}: it was lost while the backup was taken, or was so on the server"));
        }
    }
}

/// A reader whose bytes are counted.
struct Counted<'a, R> {
    input: R,
    count: Option<&'a AtomicU64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(bytes)?;
        if let Some(count) = self.count {
            count.fetch_add(read as u64, Ordering::Relaxed);
        }
        Ok(read)
    }
}

/// Whether it is of the kind that an apply removes from the incremental, or moves (seen with mariadb-backup 10.11.19).
fn is_taken_by_an_apply(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "delta" || extension == "new")
}

/// What a folder's manifest says.
enum Sealed {
    No,
    Damaged,
    As(BTreeMap<PathBuf, Hash>),
}

fn sealed(source: &Source) -> io::Result<Sealed> {
    let mut text = Vec::new();
    match source.file(Path::new(manifest::NAME)).and_then(|mut file| file.read_to_end(&mut text)) {
        Ok(_) => Ok(manifest::parse(&text).map_or(Sealed::Damaged, Sealed::As)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Sealed::No),
        Err(why) if is_denied(&why) => Err(why),
        Err(_unreadable) => Ok(Sealed::Damaged),
    }
}

/// What this user may not read says nothing of the backup; all else is its damage.
fn give_up_or_say(why: &CopyError, found: &mut Found) -> io::Result<()> {
    if let CopyError::Read { path, source } = why
        && is_denied(source)
    {
        return Err(at(path)(io::ErrorKind::PermissionDenied.into()));
    }
    found.problem(crate::model::causes(why));
    Ok(())
}

fn is_denied(why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::PermissionDenied
}
