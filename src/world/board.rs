//! What all jobs are at, for those who ask: systemd's status line, the metrics.
//!
//! In: a job's seat, taken when it begins and given up when it ends, and what it is at meanwhile. Out: one line, and counts. A job waits
//! for nobody here.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::{BackupId, JobKind};
use crate::store::failure::{Failures, Reason};

/// How long the line may be, in bytes: what a terminal shows of `systemctl status`.
const LONGEST: usize = 200;

/// How much of an id is shown in it, in characters.
const LONGEST_ID: usize = 40;

/// The jobs under way.
#[derive(Debug, Default)]
pub struct Board {
    seats: Mutex<Seats>,
    changed: Notify,
    turned: Notify,
    failures: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    taken: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    kind: JobKind,
    id: String,
    doing: String,
}

/// A job's place; given up when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    board: Arc<Board>,
    number: u64,
}

impl Board {
    /// A job begins.
    pub(crate) fn enter(self: &Arc<Self>, kind: JobKind, id: &BackupId) -> Seat {
        let mut seats = self.lock();
        let number = seats.next;
        seats.next += 1;
        seats.taken.insert(number, Entry { kind, id: id.to_string(), doing: String::new() });
        drop(seats);
        self.changed.notify_one();
        self.turned.notify_one();
        Seat { board: Arc::clone(self), number }
    }

    /// What all jobs are at, in one line.
    pub(crate) fn status(&self) -> String {
        let seats = self.lock();
        let mut line = match seats.taken.len() {
            0 => "idle".to_owned(),
            1 => "1 ".to_owned(),
            count => format!("{count} jobs running: "),
        };
        let is_alone = seats.taken.len() == 1;
        for (index, Entry { kind, id, doing }) in seats.taken.values().enumerate() {
            let (kind, id) = (kind.as_str(), cut(id, LONGEST_ID));
            let separator = if index > 0 { "; " } else { "" };
            let running = if is_alone { " running:" } else { "" };
            // Writing to a text does not fail.
            let _written = write!(line, "{separator}{kind}{running} {id} {doing}");
        }
        cut(line.trim_end(), LONGEST)
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

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Something that says what the job is at; it says nothing any more once the seat is given up.
    pub(crate) fn voice(&self) -> impl Fn(&str) + Send + Sync + use<> {
        let (board, number) = (Arc::clone(&self.board), self.number);
        move |doing| board.say(number, doing)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.board.lock().taken.remove(&self.number);
        self.board.changed.notify_one();
        self.board.turned.notify_one();
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

    use super::{Board, JobKind, LONGEST};

    #[test]
    fn the_line_says_what_runs() {
        let board = Arc::new(Board::default());
        assert_eq!(board.status(), "idle");
        let first = board.enter(JobKind::Backup, &"full-1".parse().unwrap());
        assert_eq!(board.status(), "1 backup running: full-1");
        let say = first.voice();
        say("copying 1.2 GiB of 4.0 GiB (30 %)");
        assert_eq!(board.status(), "1 backup running: full-1 copying 1.2 GiB of 4.0 GiB (30 %)");
        let second = board.enter(JobKind::Restore, &"full-0".parse().unwrap());
        second.voice()("step 2 of 5, preparing");
        assert_eq!(
            board.status(),
            "2 jobs running: backup full-1 copying 1.2 GiB of 4.0 GiB (30 %); restore full-0 step 2 of 5, preparing"
        );
        drop(first);
        say("too late");
        assert_eq!(board.status(), "1 restore running: full-0 step 2 of 5, preparing");
        drop(second);
        assert_eq!(board.status(), "idle");
    }

    #[test]
    fn the_line_is_bounded() {
        let board = Arc::new(Board::default());
        let id = "x".repeat(128).parse().unwrap();
        let seats: Vec<_> = (0..40).map(|_| board.enter(JobKind::Backup, &id)).collect();
        seats[0].voice()("copying");
        let line = board.status();
        assert!(line.len() <= LONGEST && line.ends_with('…'), "{line}");
        assert!(
            line.starts_with(&format!("40 jobs running: backup {}… copying; backup xxx", "x".repeat(37))),
            "{line}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told_of_each_change() {
        let board = Arc::new(Board::default());
        let seat = board.enter(JobKind::Backup, &"full-1".parse().unwrap());
        board.changed().await;
        seat.voice()("copying");
        board.changed().await;
        drop(seat);
        board.changed().await;
        let more = tokio::time::timeout(std::time::Duration::from_secs(9), board.changed()).await;
        assert!(more.is_err(), "nothing has changed since");
    }
}
