//! Why a job failed, in few words: the class that its row's `return_code` and `error` belong to, whoever wrote them.

use crate::model::JobKind;

/// The class of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The tool ended badly, or could not be started.
    Tool,
    /// The tool ended well, or said so, and what it left is not what it has to be; or a stored backup is damaged.
    Verification,
    /// A disk is full.
    DiskFull,
    /// The server could not be reached, or did not let the user in.
    Server,
    /// The daemon was stopped, or died.
    Interrupted,
    /// The records could not be written.
    Records,
    /// The repository could not be reached, or did not take the backup or give it.
    Repository,
    /// Anything else.
    Other,
}

/// What says that a disk is full, wherever it stands.
const FULL: [&str; 3] = ["No space left on device", "Disk quota exceeded", "no room in '"];

/// What says that it was the server, wherever it stands: the words of the client library and of the tools.
const SERVER: [&str; 9] = [
    "Failed to connect to",
    "Can't connect to",
    "Access denied",
    "missing required privilege",
    "server has gone away",
    "Lost connection to",
    "the server is not stopped",
    "the server cannot be asked",
    "the server does not name its data directory",
];

/// What says that something stored, or a stream, is damaged; our own words.
const DAMAGED: [&str; 4] = [
    "has changed since the backup was taken",
    "the stream is not whole",
    "has been consumed",
    "is not in the manifest",
];

/// What says that it was the repository; our own words.
const REPOSITORY: [&str; 3] = ["the store answered ", "the store cannot be reached", "the store's answer broke off"];

/// What says that it was neither the tool nor what it left; our own words.
const OWN: [&str; 18] = [
    "cannot be marked",
    "files that this restore did not put there",
    "is not the directory that was",
    "may lead elsewhere",
    "the data directory is not empty",
    "already exists",
    "in the way, where",
    "restore to a folder",
    "could not be sealed and synced",
    "could not be synced",
    "cannot be created",
    "cannot be examined",
    "cannot be given its backup.json",
    "cannot be searched",
    "cannot be removed",
    "cannot be used",
    "cannot be written",
    "an internal error",
];

impl Reason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Tool,
        Self::Verification,
        Self::DiskFull,
        Self::Server,
        Self::Interrupted,
        Self::Records,
        Self::Repository,
        Self::Other,
    ];

    /// Its name as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Verification => "verification",
            Self::DiskFull => "disk_full",
            Self::Server => "server",
            Self::Interrupted => "interrupted",
            Self::Records => "records",
            Self::Repository => "repository",
            Self::Other => "other",
        }
    }

    /// What the words of a program or of the system say. None if they say neither that a disk is full nor that it was the server.
    pub fn told(words: &str) -> Option<Self> {
        if contains(words, &FULL) { Some(Self::DiskFull) } else { contains(words, &SERVER).then_some(Self::Server) }
    }

    /// The class of a failed row, whoever wrote it.
    pub fn of(return_code: i32, error: &str) -> Self {
        // Our own reason is the first line; the tool's words may hold anything.
        let first = error.lines().next().unwrap_or_default();
        let says = |words: &[&str]| contains(error, words);
        let begins = |words: &[&str]| words.iter().any(|word| first.contains(word));
        if begins(&["the daemon was gone", "stopped by the daemon", "the daemon was stopped"]) {
            Self::Interrupted
        } else if begins(&["the records "]) {
            Self::Records
        } else if begins(&["the repository "]) || error.lines().any(is_of_repository) {
            Self::Repository
        } else if let Some(told) = Self::told(error) {
            told
        } else if says(&DAMAGED) {
            Self::Verification
        } else if begins(&OWN) {
            Self::Other
        } else if return_code == 0 {
            Self::Verification
        } else {
            Self::Tool
        }
    }
}

/// Whether a line says that the repository failed for good, and not how often something was tried again that worked in the end.
fn is_of_repository(line: &str) -> bool {
    contains(line, &REPOSITORY) && !line.contains(" requests tried again")
}

