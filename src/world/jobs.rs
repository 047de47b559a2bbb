//! What all jobs are at, for those who ask: systemd's status line, the metrics.
//!
//! In: each job's [`JobStatus`], from its beginning to its end. Out: one line, and counts. A job waits
//! for nobody here.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::{BackupId, JobKind};
use crate::records::failure::{Failures, Reason};

/// How long the line may be, in bytes: what a terminal shows of `systemctl status`.
const LONGEST: usize = 200;

/// How much of an id is shown in it, in characters.
const LONGEST_ID: usize = 40;

/// The jobs under way.
#[derive(Debug, Default)]
pub struct Jobs {
    entries: Mutex<Entries>,
    changed: Notify,
    turned: Notify,
    failures: Mutex<Failures>,
    unreachable: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    taken: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    kind: JobKind,
    id: String,
    doing: String,
}

/// What a job is at, for those who ask; over when dropped.
#[derive(Debug)]
pub(crate) struct JobStatus {
    jobs: Arc<Jobs>,
    number: u64,
}

impl Jobs {
    /// A job begins.
    pub(crate) fn enter(self: &Arc<Self>, kind: JobKind, id: &BackupId) -> JobStatus {
        let mut entries = self.lock();
        let number = entries.next;
        entries.next += 1;
        entries.taken.insert(number, Entry { kind, id: id.to_string(), doing: String::new() });
        drop(entries);
        self.changed.notify_one();
        self.turned.notify_one();
        JobStatus { jobs: Arc::clone(self), number }
    }

    /// What all jobs are at, in one line; before it why no client finds the daemon, if none does.
    pub(crate) fn status(&self) -> String {
        let entries = self.lock();
        let mut line = match &*self.unreachable.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(why) => format!("clients do not find this daemon, {why}; "),
            None => String::new(),
        };
        match entries.taken.len() {
            0 => line.push_str("idle"),
            1 => line.push_str("1 "),
            count => drop(write!(line, "{count} jobs running: ")),
        }
        let is_alone = entries.taken.len() == 1;
        for (index, Entry { kind, id, doing }) in entries.taken.values().enumerate() {
            let (kind, id) = (kind.as_str(), cut(id, LONGEST_ID));
            let separator = if index > 0 { "; " } else { "" };
            let running = if is_alone { " running:" } else { "" };
            // Writing to a text does not fail.
            let _written = write!(line, "{separator}{kind}{running} {id} {doing}");
        }
        cut(line.trim_end(), LONGEST)
    }

    /// Says why no client finds the daemon; None: they do.
    pub(crate) fn set_unreachable(&self, why: Option<String>) {
        *self.unreachable.lock().unwrap_or_else(PoisonError::into_inner) = why;
        self.changed.notify_one();
    }

    /// Waits until the line may be another one. For one who waits, and no more.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Waits until a job has begun or ended, or somebody is to look again. For one who waits, and no more.
    pub(crate) async fn turned(&self) {
        self.turned.notified().await;
    }

    /// Lets him who waits for [`turned`](Self::turned) look again.
    pub(crate) fn look_again(&self) {
        self.turned.notify_one();
    }

    /// How many jobs of this kind are under way.
    pub(crate) fn running(&self, kind: JobKind) -> usize {
        self.lock().taken.values().filter(|entry| entry.kind == kind).count()
    }

    /// A job has failed.
    pub(crate) fn failed(&self, kind: JobKind, reason: Reason) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).add(kind, reason);
    }

    /// How many have failed since the start.
    pub(crate) fn failures(&self) -> Failures {
        *self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, number: u64, doing: &str) {
        if let Some(entry) = self.lock().taken.get_mut(&number) {
            doing.clone_into(&mut entry.doing);
        }
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JobStatus {
    /// Something that says what the job is at; it says nothing any more once the job is over.
    pub(crate) fn reporter(&self) -> impl Fn(&str) + Send + Sync + use<> {
        let (jobs, number) = (Arc::clone(&self.jobs), self.number);
        move |doing| jobs.say(number, doing)
    }
}

impl Drop for JobStatus {
    fn drop(&mut self) {
        self.jobs.lock().taken.remove(&self.number);
        self.jobs.changed.notify_one();
        self.jobs.turned.notify_one();
    }
}

/// A text, or its beginning with a mark behind it.
fn cut(text: &str, longest: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= longest {
        return text.to_owned();
    }
    let mut end = longest - MARK.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{JobKind, Jobs, LONGEST};

    #[test]
    fn the_line_says_what_runs() {
        let jobs = Arc::new(Jobs::default());
        assert_eq!(jobs.status(), "idle");
        let first = jobs.enter(JobKind::Backup, &"full-1".parse().unwrap());
        assert_eq!(jobs.status(), "1 backup running: full-1");
        let say = first.reporter();
        say("copying 1.2 GiB of 4.0 GiB (30 %)");
        assert_eq!(jobs.status(), "1 backup running: full-1 copying 1.2 GiB of 4.0 GiB (30 %)");
        let second = jobs.enter(JobKind::Restore, &"full-0".parse().unwrap());
        second.reporter()("step 2 of 5, preparing");
        assert_eq!(
            jobs.status(),
            "2 jobs running: backup full-1 copying 1.2 GiB of 4.0 GiB (30 %); restore full-0 step 2 of 5, preparing"
        );
        drop(first);
        say("too late");
        assert_eq!(jobs.status(), "1 restore running: full-0 step 2 of 5, preparing");
        drop(second);
        assert_eq!(jobs.status(), "idle");
        jobs.set_unreachable(Some("another daemon answers at '/run/s'".to_owned()));
        assert_eq!(jobs.status(), "clients do not find this daemon, another daemon answers at '/run/s'; idle");
        jobs.set_unreachable(None);
        assert_eq!(jobs.status(), "idle");
    }

    #[test]
    fn the_line_is_bounded() {
        let jobs = Arc::new(Jobs::default());
        let id = "x".repeat(128).parse().unwrap();
        let entries: Vec<_> = (0..40).map(|_| jobs.enter(JobKind::Backup, &id)).collect();
        entries[0].reporter()("copying");
        let line = jobs.status();
        assert!(line.len() <= LONGEST && line.ends_with('…'), "{line}");
        assert!(
            line.starts_with(&format!("40 jobs running: backup {}… copying; backup xxx", "x".repeat(37))),
            "{line}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told_of_each_change() {
        let jobs = Arc::new(Jobs::default());
        let status = jobs.enter(JobKind::Backup, &"full-1".parse().unwrap());
        jobs.changed().await;
        status.reporter()("copying");
        jobs.changed().await;
        drop(status);
        jobs.changed().await;
        let more = tokio::time::timeout(std::time::Duration::from_secs(9), jobs.changed()).await;
        assert!(more.is_err(), "nothing has changed since");
    }
}
