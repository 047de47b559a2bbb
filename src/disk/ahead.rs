//! What a tool writes is written to the disk while the tool goes on.
//!
//! A tool syncs nothing, and a machine with memory to spare writes none of a gigabyte before it is asked to: the disk has nothing to do
//! until the tool has ended, and then all of it at once. So the files that have grown are looked for and synced meanwhile, one after the
//! other. It costs the tool little, and the sync at the end has little left to do.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use tokio::task::{JoinHandle, spawn_blocking};

/// By how much a file must have grown to be worth a sync, in bytes.
const WORTH: u64 = 16 << 20;
/// How long to wait between two looks, at the least.
const PAUSE: Duration = Duration::from_millis(100);
/// How many times as long as a look takes: with many tables a look costs something too.
const REST: u32 = 10;

/// Writes ahead until it is ended, or dropped.
#[derive(Debug)]
pub struct WritingAhead {
    until_dropped: Sender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl WritingAhead {
    /// Begins, with whatever is or will be below `dir`; on a runtime of tokio.
    pub fn begin(dir: PathBuf) -> Self {
        let (until_dropped, over) = mpsc::channel::<()>();
        let thread = spawn_blocking(move || {
            let mut synced = HashMap::new();
            let mut pause = PAUSE;
            while over.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let begun = Instant::now();
                let grown = grown(&dir, &mut synced)?;
                pause = PAUSE.max(begun.elapsed() * REST);
                for path in grown {
                    sync(&path)?;
                    if over.try_recv() == Err(mpsc::TryRecvError::Disconnected) {
                        return Ok(());
                    }
                }
            }
            Ok(())
        });
        Self { until_dropped, thread }
    }

    /// Ends, and tells of what the disk did not take: whoever syncs the same file later is not told again.
    ///
    /// # Errors
    /// The system's.
    pub async fn end(self) -> io::Result<()> {
        drop(self.until_dropped);
        self.thread.await.unwrap_or_else(|why| Err(io::Error::other(why)))
    }
}

/// The files below `dir` that have grown by enough since they were last given.
fn grown(dir: &Path, synced: &mut HashMap<PathBuf, u64>) -> io::Result<Vec<PathBuf>> {
    let (mut found, mut open) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = open.pop() {
        let Some(entries) = unless_not_ours(fs::read_dir(&dir))? else { continue };
        for entry in entries {
            let Some(entry) = unless_not_ours(entry)? else { continue };
            let Some(there) = unless_not_ours(entry.metadata())? else { continue };
            let path = entry.path();
            if there.is_dir() {
                open.push(path);
            } else if there.is_file() && there.len() >= WORTH + synced.get(&path).copied().unwrap_or_default() {
                synced.insert(path.clone(), there.len());
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn sync(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options.read(true).custom_flags(flags.bits().cast_signed()).open(path);
    unless_not_ours(file)?.map_or(Ok(()), |file| file.sync_data())
}

/// Files come and go while they are looked at, and what this user may not read, such as the `lost+found` of a data directory, is nothing that
/// its tool has written.
fn unless_not_ours<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(None),
        Err(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use super::{WORTH, WritingAhead, grown};

    #[test]
    fn files_that_have_grown_are_found_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shop/orders.ibd");
        fs::create_dir(dir.path().join("shop")).unwrap();
        let file = File::create(&path).unwrap();
        fs::write(dir.path().join("small"), "small").unwrap();
        symlink(&path, dir.path().join("link")).unwrap();
        let mut synced = std::collections::HashMap::new();
        for (length, is_found) in [(WORTH - 1, false), (WORTH, true), (WORTH + 1, false), (2 * WORTH, true)] {
            file.set_len(length).unwrap();
            let found = grown(dir.path(), &mut synced).unwrap();
            assert_eq!(found, is_found.then(|| path.clone()).into_iter().collect::<Vec<_>>(), "{length} bytes");
        }
        assert!(grown(&dir.path().join("not yet"), &mut synced).unwrap().is_empty());
    }

    #[test]
    fn what_may_not_be_read_is_nobodys_failure() {
        let denied = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        assert!(super::unless_not_ours(Err::<(), _>(denied())).unwrap().is_none());
        assert!(super::unless_not_ours(Err::<(), _>(std::io::Error::from_raw_os_error(5))).is_err());
    }

    #[tokio::test]
    async fn it_ends_at_once_and_tells_of_what_it_could_not_read() {
        let dir = tempfile::tempdir().unwrap();
        WritingAhead::begin(dir.path().join("not yet")).end().await.unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "no directory").unwrap();
        let ahead = WritingAhead::begin(file);
        while !ahead.thread.is_finished() {
            tokio::task::yield_now().await;
        }
        assert!(ahead.end().await.is_err());
    }
}
