//! Streams that are stored and taken apart, and streams that are refused.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use proptest::prelude::*;

use super::{Codec, Destination, Extract, Extracted, Store, Stored, StreamError};
use crate::model::{Compression, Flavour};
use crate::witness::manifest;

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
        codec: Codec::new(compression, Some(1)),
        threads: 3,
    };
    store.run(InPieces(stream, piece), Destination::<io::Sink>::Folder)
}

fn name(compression: Compression) -> String {
    format!("b.xbstream{}", compression.ending())
}

fn extracted(dir: &Path, into: &Path, compression: Compression, held: bool) -> Result<Extracted, StreamError> {
    let manifest = dir.join(manifest::NAME);
    let name = name(compression);
    let extract =
        Extract { name: &name, into: Some(into), flavour: Flavour::MariaDb, manifest: held.then_some(&manifest) };
    extract.run(fs::File::open(dir.join(&name)).unwrap())
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
        assert_eq!(put.bytes_out, fs::metadata(dir.path().join(name(kind))).unwrap().len());
        assert!(kind == Compression::None || put.bytes_out < put.bytes_in);
        extracted(dir.path(), &dir.path().join("tree"), kind, true).unwrap();
        assert!(fs::read(dir.path().join("tree/shop/long.ibd")).unwrap() == content, "{kind:?}");
    }
}

#[test]
fn what_is_forwarded_leaves_its_hash_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (stream, mut passed_on) = (small().concat(), Vec::new());
    let store = |to: &mut Vec<u8>| {
        let codec = Codec::new(Compression::None, None);
        let name = name(Compression::None);
        let store = Store { into: dir.path(), name: &name, flavour: Flavour::MariaDb, codec, threads: 1 };
        store.run(stream.as_slice(), Destination::Forward(to))
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
            prop_assert_eq!(put.bytes_in, stream.len() as u64);
            let found: BTreeMap<_, _> =
                files.keys().map(|path| (path.clone(), fs::read(into.join(path)).unwrap())).collect();
            prop_assert_eq!(&found, &files);
        }
    }
}

/// A chunk with flags 2, of a file that is written anew.
fn anew(mut chunks: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    chunks[0][8] = 2;
    chunks
}

fn removed(path: &str) -> Vec<Vec<u8>> {
    vec![chunk(b'D', path, None)]
}

fn renamed(from: &str, to: &str) -> Vec<Vec<u8>> {
    let length = u32::try_from(to.len()).unwrap().to_le_bytes();
    vec![[chunk(b'R', from, None).as_slice(), &length, to.as_bytes()].concat()]
}

/// The files that a stream has in the end, and what is said of its tables.
fn files_of(more: &[Vec<Vec<u8>>]) -> (Vec<(String, String)>, String) {
    let stream = [more.concat(), small()].concat().concat();
    let (dir, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stored = stored(dir.path(), &stream, Compression::Zstd, usize::MAX).unwrap();
    let into = into.path().join("files");
    let is = extracted(dir.path(), &into, Compression::Zstd, true).unwrap();
    assert_eq!(is.whole, stored.whole);
    let mut found = Vec::new();
    for entry in fs::read_dir(into.join("shop")).unwrap() {
        let path = entry.unwrap().path();
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        found.push((path.file_name().unwrap().to_str().unwrap().to_owned(), text));
    }
    found.sort();
    assert!(!into.join("dropped").exists());
    (found, is.whole.tables.lines())
}

/// Chunks of the kinds that mariadb-backup 10.11.19 sent for RENAME, DROP, ALTER and DROP DATABASE of tables of `MyISAM`.
#[test]
fn what_became_of_tables_meanwhile_is_done_to_the_files() {
    let found = files_of(&[
        file("shop/m1.MYD", b"rows of m1"),
        file("shop/m2.MYD", b"rows of m2"),
        file("shop/p#P#p0.MYD", b"0"),
        file("shop/p#P#p1.new", b"of another table that has the name now"),
        file("shop/kept.MYD", b"old"),
        file("shop/kept.frm", b"a definition"),
        removed("shop/kept.frm"),
        file("dropped/x.MYD", b"x"),
        file("dropped/db.opt", b""),
        renamed("shop/m1.MYD", "shop/z1.MYD"),
        renamed("shop/never.MYD", "shop/z2.MYD"),
        removed("shop/m2.MYD"),
        removed("shop/never.frm"),
        removed("shop/p#P#*"),
        anew(file("shop/kept.MYD", b"new")),
        anew(file("shop/kept.frm", b"late")),
        anew(file("shop/b.ibd", b"more")),
        removed("dropped"),
    ]);
    let files = found.0.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<Vec<_>>();
    assert_eq!(
        files,
        [
            ("a.ibd", "rows"),
            ("b.ibd", "more"),
            ("kept.MYD", "new"),
            ("kept.frm", "late"),
            // As mbstream leaves them.
            ("p#P#p0.MYD", "0"),
            ("p#P#p1.new", "of another table that has the name now"),
            ("z1.MYD", "rows of m1"),
        ]
    );
    assert_eq!(found.1, "");
}

#[test]
fn tables_that_a_stream_lacks_or_loses_are_told() {
    let mut head = b"\xfe\x01\x0a\x09".to_vec();
    head.resize(430, 0);
    let found = files_of(&[
        file("shop/whole.frm", &head),
        file("shop/whole.MYD", b""),
        file("shop/whole.MYI", b"keys"),
        file("shop/bare.frm", &head),
        file("shop/lost.frm", b"of any engine"),
        file("shop/again.frm", b"first"),
        removed("shop/lost.frm"),
        removed("shop/again.frm"),
        anew(file("shop/again.frm", b"second")),
    ]);
    assert_eq!(
        found.1,
        "the stream lost\tshop/lost.frm\n\
         the stream lacks\tshop/bare.MYD\tshop/bare.frm\tMyISAM\n\
         the stream lacks\tshop/bare.MYI\tshop/bare.frm\tMyISAM\n"
    );
}

#[test]
fn what_no_tool_does_to_files_is_refused() {
    let open = || vec![chunk(b'P', "shop/m.MYD", Some((0, b"rows")))];
    let with = |more: Vec<Vec<u8>>| refused(&[more, small()].concat().concat()).unwrap_or_default();
    for (said, wanted) in [
        (with([open(), renamed("shop/m.MYD", "shop/n.MYD")].concat()), "gets another name before its end"),
        (with([open(), removed("shop/m.MYD")].concat()), "is removed before its end"),
        (with([file("shop/m.MYD", b""), renamed("shop/m.MYD", "../m.MYD")].concat()), "is not one of a backup"),
        (with(removed("../m.MYD")), "is not one of a backup"),
        (with(anew(file("shop/b.ibd", b"rows"))), "is written a second time"),
        (with([file("shop/b.frm", b"x"), anew(file("ibdata1", b"x"))].concat()), "is written a second time"),
        (with(anew(removed("shop/m.MYD"))), "unknown flags: 2"),
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}
