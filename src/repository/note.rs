//! `repository.json`: that a backup was sent to a repository, and to which one. A file in its folder beside the manifest, not covered by it:
//! it may come later, and says nothing of the backup's content.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::disk::links::is_daemons;
use crate::model::{Moment, Remote};

/// Its name in a backup's folder.
pub const NAME: &str = "repository.json";

/// The format that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// A note is smaller than this, in bytes.
const MAX_SIZE: u64 = 64 * 1024;

/// That a backup is whole in a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// How this document is laid out: 1.
    format: u32,
    /// Where it is.
    pub repository: Remote,
    /// The backup's own uuid, under which its files are there.
    pub uuid: String,
    /// How long its stream is there, in bytes.
    pub size: u64,
    /// When it was whole there: UTC.
    pub sent: String,
}

impl Note {
    /// A note of now.
    pub fn new(repository: Remote, uuid: String, size: u64) -> Self {
        Self { format: FORMAT, repository, uuid, size, sent: Moment::now().to_string() }
    }

    /// Reads the note in a backup's folder. None if it has none, or one that others than the daemon's own user and root can have written:
    /// a note names a host that is spoken to.
    pub fn read(folder: &Path) -> Option<Self> {
        let dir = openat(CWD, folder, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&dir, NAME, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT | _) => return None,
        };
        let above = openat(&dir, "..", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        if !(is_daemons(&dir, &above).ok()? && is_daemons(&file, &above).ok()?) {
            return None;
        }
        let file = File::from(file);
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut text = Vec::new();
        file.take(MAX_SIZE).read_to_end(&mut text).ok()?;
        serde_json::from_slice::<Self>(&text).ok().filter(|note| note.format <= FORMAT)
    }

    /// Writes it into a backup's folder, to the disk.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(io::Error::other)? + "\n";
        let (new, path) = (folder.join(format!(".{NAME}.part")), folder.join(NAME));
        match fs::remove_file(&new) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::{NAME, Note};
    use crate::model::Remote;

    fn note() -> Note {
        let place = Remote {
            bucket: "backups".to_owned(),
            prefix: "db1".to_owned(),
            endpoint: Some("https://s3.example.com".to_owned()),
            region: None,
            path_style: true,
            ca: Some("/ca.pem".into()),
            credentials: Some("/secret".into()),
        };
        Note::new(place, "u".to_owned(), 7)
    }

    #[test]
    fn a_note_says_where_and_neither_who_nor_by_whose_word() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Note::read(dir.path()), None);
        note().write(dir.path()).unwrap();
        note().write(dir.path()).unwrap();
        let read = Note::read(dir.path()).unwrap();
        assert_eq!((read.repository.to_string(), read.size), ("s3://backups/db1".to_owned(), 7));
        assert_eq!((read.repository.ca, read.repository.credentials), (None, None));
        let text = fs::read_to_string(dir.path().join(NAME)).unwrap();
        assert!(!text.contains("secret"), "{text}");
    }

    /// An operator who is root asks for what the daemon's user has written.
    #[test]
    fn root_reads_the_notes_of_the_daemons_user_and_of_nobody_else() {
        use std::os::unix::fs::chown;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("full-1");
        fs::create_dir(&folder).unwrap();
        note().write(&folder).unwrap();
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: not root");
            return;
        }
        let owned = |above, inside| {
            chown(dir.path(), Some(above), None).unwrap();
            chown(&folder, Some(inside), None).unwrap();
            chown(folder.join(NAME), Some(inside), None).unwrap();
            Note::read(&folder).is_some()
        };
        assert!(owned(107, 107) && owned(107, 0));
        assert!(!owned(107, 1000) && !owned(0, 1000));
    }

    #[test]
    fn a_note_that_others_can_have_written_is_none() {
        let dir = tempfile::tempdir().unwrap();
        note().write(dir.path()).unwrap();
        fs::set_permissions(dir.path().join(NAME), fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(Note::read(dir.path()), None);
    }
}
