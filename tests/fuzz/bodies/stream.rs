//! Streams of a backup, as they are read when they are stored and when they are extracted.
//!
//! In: if the first byte is even, the rest is a stream. If it is odd, the rest says how one is made, three bytes a chunk, so that checksums
//! are right and whole backups come about: what for, how long, and where in the file; a last part of fewer bytes flips one of its bits. Holds
//! that a stream which is taken is one: read anew in the plainest way, it has every byte of every file in order, up to an end, under names
//! that lead nowhere else, and the metadata of a backup; that it is refused when its last byte is missing; and that it makes no difference in
//! how many pieces it is read.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use dbcalm_db_cmd::model::Flavour;
use dbcalm_db_cmd::stream::chunks::{Chunks, Kind};
use dbcalm_db_cmd::stream::inspect::{Effect, Inspector};

const CHECKPOINTS: &str = "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 44404\nlast_lsn = 44760\n";
const INFO: &str = "tool_name = mariabackup\ntool_version = 10.11.19\nserver_version = 10.11.19\n";

/// What a chunk may be for; what a file's content begins with, which is repeated.
const FILES: [(&str, &str); 16] = [
    ("xtrabackup_checkpoints", CHECKPOINTS),
    ("xtrabackup_info", INFO),
    ("backup-my.cnf", "[mysqld]\n"),
    ("ib_logfile0", "Phys\0\0\0\0\0\0\0\0\0\0\u{1}\0"),
    ("shop/orders.ibd", "rows"),
    ("shop/new.ibd", "more rows"),
    ("ibdata1", "pages"),
    ("mariadb_backup_checkpoints", CHECKPOINTS),
    ("mariadb_backup_info", INFO),
    ("", "nothing"),
    ("/etc/cron.d/x", "evil"),
    ("../x", "evil"),
    ("shop/../../x", "evil"),
    ("shop//x", "odd"),
    ("./x", "odd"),
    ("x/", "odd"),
];

pub(crate) fn check(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else { return };
    let stream = if first.is_multiple_of(2) { rest.to_vec() } else { made(rest) };
    let taken = read(&stream[..]);
    assert_eq!(taken, read(InPieces(&stream)), "in pieces");
    let Ok(taken) = taken else { return };
    assert_eq!(Some(&taken), plainly(&stream).as_ref());
    assert!(read(&stream[..stream.len() - 1]).is_err(), "its last byte is missing");
    for path in taken.keys() {
        let mut parts = path.split(|byte| *byte == b'/');
        assert!(parts.all(|part| !matches!(part, b"" | b"." | b"..")), "{path:?}");
    }
    let is_there =
        |names: [&str; 2]| names.iter().any(|name| taken.get(name.as_bytes()).is_some_and(|text| !text.is_empty()));
    assert!(is_there(["xtrabackup_checkpoints", "mariadb_backup_checkpoints"]));
    assert!(is_there(["xtrabackup_info", "mariadb_backup_info"]));
    assert!(is_there(["backup-my.cnf"; 2]));
}

/// The files of a stream by their names.
type Files = BTreeMap<Vec<u8>, Vec<u8>>;

/// Reads as the daemon's own steps do.
fn read(stream: impl Read) -> Result<Files, String> {
    let (mut chunks, mut inspector) = (Chunks::new(stream), Inspector::new(Flavour::MariaDb.tool()));
    let (mut files, mut buffer) = (Files::new(), Vec::new());
    loop {
        buffer.clear();
        let Some(chunk) = chunks.next(&mut buffer).map_err(|why| why.to_string())? else { break };
        match inspector.take(&chunk, &buffer)? {
            Effect::Begins => assert_eq!(files.insert(name(&chunk.path), Vec::new()), None),
            Effect::BeginsAnew => {
                files.insert(name(&chunk.path), Vec::new());
            }
            Effect::Removed(paths) => paths.iter().for_each(|path| assert!(files.remove(&name(path)).is_some())),
            Effect::None | Effect::Renamed => {}
        }
        match chunk.kind {
            Kind::Payload { bytes, .. } => {
                files.entry(name(&chunk.path)).or_default().extend_from_slice(&buffer[bytes]);
            }
            Kind::Renamed { to } => {
                if let Some(file) = files.remove(&name(&chunk.path)) {
                    files.insert(name(&to), file);
                }
            }
            Kind::End | Kind::Removed => {}
        }
    }
    let whole = inspector.finish(chunks.at()).map_err(|why| why.to_string())?;
    assert_eq!(whole.files, files.len());
    Ok(files)
}

fn name(path: &Path) -> Vec<u8> {
    path.as_os_str().as_encoded_bytes().to_vec()
}

