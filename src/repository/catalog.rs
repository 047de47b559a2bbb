//! What a repository holds, read from it alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::card::{self, Card, CardError, Form};
use super::note::Note;
use super::sending::MAX_METADATA;
use crate::bucket::{Bucket, BucketError};
use crate::disk::workers;
use crate::model::{BackupId, at};
use crate::witness::manifest;

/// How many cards are read at once.
const AT_ONCE: usize = 8;

/// What the name of a folder begins with that is being received; no backup's id begins with `.`.
pub const RECEIVING: &str = ".receiving-";

/// A backup in a repository.
#[derive(Debug)]
pub struct Listed {
    /// Its id.
    pub id: BackupId,
    /// What it says of itself, or why that cannot be told.
    pub card: Result<Card, String>,
}

/// Why the description of a backup is not received.
#[derive(Debug, Error)]
pub enum ReceivingError {
    /// There is no such backup.
    #[error("the repository has no backup with id {0}")]
    NotThere(BackupId),
    /// What is there does not prove itself.
    #[error("in the repository {0}")]
    Unproved(String),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The store's.
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

/// All backups of a repository, in the order of their beginnings. What has no `backup.json` is none.
///
/// # Errors
/// The store's.
pub fn list(bucket: &Bucket) -> Result<Vec<Listed>, BucketError> {
    let names = bucket.names(&bucket.remote().root())?;
    let ids = names.iter().filter_map(|name| BackupId::recorded(name).ok()).collect::<Vec<_>>();
    let read = |id: &BackupId| Ok::<_, io::Error>((id.clone(), bucket.read(&bucket.remote().card(id), card::MAX_SIZE)));
    let mut found = Vec::new();
    for (id, text) in workers::each(AT_ONCE, &ids, read).unwrap_or_default() {
        let Some(text) = text? else { continue };
        let card = Card::parse(&text).map_err(|why| unread(&id, &why)).and_then(|card| fitting(&id, card));
        found.push(Listed { id, card });
    }
    found.sort_by(|one, other| begun(one).cmp(&begun(other)).then_with(|| one.id.as_str().cmp(other.id.as_str())));
    Ok(found)
}

fn begun(listed: &Listed) -> Option<&str> {
    listed.card.as_ref().ok().map(|card| card.start.as_str())
}

fn fitting(id: &BackupId, card: Card) -> Result<Card, String> {
    if card.id == id.as_str() {
        Ok(card)
    } else {
        Err(format!("its backup.json is that of '{}'", card.id.escape_debug()))
    }
}

fn unread(id: &BackupId, why: &Result<u32, serde_json::Error>) -> String {
    match why {
        Ok(format) => {
            CardError::Newer { path: PathBuf::from(format!("{id}/{}", card::NAME)), format: *format }.to_string()
        }
        Err(why) => format!("its backup.json cannot be read: {why}"),
    }
}

/// Puts what describes a backup into `backup_dir`: all of its files but the stream, each held against the manifest. The folder has its name
/// only when it is whole.
///
/// # Errors
/// There is no such backup, it does not prove itself, its folder is there, or the store's.
pub fn receive(bucket: &Bucket, backup_dir: &Path, id: &BackupId) -> Result<Card, ReceivingError> {
    let remote = bucket.remote();
    let unproved = |why: &str| ReceivingError::Unproved(why.to_owned());
    let not_there = || ReceivingError::NotThere(id.clone());
    let text = bucket.read(&remote.card(id), card::MAX_SIZE)?.ok_or_else(not_there)?;
    let card = Card::parse(&text).map_err(|why| unproved(&unread(id, &why)))?;
    let card = fitting(id, card).map_err(|why| unproved(&why))?;
    let Form::Stream { name, stored_size, .. } = &card.form else { return Err(unproved("it is no stream")) };
    let Ok(uuid) = card.uuid.parse::<uuid::Uuid>() else { return Err(unproved("its uuid is none")) };
    let key = |name: &str| remote.file(id, &uuid.to_string(), name);
    let sealed = bucket.read(&key(manifest::NAME), MAX_METADATA)?.ok_or_else(|| unproved("its manifest is missing"))?;
    let named = manifest::parse(&sealed).ok_or_else(|| unproved("its manifest is damaged"))?;
    let is_named = |name: &str, bytes: &[u8]| {
        named.get(Path::new(name)).is_some_and(|hash| *hash == manifest::hexadecimal(&Sha256::digest(bytes)))
    };
    if !is_named(card::NAME, &text) {
        return Err(unproved("its backup.json is not the one that its manifest names"));
    }
    if !named.contains_key(Path::new(name)) {
        return Err(unproved("its manifest does not name its stream"));
    }
    let stream = bucket.look(&key(name))?.ok_or_else(|| unproved("its stream is missing"))?;
    if stored_size.is_some_and(|wanted| wanted != stream.size) {
        return Err(unproved(&format!("its stream has {} bytes, which is not what its backup.json says", stream.size)));
    }
    let folder = backup_dir.join(format!("{RECEIVING}{id}"));
    crate::disk::below::remove(backup_dir, &folder)?;
    DirBuilder::new().mode(0o700).create(&folder).map_err(at(&folder))?;
    for file in named.keys().filter(|file| *file != Path::new(name) && *file != Path::new(card::NAME)) {
        // A folder's files are its own, and one of a stream has no folders in it.
        let [Component::Normal(_)] = file.components().collect::<Vec<_>>()[..] else {
            return Err(unproved("its manifest names a file of a folder in it"));
        };
        let name = file.to_str().ok_or_else(|| unproved("its manifest names a file that is no text"))?;
        let bytes =
            bucket.read(&key(name), MAX_METADATA)?.ok_or_else(|| unproved(&format!("its '{name}' is missing")))?;
        if !is_named(name, &bytes) {
            return Err(unproved(&format!("its '{name}' is not the one that its manifest names")));
        }
        write(&folder, name, &bytes)?;
    }
    write(&folder, card::NAME, &text)?;
    write(&folder, manifest::NAME, &sealed)?;
    Note::new(remote.clone(), card.uuid.clone(), stream.size).write(&folder).map_err(at(&folder))?;
    let whole = backup_dir.join(id.as_str());
    if fs::symlink_metadata(&whole).is_ok() {
        return Err(io::Error::other(format!("'{}' is there already", whole.display())).into());
    }
    fs::rename(&folder, &whole).map_err(at(&whole))?;
    File::open(backup_dir).and_then(|dir| dir.sync_all()).map_err(at(backup_dir))?;
    Ok(card)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = folder.join(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path).map_err(at(&path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(&path))
}
