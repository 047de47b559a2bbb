//! Streams that are stored and taken apart, and streams that are refused.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use proptest::prelude::*;

use super::{Busy, Codec, Destination, Extract, Extracted, Packing, Store, Stored, StreamError};
use crate::model::{Compression, Flavour};
use crate::witness::manifest;

mod ddl;
mod frames;
mod holes;

const CHECKPOINTS: &str = "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 44404\nlast_lsn = 44760\n";
const INFO: &str = "tool_name = mariabackup\ntool_version = 10.11.19\nserver_version = 10.11.19\n";

fn chunk(kind: u8, path: &str, payload: Option<(u64, &[u8])>) -> Vec<u8> {
    let length = u32::try_from(path.len()).unwrap().to_le_bytes();
    let mut chunk = [b"XBSTCK01".as_slice(), &[0, kind], &length, path.as_bytes()].concat();
    if let Some((offset, bytes)) = payload {
        chunk.extend((bytes.len() as u64).to_le_bytes());
        chunk.extend(offset.to_le_bytes());
        chunk.extend(crc32fast::hash(bytes).to_le_bytes());
        chunk.extend(bytes);
    }
    chunk
}

fn file(path: &str, content: &[u8]) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    if !content.is_empty() {
        chunks.push(chunk(b'P', path, Some((0, content))));
    }
    chunks.push(chunk(b'E', path, None));
    chunks
}

/// A log as long as its LSNs ask for, of 10.11.
fn log() -> Vec<u8> {
    let mut log = [b"Phys".as_slice(), &[0; 4], &44404_u64.to_be_bytes()].concat();
    log.resize(12288 + 356, 7);
    log
}

/// The chunks of a whole backup; what says what it is comes last, as the tool writes it.
fn small() -> Vec<Vec<u8>> {
    let files: [(&str, &[u8]); 5] = [
        ("shop/a.ibd", b"rows"),
        ("ib_logfile0", b"nothing that is known"),
        ("backup-my.cnf", b"[mysqld]\n"),
        ("xtrabackup_checkpoints", CHECKPOINTS.as_bytes()),
        ("xtrabackup_info", INFO.as_bytes()),
    ];
    files.into_iter().flat_map(|(path, content)| file(path, content)).collect()
}

/// Stores in `dir` what is read in pieces of `piece` bytes.
fn stored(dir: &Path, stream: &[u8], compression: Compression, piece: usize) -> Result<Stored, StreamError> {
    struct InPieces<'a>(&'a [u8], usize);
    impl Read for InPieces<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(to.len());
            self.0.read(&mut to[..length])
        }
    }
    let store = Store {
        into: dir,
        name: &name(compression),
        flavour: Flavour::MariaDb,
        packing: Packing { codec: Codec::new(compression, Some(1)), recipients: Vec::new(), threads: 3 },
    };
    store.run(InPieces(stream, piece), Destination::<io::Sink>::Folder, &Busy::default())
}

fn name(compression: Compression) -> String {
    format!("b.xbstream{}", compression.ending())
}

fn extracted(dir: &Path, into: &Path, compression: Compression, held: bool) -> Result<Extracted, StreamError> {
    let manifest = dir.join(manifest::NAME);
    let name = name(compression);
    let extract = Extract {
        name: &name,
        into: Some(into),
        flavour: Flavour::MariaDb,
        manifest: held.then_some(&manifest),
        identities: &[],
        threads: 3,
    };
    extract.run(fs::File::open(dir.join(&name)).unwrap(), &Busy::default())
}

/// Why it is refused; nothing of it is left then.
fn refused(stream: &[u8]) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let why = stored(dir.path(), stream, Compression::None, usize::MAX).err()?;
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{why}");
    Some(crate::model::causes(&why))
}

