//! Tablespaces of `InnoDB` that were imported, which no incremental carries.
//!
//! `ALTER TABLE … IMPORT TABLESPACE` writes the pages of the file with an LSN of 0 and logs none of them, so that an incremental, which takes the
//! pages that have a later LSN than its base, has nothing of the table: what is restored has the rows of before the import, and every check
//! says OK (seen with MariaDB and mariadb-backup 10.11.19). A page keeps that LSN until something changes it. So a page with LSN 0 was
//! imported; and if the base was taken of a server that had this very page, it is in the base.
//!
//! In: the data directory. Out: for each tablespace with such pages among its first, by its id, their hashes. A page is known by its content, which
//! no restart, restore, copy or renaming of the table changes.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::manifest::hexadecimal;

/// The pages that are looked at: the bitmap of the change buffer, the segments, and the root of the first index. The very first tells nothing,
/// for a new tablespace has it with LSN 0 until it is written for the first time, and the others empty.
const PAGES: [u64; 3] = [1, 2, 3];

/// How much of a page says what it is, in bytes; and where in it stand the LSN, the type and, in the first page of a file, the
/// tablespace's id and its flags (`fil0fil.h`, `fsp0types.h` of `MariaDB`).
const HEAD: usize = 64;
const LSN_AT: usize = 16;
const TYPE_AT: usize = 24;
const SPACE_AT: usize = 34;
const FLAGS_AT: usize = 54;

/// In the flags: that the file is of the layout which `innodb_checksum_algorithm=full_crc32` makes.
const FULL_CRC32: u32 = 1 << 4;

/// How much of a hash is kept, in bytes.
const KEPT: usize = 8;

/// The pages with LSN 0 of a tablespace: by the page's number the beginning of its SHA-256.
type Pages = BTreeMap<u64, String>;

/// Those of each tablespace that has some, by its id.
pub type Imported = BTreeMap<u32, Pages>;

/// A tablespace with such pages.
#[derive(Debug)]
pub(crate) struct Found {
    /// Relative to the data directory.
    pub(crate) file: PathBuf,
    space: u32,
    pages: Pages,
    created: Option<SystemTime>,
}

/// Those in the directories of the databases. What is removed meanwhile, or cannot be read, is passed over: the tool sees to it.
///
/// # Errors
/// The data directory cannot be listed.
pub(crate) fn find(data_dir: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for database in fs::read_dir(data_dir)? {
        let Ok(files) = fs::read_dir(database?.path()) else { continue };
        for file in files.flatten().map(|entry| entry.path()) {
            if file.extension().is_some_and(|ending| ending == "ibd")
                && let Ok(Some((space, pages, there))) = look(&file)
            {
                let file = file.strip_prefix(data_dir).unwrap_or(&file).to_owned();
                found.push(Found { file, space, pages, created: there.created().ok() });
            }
        }
    }
    found.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(found)
}

/// What the next incremental may take for known: not what came since the backup began, for the tool may have copied what was there before.
pub(crate) fn known(found: &[Found], begin: SystemTime) -> Imported {
    let old = found.iter().filter(|found| found.created.is_none_or(|created| created < begin));
    old.map(|found| (found.space, found.pages.clone())).collect()
}

/// The files of those that are not what the base knew.
pub(crate) fn unknown<'a>(found: &'a [Found], base: &Imported) -> Vec<&'a Path> {
    let is_known = |found: &&Found| {
        let base = base.get(&found.space);
        found.pages.iter().all(|page| base.is_some_and(|pages| pages.get(page.0) == Some(page.1)))
    };
    found.iter().filter(|found| !is_known(found)).map(|found| found.file.as_path()).collect()
}

fn look(path: &Path) -> io::Result<Option<(u32, Pages, Metadata)>> {
    // Neither a pipe nor what a symlink leads to.
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(None);
    }
    let file = File::open(path)?;
    let first = head(&file, 0)?;
    let (Some(space), Some(size)) = (number(&first, SPACE_AT), number(&first, FLAGS_AT).and_then(page_size)) else {
        return Ok(None);
    };
    let mut pages = BTreeMap::new();
    for page in PAGES {
        let at = page * u64::from(size);
        let head = match head(&file, at) {
            Ok(head) => head,
            Err(why) if why.kind() == ErrorKind::UnexpectedEof => break,
            Err(why) => return Err(why),
        };
        let (lsn, kind) = (head.get(LSN_AT..LSN_AT + 8), head.get(TYPE_AT..TYPE_AT + 2));
        if lsn == Some(&[0; 8]) && kind != Some(&[0; 2]) {
            let mut content = vec![0; size as usize];
            file.read_exact_at(&mut content, at)?;
            let hash = Sha256::digest(&content);
            pages.insert(page, hexadecimal(hash.get(..KEPT).unwrap_or_default()));
        }
    }
    Ok((!pages.is_empty()).then_some((space, pages, file.metadata()?)))
}

