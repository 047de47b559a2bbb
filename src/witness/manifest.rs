//! The SHA-256 of every file of a backup, written with it and held against it before it is restored.
//!
//! A prepare ends with status 0 on a tree in which a table's file is missing, and on one with a damaged page (seen with
//! mariadb-backup 10.11.19). So a backup is sealed with a manifest when it is whole, and each private copy is held against
//! it before a tool works on it. The manifest comes last, when all else is on the disk. It is what `sha256sum --check` reads, so an operator needs no daemon to use it:
//! `cd <backup_dir>/<id> && sha256sum --check --quiet dbcalm.sha256`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::thread;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::hashed::{Hash, Hashed, Stamp};
use crate::disk::workers;
use crate::model::at;

/// The manifest's name in a backup's folder.
pub const NAME: &str = "dbcalm.sha256";

/// What it is called until all that it names is on the disk: so a backup whose manifest is complete is whole, whatever died meanwhile.
pub(crate) const DRAFT: &str = ".dbcalm.sha256.part";

/// Threads that read and hash at the most: the disk gives no more to a fifth.
const MAX_THREADS: usize = 4;

/// How much is read at once, in bytes: on the stack, which is given back when the thread ends.
const PIECE: usize = 16 * 1024;

/// Drafts the manifest of the backup in `dir`; it is the caller's to sync, and then to [`put`]. What was hashed before and has not changed
/// since is not read again.
///
/// # Errors
/// The system's, or that it was broken off by `stop`.
pub fn draft(dir: &Path, hashed: &Hashed, stop: &CancellationToken) -> io::Result<()> {
    let (mut known, mut unknown) = (BTreeMap::new(), Vec::new());
    for (path, stamp) in stamped(dir, |_| true)? {
        match hashed.of(&path, stamp) {
            Some(hash) => {
                known.insert(path, hash.clone());
            }
            None => unknown.push((stamp.size(), path)),
        }
    }
    // The longest first: what is begun last is soon done.
    unknown.sort_by(|one, other| other.cmp(one));
    let unknown = unknown.into_iter().map(|(_, path)| path).collect::<Vec<_>>();
    known.append(&mut hash_all(dir, &unknown, stop)?);
    let mut text = Vec::new();
    for (path, hash) in known {
        line(&mut text, &path, &hash);
    }
    let path = dir.join(DRAFT);
    fs::write(&path, text).map_err(at(&path))
}

/// Drafts the manifest of a streamed backup: to the stream's own line, which is there, it adds those of the other files in `dir`. It is the
/// caller's to sync, and then to [`put`].
///
/// # Errors
/// The system's; there is no manifest yet; or it was broken off by `stop`.
pub fn draft_of_stream(dir: &Path, stop: &CancellationToken) -> io::Result<()> {
    let path = dir.join(NAME);
    let mut text = fs::read(&path).map_err(at(&path))?;
    let damaged = || io::Error::other(format!("the manifest '{}' of the stream is damaged", path.display()));
    let Some(named) = parse(&text) else { return Err(damaged()) };
    let others = files(dir)?.into_iter().filter(|path| !named.contains_key(path)).collect::<Vec<_>>();
    for (path, hash) in hash_all(dir, &others, stop)? {
        line(&mut text, &path, &hash);
    }
    let path = dir.join(DRAFT);
    fs::write(&path, text).map_err(at(&path))
}

/// Makes the draft in `dir` the backup's manifest, to the disk. Gives how long the one was that it takes the place of, in bytes.
///
/// # Errors
/// The system's.
pub fn put(dir: &Path) -> io::Result<u64> {
    let path = dir.join(NAME);
    let before = fs::symlink_metadata(&path).map_or(0, |there| there.len());
    fs::rename(dir.join(DRAFT), &path).map_err(at(&path))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))?;
    Ok(before)
}

/// Seals the backup in `dir` at once.
#[cfg(test)]
pub(crate) fn write(dir: &Path, hashed: &Hashed, stop: &CancellationToken) -> io::Result<()> {
    draft(dir, hashed, stop)?;
    put(dir).map(drop)
}

/// What the manifest of the backup in `dir` has for the file of this name. None if it has nothing, or there is none.
pub(crate) fn recorded_hash(dir: &Path, name: &Path) -> io::Result<Option<Hash>> {
    Ok(all(dir)?.remove(name))
}