#[test]
fn a_stream_that_is_cut_anywhere_is_refused() {
    let whole = small().concat();
    assert_eq!(refused(&whole), None);
    for end in 0..whole.len() {
        assert!(refused(&whole[..end]).is_some(), "cut at byte {end}");
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_stream_is_refused() {
    let whole = small().concat();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(refused(&flipped).is_some(), "bit {bit}");
    }
}

#[test]
fn what_is_no_stream_of_a_backup_is_refused_with_the_reason() {
    let with = |more: Vec<Vec<u8>>| refused(&[small(), more].concat().concat()).unwrap_or_default();
    let cases = [
        (with(vec![b"and then something else".to_vec()]), "no chunk where one should begin"),
        (with(file("shop/a.ibd", b"twice")), "'shop/a.ibd' goes on after its end"),
        (with(file("innodb_corrupted_pages", b"shop/a 7\n20\n")), "it has 'innodb_corrupted_pages'"),
        (with(file("../x", b"")), "is not one of a backup"),
        (with(file("/x", b"")), "is not one of a backup"),
        (with(file("a//x", b"")), "is not one of a backup"),
        (with(file("a\0x", b"")), "is not one of a backup"),
        (with(file("", b"")), "a path has 0 bytes"),
        (with(vec![chunk(b'P', "x", Some((5, b"late")))]), "is for byte 5 where 0 comes next"),
        (with(vec![chunk(b'P', "x", Some((0, b"begun")))]), "it ends before the end of 'x'"),
        (with(vec![chunk(b'S', "x", None)]), "of an unknown type: 'S'"),
        (refused(b"").unwrap_or_default(), "at byte 0: it is empty"),
        (
            refused(b"hello, world, here I am").unwrap_or_default(),
            "at byte 0: there is no chunk where one should begin",
        ),
        (
            refused(&file("xtrabackup_info", INFO.as_bytes()).concat()).unwrap_or_default(),
            "it has no xtrabackup_checkpoints",
        ),
    ];
    for (said, wanted) in cases {
        assert!(said.contains(wanted), "'{said}' says not '{wanted}'");
    }
}

#[test]
fn a_redo_log_that_is_too_short_is_refused() {
    let with = |log: &[u8]| {
        let others = small().into_iter().filter(|chunk| !chunk.windows(11).any(|part| part == b"ib_logfile0"));
        refused(&others.chain(file("ib_logfile0", log)).collect::<Vec<_>>().concat())
    };
    let log = log();
    assert_eq!(with(&log), None);
    assert!(with(&log[..log.len() - 1]).unwrap().contains("where its LSNs need 12644"));
}

#[test]
fn checkpoints_that_differ_from_those_beside_it_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let beside = dir.path().join("xtrabackup_checkpoints");
    fs::write(&beside, CHECKPOINTS.replace("44760", "44761")).unwrap();
    let why = stored(dir.path(), &small().concat(), Compression::Zstd, 100).unwrap_err();
    assert!(why.to_string().contains("differ from those that the tool wrote beside it"), "{why}");
    fs::write(&beside, CHECKPOINTS).unwrap();
    stored(dir.path(), &small().concat(), Compression::Zstd, 100).unwrap();
}

#[test]
fn stored_bytes_that_are_damaged_cut_or_longer_are_told_by_the_manifest_and_without() {
    for kind in Compression::ALL {
        let dir = tempfile::tempdir().unwrap();
        stored(dir.path(), &small().concat(), kind, 1000).unwrap();
        let path = dir.path().join(name(kind));
        let whole = fs::read(&path).unwrap();
        let mut changed = vec![[whole.as_slice(), b"x"].concat(), [whole.as_slice(), &[0; 9]].concat()];
        changed.extend((0..whole.len()).map(|end| whole[..end].to_vec()));
        for (number, bytes) in changed.iter().enumerate() {
            fs::write(&path, bytes).unwrap();
            let into = |how: &str| dir.path().join(format!("{how}{number}"));
            for (how, held) in [("held", true), ("bare", false)] {
                assert!(extracted(dir.path(), &into(how), kind, held).is_err(), "{kind:?} {number} {how}");
            }
        }
    }
}

/// Damage that no checksum of the stream sees: it is another whole stream.
#[test]
fn a_stream_that_was_swapped_is_told_by_the_manifest() {
    let dir = tempfile::tempdir().unwrap();
    for kind in Compression::ALL {
        let (one, other) =
            (dir.path().join(format!("one{}", kind.name())), dir.path().join(format!("other{}", kind.name())));
        for (place, more) in [(&one, file("x", b"1")), (&other, file("x", b"2"))] {
            fs::create_dir(place).unwrap();
            stored(place, &[more, small()].concat().concat(), kind, 1000).unwrap();
        }
        fs::copy(other.join(name(kind)), one.join(name(kind))).unwrap();
        let why = extracted(&one, &dir.path().join(format!("tree{}", kind.name())), kind, true).unwrap_err();
        assert_eq!(why.to_string(), format!("'{}' has changed since the backup was taken", name(kind)));
    }
}

