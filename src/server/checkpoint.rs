//! The last checkpoint of a redo log, by its file: a server that says another one works on other files.
//!
//! Read from files of `MariaDB`, 10.5.23, 10.11.19 and 11.8.6; `log0log.h` has the places. `MySQL`'s redo log is of many files, and not read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::model::Lsn;

/// The file.
const NAME: &str = "ib_logfile0";

/// What the file of a series begins with, where its two checkpoints stand, and where in each its LSN does.
const FORMATS: [(&[u8; 4], [u64; 2], u64); 2] = [(b"Phys", [4096, 8192], 0), (b"PHYS", [512, 1536], 8)];

/// The LSN of the last checkpoint in the redo log in `dir`. None if there is no log of a known format.
pub fn last(dir: &Path) -> Option<Lsn> {
    let log = File::open(dir.join(NAME)).ok()?;
    let mut head = [0; 4];
    log.read_exact_at(&mut head, 0).ok()?;
    let (_, places, lsn_at) = FORMATS.into_iter().find(|(format, ..)| **format == head)?;
    let read = |place: u64| {
        let mut number = [0; 8];
        log.read_exact_at(&mut number, place + lsn_at).ok()?;
        Some(u64::from_be_bytes(number))
    };
    // They are written by turns.
    places.into_iter().filter_map(read).max()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::last;

    #[test]
    fn the_later_of_both_checkpoints_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(last(dir.path()), None);
        for (format, first, second) in [(b"Phys", 4096, 8192), (b"PHYS", 520, 1544)] {
            let mut log = vec![0; 16 * 1024];
            log[..4].copy_from_slice(format);
            log[first..first + 8].copy_from_slice(&44_864_u64.to_be_bytes());
            fs::write(dir.path().join("ib_logfile0"), &log).unwrap();
            assert_eq!(last(dir.path()), Some(44_864));
            log[second..second + 8].copy_from_slice(&50_000_u64.to_be_bytes());
            fs::write(dir.path().join("ib_logfile0"), &log).unwrap();
            assert_eq!(last(dir.path()), Some(50_000));
        }
        fs::write(dir.path().join("ib_logfile0"), [1; 100]).unwrap();
        assert_eq!(last(dir.path()), None);
        fs::write(dir.path().join("ib_logfile0"), "Phys").unwrap();
        assert_eq!(last(dir.path()), None);
    }
}