fn head(file: &File, at: u64) -> io::Result<[u8; HEAD]> {
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, at)?;
    Ok(head)
}

fn number(head: &[u8; HEAD], at: usize) -> Option<u32> {
    head.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// The size of a page in the file, by the flags. None if they are none.
fn page_size(flags: u32) -> Option<u32> {
    let of = |shift: u32| (1..=7).contains(&shift).then(|| 512 << shift);
    if flags & FULL_CRC32 != 0 {
        return of(flags & 15);
    }
    match (flags >> 1 & 15, flags >> 6 & 15) {
        (0, 0) => Some(16 * 1024),
        (0, shift) | (shift, _) => of(shift),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use super::{FLAGS_AT, LSN_AT, SPACE_AT, TYPE_AT, find, known, page_size, unknown};

    const SIZE: usize = 16 * 1024;

    /// A tablespace whose pages have these LSNs; each is of a type, but for those without an LSN given.
    fn tablespace(space: u8, lsns: [Option<u8>; 5], content: u8) -> Vec<u8> {
        let mut bytes = vec![0; SIZE * lsns.len()];
        for (page, lsn) in bytes.chunks_mut(SIZE).zip(lsns) {
            let Some(lsn) = lsn else { continue };
            page[LSN_AT + 7] = lsn;
            page[TYPE_AT] = 0x45;
            page[SIZE - 100] = content;
        }
        bytes[SPACE_AT + 3] = space;
        bytes[FLAGS_AT + 3] = 0x15;
        bytes
    }

    const IMPORTED: [Option<u8>; 5] = [Some(0), Some(0), Some(0), Some(0), Some(0)];

    #[test]
    fn an_imported_tablespace_is_known_by_its_pages() {
        let dir = tempfile::tempdir().unwrap();
        let shop = dir.path().join("shop");
        fs::create_dir(&shop).unwrap();
        fs::write(dir.path().join("ibdata1"), tablespace(0, IMPORTED, 1)).unwrap();
        fs::write(shop.join("usual.ibd"), tablespace(1, [Some(5); 5], 1)).unwrap();
        fs::write(shop.join("new.ibd"), tablespace(2, [Some(0), None, None, None, None], 1)).unwrap();
        fs::write(shop.join("short.ibd"), [0; 100]).unwrap();
        fs::write(shop.join("empty.ibd"), "").unwrap();
        fs::write(shop.join("other.MYD"), tablespace(3, IMPORTED, 1)).unwrap();
        std::os::unix::fs::symlink(shop.join("other.MYD"), shop.join("link.ibd")).unwrap();
        assert!(find(dir.path()).unwrap().is_empty());

        let later = SystemTime::now() + Duration::from_secs(60);
        fs::write(shop.join("a.ibd"), tablespace(9, IMPORTED, 1)).unwrap();
        let found = find(dir.path()).unwrap();
        let base = known(&found, later);
        assert_eq!(unknown(&found, &known(&[], later)), [Path::new("shop/a.ibd")]);
        assert!(unknown(&found, &base).is_empty(), "it was imported before the base");
        assert!(known(&found, SystemTime::UNIX_EPOCH).is_empty(), "while the base was taken");

        fs::rename(shop.join("a.ibd"), shop.join("b.ibd")).unwrap();
        fs::write(shop.join("b.ibd"), tablespace(9, [Some(0), Some(0), Some(0), Some(8), Some(0)], 1)).unwrap();
        assert!(unknown(&find(dir.path()).unwrap(), &base).is_empty(), "it was renamed and changed since");
        fs::write(shop.join("b.ibd"), tablespace(9, IMPORTED, 2)).unwrap();
        assert_eq!(unknown(&find(dir.path()).unwrap(), &base), [Path::new("shop/b.ibd")], "imported once more");
        assert!(find(&dir.path().join("none")).is_err());
    }

    #[test]
    fn the_size_of_a_page_is_in_the_flags() {
        // full_crc32 with 4, 16 and 64 kB; the older layout with 16 kB, 8 kB, and compressed to 4 kB and 1 kB.
        for (flags, size) in [(0x13, 4), (0x15, 16), (0x17, 64), (0, 16), (0x21, 16), (0x100, 8), (0x27, 4), (0x23, 1)]
        {
            assert_eq!(page_size(flags), Some(size * 1024), "{flags:#x}");
        }
        assert_eq!((page_size(0x10), page_size(0x1f), page_size(0x3c0)), (None, None, None));
    }
}