/// More than one block on each thread, in their order.
#[test]
fn a_long_stream_comes_out_as_it_went_in() {
    let mut random = fastrand::Rng::with_seed(5);
    let content: Vec<u8> = (0..20 << 20).map(|at| if at % 3 == 0 { random.u8(..) } else { 7 }).collect();
    let mut stream = Vec::new();
    for (number, part) in content.chunks(3 << 20).enumerate() {
        stream.extend(chunk(b'P', "shop/long.ibd", Some((number as u64 * (3 << 20), part))));
    }
    stream.extend(chunk(b'E', "shop/long.ibd", None));
    stream.extend(small().concat());
    for kind in Compression::ALL {
        let dir = tempfile::tempdir().unwrap();
        let put = stored(dir.path(), &stream, kind, 100_000).unwrap();
        assert_eq!(put.lengths.stored, fs::metadata(dir.path().join(name(kind))).unwrap().len());
        assert!(kind == Compression::None || put.lengths.stored < put.lengths.data);
        extracted(dir.path(), &dir.path().join("tree"), kind, true).unwrap();
        assert!(fs::read(dir.path().join("tree/shop/long.ibd")).unwrap() == content, "{kind:?}");
    }
}

#[test]
fn what_is_forwarded_leaves_its_hash_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (stream, mut passed_on) = (small().concat(), Vec::new());
    let store = |to: &mut Vec<u8>| {
        let packing = Packing { codec: Codec::new(Compression::None, None), recipients: Vec::new(), threads: 1 };
        let name = name(Compression::None);
        let store = Store { into: dir.path(), name: &name, flavour: Flavour::MariaDb, packing };
        store.run(stream.as_slice(), Destination::Forward(to), &Busy::default())
    };
    store(&mut passed_on).unwrap();
    assert_eq!(passed_on, stream);
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [manifest::NAME]);
    let hash = manifest::hexadecimal(&sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new_with_prefix(&stream)));
    let line = format!("{hash}  {}\n", name(Compression::None));
    assert_eq!(fs::read_to_string(dir.path().join(manifest::NAME)).unwrap(), line);
}

#[test]
fn another_compression_than_the_name_says_is_refused() {
    let found = [(Compression::None, "not compressed"), (Compression::Gzip, "gzip"), (Compression::Zstd, "zstd")];
    for (kind, found) in found {
        for other in Compression::ALL.into_iter().filter(|other| *other != kind) {
            let dir = tempfile::tempdir().unwrap();
            stored(dir.path(), &small().concat(), kind, 1000).unwrap();
            fs::rename(dir.path().join(name(kind)), dir.path().join(name(other))).unwrap();
            let why = extracted(dir.path(), &dir.path().join("t"), other, false).unwrap_err();
            assert_eq!(why.to_string(), format!("the stream is {found}, not {} as its name says", other.name()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn any_files_come_out_as_they_went_in(
        files in prop::collection::btree_map("[a-z]{1,4}/[a-z.#@]{1,9}z", prop::collection::vec(any::<u8>(), 0..3000), 0..8),
        piece in 1_usize..5000,
    ) {
        let more = files.iter().flat_map(|(path, content)| file(path, content));
        let stream = more.chain(small()).collect::<Vec<_>>().concat();
        for kind in Compression::ALL {
            let dir = tempfile::tempdir().unwrap();
            let put = stored(dir.path(), &stream, kind, piece).unwrap();
            let into = dir.path().join("tree");
            prop_assert_eq!(extracted(dir.path(), &into, kind, true).unwrap().whole, put.whole);
            prop_assert_eq!(put.lengths.data, stream.len() as u64);
            let found: BTreeMap<_, _> =
                files.keys().map(|path| (path.clone(), fs::read(into.join(path)).unwrap())).collect();
            prop_assert_eq!(&found, &files);
        }
    }
}