fn contains(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

/// How many jobs failed, by kind and reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failures([[u64; Reason::ALL.len()]; 2]);

impl Failures {
    /// Every kind and reason with its number.
    pub fn each(&self) -> impl Iterator<Item = (JobKind, Reason, u64)> {
        [JobKind::Backup, JobKind::Restore]
            .into_iter()
            .zip(self.0)
            .flat_map(|(kind, of)| Reason::ALL.into_iter().zip(of).map(move |(reason, count)| (kind, reason, count)))
    }

    /// Counts one more.
    pub fn add(&mut self, kind: JobKind, reason: Reason) {
        for ((of_kind, of_reason, _), count) in Self::default().each().zip(self.0.as_flattened_mut()) {
            *count += u64::from((of_kind, of_reason) == (kind, reason));
        }
    }

    /// Each kind and reason with the number that is known for it.
    pub fn from_counts(known: impl Fn(JobKind, Reason) -> u64) -> Self {
        let mut failures = Self::default();
        for ((kind, reason, _), count) in Self::default().each().zip(failures.0.as_flattened_mut()) {
            *count = known(kind, reason);
        }
        failures
    }

    /// The larger of each and another's.
    #[must_use]
    pub fn at_least(self, other: &Self) -> Self {
        self.with(other, u64::max)
    }

    /// These and others.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// These without others.
    #[must_use]
    pub fn minus(self, other: &Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    fn with(mut self, other: &Self, change: fn(u64, u64) -> u64) -> Self {
        for (own, other) in self.0.as_flattened_mut().iter_mut().zip(other.0.as_flattened()) {
            *own = change(*own, *other);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{Failures, JobKind, Reason};

    #[test]
    fn each_failure_has_its_class() {
        let cases = [
            (1, "", Reason::Tool),
            (-9, "mariabackup ended by signal 9\n2026 copying", Reason::Tool),
            (-1, "'/bin/tool' could not be started: No such file or directory (os error 2)", Reason::Tool),
            (0, "mariabackup ended with status 0 but did not say 'completed OK!'", Reason::Verification),
            (0, "the backup's metadata cannot be trusted: '/b/x' has no valid to_lsn", Reason::Verification),
            (1, "'/b/full-1/a.ibd' has changed since the backup was taken", Reason::Verification),
            (1, "the stream is not whole: at byte 9: it ends", Reason::Verification),
            (1, "mariabackup: Error writing file 'x' (errno: 28 \"No space left on device\")", Reason::DiskFull),
            (
                0,
                "'/b/full-1' could not be sealed and synced to the disk: No space left on device (os error 28)",
                Reason::DiskFull,
            ),
            (1, "[00] FATAL ERROR: Failed to connect to MariaDB server: Access denied for user", Reason::Server),
            (1, "mariabackup: Error: missing required privilege RELOAD on *.*", Reason::Server),
            (-1, "the server is not stopped any more: nothing was copied to its data directory", Reason::Server),
            (-2, "mariabackup stopped by the daemon, by signal 2\nNo space left on device", Reason::Interrupted),
            (
                -1,
                "the daemon was gone before this command ended: it was stopped, and what it left was removed",
                Reason::Interrupted,
            ),
            (-1, "the daemon was stopped before this step began", Reason::Interrupted),
            (0, "the records could not store its success: the database cannot be used", Reason::Records),
            (0, "'/b/full-1' could not be sealed and synced to the disk: Input/output error", Reason::Other),
            (-1, "'/b/full-1' cannot be created: Permission denied (os error 13)", Reason::Other),
            (0, "the repository did not take the backup: the store answered 403 AccessDenied", Reason::Repository),
            (1, "store: beginning 'a': the store cannot be reached: Connection refused", Reason::Repository),
            (
                0,
                "it has no checkpoints\nstore: sent 'a', 1 requests tried again (the last: the store answered 503)",
                Reason::Verification,
            ),
        ];
        for (code, error, wanted) in cases {
            assert_eq!(Reason::of(code, error), wanted, "{code} {error}");
        }
    }

    #[test]
    fn failures_are_counted_by_kind_and_reason() {
        let mut failures = Failures::default();
        failures.add(JobKind::Restore, Reason::DiskFull);
        failures.add(JobKind::Restore, Reason::DiskFull);
        failures.add(JobKind::Backup, Reason::Other);
        let told: Vec<_> = failures.each().filter(|(_, _, count)| *count > 0).collect();
        assert_eq!(told, [(JobKind::Backup, Reason::Other, 1), (JobKind::Restore, Reason::DiskFull, 2)]);
        assert_eq!(failures.each().count(), 16);
        assert_eq!(failures.plus(&failures).minus(&failures), failures);
        assert_eq!(Failures::default().minus(&failures), Failures::default());
        let one_each = Failures::from_counts(|_, _| 1);
        assert_eq!(one_each.at_least(&failures).at_least(&one_each), failures.at_least(&one_each));
        assert_eq!(one_each.at_least(&failures).each().map(|(_, _, count)| count).sum::<u64>(), 17);
    }
}
