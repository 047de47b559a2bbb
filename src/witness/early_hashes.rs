//! The files of a backup are hashed while the tool still writes others.
//!
//! A hash needs a processor, and a tool that copies waits for the disk more than half of its time. What has not changed between two looks
//! is taken to be finished, and hashed; and its hash is good for the manifest if at the end the file is still what it was then, by its
//! inode, its size and the times of its last change. A change within the clock tick of the one before it keeps the time (some 4 ms, up to
//! Linux 6.12), so the two looks are farther apart than that. A file that was taken for finished and was not is hashed again at the end.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::hashed::{Hash, Hashed, Stamp};
use super::manifest;
use crate::disk::workers;

/// How long to wait between two looks, at the least.
const PAUSE: Duration = Duration::from_millis(50);
/// How many times as long as a look takes: with many tables a look costs something too.
const REST: u32 = 10;

/// Hashes until it is ended, or dropped.
#[derive(Debug)]
pub struct HashingAhead {
    until_dropped: Sender<()>,
    thread: JoinHandle<Hashed>,
    _breaks_off: DropGuard,
}

impl HashingAhead {
    /// Begins, with whatever is or will be in the backup's folder; on a runtime of tokio. `shutdown` breaks it off.
    pub fn begin(dir: PathBuf, shutdown: &CancellationToken) -> Self {
        let (until_dropped, over) = mpsc::channel::<()>();
        let stop = shutdown.child_token();
        let breaks_off = stop.clone().drop_guard();
        let thread = spawn_blocking(move || {
            let (mut seen, mut hashed) = (HashMap::new(), Hashed::default());
            let mut pause = PAUSE;
            while over.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let begun = Instant::now();
                let finished = look(&dir, &mut seen, &hashed);
                pause = PAUSE.max(begun.elapsed() * REST);
                add(&mut hashed, &dir, finished, &stop);
            }
            hashed
        });
        Self { until_dropped, thread, _breaks_off: breaks_off }
    }

    /// Ends, with what has been begun.
    pub async fn end(self) -> Hashed {
        drop(self.until_dropped);
        self.thread.await.unwrap_or_default()
    }
}

/// The files that are as they were at the look before and have no hash yet.
fn look(dir: &Path, seen: &mut HashMap<PathBuf, Stamp>, hashed: &Hashed) -> Vec<(PathBuf, Stamp)> {
    // The tool may not have made it yet.
    let Ok(now) = manifest::stamped(dir) else { return Vec::new() };
    let before = std::mem::replace(seen, now);
    let is_finished = |(path, stamp): &(&PathBuf, &Stamp)| {
        before.get(*path) == Some(*stamp) && hashed.of(path, **stamp).is_none() && stamp.size() > 0
    };
    seen.iter().filter(is_finished).map(|(path, stamp)| (path.clone(), *stamp)).collect()
}

/// Hashes these too. What cannot be read, or is gone, is looked at again at the end, and told of then.
fn add(hashed: &mut Hashed, dir: &Path, finished: Vec<(PathBuf, Stamp)>, stop: &CancellationToken) {
    let one = |(path, stamp): &(PathBuf, Stamp)| Ok::<_, io::Error>(hash(&dir.join(path), *stamp, stop).ok());
    let done = workers::each(manifest::threads(), &finished, one).unwrap_or_default();
    for ((path, stamp), hash) in finished.into_iter().zip(done) {
        if let Some(hash) = hash {
            hashed.insert(path, stamp, hash);
        }
    }
}

/// The hash of a file, if it was what the stamp says from the first byte to the last.
fn hash(path: &Path, stamp: Stamp, stop: &CancellationToken) -> io::Result<Hash> {
    let file = File::open(path)?;
    let is_same = || file.metadata().map(|there| Stamp::of(&there) == stamp);
    let other = || io::Error::other("it is being written");
    if !is_same()? {
        return Err(other());
    }
    let hash = manifest::hash_of(&file, stop)?;
    if is_same()? { Ok(hash) } else { Err(other()) }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use std::path::{Path, PathBuf};

    use tokio_util::sync::CancellationToken;

    use super::{Hashed, HashingAhead, Stamp, add, hash, look};
    use crate::witness::manifest;

    fn stamp(path: &Path) -> Stamp {
        Stamp::of(&fs::metadata(path).unwrap())
    }

    #[test]
    fn what_changes_between_two_looks_is_not_finished() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.ibd");
        let (mut seen, mut hashed) = (std::collections::HashMap::new(), Hashed::default());
        assert!(look(&dir.path().join("not yet"), &mut seen, &hashed).is_empty());
        fs::write(&path, "some").unwrap();
        fs::write(dir.path().join("nothing.frm"), "").unwrap();
        assert_eq!(look(dir.path(), &mut seen, &hashed), [], "seen once");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        assert_eq!(look(dir.path(), &mut seen, &hashed), [], "it has grown");
        let finished = look(dir.path(), &mut seen, &hashed);
        assert_eq!(finished, [(PathBuf::from("orders.ibd"), stamp(&path))]);
        hashed.insert("orders.ibd".into(), stamp(&path), "its hash".to_owned());
        assert_eq!(look(dir.path(), &mut seen, &hashed), [], "it has its hash");
    }

    /// A file that was written again after it was hashed, also one of the same size, is hashed again.
    #[test]
    fn a_manifest_has_the_hash_of_what_is_there_in_the_end() {
        let stop = CancellationToken::new();
        for later in ["", "other", "changed", "replaced"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("ib_logfile0");
            fs::write(&path, "first").unwrap();
            let then = stamp(&path);
            let mut hashed = Hashed::default();
            hashed.insert("ib_logfile0".into(), then, "e".repeat(64));
            if later == "replaced" {
                fs::write(dir.path().join("new"), "first").unwrap();
                fs::rename(dir.path().join("new"), &path).unwrap();
            } else if !later.is_empty() {
                // The clock may not have ticked since.
                while stamp(&path) == then {
                    fs::write(&path, later).unwrap();
                }
            }
            manifest::write(dir.path(), &hashed, &stop).unwrap();
            let text = fs::read(dir.path().join(manifest::NAME)).unwrap();
            let taken = manifest::parse(&text).unwrap().remove(Path::new("ib_logfile0")).unwrap();
            assert_eq!(taken == "e".repeat(64), later.is_empty(), "{later}");
            assert_eq!(hash(&path, then, &stop).is_ok(), later.is_empty(), "{later}");
        }
    }

    #[tokio::test]
    async fn it_ends_at_once_and_is_broken_off_by_a_daemon_that_stops() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        fs::write(&path, "abc").unwrap();
        let stop = CancellationToken::new();
        for name in [".", "not yet"] {
            HashingAhead::begin(dir.path().join(name), &stop).end().await;
        }
        let hash_of = |stop: &CancellationToken| {
            let mut hashed = Hashed::default();
            add(&mut hashed, dir.path(), vec![("abc".into(), stamp(&path)), ("gone".into(), stamp(&path))], stop);
            hashed.of(Path::new("abc"), stamp(&path)).cloned()
        };
        // "abc", from FIPS 180-2, appendix B.1.
        let wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash_of(&stop).as_deref(), Some(wanted));
        stop.cancel();
        assert_eq!(hash_of(&stop), None);
    }
}
