//! `backup.json`: what a backup says of itself, beside its data and covered by its manifest.
//!
//! In: what is known of a backup when it is whole. Out: a document with which, and the data alone, its chain can be found, understood and
//! checked. It holds no secret, and beside an encrypted stream no name of a table that can be read. A field that is not known is passed over;
//! a format that is not known is refused. What a predecessor took, or this daemon before there were cards, has none.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::history::{Descent, Mark, Traces};
use crate::age::{Identity, Recipient};
use crate::disk::links::is_own;
use crate::model::{Footprint, Lsn};
use crate::server::Server;
use crate::witness::Binlog;
use crate::witness::imported::Imported;
use crate::witness::young::Names;

/// Its name in a backup's folder.
pub const NAME: &str = "backup.json";

/// The format that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// A card is smaller than this, in bytes.
pub(crate) const MAX_SIZE: u64 = 1024 * 1024;

/// Why a card is not believed.
#[derive(Debug, Error)]
pub enum CardError {
    /// It is there and cannot be read.
    #[error("'{}' cannot be read", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said, or what is wrong in it.
        #[source]
        source: io::Error,
    },
    /// It is of a format that came later.
    #[error("'{}' has format {format}, but this program knows only up to {FORMAT}: use a newer dbcalm-db-cmd", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
}

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// How this document is laid out: 1.
    pub format: u32,
    /// The backup's id, which may be used again once it is removed.
    pub id: String,
    /// The backup's own, which no other ever has.
    pub uuid: String,
    /// What kind of backup it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What an incremental was taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Base>,
    /// The schedule that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_id: Option<i64>,
    /// When it was begun: UTC, as in the records.
    pub start: String,
    /// When its tool had ended: UTC, as in the records.
    pub end: String,
    /// `mariadb` or `mysql`.
    pub db_type: String,
    /// The server, as it described itself.
    pub server: Server,
    /// The version of the tool that took it.
    pub tool_version: String,
    /// What the tool calls the backup in its own metadata. None if it does not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_uuid: Option<String>,
    /// Its log sequence numbers.
    pub lsn: Lsns,
    /// The server's place in its binary log at the backup's end. None if it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binlog: Option<Binlog>,
    /// In which form it lies here.
    pub form: Form,
    /// What it left in the server's data directory.
    pub history: Trace,
    /// The pages that were imported before it began, by which a later import is known.
    #[serde(default, skip_serializing_if = "Imported::is_empty")]
    pub imported: Imported,
    /// Where the tablespaces are that were made or renamed since the server's last checkpoint, by which a renaming of a young one is known. Beside an
    /// encrypted stream their names are hidden.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub young: Names,
}

/// What kind a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// All data.
    Full,
    /// What has changed since its base.
    Incremental,
}

/// The base of an incremental.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Its id.
    pub id: String,
    /// Its own uuid. None if it has no card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Whether its mark was found in the server's data directory, so that the server's data descend from it.
    pub proven: bool,
}

/// Log sequence numbers, as in the checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lsns {
    /// 0 for a full backup, the base's `to` for an incremental.
    pub from: Lsn,
    /// Up to which pages were copied.
    pub to: Lsn,
    /// Up to which redo log was copied.
    pub last: Lsn,
}

/// In which form a backup lies in its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Form {
    /// The files themselves.
    Directory {
        /// How long its files are together, in bytes; without this document and the manifest. None in one of before there was this field.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data_size: Option<u64>,
        /// How many they are. None, likewise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        files: Option<u64>,
    },
    /// One file, or one that was forwarded.
    Stream {
        /// Its name.
        name: String,
        /// `none`, `gzip` or `zstd`.
        compression: String,
        /// How that is encrypted. None if it is not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        encryption: Option<Encryption>,
        /// Whether it was forwarded, and lies elsewhere.
        forwarded: bool,
        /// How long it is as it is stored or was forwarded, in bytes. None if that was not found out, as before there was this field.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stored_size: Option<u64>,
        /// The SHA-256 of the same, in hexadecimal digits. None, likewise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
        /// How long it is uncompressed, in bytes. None, likewise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data_size: Option<u64>,
        /// What its files take once they are extracted. None if that was not found out, as before there was this field.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        extracted: Option<Footprint>,
    },
}

/// How a stream is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// `age-v1`.
    pub format: String,
    /// The public keys of those who can read it.
    pub recipients: Vec<String>,
}

impl Encryption {
    /// To these. None if there are none.
    pub fn to(recipients: &[Recipient]) -> Option<Self> {
        let recipients = recipients.iter().map(ToString::to_string).collect::<Vec<_>>();
        (!recipients.is_empty()).then(|| Self { format: "age-v1".to_owned(), recipients })
    }

