//! Why a job fails: the words for its row, and the class that a monitor counts it under.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

use crate::disk::Stopped;
use crate::model::causes;
use crate::records::failure::Reason;

/// Why a job fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobError {
    class: Class,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Known(Reason),
    /// A program ended well, and what it left is not right: verification, unless its own words say why.
    Disproved,
    /// A program's own words say what it was.
    Told,
}

impl JobError {
    /// Something of this class.
    pub(super) fn new(class: Reason, text: impl Into<String>) -> Self {
        Self { class: Class::Known(class), text: text.into() }
    }

    /// What a program says of its own failure, or what kept it from being asked.
    pub(super) fn of_program(text: impl Into<String>) -> Self {
        Self { class: Class::Told, text: text.into() }
    }

    /// What the daemon met at its own work on a disk.
    pub(super) fn at_work(why: &(dyn Error + 'static), text: impl Into<String>) -> Self {
        Self::new(class_at_work(why).unwrap_or(Reason::Other), text)
    }

    /// The same, with all causes as its text.
    pub(super) fn with_causes(why: &(dyn Error + 'static)) -> Self {
        Self::at_work(why, causes(why))
    }

    /// What was proved wrong; or what the disk said while it was being proved.
    pub(super) fn disproved(why: &(dyn Error + 'static), text: impl Into<String>) -> Self {
        Self { class: class_at_work(why).map_or(Class::Disproved, Class::Known), text: text.into() }
    }

    /// The words for its row.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Its class, for a row that says this and the words of a program in it.
    pub(super) fn class(&self, return_code: i32, error: &str, told: &str) -> Reason {
        match self.class {
            Class::Known(reason) => reason,
            Class::Disproved => Reason::told(told).unwrap_or(Reason::Verification),
            Class::Told => Reason::of(return_code, error),
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What blocks panicked.
impl From<super::run::Panicked> for JobError {
    fn from(why: super::run::Panicked) -> Self {
        Self::new(Reason::Other, why.to_string())
    }
}

/// A full disk, or the end of the daemon, among the causes. None if it was neither.
fn class_at_work(why: &(dyn Error + 'static)) -> Option<Reason> {
    let mut link = Some(why);
    while let Some(error) = link {
        if let Some(met) = error.downcast_ref::<io::Error>() {
            if matches!(met.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
                return Some(Reason::DiskFull);
            }
            if met.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<Stopped>) {
                return Some(Reason::Interrupted);
            }
        }
        link = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::JobError;
    use crate::disk::{Stopped, data_dir::DataDirError};
    use crate::records::failure::Reason;

    #[test]
    fn a_class_is_what_the_system_said_and_not_how_it_is_worded() {
        let full = || io::Error::from_raw_os_error(28);
        let class = |error: &JobError| error.class(0, error.text(), "");
        assert_eq!(class(&JobError::at_work(&full(), "no word of it")), Reason::DiskFull);
        assert_eq!(class(&JobError::at_work(&io::Error::from_raw_os_error(122), "quota")), Reason::DiskFull);
        assert_eq!(class(&JobError::at_work(&io::Error::other(Stopped), "no word of it")), Reason::Interrupted);
        assert_eq!(
            class(&JobError::at_work(&io::Error::from_raw_os_error(5), "the server is not stopped")),
            Reason::Other
        );
        let nested = DataDirError::Io { path: "/d".into(), source: full() };
        assert_eq!(class(&JobError::with_causes(&nested)), Reason::DiskFull);
        assert_eq!(class(&JobError::disproved(&nested, "")), Reason::DiskFull);
        assert_eq!(class(&JobError::disproved(&io::Error::other("x"), "")), Reason::Verification);
    }

    #[test]
    fn a_program_is_classed_by_its_own_words() {
        let error = JobError::of_program("mariadb-backup ended with status 1");
        assert_eq!(error.class(1, "Failed to connect to MariaDB server", ""), Reason::Server);
        assert_eq!(error.class(1, "x", ""), Reason::Tool);
        let doubt = JobError::disproved(&io::Error::other("x"), "it did not say so");
        assert_eq!(doubt.class(0, "", "No space left on device"), Reason::DiskFull);
        assert_eq!(doubt.class(0, "", "copying"), Reason::Verification);
    }
}
