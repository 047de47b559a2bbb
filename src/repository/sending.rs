//! A backup sent to a repository: its stream, the files that describe it, and last its `backup.json`, without which there is none.
//!
//! Whatever dies in between, the same again goes on from there: what is there whole is not sent again, and every key is below the backup's
//! own uuid, so that nothing of another backup is overwritten. `backup.json` alone has a key that two backups of one id would share, and
//! the first takes it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::card::{self, Card, CardError, Form};
use super::journal::Entry;
use super::note::Note;
use crate::bucket::{Bucket, BucketError, Class};
use crate::model::{BackupId, at};
use crate::witness::manifest;

/// How much is read at once, in bytes.
const PIECE: usize = 1 << 20;

/// The most that a file of a backup's metadata has, in bytes.
pub const MAX_METADATA: u64 = 64 << 20;

/// Why a backup is not in the repository.
#[derive(Debug, Error)]
pub enum SendingError {
    /// It is none that can be sent.
    #[error("'{}' cannot be sent: {why}", folder.display())]
    Unfit {
        /// Its folder.
        folder: PathBuf,
        /// Why.
        why: String,
    },
    /// What it says of itself cannot be read.
    #[error(transparent)]
    Card(#[from] CardError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The store's.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The repository has another backup of this id.
    #[error("the repository has another backup with id {id}: '{key}' was there before, of {whose}")]
    Taken {
        /// The id.
        id: String,
        /// The key that has it.
        key: String,
        /// Whose it is.
        whose: String,
    },
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// How long the stream is, in bytes.
    pub size: u64,
    /// How many bytes of it were sent now: none if it was there.
    pub sent: u64,
}

/// Sends what is missing of the backup in `folder`, and writes its note.
///
/// # Errors
/// It is none of ours, is damaged, or the store's; nothing that counts as a backup is there then, unless it was before.
pub fn send(bucket: &Bucket, backup_dir: &Path, id: &BackupId) -> Result<Sent, SendingError> {
    let folder = backup_dir.join(id.as_str());
    let unfit = |why: &str| SendingError::Unfit { folder: folder.clone(), why: why.to_owned() };
    let (card, is_vouched) = Card::read_vouched(&folder)?.ok_or_else(|| unfit("it has no backup.json"))?;
    if !is_vouched {
        return Err(unfit("others than the daemon's user and root may have written it"));
    }
    if card.id != id.as_str() {
        return Err(unfit("its backup.json is another backup's"));
    }
    let Form::Stream { name, stored_size, .. } = &card.form else {
        return Err(unfit("it is a directory, and streams alone are sent"));
    };
    let path = folder.join(manifest::NAME);
    let sealed = fs::read(&path).map_err(at(&path))?;
    let named = manifest::parse(&sealed).ok_or_else(|| unfit("its manifest is damaged"))?;
    let hash = named.get(Path::new(name)).ok_or_else(|| unfit("its manifest does not name its stream"))?;
    if !named.contains_key(Path::new(card::NAME)) {
        return Err(unfit("its manifest does not name its backup.json"));
    }
    let remote = bucket.remote();
    Entry::new(id, &card.uuid, remote).write(backup_dir).map_err(at(backup_dir))?;
    let sent = stream(bucket, &remote.file(id, &card.uuid, name), &folder.join(name), (hash, *stored_size, id))?;
    abort_what_is_left(bucket, &remote.file(id, &card.uuid, ""));
    for file in named.keys().filter(|file| *file != Path::new(name) && *file != Path::new(card::NAME)) {
        let (Some(name), path) = (file.to_str(), folder.join(file)) else { continue };
        bucket.put(&remote.file(id, &card.uuid, name), &fs::read(&path).map_err(at(&path))?)?;
    }
    bucket.put(&remote.file(id, &card.uuid, manifest::NAME), &sealed)?;
    let path = folder.join(card::NAME);
    publish(bucket, id, &fs::read(&path).map_err(at(&path))?)?;
    Note::new(remote.clone(), card.uuid, sent.size).write(&folder).map_err(at(&folder))?;
    Ok(sent)
}

/// Aborts the uploads that a sender that was killed, or an answer that was lost, has left of a backup whose stream is there whole: nobody
/// completes them, and the store keeps their parts, and their price. What cannot be listed or aborted is no reason to send nothing.
fn abort_what_is_left(bucket: &Bucket, below: &str) {
    for upload in bucket.uploads(below).unwrap_or_default() {
        let _stays = bucket.abort(&upload);
    }
}

/// Writes `backup.json`, if the id is free there.
///
/// `If-None-Match: *` takes it once. A store that does not heed that, as Ceph's gateway in a bucket with versions (seen with 18.2.7), is looked at
/// before: there two hosts that take one id in the same moment are not told.
fn publish(bucket: &Bucket, id: &BackupId, text: &[u8]) -> Result<(), SendingError> {
    let key = bucket.remote().card(id);
    let taken = |there: &[u8]| SendingError::Taken { id: id.to_string(), key: key.clone(), whose: whose(there) };
    match bucket.read(&key, card::MAX_SIZE)? {
        Some(there) if there == text => return Ok(()),
        Some(there) => return Err(taken(&there)),
        None => {}
    }
    match bucket.put_new(&key, text) {
        Err(why) if why.class == Class::Taken => Err(taken(&bucket.read(&key, card::MAX_SIZE)?.unwrap_or_default())),
        done => Ok(done?),
    }
}

/// Whose backup this is the `backup.json` of, for people.
fn whose(text: &[u8]) -> String {
    let card = Card::parse(text).ok();
    card.map_or_else(
        || "nobody knows whom".to_owned(),
        |card| format!("a server with its data in '{}', begun {} UTC", card.server.data_dir.display(), card.start),
    )
}

/// Sends the stream, unless it is there: as long as it is, or, where it is not here, as it was counted when it was sent.
fn stream(
    bucket: &Bucket,
    key: &str,
    path: &Path,
    (hash, wanted, id): (&str, Option<u64>, &BackupId),
) -> Result<Sent, SendingError> {
    let there = bucket.look(key)?;
    let size = match fs::symlink_metadata(path) {
        Ok(here) => here.len(),
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            let whole = there.filter(|there| wanted.is_none_or(|wanted| wanted == there.size));
            let none = || SendingError::Unfit {
                folder: path.to_owned(),
                why: "it is neither here nor, whole, in the repository".to_owned(),
            };
            return whole.map(|there| Sent { size: there.size, sent: 0 }).ok_or_else(none);
        }
        Err(why) => return Err(at(path)(why).into()),
    };
    if there.is_some_and(|there| there.size == size) {
        return Ok(Sent { size, sent: 0 });
    }
    let mut upload = bucket.upload(key, size)?;
    let (mut file, mut hasher, mut piece) = (File::open(path).map_err(at(path))?, Sha256::new(), vec![0; PIECE]);
    loop {
        let read = file.read(&mut piece).map_err(at(path))?;
        let bytes = piece.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        hasher.update(bytes);
        upload.write_all(bytes)?;
    }
    if manifest::hexadecimal(&hasher.finalize()) != hash {
        let why = format!("its stream is not what it was when it was sealed: verify {id}");
        return Err(SendingError::Unfit { folder: path.to_owned(), why });
    }
    Ok(Sent { size: upload.finish()?, sent: size })
}

/// Removes what is in the repository of the backup whose own uuid this is: first its `backup.json`, if that is its; then the rest. Gives what
/// could not be removed.
///
/// # Errors
/// The store's, where it cannot even be asked.
pub fn erase(bucket: &Bucket, id: &BackupId, uuid: &str) -> Result<Vec<BucketError>, BucketError> {
    let remote = bucket.remote();
    let (key, below) = (remote.card(id), remote.file(id, uuid, ""));
    let mut left = Vec::new();
    let card = bucket.read(&key, card::MAX_SIZE)?;
    if card.and_then(|text| Card::parse(&text).ok()).is_some_and(|card| card.uuid == uuid)
        && let Err(why) = bucket.remove(&key)
    {
        // With it, what it names has to stay.
        return Ok(vec![why]);
    }
    // Before the list: a part that comes late belongs to an upload, and no upload is completed after it was aborted.
    match bucket.uploads(&below) {
        Ok(uploads) => left.extend(uploads.iter().filter_map(|upload| bucket.abort(upload).err())),
        Err(why) => left.push(why),
    }
    left.extend(bucket.objects(&below)?.iter().filter_map(|object| bucket.remove(&object.key).err()));
    Ok(left)
}
