//! What mbstream makes of a stream, whole or not, and of files: every fact over the fake one and the real ones.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use insta::assert_snapshot;

use super::{Bench, Mbstream, content, file, head, payload};
use crate::harness::listing;

on_every_mbstream![
    a_stream_is_extracted,
    a_cut_between_chunks_is_not_told,
    a_cut_inside_a_chunk_is_told,
    a_type_that_need_not_be_known_is_taken_for_a_payload,
    what_is_no_chunk_is_told,
    a_wrong_checksum_is_told,
    a_file_that_cannot_be_created_ends_the_extraction_and_is_not_told,
    a_path_that_leads_outside_is_refused_but_by_the_old,
    a_part_that_is_not_the_next_is_told,
    what_becomes_of_files_is_done_but_by_the_old,
    what_becomes_of_files_is_done_wherever_a_path_leads,
    an_empty_file_behind_a_new_name_is_taken_for_damage,
    a_file_that_is_written_anew_and_empty_ends_the_extraction,
    a_wrong_call_is_told,
    a_stream_is_made,
];

/// Extracts a stream into a fresh directory; says what the tool said and what is there then.
fn extracted(bench: &Bench, tool: &Mbstream, stream: &[u8], args: &[&str]) -> String {
    let dir = bench.dir("out");
    let said = tool.run(&[&["-x"], args].concat(), &dir, stream);
    let files = content(&dir).into_iter().map(|(path, bytes)| format!("{path}={}", String::from_utf8_lossy(&bytes)));
    let files: Vec<_> = files.collect();
    format!("{} -> {}", said.text(), files.join(" "))
}

fn a_stream_is_extracted(bench: &Bench, tool: &Mbstream) {
    let stream = [payload("a", 0, b"he"), file("d/b", b"world"), payload("a", 2, b"llo"), head(b'E', "a")].concat();
    for args in [&["-p", "2"][..], &["--parallel=1"], &["words", "are", "ignored"]] {
        assert_snapshot!(extracted(bench, tool, &stream, args), @"exit 0 -> a=hello d/b=world");
    }
    let mode = |path: &str| fs::metadata(bench.path("out").join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("a"), mode("d")), (0o640, 0o700));
    assert_snapshot!(extracted(bench, tool, &stream, &["-vp1"]), @"exit 0 | a | d/b -> a=hello d/b=world");
    assert_snapshot!(extracted(bench, tool, &head(b'E', "empty"), &[]), @"exit 0 -> empty=");
    bench.dir("elsewhere");
    let there = bench.path("elsewhere").display().to_string();
    assert_snapshot!(extracted(bench, tool, &stream, &["-C", &there]), @"exit 0 ->");
    assert_eq!(listing(Path::new(&there)), "a d/");
}

/// The lies: nothing and a part of a stream are as good as a whole one.
fn a_cut_between_chunks_is_not_told(bench: &Bench, tool: &Mbstream) {
    assert_snapshot!(extracted(bench, tool, b"", &[]), @"exit 0 ->");
    assert_snapshot!(extracted(bench, tool, &payload("a", 0, b"hel"), &[]), @"exit 0 -> a=hel");
    assert_snapshot!(extracted(bench, tool, &file("a", b"hello"), &[]), @"exit 0 -> a=hello");
}

fn a_cut_inside_a_chunk_is_told(bench: &Bench, tool: &Mbstream) {
    let (first, second) = (file("a", b"hello"), payload("b", 0, b"world"));
    for length in 1..second.len() {
        let stream = [&first, &second[..length]].concat();
        let why = if length < 14 { "unexpected end of stream at offset 0x37." } else { "my_read() failed." };
        let expected = format!("exit 1 | xb_stream_read_chunk(): {why} -> a=hello");
        assert_eq!(extracted(bench, tool, &stream, &[]), expected, "cut at {length}");
    }
}