/// Reads without a check that is not asked for here; none, if it is no stream.
fn plainly(mut stream: &[u8]) -> Option<Files> {
    let (mut files, mut ended) = (Files::new(), Vec::new());
    while !stream.is_empty() {
        stream = stream.strip_prefix(b"XBSTCK01")?;
        let (flags, kind) = (take(&mut stream, 1)?[0], take(&mut stream, 1)?[0]);
        let length = number(take(&mut stream, 4)?);
        let path = take(&mut stream, length)?.to_vec();
        let had_ended = ended.contains(&path);
        match kind {
            b'D' if flags == 0 => {
                let below = [path.as_slice(), b"/"].concat();
                let is_engines = |file: &[u8]| {
                    let endings = ["MYD", "MYI", "MRG", "ARZ", "CSM", "CSV", "MAD", "MAI"];
                    endings.iter().any(|ending| file.ends_with(format!(".{ending}").as_bytes()))
                };
                let of_all = path.strip_suffix(b"*").filter(|begin| begin.ends_with(b"#P#"));
                let is_there = files.contains_key(&path);
                let is_meant = |file: &[u8]| match of_all {
                    Some(begin) if !is_there => file.starts_with(begin) && is_engines(file),
                    _ => file == path || file.starts_with(&below),
                };
                ended.retain(|file| !is_meant(file));
                files.retain(|file, _| !is_meant(file));
                continue;
            }
            b'R' if flags == 0 => {
                let length = number(take(&mut stream, 4)?);
                let to = take(&mut stream, length)?.to_vec();
                if let Some(file) = files.remove(&path) {
                    ended.retain(|file| *file != path && *file != to);
                    ended.push(to.clone());
                    files.insert(to, file);
                }
                continue;
            }
            // One that is empty has nothing that says that it is written anew.
            _ if had_ended && flags != 2 && kind != b'E' => return None,
            _ if had_ended => {
                ended.retain(|file| *file != path);
                files.remove(&path);
            }
            _ if flags != 0 && flags != 2 => return None,
            _ => {}
        }
        let file = files.entry(path.clone()).or_default();
        if kind == b'E' {
            ended.push(path);
            continue;
        }
        let (length, offset) = (number(take(&mut stream, 8)?), number(take(&mut stream, 8)?));
        let sum = take(&mut stream, 4)?;
        let bytes = take(&mut stream, length)?;
        if kind != b'P' || offset != file.len() || number(sum) != crc32(bytes) as usize {
            return None;
        }
        file.extend_from_slice(bytes);
    }
    (ended.len() == files.len()).then_some(files)
}

fn take<'a>(stream: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = stream.split_at_checked(count)?;
    *stream = rest;
    Some(taken)
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |sum: usize, byte| sum.wrapping_shl(8) | usize::from(*byte))
}

/// Bit by bit, as it is defined.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 })
    })
}

fn made(input: &[u8]) -> Vec<u8> {
    let (mut stream, mut lengths) = (Vec::new(), BTreeMap::new());
    let (steps, last) = input.as_chunks::<3>();
    for [what, length, place] in steps {
        let (path, content) = FILES[usize::from(what % 16)];
        let at: &mut usize = lengths.entry(path).or_default();
        stream.extend_from_slice(b"XBSTCK01\0");
        // A quarter are ends; of a few the type is not known.
        let kind = [b'P', b'P', b'P', b'E'][usize::from(what >> 4 & 3)];
        stream.push(if *what >= 0xF0 { *place } else { kind });
        stream.extend_from_slice(&u32::try_from(path.len()).unwrap().to_le_bytes());
        stream.extend_from_slice(path.as_bytes());
        if kind == b'E' {
            continue;
        }
        // Up to twice its content; and mostly where the file goes on.
        let length = usize::from(*length).min(2 * content.len());
        let bytes: Vec<u8> = content.bytes().cycle().skip(*at % content.len().max(1)).take(length).collect();
        let offset = if *place < 0xE0 { *at as u64 } else { u64::from(*place - 0xE0) };
        stream.extend_from_slice(&(length as u64).to_le_bytes());
        stream.extend_from_slice(&offset.to_le_bytes());
        stream.extend_from_slice(&crc32(&bytes).to_le_bytes());
        stream.extend_from_slice(&bytes);
        *at += length;
    }
    if let [low, rest @ ..] = last
        && !stream.is_empty()
    {
        let bit =
            (usize::from(*low) | usize::from(rest.first().copied().unwrap_or_default()) << 8) % (stream.len() * 8);
        stream[bit / 8] ^= 1 << (bit % 8);
    }
    stream
}

/// Gives a byte at a time.
struct InPieces<'a>(&'a [u8]);

impl Read for InPieces<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = to.len().min(1);
        self.0.read(&mut to[..count])
    }
}
