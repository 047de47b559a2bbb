//! What became of tables while the tool copied: files that a stream removes, renames and writes anew, and streams that may not.

use std::fs;

use super::{chunk, extracted, file, name, refused, small, stored};
use crate::model::Compression;
use crate::stream::StreamError;

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
        file("shop/emptied.MAD", b"rows that are gone by now"),
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
        // With no payload that could have flags.
        file("shop/emptied.MAD", b""),
        removed("dropped"),
    ]);
    let files = found.0.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<Vec<_>>();
    assert_eq!(
        files,
        [
            ("a.ibd", "rows"),
            ("b.ibd", "more"),
            ("emptied.MAD", ""),
            ("kept.MYD", "new"),
            ("kept.frm", "late"),
            // Not so the rows of the partitioned table that was dropped.
            ("p#P#p1.new", "of another table that has the name now"),
            ("z1.MYD", "rows of m1"),
        ]
    );
    let space = u32::from_be_bytes(*b" now");
    assert_eq!(found.1, format!("the stream ends with\t{space}\tshop/p#P#p1.new\n"));
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

/// No path leads out of the directory, in whichever chunk, and at its second place. What lies outside is there afterwards, also where an
/// older program has stored such a stream.
#[test]
fn no_chunk_reaches_what_lies_outside() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    let absolute = victim.to_str().unwrap();
    let paths =
        ["../victim", absolute, "shop/../../victim", "..", ".", "./victim", "shop/..", "/", "", "shop//a.ibd", "shop/"];
    for path in paths {
        for hostile in [
            removed(path),
            renamed(path, "shop/mine.MYD"),
            [file("shop/m.MYD", b"x"), renamed("shop/m.MYD", path)].concat(),
            [file("shop/a.frm", b"x"), anew(file(path, b"x"))].concat(),
        ] {
            let stream = [hostile, small()].concat().concat();
            assert!(refused(&stream).is_some(), "{path}");
            let dir = outside.path().join("stored");
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join(name(Compression::None)), &stream).unwrap();
            let why = extracted(&dir, &dir.join("tree"), Compression::None, false).unwrap_err();
            assert!(matches!(why, StreamError::Broken { .. }), "{path}: {why}");
            assert_eq!(fs::read_to_string(&victim).unwrap(), "mine", "{path}");
            assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 2, "{path}");
            fs::remove_dir_all(dir).unwrap();
        }
    }
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
        (
            with([open(), file("n.MYD", b""), renamed("n.MYD", "shop/m.MYD")].concat()),
            "is another file's name before its end",
        ),
        (with([file("d/a.MYD", b""), renamed("d", "e")].concat()), "'d' is a directory and gets another name"),
        // The tool has no definition yet, so nothing was copied that could be copied again; or it is no table's.
        (with([file("shop/m.MYD", b"rows"), file("shop/m.MYD", b"")].concat()), "goes on after its end"),
        (
            with([file("shop/b.frm", b"x"), file("ibdata1", b"x"), file("ibdata1", b"")].concat()),
            "goes on after its end",
        ),
        (with(anew(file("shop/b.ibd", b"rows"))), "is written a second time"),
        (with([file("shop/b.frm", b"x"), anew(file("ibdata1", b"x"))].concat()), "is written a second time"),
        (with(anew(removed("shop/m.MYD"))), "unknown flags: 2"),
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}
