//! What a tool writes is sent to the disk while the tool goes on.
//!
//! A tool syncs nothing, and a machine with memory to spare writes none of a gigabyte before it is asked to: the disk has nothing to do
//! until the tool has ended, and then all of it at once. So the files that have grown are looked for, and what they have grown by is sent
//! on its way: `posix_fadvise` with `POSIX_FADV_DONTNEED` begins to write the dirty pages of a range and waits for none of them
//! (`mm/fadvise.c` of Linux). That drops only what is written already, and what has just grown is not. It commits nothing to the file
//! system's journal and tells of no error: the sync at the end does, and has little left to do.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, OFlags, fadvise};
use tokio::task::{JoinHandle, spawn_blocking};

/// By how much a file must have grown to be worth it, in bytes.
const WORTH: u64 = 16 << 20;
/// How long to wait between two looks, at the least.
const PAUSE: Duration = Duration::from_millis(100);
/// How many times as long as a look takes: with many tables a look costs something too.
const REST: u32 = 10;

/// Writes ahead until it is ended, or dropped.
#[derive(Debug)]
pub struct WritingAhead {
    until_dropped: Sender<()>,
    thread: JoinHandle<()>,
}

/// What a file has grown by: up to how many bytes, and from how many on.
#[derive(Debug, PartialEq, Eq)]
struct Grown {
    path: PathBuf,
    from: u64,
    to: u64,
}

impl WritingAhead {
    /// Begins, with whatever is or will be below `dir`; on a runtime of tokio.
    pub fn begin(dir: PathBuf) -> Self {
        let (until_dropped, over) = mpsc::channel::<()>();
        let thread = spawn_blocking(move || {
            let mut sent = HashMap::new();
            let mut pause = PAUSE;
            while over.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let begun = Instant::now();
                for grown in look(&dir, &mut sent) {
                    // What cannot be opened is the sync's to tell of, at the end.
                    let _told_then = send(&grown);
                }
                pause = PAUSE.max(begun.elapsed() * REST);
            }
        });
        Self { until_dropped, thread }
    }

    /// Ends.
    pub async fn end(self) {
        drop(self.until_dropped);
        let _nothing_depends_on_it = self.thread.await;
    }
}

/// The files below `dir` that have grown by enough since they were last given. They come and go meanwhile, and what this user may not
/// read, such as the `lost+found` of a data directory, is nothing that its tool has written.
fn look(dir: &Path, sent: &mut HashMap<PathBuf, u64>) -> Vec<Grown> {
    let (mut found, mut open) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = open.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let Ok(there) = entry.metadata() else { continue };
            let (path, to) = (entry.path(), there.len());
            let from = sent.get(&path).copied().unwrap_or_default();
            if there.is_dir() {
                open.push(path);
            } else if there.is_file() && to >= WORTH + from {
                sent.insert(path.clone(), to);
                found.push(Grown { path, from, to });
            }
        }
    }
    found
}

fn send(grown: &Grown) -> io::Result<()> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(&grown.path)?;
    begin_writing(&file, grown.from, grown.to)
}

/// Has what is in a file from one byte on, up to another, written to the disk, and does not wait for it: it is the caller's to sync.
///
/// # Errors
/// Those of the call, not of the disk.
pub fn begin_writing(file: &File, from: u64, to: u64) -> io::Result<()> {
    Ok(fadvise(file, from, NonZeroU64::new(to.saturating_sub(from)), Advice::DontNeed)?)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use super::{Grown, WORTH, WritingAhead, look, send};

    #[test]
    fn files_that_have_grown_are_found_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shop/orders.ibd");
        fs::create_dir(dir.path().join("shop")).unwrap();
        let file = File::create(&path).unwrap();
        fs::write(dir.path().join("small"), "small").unwrap();
        symlink(&path, dir.path().join("link")).unwrap();
        let mut sent = std::collections::HashMap::new();
        for (to, from) in [(WORTH - 1, None), (WORTH, Some(0)), (WORTH + 1, None), (2 * WORTH, Some(WORTH))] {
            file.set_len(to).unwrap();
            let found = look(dir.path(), &mut sent);
            let wanted = from.map(|from| Grown { path: path.clone(), from, to });
            assert_eq!(found, wanted.into_iter().collect::<Vec<_>>(), "{to} bytes");
            found.iter().try_for_each(send).unwrap();
        }
        assert!(look(&dir.path().join("not yet"), &mut sent).is_empty());
    }

    #[tokio::test]
    async fn it_ends_at_once_whether_there_is_something_or_not() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["file", "not yet"] {
            fs::write(dir.path().join("file"), "no directory").unwrap();
            WritingAhead::begin(dir.path().join(name)).end().await;
        }
    }
}
