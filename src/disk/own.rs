//! Files of a backup that it shares with the live server, made its own.
//!
//! mariadb-backup links `MyRocks`' tables into a backup on the same file system instead of copying them (seen with 10.11.19). As long as a file
//! is the server's too, what the server does to it is done to the backup.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::go_on;

/// Where `MyRocks` has its files in a backup: the only ones that the tool links.
const ROCKSDB: &str = "#rocksdb";

/// What the name of a copy ends in until it takes the file's place.
const COPY: &str = ".own";

/// Puts a copy in the place of each file of `MyRocks` in `dir` that has another name elsewhere; it is the caller's to sync. Where the file
/// system can, the copy shares its blocks and takes no time. Gives how many there were.
///
/// # Errors
/// The system's, or that it was broken off by `stop`.
pub fn unshare(dir: &Path, stop: &CancellationToken) -> io::Result<usize> {
    let entries = match fs::read_dir(dir.join(ROCKSDB)) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut shared = Vec::new();
    for entry in entries {
        let (entry, there) = entry.and_then(|entry| entry.metadata().map(|there| (entry, there)))?;
        if there.is_file() && there.nlink() > 1 {
            shared.push(entry.path());
        }
    }
    for path in &shared {
        go_on(stop)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(COPY);
        let copy = path.with_file_name(name);
        fs::copy(path, &copy)?;
        fs::rename(copy, path)?;
    }
    Ok(shared.len())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use tokio_util::sync::CancellationToken;

    use super::unshare;

    #[test]
    fn what_the_server_does_to_a_linked_file_is_not_done_to_the_backup() {
        let (live, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let rocks = backup.path().join("#rocksdb");
        fs::create_dir(&rocks).unwrap();
        fs::write(live.path().join("1.sst"), "rows").unwrap();
        fs::hard_link(live.path().join("1.sst"), rocks.join("1.sst")).unwrap();
        fs::write(rocks.join("CURRENT"), "own").unwrap();
        let before = fs::metadata(rocks.join("CURRENT")).unwrap().ino();
        let stop = CancellationToken::new();
        assert_eq!(unshare(backup.path(), &stop).unwrap(), 1);
        fs::write(live.path().join("1.sst"), "").unwrap();
        assert_eq!(fs::read_to_string(rocks.join("1.sst")).unwrap(), "rows");
        assert_eq!(fs::metadata(rocks.join("CURRENT")).unwrap().ino(), before, "what is its own already stays");
        assert_eq!(fs::read_dir(&rocks).unwrap().count(), 2);
        assert_eq!(unshare(backup.path(), &stop).unwrap(), 0);
        assert_eq!(unshare(live.path(), &stop).unwrap(), 0, "without MyRocks");
        fs::hard_link(rocks.join("1.sst"), live.path().join("2.sst")).unwrap();
        stop.cancel();
        assert!(unshare(backup.path(), &stop).is_err());
    }
}
