//! What is left of an incremental's private copy once it has been applied.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::error::JobError;
use crate::disk::below;
use crate::witness::metadata::OPTIONS;

/// Gives the working copy the server's options that came with the incremental, and removes the incremental's private copy, which is at
/// `place` or below.
///
/// An apply leaves the options of the full backup (mariadb-backup 10.11.19), and takes the incremental's own for itself. A server that is
/// started with the old ones does not open a system tablespace that got a second file since.
///
/// # Errors
/// The system's, with the path.
pub(super) fn done_with(place: &Path, work: &Path, copy: &Path) -> Result<(), JobError> {
    let options = work.join(OPTIONS);
    newest(&copy.join(OPTIONS), &options)
        .map_err(|why| JobError::at_work(&why, format!("'{}' cannot be written: {why}", options.display())))?;
    below::remove(place, copy)
        .map_err(|why| JobError::at_work(&why, format!("'{}' cannot be removed: {why}", copy.display())))
}

fn newest(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(()),
        moved => moved,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::done_with;

    #[test]
    fn the_options_of_the_incremental_take_the_place_of_the_bases() {
        let place = tempfile::tempdir().unwrap();
        let (work, copy) = (place.path().join("full-1"), place.path().join("inc-1"));
        for (dir, options) in [(&work, "[mysqld]\nold=1\n"), (&copy, "[mysqld]\nnew=1\n")] {
            fs::create_dir(dir).unwrap();
            fs::write(dir.join("backup-my.cnf"), options).unwrap();
        }
        let written = || fs::read_to_string(work.join("backup-my.cnf")).unwrap();
        assert!(done_with(place.path(), &work, &copy).is_ok());
        assert_eq!((written().as_str(), copy.exists()), ("[mysqld]\nnew=1\n", false));

        // One that has none leaves what is there.
        fs::create_dir(&copy).unwrap();
        assert!(done_with(place.path(), &work, &copy).is_ok());
        assert_eq!((written().as_str(), copy.exists()), ("[mysqld]\nnew=1\n", false));
    }
}
