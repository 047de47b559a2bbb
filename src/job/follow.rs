//! A step that runs, looked at once a second: how far it is goes to the board and into its row.
//!
//! In: a step, and where it writes. Out: words. It costs a walk over the directory that the step fills, away from what serves clients; it
//! ends with the step, and nothing waits for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::sleep;

use super::progress::{Figures, Meter, Part, Phase, telling};
use super::run::{Current, Job};
use crate::exec::Heard;
use crate::model::{BackupId, Compression, stream_name};
use crate::plan::{End, Step};
use crate::store::Store;
use crate::store::process::Note;
use crate::witness::Proof;

/// How often a step is looked at: once a second, the most that anybody who polls can use.
const EVERY: Duration = Duration::from_secs(1);

/// How long a look may take for that; after one that takes longer comes a pause of [`SELDOM`].
const QUICK: Duration = Duration::from_millis(50);

/// How often a step is looked at where that takes long.
const SELDOM: Duration = Duration::from_secs(5);

/// How long a look may take at all: 2 s. What cannot be measured in that time is not.
const LONGEST: Duration = Duration::from_secs(2);

/// How long the records may take to name the backup before: 1 s, since it is but an estimate.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);

/// A step that is followed, until this is dropped.
#[derive(Debug)]
pub(super) struct Follow {
    task: AbortHandle,
    is_over: Arc<AtomicBool>,
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.task.abort();
    }
}

/// Where it is seen how far a step is.
enum Seen {
    /// By what is below this directory.
    Below(PathBuf, Expected),
    /// By what its program says.
    Words(Heard),
    /// Nowhere.
    Nothing,
}

/// How much a step is expected to write.
#[derive(Debug, Clone)]
enum Expected {
    /// Nobody knows.
    Unknown,
    /// As much as there is here.
    Like(PathBuf),
    /// As much as the full backup before in this directory, if it has the same form: a stream of this name, or none.
    LikeTheLast(PathBuf, Option<Compression>),
}

impl Job {
    /// Follows a step that has been started.
    pub(super) fn follow(&self, step: &Step, current: &Current) -> Follow {
        self.follow_by(current.part, self.seen(step, current.part.phase, &current.heard), current.row)
    }

    /// Follows what comes after the last step: its result is read once more and synced, which may take as long.
    pub(super) fn follow_sealing(&self, current: &Current) -> Follow {
        self.follow_by(Part { phase: Phase::Seal, ..current.part }, Seen::Nothing, current.row)
    }

    fn follow_by(&self, part: Part, seen: Seen, row: i64) -> Follow {
        let say = self.seat.voice();
        say(&part.to_string());
        let is_over = Arc::new(AtomicBool::new(false));
        let (store, command_id) = (self.world.store.clone(), self.command_id.to_string());
        let (is_wanted, over) = (self.config.progress, Arc::clone(&is_over));
        let task = tokio::spawn(async move {
            if is_wanted {
                let tell = |text: String| {
                    say(&text);
                    store.note(Note { row, command_id: command_id.clone(), text });
                };
                watch(part, seen, &store, &over, tell).await;
            }
        });
        Follow { task: task.abort_handle(), is_over }
    }

    fn seen(&self, step: &Step, phase: Phase, heard: &Heard) -> Seen {
        match (&step.proof, &self.plan.end) {
            (Proof::Backup { dir, base, .. }, _) => {
                let streaming = self.config.streaming.as_ref();
                if streaming.is_some_and(|streaming| streaming.forward.is_some()) {
                    // What it writes is elsewhere.
                    return Seen::Nothing;
                }
                let form = streaming.map(|streaming| streaming.compression);
                let expected = match base {
                    None => Expected::LikeTheLast(self.config.backup_dir.clone(), form),
                    Some(_) => Expected::Unknown,
                };
                Seen::Below(dir.clone(), expected)
            }
            (Proof::Copied { copy, member, .. }, _) => {
                let is_compressed = member.extension().is_some_and(|ending| ending == "gz" || ending == "zst");
                let is_known = phase == Phase::Copy || (phase == Phase::Extract && !is_compressed);
                let expected = if is_known { Expected::Like(member.clone()) } else { Expected::Unknown };
                Seen::Below(copy.clone(), expected)
            }
            (Proof::Prepared { .. }, _) => Seen::Words(heard.clone()),
            (Proof::Filled, End::Restore { moves: false, work, data_dir, .. }) => {
                Seen::Below(data_dir.clone(), Expected::Like(work.clone()))
            }
            // A rename is done before anybody has looked.
            (Proof::Filled, End::Restore { moves: true, .. } | End::Backup { .. }) => Seen::Nothing,
        }
    }
}