/// How many files are below `dir`, and how long they are together, in bytes.
pub(crate) fn extent(dir: &Path) -> io::Result<(u64, u64)> {
    let (mut count, mut size) = (0, 0);
    for path in files(dir)? {
        let whole = dir.join(path);
        count += 1;
        size += fs::symlink_metadata(&whole).map_err(at(&whole))?.len();
    }
    Ok((count, size))
}

/// The names in the manifest of the backup in `dir`; empty if it has none or it is damaged.
pub(crate) fn names(dir: &Path) -> io::Result<BTreeSet<PathBuf>> {
    Ok(all(dir)?.into_keys().collect())
}

fn all(dir: &Path) -> io::Result<BTreeMap<PathBuf, Hash>> {
    let path = dir.join(NAME);
    // Whoever may write there may have put a FIFO in its place, and a reader would wait for ever.
    if fs::symlink_metadata(&path).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::other(format!("'{}' is not a plain file", path.display())));
    }
    match fs::read(&path) {
        Ok(text) => Ok(parse(&text).unwrap_or_default()),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(why) => Err(at(&path)(why)),
    }
}

/// One line as `sha256sum` writes it; a name with a line break or a backslash in it is escaped, and the line marked.
pub(crate) fn line(text: &mut Vec<u8>, path: &Path, hash: &str) {
    let name = path.as_os_str().as_bytes();
    let escaped = name.iter().any(|byte| matches!(byte, b'\n' | b'\\'));
    if escaped {
        text.push(b'\\');
    }
    text.extend_from_slice(hash.as_bytes());
    text.extend_from_slice(b"  ");
    for byte in name {
        match byte {
            b'\n' => text.extend_from_slice(b"\\n"),
            b'\\' => text.extend_from_slice(b"\\\\"),
            other => text.push(*other),
        }
    }
    text.push(b'\n');
}

/// The hash of each file; None if the text is no manifest, was cut, or names what is not in its own folder: nothing else is
/// opened on its word.
pub(crate) fn parse(text: &[u8]) -> Option<BTreeMap<PathBuf, Hash>> {
    const HASH: usize = 64;
    let lines = text.strip_suffix(b"\n")?.split(|&byte| byte == b'\n');
    let parse_line = |line: &[u8]| {
        let (line, escaped) = line.strip_prefix(b"\\").map_or((line, false), |rest| (rest, true));
        let (hash, name) = line.split_at_checked(HASH)?;
        let name = name.strip_prefix(b"  ").filter(|name| !name.is_empty())?;
        let hash = std::str::from_utf8(hash).ok().filter(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        let name = if escaped { unescape(name) } else { name.to_vec() };
        let path = PathBuf::from(OsString::from_vec(name));
        let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
        inside.then(|| (path, hash.to_owned()))
    };
    lines.map(parse_line).collect()
}

fn unescape(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(match (byte, bytes.as_slice().first()) {
            (b'\\', Some(b'n')) => {
                bytes.next();
                b'\n'
            }
            (b'\\', Some(b'\\')) => {
                bytes.next();
                b'\\'
            }
            (other, _) => other,
        });
    }
    plain
}

/// The files below `dir`, relative to it, without the manifest itself.
pub(super) fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(relative) = open.pop() {
        let place = dir.join(&relative);
        for entry in fs::read_dir(&place).map_err(at(&place))? {
            let entry = entry.map_err(at(&place))?;
            let path = relative.join(entry.file_name());
            let kind = entry.file_type().map_err(at(&entry.path()))?;
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() && ![NAME, DRAFT].map(OsStr::new).contains(&path.as_os_str()) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Each of them that is wanted, with what it is known by.
pub(super) fn stamped(dir: &Path, is_wanted: impl Fn(&Path) -> bool) -> io::Result<HashMap<PathBuf, Stamp>> {
    let stamp = |path: PathBuf| {
        let whole = dir.join(&path);
        let there = fs::symlink_metadata(&whole).map_err(at(&whole))?;
        Ok((path, Stamp::of(&there)))
    };
    files(dir)?.into_iter().filter(|path| is_wanted(path)).map(stamp).collect()
}

fn hash_all(dir: &Path, paths: &[PathBuf], stop: &CancellationToken) -> io::Result<BTreeMap<PathBuf, Hash>> {
    workers::each(threads(), paths, |path| Ok((path.clone(), hash(&dir.join(path), stop)?))).map(BTreeMap::from_iter)
}

/// As many as there are processors, up to [`MAX_THREADS`].
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS)
}

