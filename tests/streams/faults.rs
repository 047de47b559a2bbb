//! The faults of a script, where the fakes write a stream or read one.

use std::io::Write;
use std::process::Stdio;

use super::{Bench, ends, file, run};
use crate::harness::{listing, program, wait_for};

#[test]
fn the_faults_of_the_fakes_strike_in_streams() {
    let bench = Bench::new();
    bench.script("mariabackup", r#"{"fault":{"dies_by":"KILL"}}"#);
    let cut = bench.backup(&["--backup", "--stream=xbstream"]);
    assert_eq!(cut.code, None);
    assert!(!ends(&cut.stdout).is_empty());
    // Half a backup is cut between two chunks, so only the file that is missing tells.
    let dir = bench.dir("out");
    assert_eq!(run(&bench.fake("mbstream"), &["-x"], &dir, &cut.stdout).text(), "exit 0");
    assert!(!dir.join("xtrabackup_info").exists());

    bench.script("mariabackup", r#"{"fault":"enospc"}"#);
    assert_eq!(bench.backup(&["--backup", "--stream=xbstream"]).code, Some(98));

    let stream = [file("a", b"hello"), file("b", b"world")].concat();
    for (fault, code, left) in [
        (r#"{"exit":3}"#, Some(3), "(empty)"),
        (r#"{"dies_by":"KILL"}"#, None, "a"),
        (r#"{"dies_after":"SEGV"}"#, None, "a b"),
        (r#""enospc""#, Some(98), "(empty)"),
    ] {
        bench.script("mbstream", &format!(r#"{{"expects":["-x"],"fault":{fault}}}"#));
        let dir = bench.dir("out");
        assert_eq!(run(&bench.fake("mbstream"), &["-x"], &dir, &stream).code, code, "{fault}");
        assert_eq!(listing(&dir), left, "{fault}");
    }

    // So mbstream 10.11.19 on a full tmpfs.
    bench.script("mbstream", r#"{"fault":{"enospc_at":7}}"#);
    let dir = bench.dir("out");
    let said = run(&bench.fake("mbstream"), &["-x"], &dir, &stream).text();
    let unwritten = r#"Error writing file './b' (Errcode: 28 "No space left on device")"#;
    assert_eq!(said, format!("exit 1 | TOOL: {unwritten} | TOOL: my_write() failed."));
    assert_eq!(std::fs::read(dir.join("b")).unwrap(), b"wo");

    bench.script("mbstream", r#"{"fault":"hangs"}"#);
    let dir = bench.dir("out");
    let mut child = program(bench.fake("mbstream")).arg("-x").current_dir(&dir).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&stream).unwrap();
    wait_for("mbstream to wait", || bench.path("bin/mbstream.waiting").exists().then_some(()));
    assert_eq!(listing(&dir), "a");
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None);
}