/// What a chunk of an unknown type brings is written, if its flag says that the type need not be known.
fn a_type_that_need_not_be_known_is_taken_for_a_payload(bench: &Bench, tool: &Mbstream) {
    let mut chunk = payload("z", 0, b"hello");
    (chunk[8], chunk[9]) = (1, b'Q');
    assert_snapshot!(extracted(bench, tool, &[chunk, head(b'E', "z")].concat(), &[]), @"exit 0 -> z=hello");
}

fn what_is_no_chunk_is_told(bench: &Bench, tool: &Mbstream) {
    let first = file("a", b"hello");
    assert_snapshot!(extracted(bench, tool, b"this is no stream at all", &[]), @"exit 1 | xb_stream_read_chunk(): wrong chunk magic at offset 0x0. ->");
    assert_snapshot!(extracted(bench, tool, b"short", &[]), @"exit 1 | xb_stream_read_chunk(): unexpected end of stream at offset 0x0. ->");
    assert_snapshot!(extracted(bench, tool, &[&first[..], b"this is no stream at all"].concat(), &[]), @"exit 1 | xb_stream_read_chunk(): wrong chunk magic at offset 0x37. -> a=hello");
    assert_snapshot!(extracted(bench, tool, &[first.clone(), head(b'Z', "z")].concat(), &[]), @"exit 1 | xb_stream_read_chunk(): unknown chunk type 0x90 at offset 0x40. -> a=hello");
    assert_snapshot!(extracted(bench, tool, &[first, head(b'E', &"n".repeat(512))].concat(), &[]), @"exit 1 | xb_stream_read_chunk(): path length (512) is too large at offset 0x41. -> a=hello");
}

/// A wrong checksum leaves its file empty. With two workers the other one goes on, and the exit code still tells.
fn a_wrong_checksum_is_told(bench: &Bench, tool: &Mbstream) {
    let mut wrong = payload("b", 0, b"world");
    *wrong.last_mut().unwrap() ^= 1;
    let stream = [file("a", b"hello"), wrong, head(b'E', "b"), file("c", b"more")].concat();
    assert_snapshot!(extracted(bench, tool, &stream, &[]), @"exit 1 | xb_stream_read_chunk(): invalid checksum at offset 0x56: expected 0x3a771143, read 0x4d7021d5. -> a=hello b=");
    assert_snapshot!(extracted(bench, tool, &stream, &["-p", "2"]), @"exit 1 | xb_stream_read_chunk(): invalid checksum at offset 0x56: expected 0x3a771143, read 0x4d7021d5. -> a=hello b= c=more");
}

