//! By how much a restore's working copy grows when an incremental is applied: the holes of the pages that it has.
//!
//! A table with page compression has a hole behind each page. mariadb-backup writes the pages of a delta in full, and leaves the others as they
//! are (seen with 10.11.19: 200 pages of 16 KiB made a file of 16.4 MB one of 19.0 MB).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{OFlags, SeekFrom, seek};
use rustix::io::Errno;

/// So many pages are looked at, of all files together; an estimate that takes long is worth nothing. Of pages of 16 KiB that is 16 GiB.
const MOST: u64 = 1 << 20;
/// What the last head of a delta begins with, and each before it.
const LAST: &[u8; 4] = b"XTRA";
const MORE: &[u8; 4] = b"xtra";
/// What stands behind the last page's number in a head.
const END: u32 = u32::MAX;

/// How many bytes of holes in the files below `base` are filled by the deltas below `incremental`, at least.
///
/// # Errors
/// Something cannot be read.
pub(super) fn fills(base: &Path, incremental: &Path) -> io::Result<u64> {
    let mut left = MOST;
    below(base, incremental, &mut left)
}

fn below(base: &Path, incremental: &Path, left: &mut u64) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(incremental)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        let its = base.join(entry.file_name());
        if kind.is_dir() {
            sum += below(&its, &path, left)?;
        } else if kind.is_file() && path.extension().is_some_and(|ending| ending == "delta") {
            sum += by_delta(&its.with_extension(""), &path, left)?;
        }
    }
    Ok(sum)
}

/// The holes of one file that a delta fills.
fn by_delta(base: &Path, delta: &Path, left: &mut u64) -> io::Result<u64> {
    // It is new, or was renamed; or it has no holes.
    let Ok(there) = fs::symlink_metadata(base) else { return Ok(0) };
    if !there.is_file() || there.len() <= there.blocks() * 512 {
        return Ok(0);
    }
    let Some(page) = page_size(&delta.with_extension("meta"))? else { return Ok(0) };
    let (base, delta) = (open(base)?, open(delta)?);
    let (mut sum, mut at) = (0, 0);
    let mut head = vec![0; usize::try_from(page).unwrap_or_default()];
    loop {
        delta.read_exact_at(&mut head, at)?;
        let (numbers, _) = head.as_chunks::<4>();
        let Some((magic, numbers)) = numbers.split_first() else { return Ok(sum) };
        if magic != LAST && magic != MORE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a delta begins as none does"));
        }
        let numbers = numbers.iter().map(|number| u32::from_be_bytes(*number)).take_while(|number| *number != END);
        let mut count = 0;
        for number in numbers {
            if *left == 0 {
                return Ok(sum);
            }
            *left -= 1;
            count += 1;
            let begin = u64::from(number) * page;
            sum += holes(&base, begin, (begin + page).min(there.len()))?;
        }
        if magic == LAST {
            return Ok(sum);
        }
        at += (count + 1) * page;
    }
}

/// How many bytes of this part of a file are holes; none behind its end.
fn holes(file: &File, begin: u64, end: u64) -> io::Result<u64> {
    let (mut sum, mut at) = (0, begin);
    while at < end {
        let data = match seek(file, SeekFrom::Data(at)) {
            Ok(data) => data.min(end),
            Err(Errno::NXIO) => end,
            Err(why) => return Err(why.into()),
        };
        sum += data - at;
        at = if data < end { seek(file, SeekFrom::Hole(data))?.min(end) } else { end };
    }
    Ok(sum)
}

/// Opens a file of a stored backup; what was put in its place to be waited for, or to lead elsewhere, is not.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// The size of a delta's pages, in bytes, as the file beside it has it. None if it has not.
fn page_size(meta: &Path) -> io::Result<Option<u64>> {
    let mut text = String::new();
    open(meta)?.take(4096).read_to_string(&mut text)?;
    let size = text.lines().find_map(|line| line.strip_prefix("page_size = ")?.trim().parse::<u64>().ok());
    Ok(size.filter(|size| (1024..=65536).contains(size)))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::fills;

    const PAGE: u64 = 16384;

    /// A delta of these pages, in two parts.
    fn delta(pages: &[u32]) -> Vec<u8> {
        let part = |magic: &[u8], pages: &[u32]| {
            let mut part = magic.to_vec();
            part.extend(pages.iter().chain(&[u32::MAX]).flat_map(|page| page.to_be_bytes()));
            part.resize(usize::try_from(PAGE).unwrap() * (pages.len() + 1), 0);
            part
        };
        let (one, two) = pages.split_at(pages.len() / 2);
        [part(b"xtra", one), part(b"XTRA", two)].concat()
    }

    #[test]
    fn the_holes_of_the_pages_of_a_delta_are_filled() {
        let dir = tempfile::tempdir().unwrap();
        let (base, incremental) = (dir.path().join("base"), dir.path().join("inc"));
        for dir in [&base, &incremental] {
            fs::create_dir_all(dir.join("shop")).unwrap();
        }
        let file = File::create(base.join("shop/a.ibd")).unwrap();
        for page in 0..8 {
            file.write_all_at(&[1; 4096], page * PAGE).unwrap();
        }
        file.set_len(8 * PAGE).unwrap();
        fs::write(base.join("shop/plain.ibd"), vec![1; 65536]).unwrap();
        // The last is behind the end.
        for (name, pages) in [("a.ibd", &[1, 2, 5, 100][..]), ("plain.ibd", &[1, 2]), ("new.ibd", &[0, 1])] {
            fs::write(incremental.join(format!("shop/{name}.delta")), delta(pages)).unwrap();
            fs::write(incremental.join(format!("shop/{name}.meta")), "page_size = 16384\nzip_size = 0 \n").unwrap();
        }
        let taken = file.metadata().unwrap().blocks() * 512;
        let holes = 8 * PAGE - taken;
        assert_eq!(fills(&base, &incremental).unwrap(), holes / 8 * 3);
    }
}
