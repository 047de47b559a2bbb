//! The JSON of replies and records, held to Python's own: the API compares what is written, not only what it means.

use std::io::Write;
use std::process::Stdio;

use dbcalm_db_cmd::json;
use serde_json::{Value, json};

use crate::harness::program;

/// A line of JSON in, the same as `json.dumps` writes it out.
const DUMPS: &str = "import json, sys\nfor line in sys.stdin.buffer:\n    print(json.dumps(json.loads(line)))";

#[test]
fn python_writes_json_in_the_same_way() {
    let cases = [
        json!({"id": "full-1"}),
        json!({"id": "b", "from_backup_id": "a", "schedule_id": 7}),
        json!({"id_list": ["a", "b", "c"], "target": "database", "tmp_dir": "/var/backups/dbcalm/tmp/2026-11-22-09-03-37"}),
        json!({"code": 202, "status": "Accepted", "id": "cad1f48d-be6f-4ca2-b631-1a7ae7429c93"}),
        json!({}),
        json!([]),
        json!({"a": {}, "b": [], "c": [[], {}], "d": {"e": {"f": [1, [2, [3]]]}}}),
        json!([null, true, false, 0, -1, i64::MIN, i64::MAX, u64::MAX]),
        json!(["", " ", "/", "'", "\"", "\\", "\\u0041", "<script>&", "a\u{0}b"]),
        json!(["\u{1}", "\u{8}", "\t", "\n", "\u{b}", "\u{c}", "\r", "\u{1b}", "\u{1f}", "\u{7f}", "\u{80}", "\u{a0}"]),
        json!(["é", "ß", "Ольга", "山田 太郎", "\u{2028}\u{2029}", "\u{feff}", "\u{d7ff}\u{e000}\u{fffd}\u{ffff}"]),
        json!(["😀", "\u{10000}", "\u{10ffff}", "e\u{301}", "👩‍👩‍👧"]),
        json!({"é": {"😀": "\n"}, "": null}),
    ];
    let lines: String = cases.iter().map(|case| format!("{case}\n")).collect::<Vec<_>>().concat();
    let mut python =
        program("python3").args(["-c", DUMPS]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    let theirs = String::from_utf8(output.stdout).unwrap();
    let theirs: Vec<&str> = theirs.lines().collect();
    assert_eq!(theirs.len(), cases.len());
    for (case, theirs) in cases.iter().zip(theirs) {
        assert_eq!(json::python(case), theirs);
        assert_eq!(&serde_json::from_str::<Value>(theirs).unwrap(), case);
    }
}
