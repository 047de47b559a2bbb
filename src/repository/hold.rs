//! A stored backup held while somebody reads it, against its removal: a lock of the kernel's (`flock`), which ends with its process.
//!
//! The daemon's own jobs are known by their claims. This is for those who read without it, such as `verify`; nothing is written for it, and who may not
//! read a backup cannot hold it either.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};

use crate::model::{BackupId, Stored};

/// A backup that is held until this is dropped.
#[derive(Debug)]
pub struct Hold {
    _locked: File,
}

/// What in `backup_dir` is all of a backup: its folder, or the stream of a predecessor.
pub fn whole(backup_dir: &Path, id: &BackupId, stored: &Stored) -> PathBuf {
    let path = stored.path();
    if path.parent() == Some(backup_dir) { path.clone() } else { backup_dir.join(id.as_str()) }
}

/// Holds a backup for reading, beside others who do.
///
/// # Errors
/// The system's; of the kind `WouldBlock` where it is being removed, `NotFound` where it is not there any more.
pub fn read(whole: &Path) -> io::Result<Hold> {
    hold(whole, FlockOperation::NonBlockingLockShared)
}

/// Holds a backup for its removal, alone.
///
/// # Errors
/// As for [`read`]; of the kind `WouldBlock` where somebody reads it.
pub fn remove(whole: &Path) -> io::Result<Hold> {
    hold(whole, FlockOperation::NonBlockingLockExclusive)
}

fn hold(whole: &Path, operation: FlockOperation) -> io::Result<Hold> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let locked = File::from(openat(CWD, whole, flags, Mode::empty())?);
    flock(&locked, operation)?;
    // It may have been renamed since it was opened.
    let (held, there) = (locked.metadata()?, std::fs::symlink_metadata(whole)?);
    if (held.dev(), held.ino()) == (there.dev(), there.ino()) {
        Ok(Hold { _locked: locked })
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;

    use super::{read, remove, whole};
    use crate::model::{Stored, Stream};

    #[test]
    fn who_removes_is_alone_and_who_reads_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let backup = dir.path().join("a");
        assert_eq!(read(&backup).unwrap_err().kind(), ErrorKind::NotFound);
        fs::create_dir(&backup).unwrap();
        let readers = [read(&backup).unwrap(), read(&backup).unwrap()];
        assert_eq!(remove(&backup).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(readers);
        let removed = remove(&backup).unwrap();
        assert_eq!(read(&backup).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(remove(&backup).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(removed);
        read(&backup).unwrap();
    }

    #[test]
    fn a_backup_is_its_folder_or_a_predecessors_stream() {
        let (dir, id) = (std::path::Path::new("/b"), "a".parse().unwrap());
        let stream = |path: &str| {
            Stored::Stream(Stream {
                path: path.into(),
                name: "backup-a.xbstream".to_owned(),
                manifest: None,
                copy: None,
            })
        };
        for (stored, wanted) in [
            (Stored::Directory("/b/a".into()), "/b/a"),
            (stream("/b/a/backup-a.xbstream"), "/b/a"),
            (stream("/b/backup-a.xbstream"), "/b/backup-a.xbstream"),
        ] {
            assert_eq!(whole(dir, &id, &stored), std::path::Path::new(wanted));
        }
    }
}