    /// Whether one of these can read it.
    pub fn is_for(&self, identities: &[Identity]) -> bool {
        identities.iter().any(|identity| self.recipients.contains(&identity.recipient().to_string()))
    }

    /// The public keys, for people.
    pub fn names(&self) -> String {
        let plain = |name: &String| name.escape_debug().to_string();
        self.recipients.iter().map(plain).collect::<Vec<_>>().join(", ")
    }
}

/// What a backup left in the server's data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Whether its mark could be left there.
    pub marked: bool,
    /// At which LSN the server's redo log began. None if its head is of a kind that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redo_begins_at: Option<Lsn>,
}

impl Card {
    /// Reads the card in a backup's folder. None if it has none.
    ///
    /// # Errors
    /// It is there and cannot be read, or is of a newer format.
    pub fn read(folder: &Path) -> Result<Option<Self>, CardError> {
        Ok(Self::read_vouched(folder)?.map(|(card, _)| card))
    }

    /// The same, and whether only the daemon's own user and root can have written it: the folder and the file are theirs, and nobody else
    /// may write to them. In a group's directory anybody of the group makes a folder with a card, which names whatever places it likes.
    ///
    /// # Errors
    /// As [`Card::read`].
    pub fn read_vouched(folder: &Path) -> Result<Option<(Self, bool)>, CardError> {
        let path = folder.join(NAME);
        let unreadable = |source: io::Error| CardError::Unreadable { path: path.clone(), source };
        let (dir, file) = match open(folder) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => return Ok(None),
            Err(why) => return Err(unreadable(why.into())),
        };
        let is_own = is_own(&dir).and_then(|own| Ok(own && is_own(&file)?)).map_err(|why| unreadable(why.into()))?;
        let file = File::from(file);
        let there = file.metadata().map_err(unreadable)?;
        if !there.is_file() || there.len() > MAX_SIZE {
            return Err(unreadable(io::Error::other("it is not a plain file, or is too large")));
        }
        let mut text = Vec::new();
        file.take(MAX_SIZE).read_to_end(&mut text).map_err(unreadable)?;
        Self::parse(&text).map(|card| Some((card, is_own))).map_err(|why| match why {
            Ok(format) => CardError::Newer { path: path.clone(), format },
            Err(why) => unreadable(why.into()),
        })
    }

    /// Reads the text of a card.
    ///
    /// # Errors
    /// A newer format than is known, or what is wrong in the text.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Result<u32, serde_json::Error>> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let head: Head = serde_json::from_slice(text).map_err(Err)?;
        if head.format > FORMAT {
            return Err(Ok(head.format));
        }
        serde_json::from_slice(text).map_err(Err)
    }

    /// Writes it into a backup's folder; it is the caller's to sync.
    ///
    /// # Errors
    /// The system's; there is one already.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(io::Error::other)? + "\n";
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(folder.join(NAME))?;
        file.write_all(text.as_bytes())
    }

    /// The mark that stands for it in a data directory.
    pub fn mark(&self) -> Mark {
        Mark { uuid: self.uuid.clone(), to_lsn: self.lsn.to, id: self.id.clone() }
    }

    /// What its history is known by.
    pub fn left(&self) -> Traces<'_> {
        Traces {
            uuid: &self.uuid,
            tool_uuid: self.tool_uuid.as_deref(),
            is_marked: self.history.marked,
            to_lsn: self.lsn.to,
            redo_begins_at: self.history.redo_begins_at,
        }
    }

    /// What its files take once they are extracted. None if it is no stream, or does not say so.
    pub fn footprint(&self) -> Option<Footprint> {
        match &self.form {
            Form::Directory { .. } => None,
            Form::Stream { extracted, .. } => *extracted,
        }
    }

    /// How its stream is encrypted. None if it is none, or is not encrypted.
    pub fn encryption(&self) -> Option<&Encryption> {
        match &self.form {
            Form::Directory { .. } => None,
            Form::Stream { encryption, .. } => encryption.as_ref(),
        }
    }

    /// It as the base of an incremental.
    pub fn as_base(&self, descent: Descent) -> Base {
        Base { id: self.id.clone(), uuid: Some(self.uuid.clone()), proven: descent == Descent::Proven }
    }
}

/// A folder, and the card in it, held open: whoever exchanges the folder meanwhile exchanges neither.
fn open(folder: &Path) -> Result<(OwnedFd, OwnedFd), Errno> {
    let dir = openat(CWD, folder, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // One that was put there to be waited for, or to lead elsewhere, is not.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(&dir, NAME, flags, Mode::empty())?;
    Ok((dir, file))
}
