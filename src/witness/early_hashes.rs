//! The files of a backup are hashed while the tool still writes others.
//!
//! A hash needs a processor, and a tool that copies waits for the disk more than half of its time. What has not changed between two looks
//! is taken to be finished, and hashed; and its hash is good for the manifest if at the end the file is still what it was then, by its
//! inode, its size and the times of its last change. A change within the clock tick of the one before it keeps the time (some 4 ms, up to
//! Linux 6.12), so the two looks are farther apart than that. A file that was taken for finished and was not is hashed again at the end; so
//! that no long one is hashed twice, the tool must have closed it.
//!
//! The threads that hash are the nicest there are: where the tool has work for all processors, it is the tool that the backup waits for.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::setpriority_process;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::hashed::{Hash, Hashed, Stamp};
use super::manifest;
use crate::disk::workers;

/// How long to wait between two looks, at the least.
const PAUSE: Duration = Duration::from_millis(50);
/// How many times as long as a look takes: with many tables a look costs something too.
const REST: u32 = 10;
/// How long a file is that takes its time to hash, in bytes: one is not begun while the tool has it open.
const LONG: u64 = 1 << 20;
/// What a thread is set to that takes only what others leave (setpriority(2): of threads, on Linux).
const NICEST: i32 = 19;

/// Hashes until it is ended, or dropped.
#[derive(Debug)]
pub struct HashingAhead {
    until_dropped: Sender<()>,
    hashed: oneshot::Receiver<Hashed>,
    _breaks_off: DropGuard,
}

impl HashingAhead {
    /// Begins, with whatever is or will be in the backup's folder, where this process writes. `shutdown` breaks it off.
    pub fn begin(dir: PathBuf, tool: u32, shutdown: &CancellationToken) -> Self {
        let (until_dropped, over) = mpsc::channel::<()>();
        let (tell, hashed) = oneshot::channel();
        let stop = shutdown.child_token();
        let breaks_off = stop.clone().drop_guard();
        // One of its own, which nobody has to make less nice again: only root may. Where there is none, all is hashed at the end.
        let _none = thread::Builder::new().spawn(move || {
            // What it starts is as nice.
            let _as_it_was = setpriority_process(None, NICEST);
            let (mut seen, mut hashed) = (HashMap::new(), Hashed::default());
            let mut pause = PAUSE;
            while over.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let begun = Instant::now();
                let finished = look(&dir, tool, &mut seen, &hashed);
                pause = PAUSE.max(begun.elapsed() * REST);
                add(&mut hashed, &dir, finished, &stop);
            }
            let _nobody_waits = tell.send(hashed);
        });
        Self { until_dropped, hashed, _breaks_off: breaks_off }
    }

    /// Ends, with what has been begun.
    pub async fn end(self) -> Hashed {
        drop(self.until_dropped);
        self.hashed.await.unwrap_or_default()
    }
}

/// The files that are as they were at the look before and have no hash yet.
fn look(dir: &Path, tool: u32, seen: &mut HashMap<PathBuf, Stamp>, hashed: &Hashed) -> Vec<(PathBuf, Stamp)> {
    // The tool may not have made it yet. A short one that has a hash is looked at again in the end: reading it anew takes no time.
    let Ok(now) = manifest::stamped(dir, |path| !hashed.has_shorter(path, LONG)) else { return Vec::new() };
    let before = std::mem::replace(seen, now);
    let mut written = None;
    let mut is_finished = |(path, stamp): &(&PathBuf, &Stamp)| {
        before.get(*path) == Some(*stamp)
            && hashed.of(path, **stamp).is_none()
            && stamp.size() > 0
            && (stamp.size() < LONG || !written.get_or_insert_with(|| held_by(tool)).contains(&stamp.inode()))
    };
    seen.iter().filter(|file| is_finished(file)).map(|(path, stamp)| (path.clone(), *stamp)).collect()
}

/// The files that a process has open, by their numbers; none if that cannot be told, or it has ended.
fn held_by(process: u32) -> HashSet<(u64, u64)> {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| fs::metadata(entry.path()).ok()).map(|there| (there.dev(), there.ino())).collect()
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

    use super::{Hashed, HashingAhead, LONG, Stamp, add, hash, look};
    use crate::witness::manifest;

    fn stamp(path: &Path) -> Stamp {
        Stamp::of(&fs::metadata(path).unwrap())
    }

    #[test]
    fn what_changes_between_two_looks_is_not_finished() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.ibd");
        let (mut seen, mut hashed) = (std::collections::HashMap::new(), Hashed::default());
        assert!(look(&dir.path().join("not yet"), 0, &mut seen, &hashed).is_empty());
        fs::write(&path, "some").unwrap();
        fs::write(dir.path().join("nothing.frm"), "").unwrap();
        assert_eq!(look(dir.path(), 0, &mut seen, &hashed), [], "seen once");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        assert_eq!(look(dir.path(), 0, &mut seen, &hashed), [], "it has grown");
        let finished = look(dir.path(), 0, &mut seen, &hashed);
        assert_eq!(finished, [(PathBuf::from("orders.ibd"), stamp(&path))]);
        hashed.insert("orders.ibd".into(), stamp(&path), "its hash".to_owned());
        assert_eq!(look(dir.path(), 0, &mut seen, &hashed), [], "it has its hash");
    }

    #[test]
    fn a_long_file_is_not_finished_while_the_tool_has_it_open() {
        let dir = tempfile::tempdir().unwrap();
        let long = fs::File::create(dir.path().join("orders.ibd")).unwrap();
        let short = fs::File::create(dir.path().join("orders.frm")).unwrap();
        long.set_len(LONG).unwrap();
        short.set_len(LONG - 1).unwrap();
        let (mut seen, hashed) = (std::collections::HashMap::new(), Hashed::default());
        let mut names = |process| {
            let found = look(dir.path(), process, &mut seen, &hashed);
            let mut names = found.iter().map(|(path, _)| path.display().to_string()).collect::<Vec<_>>();
            names.sort();
            names
        };
        assert_eq!(names(std::process::id()), [""; 0]);
        assert_eq!(names(std::process::id()), ["orders.frm"]);
        drop(long);
        assert_eq!(names(std::process::id()), ["orders.frm", "orders.ibd"]);
        assert_eq!(names(0), ["orders.frm", "orders.ibd"], "nobody knows who writes");
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
            HashingAhead::begin(dir.path().join(name), 0, &stop).end().await;
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
