//! A step that runs, looked at once a second: how far it is goes to those who ask and into its row.
//!
//! In: what a step is, and where it is seen how far it is. Out: words. It costs a walk over the directory that the step fills, away from what serves clients; it
//! ends with the step, and nothing waits for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::sleep;

use super::progress::{Figures, Meter, Part, telling};
use crate::exec::LastLine;
use crate::model::{BackupId, Packed, stream_name};
use crate::plan::{Expected, Progress};
use crate::records::Records;
use crate::records::process::Note;

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

/// What is followed, and whom it is told.
pub(super) struct Following {
    pub(super) part: Part,
    /// The row that it goes into.
    pub(super) row: i64,
    pub(super) command_id: String,
    /// What the program says.
    pub(super) last_line: LastLine,
    /// Says it to those who ask what the daemon is at.
    pub(super) say: Box<dyn Fn(&str) + Send + Sync>,
    pub(super) records: Records,
    pub(super) backup_dir: PathBuf,
    /// Whether anybody wants it in the row.
    pub(super) is_wanted: bool,
}

impl Follow {
    /// Follows a step that has been started.
    pub(super) fn begin(following: Following, progress: Progress) -> Self {
        (following.say)(&following.part.to_string());
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let task = tokio::spawn(async move {
            if following.is_wanted {
                following.watch(progress, &over).await;
            }
        });
        Self { task: task.abort_handle(), is_over }
    }
}

impl Following {
    fn tell(&self, text: String) {
        (self.say)(&text);
        self.records.note(Note { row: self.row, command_id: self.command_id.clone(), text });
    }

    async fn watch(&self, progress: Progress, is_over: &Arc<AtomicBool>) {
        let part = self.part;
        // What is over in a second is told of by its end.
        sleep(EVERY).await;
        let (dir, expected) = match progress {
            Progress::Below(dir, expected) => (dir, expected),
            Progress::Unknown => return self.tell(part.to_string()),
            Progress::Said => loop {
                self.tell(
                    telling(&self.last_line.last()).map_or_else(|| part.to_string(), |word| format!("{part} {word}")),
                );
                sleep(EVERY).await;
            },
        };
        let expected = match expected {
            Expected::Unknown => None,
            Expected::Like(place) => measured(place, is_over).await,
            Expected::LikeTheLast(form) => match self.records.newest_full(Instant::now() + KNOWN_WITHIN).await {
                Ok(Some(id)) => like_the_last(&self.backup_dir, &id, form, is_over).await,
                Ok(None) | Err(_) => None,
            },
        };
        let (begun, mut meter) = (Instant::now(), Meter::default());
        loop {
            let looked = Instant::now();
            let written = measured(dir.clone(), is_over).await;
            let pause = if looked.elapsed() > QUICK { SELDOM } else { EVERY };
            self.tell(match written {
                Some(written) => {
                    meter.see(begun.elapsed(), written);
                    format!("{part} {}", Figures { written, expected, rate: meter.rate() })
                }
                None => part.to_string(),
            });
            sleep(pause).await;
        }
    }
}

async fn like_the_last(root: &Path, id: &str, form: Option<Packed>, is_over: &Arc<AtomicBool>) -> Option<u64> {
    let id: BackupId = id.parse().ok()?;
    let dir = root.join(id.as_str());
    let names = Packed::ALL.map(|kind| (kind, dir.join(stream_name(&id, kind))));
    let found = spawn_blocking(move || names.into_iter().find(|(_, path)| path.exists()).map(|(kind, _)| kind)).await;
    if found.ok()? == form { measured(dir, is_over).await } else { None }
}

/// The size of all files in and below a directory; None if that cannot be told in time.
pub(crate) async fn measured_whole(place: PathBuf) -> Option<u64> {
    measured(place, &Arc::default()).await
}

/// The size of all files in and below a directory, or of a file; None if that cannot be told in time.
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