fn hash(path: &Path, stop: &CancellationToken) -> io::Result<Hash> {
    hash_of(File::open(path).map_err(at(path))?, stop).map_err(at(path))
}

/// The hash of what is read.
pub(crate) fn hash_of(mut input: impl Read, stop: &CancellationToken) -> io::Result<Hash> {
    let mut hasher = Sha256::new();
    let mut bytes = [0; PIECE];
    loop {
        crate::disk::go_on(stop)?;
        match input.read(&mut bytes)? {
            0 => return Ok(hexadecimal(&hasher.finalize())),
            read => hasher.update(bytes.get(..read).unwrap_or_default()),
        }
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use tokio_util::sync::CancellationToken;

    use super::{DRAFT, Hashed, NAME, draft_of_stream, extent, names, parse, put, recorded_hash, write};

    fn sealed() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("shop")).unwrap();
        fs::write(dir.path().join("ibdata1"), vec![7; 1_000_000]).unwrap();
        fs::write(dir.path().join("shop/orders.ibd"), "orders").unwrap();
        fs::write(dir.path().join("shop/a\\b\nc"), "odd").unwrap();
        write(dir.path(), &Hashed::default(), &CancellationToken::new()).unwrap();
        dir
    }

    /// A stream's line is written with it, and the others when the backup is whole.
    #[test]
    fn a_manifest_of_a_stream_is_completed_without_reading_it_again() {
        let dir = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        assert!(draft_of_stream(dir.path(), &stop).is_err(), "there is none yet");
        let line = format!("{}  backup-a.xbstream\n", "0".repeat(64));
        fs::write(dir.path().join(NAME), &line).unwrap();
        fs::write(dir.path().join("backup-a.xbstream"), "of another hash").unwrap();
        fs::write(dir.path().join("abc"), "abc").unwrap();
        draft_of_stream(dir.path(), &stop).unwrap();
        assert_eq!(
            fs::read_to_string(dir.path().join(NAME)).unwrap(),
            line,
            "what it names may not be on the disk yet"
        );
        assert_eq!(recorded_hash(dir.path(), Path::new("abc")).unwrap(), None);
        assert_eq!(put(dir.path()).unwrap(), line.len() as u64);
        assert!(!dir.path().join(DRAFT).exists());
        let text = fs::read_to_string(dir.path().join(NAME)).unwrap();
        assert_eq!(text, format!("{line}ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  abc\n"));
        let listed = names(dir.path()).unwrap();
        assert_eq!(listed.into_iter().collect::<Vec<_>>(), [PathBuf::from("abc"), PathBuf::from("backup-a.xbstream")]);
        let stored = recorded_hash(dir.path(), Path::new("backup-a.xbstream")).unwrap();
        assert_eq!(stored, Some("0".repeat(64)));
        assert_eq!(extent(dir.path()).unwrap(), (2, 18));
    }

    #[test]
    fn the_hashes_are_those_of_the_standard() {
        // "abc", from FIPS 180-2, appendix B.1.
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("abc"), "abc").unwrap();
        write(dir.path(), &Hashed::default(), &CancellationToken::new()).unwrap();
        let text = fs::read_to_string(dir.path().join(NAME)).unwrap();
        assert_eq!(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  abc\n");
    }

    #[test]
    fn a_daemon_that_stops_does_not_hash_to_the_end() {
        let dir = sealed();
        let stop = CancellationToken::new();
        stop.cancel();
        assert!(write(dir.path(), &Hashed::default(), &stop).is_err());
    }

    #[test]
    fn a_manifest_names_nothing_outside_its_folder() {
        let text = |name: &str| format!("{}  {name}\n", "0".repeat(64)).into_bytes();
        for name in ["/proc/kmsg", "../other/ibdata1", "shop/../../x", "./ibdata1"] {
            assert_eq!(parse(&text(name)), None, "{name}");
        }
        assert_eq!(parse(&text("shop/orders.ibd")).unwrap().len(), 1);
    }

    #[test]
    fn a_manifest_that_was_cut_is_none() {
        let dir = sealed();
        let text = fs::read(dir.path().join(NAME)).unwrap();
        assert_eq!(parse(&text).unwrap().len(), 3);
        for end in [0, 1, 64, text.len() - 1] {
            assert_eq!(parse(&text[..end]), None, "{end} bytes");
        }
    }
}