async fn watch(part: Part, seen: Seen, store: &Store, is_over: &Arc<AtomicBool>, tell: impl Fn(String)) {
    // What is over in a second is told of by its end.
    sleep(EVERY).await;
    let (dir, expected) = match seen {
        Seen::Below(dir, expected) => (dir, expected),
        Seen::Nothing => return tell(part.to_string()),
        Seen::Words(heard) => loop {
            tell(telling(&heard.last()).map_or_else(|| part.to_string(), |word| format!("{part} {word}")));
            sleep(EVERY).await;
        },
    };
    let expected = match expected {
        Expected::Unknown => None,
        Expected::Like(place) => measured(place, is_over).await,
        Expected::LikeTheLast(root, form) => match store.newest_full(Instant::now() + KNOWN_WITHIN).await {
            Ok(Some(id)) => like_the_last(&root, &id, form, is_over).await,
            Ok(None) | Err(_) => None,
        },
    };
    let (begun, mut meter) = (Instant::now(), Meter::default());
    loop {
        let looked = Instant::now();
        let written = measured(dir.clone(), is_over).await;
        let pause = if looked.elapsed() > QUICK { SELDOM } else { EVERY };
        tell(match written {
            Some(written) => {
                meter.see(begun.elapsed(), written);
                format!("{part} {}", Figures { written, expected, rate: meter.rate() })
            }
            None => part.to_string(),
        });
        sleep(pause).await;
    }
}

async fn like_the_last(root: &Path, id: &str, form: Option<Compression>, is_over: &Arc<AtomicBool>) -> Option<u64> {
    let id: BackupId = id.parse().ok()?;
    let dir = root.join(id.as_str());
    let names = Compression::ALL.map(|kind| (kind, dir.join(stream_name(&id, kind))));
    let found = spawn_blocking(move || names.into_iter().find(|(_, path)| path.exists()).map(|(kind, _)| kind)).await;
    if found.ok()? == form { measured(dir, is_over).await } else { None }
}

/// The size of all files in and below a directory; none, where that cannot be told in time.
pub(crate) async fn measured_whole(place: PathBuf) -> Option<u64> {
    measured(place, &Arc::default()).await
}

/// The size of all files in and below a directory, or of a file; none, where that cannot be told in time.
async fn measured(place: PathBuf, is_over: &Arc<AtomicBool>) -> Option<u64> {
    let (until, is_over) = (Instant::now() + LONGEST, Arc::clone(is_over));
    let go_on = move || !is_over.load(Ordering::Relaxed) && Instant::now() < until;
    spawn_blocking(move || size(&place, &go_on)).await.ok()?.ok()
}

/// The length of a file, or of all files below a directory. No symlink is followed, and what goes away meanwhile counts nothing.
fn size(place: &Path, go_on: &dyn Fn() -> bool) -> io::Result<u64> {
    let there = fs::symlink_metadata(place)?;
    if !there.is_dir() {
        return Ok(if there.is_file() { there.len() } else { 0 });
    }
    let mut sum = 0;
    for entry in fs::read_dir(place)? {
        if !go_on() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let entry = entry?;
        sum += match entry.file_type() {
            Ok(kind) if kind.is_dir() => gone_is_nothing(size(&entry.path(), go_on))?,
            Ok(kind) if kind.is_file() => gone_is_nothing(entry.metadata().map(|there| there.len()))?,
            Ok(_) | Err(_) => 0,
        };
    }
    Ok(sum)
}

fn gone_is_nothing(size: io::Result<u64>) -> io::Result<u64> {
    match size {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(0),
        size => size,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::size;

    #[test]
    fn what_is_below_a_directory_is_measured_and_no_symlink_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("inside"), dir.path().join("outside"));
        fs::create_dir_all(inside.join("shop")).unwrap();
        fs::write(&outside, [1; 700]).unwrap();
        fs::write(inside.join("shop/a.ibd"), [1; 20]).unwrap();
        fs::write(inside.join("ibdata1"), [1; 3]).unwrap();
        symlink(&outside, inside.join("link")).unwrap();
        symlink(dir.path(), inside.join("shop/round")).unwrap();
        symlink(&inside, dir.path().join("whole")).unwrap();
        assert_eq!(size(&inside, &|| true).unwrap(), 23);
        assert_eq!(size(&outside, &|| true).unwrap(), 700);
        assert_eq!(size(&dir.path().join("whole"), &|| true).unwrap(), 0);
        assert!(size(&dir.path().join("none"), &|| true).is_err());
        assert!(size(&inside, &|| false).is_err(), "it is broken off");
    }
}