/// Another lie: the exit code is 0, and what comes after such a file is not extracted.
fn a_file_that_cannot_be_created_ends_the_extraction_and_is_not_told(bench: &Bench, tool: &Mbstream) {
    let rest = file("z", b"lost");
    let after = |path: &str| extracted(bench, tool, &[file(path, b"x"), rest.clone()].concat(), &[]);
    assert_snapshot!(after("two/levels/deep"), @r#"exit 0 | TOOL: Can't create directory './two/levels/' (Errcode: 2 "No such file or directory") | TOOL: failed to create file. ->"#);
    assert_snapshot!(after("d/..name"), @"exit 0 -> d/..name=x z=lost");
    let first = file("a", b"hello");
    assert_snapshot!(extracted(bench, tool, &[&first[..], &file("a", b"again"), &rest].concat(), &[]), @r#"exit 0 | TOOL: Can't create/write to file './a' (Errcode: 17 "File exists") | TOOL: failed to create file. -> a=hello"#);
    assert_snapshot!(extracted(bench, tool, &[&first[..], &file("a/b", b"below"), &rest].concat(), &[]), @r#"exit 0 | TOOL: Can't create/write to file './a/b' (Errcode: 20 "Not a directory") | TOOL: failed to create file. -> a=hello"#);
}

/// mbstream of 10.5 writes wherever a stream leads it, out of its directory too. Later ones refuse, and exit 0.
fn a_path_that_leads_outside_is_refused_but_by_the_old(bench: &Bench, tool: &Mbstream) {
    let absolute = bench.path("absolute");
    for (path, leads_to) in [
        ("../outside", Some("outside")),
        (absolute.to_str().unwrap(), Some("absolute")),
        ("./here", Some("out/here")),
        ("d/../../outside", None),
    ] {
        let stream = [file(path, b"x"), file("z", b"behind it")].concat();
        let said = extracted(bench, tool, &stream, &[]);
        let is_there = leads_to.is_some_and(|place| fs::remove_file(bench.path(place)).is_ok());
        if !bench.is_old() {
            assert_eq!(said, format!("exit 0 | TOOL: invalid filename {path} -> "));
            assert!(!is_there, "{path}");
        } else if leads_to.is_some() {
            assert!(said.starts_with("exit 0 -> ") && said.ends_with("z=behind it"), "{said}");
            assert!(is_there, "{path}");
        } else {
            // Not out of caution: there is no directory 'd'.
            assert!(said.starts_with("exit 0 | TOOL: Can't create directory './d/../../'"), "{said}");
        }
    }
}

fn a_part_that_is_not_the_next_is_told(bench: &Bench, tool: &Mbstream) {
    let gap = [payload("a", 0, b"hello"), payload("a", 99, b"x"), file("z", b"lost")].concat();
    assert_snapshot!(extracted(bench, tool, &gap, &[]), @"exit 1 | TOOL: out-of-order chunk: real offset = 0x63, expected offset = 0x5 -> a=hello");
}

fn removed(path: &str) -> Vec<u8> {
    head(b'D', path)
}

fn renamed(from: &str, to: &str) -> Vec<u8> {
    let length = u32::try_from(to.len()).unwrap().to_le_bytes();
    [head(b'R', from).as_slice(), &length, to.as_bytes()].concat()
}

/// A chunk with flags 2.
fn anew(mut chunk: Vec<u8>) -> Vec<u8> {
    chunk[8] = 2;
    chunk
}

/// Files that are removed, renamed and written anew, as where DDL goes on while they are copied. 10.5.23 knows nothing of that.
fn what_becomes_of_files_is_done_but_by_the_old(bench: &Bench, tool: &Mbstream) {
    let (a, rest) = (file("d/a", b"rows"), file("z", b"rest"));
    let after = |chunks: &[Vec<u8>]| extracted(bench, tool, &[&a[..], &chunks.concat(), &rest].concat(), &[]);
    if bench.is_old() {
        assert_snapshot!(after(&[removed("d/a")]), @"exit 1 | xb_stream_read_chunk(): unknown chunk type 0x68 at offset 0x43. -> d/a=rows");
        assert_snapshot!(after(&[renamed("d/a", "d/b")]), @"exit 1 | xb_stream_read_chunk(): unknown chunk type 0x82 at offset 0x43. -> d/a=rows");
        assert_snapshot!(after(&[anew(file("d/a", b"new"))]), @r#"exit 0 | TOOL: Can't create/write to file './d/a' (Errcode: 17 "File exists") | TOOL: failed to create file. -> d/a=rows"#);
        return;
    }
    assert_snapshot!(after(&[removed("d/a")]), @"exit 0 -> z=rest");
    assert_snapshot!(after(&[file("d/b", b""), removed("d")]), @"exit 0 -> z=rest");
    assert_snapshot!(after(&[removed("d/none"), renamed("d/none", "d/b")]), @"exit 0 -> d/a=rows z=rest");
    assert_snapshot!(after(&[file("d/a#P#p0", b"0"), removed("d/a#P#*")]), @"exit 0 -> d/a=rows d/a#P#p0=0 z=rest");
    assert_snapshot!(after(&[renamed("d/a", "d/b")]), @"exit 0 -> d/b=rows z=rest");
    assert_snapshot!(after(&[file("d/b", b"old"), renamed("d/a", "d/b")]), @"exit 0 -> d/b=rows z=rest");
    // Ours makes it.
    assert_snapshot!(after(&[renamed("d/a", "none/a")]), @"exit 0 -> d/a=rows z=rest");
    assert_snapshot!(after(&[renamed("d", "e")]), @"exit 0 -> e/a=rows z=rest");
    assert_snapshot!(after(&[anew(file("d/a", b"new"))]), @"exit 0 -> d/a=new z=rest");
    assert_snapshot!(after(&[anew(file("new", b"new"))]), @"exit 0 -> d/a=rows new=new z=rest");
    assert_snapshot!(after(&[anew(payload("d/a", 0, b"n")), payload("d/a", 1, b"ew"), head(b'E', "d/a")]), @"exit 0 -> d/a=new z=rest");
    assert_snapshot!(after(&[removed("d/a"), file("d/a", b"again")]), @"exit 0 -> d/a=again z=rest");
    assert_snapshot!(after(&[payload("b", 0, b"x"), removed("b")]), @"exit 0 | TOOL: rename and remove chunks can not be applied to opened file: b -> b=x d/a=rows");
    assert_snapshot!(after(&[payload("b", 0, b"x"), renamed("b", "c")]), @"exit 0 | TOOL: rename and remove chunks can not be applied to opened file: b -> b=x d/a=rows");
    assert_snapshot!(after(&[renamed("d/a", &"n".repeat(512))]), @"exit 1 | xb_stream_read_chunk(): path length (512) for new name of 'rename'	chunk is too large -> d/a=rows");
}

/// It looks at the paths of files that begin alone: others lead out of its directory. All that is lost here is the test's own.
fn what_becomes_of_files_is_done_wherever_a_path_leads(bench: &Bench, tool: &Mbstream) {
    if bench.is_old() {
        return;
    }
    let victim = bench.path("victim");
    let absolute = victim.to_str().unwrap();
    let after = |chunks: Vec<u8>| {
        fs::write(&victim, "mine").unwrap();
        extracted(bench, tool, &[file("d/a", b"rows"), chunks].concat(), &[])
    };
    for path in ["../victim", absolute, "d/../../victim"] {
        assert_eq!(after(removed(path)), "exit 0 -> d/a=rows");
        assert!(!victim.exists(), "{path}");
        assert_eq!(after(renamed(path, "d/b")), "exit 0 -> d/a=rows d/b=mine");
        assert!(!victim.exists(), "{path}");
        assert_eq!(after(renamed("d/a", path)), "exit 0 -> ");
        assert_eq!(fs::read(&victim).unwrap(), b"rows", "{path}");
    }
    assert_snapshot!(after(removed("")), @"exit 0 ->");
}

/// mariadb-backup sends such a stream where a `RENAME TABLE` of Aria's tables fails meanwhile: what comes next is the server's log table, which is
/// empty on most servers.
fn an_empty_file_behind_a_new_name_is_taken_for_damage(bench: &Bench, tool: &Mbstream) {
    if bench.is_old() {
        return;
    }
    let renamed = [file("a", b"rows"), renamed("a", "b")].concat();
    let after = |chunks: &[Vec<u8>]| extracted(bench, tool, &[&renamed[..], &chunks.concat()].concat(), &[]);
    assert_snapshot!(after(&[head(b'E', "log"), file("z", b"lost")]), @"exit 1 | xb_stream_read_chunk(): invalid checksum at offset 0x1f: expected 0xa8bf4a1, read 0x16121bda. -> b=rows log=");
    assert_snapshot!(after(&[removed("c"), head(b'E', "log"), file("z", b"lost")]), @"exit 1 | xb_stream_read_chunk(): invalid checksum at offset 0x1f: expected 0xa8bf4a1, read 0x16121bda. -> b=rows log=");
    assert_snapshot!(after(&[file("y", b"kept"), head(b'E', "log"), file("z", b"kept")]), @"exit 0 -> b=rows log= y=kept z=kept");
}

/// mariadb-backup sends such a stream too: a file without a payload has nothing that says it is written anew.
fn a_file_that_is_written_anew_and_empty_ends_the_extraction(bench: &Bench, tool: &Mbstream) {
    let stream = [file("a", b"rows"), head(b'E', "a"), file("z", b"lost")].concat();
    assert_snapshot!(extracted(bench, tool, &stream, &[]), @r#"exit 0 | TOOL: Can't create/write to file './a' (Errcode: 17 "File exists") | TOOL: failed to create file. -> a=rows"#);
    if !bench.is_old() {
        let stream = [file("a", b"rows"), anew(head(b'E', "a")), file("z", b"rest")].concat();
        assert_snapshot!(extracted(bench, tool, &stream, &[]), @"exit 0 -> a= z=rest");
    }
}

fn a_wrong_call_is_told(bench: &Bench, tool: &Mbstream) {
    let dir = bench.dir("calls");
    let call = |args: &[&str]| tool.run(args, &dir, b"").text();
    assert_snapshot!(call(&[]), @"exit 1 | TOOL: either -c or -x must be specified.");
    assert_snapshot!(call(&["-x", "-c"]), @"exit 1 | TOOL: can't set specify both -c and -x.");
    assert_snapshot!(call(&["-c"]), @"exit 1 | TOOL: no files are specified.");
    assert_snapshot!(call(&["-c", "missing"]), @r#"exit 1 | TOOL: Can't get stat of 'missing' (Errcode: 2 "No such file or directory")"#);
    assert_snapshot!(call(&["-c", "."]), @"exit 1 | TOOL: . is not a regular file, exiting.");
    assert_snapshot!(call(&["-x", "-C", "missing"]), @r#"exit 1 | TOOL: Can't change dir to 'missing' (Errcode: 2 "No such file or directory")"#);
    assert_snapshot!(call(&["-x", "-C"]), @"exit 1 | TOOL: option '-C' requires an argument");
    assert_snapshot!(call(&["-x", "-p", "0"]), @"exit 0 | Warning: option 'parallel': signed value 0 adjusted to 1");
    assert_snapshot!(call(&["-x", "--bogus"]), @"exit 1 | TOOL: unknown option '--bogus'");
    assert_snapshot!(call(&["-x", "--bogus=1"]), @"exit 1 | TOOL: unknown variable 'bogus=1'");
    assert_snapshot!(call(&["-q"]), @"exit 1 | TOOL: unknown option '-q'");
    assert_snapshot!(call(&["--version"]), @"exit 1 | TOOL: unknown option '--version'");
}

/// The stream that a tool makes of files, chunk by chunk; a file of more than 10 MiB comes in several.
fn a_stream_is_made(bench: &Bench, tool: &Mbstream) {
    let dir = bench.dir("in");
    let large: Vec<u8> = (0..11_000_000_u32).map(|at| at.to_le_bytes()[1]).collect();
    fs::create_dir(dir.join("d")).unwrap();
    for (name, bytes) in [("a", b"hello".as_slice()), ("empty", b""), ("d/large", &large)] {
        fs::write(dir.join(name), bytes).unwrap();
    }
    let said = tool.run(&["-c", "-v", "a", "empty", "d/large"], &dir, b"");
    assert_snapshot!(said.text(), @"exit 0 | a | empty | d/large");
    let (one, two) = large.split_at(10 << 20);
    let expected = [
        file("a", b"hello"),
        head(b'E', "empty"),
        payload("d/large", 0, one),
        payload("d/large", one.len() as u64, two),
        head(b'E', "d/large"),
    ];
    assert!(said.stdout == expected.concat(), "it writes another stream");
}
