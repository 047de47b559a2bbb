//! What becomes of tables while a real tool streams them: its chunks for that, and what mbstream and our own reader make of them.
//!
//! The tool waits for a pipe that nobody reads. So a statement comes when one table of Aria has surely been copied, and most have not.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;

use super::{Bench, Said, content, run};
use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::program;

/// So many tables of Aria, with 8 KiB of rows and of keys each, do not fit into a pipe.
const TABLES: usize = 40;

/// A chunk: its flags, its type, its path, and its new name if it has one.
type Told = (u8, char, String, String);

struct Struck {
    /// The table that had been copied.
    table: String,
    stream: Vec<u8>,
    chunks: Vec<Told>,
}

impl Struck {
    /// The chunks of the table's files, without those that every file has.
    fn of_the_table(&self) -> String {
        let mine = self.chunks.iter().filter(|(_, _, path, _)| path.contains(&self.table));
        let mine = mine.map(|(flags, kind, path, to)| format!("{flags}{kind} {path} {to}"));
        let mut mine: Vec<_> = mine.map(|text| text.trim_end().replace(&self.table, "it")).collect();
        let own = ["0P race/it.MAI", "0E race/it.MAI", "0P race/it.MAD", "0E race/it.MAD"];
        assert_eq!(mine.drain(..4).collect::<Vec<_>>(), own);
        mine.join(", ")
    }
}

/// Streams a backup; the statement runs when a table was copied, with its name in the place of `~`.
fn struck(server: &MariaDb, statement: &str) -> Struck {
    struck_of(server, "", statement)
}

/// The same, of tables with this behind their definition.
fn struck_of(server: &MariaDb, more: &str, statement: &str) -> Struck {
    let tables = (0..TABLES).map(|number| format!("CREATE TABLE t{number:02} (a INT) ENGINE=Aria {more};"));
    server.sql(&format!("CREATE OR REPLACE DATABASE race; USE race; {}", tables.collect::<String>()));
    let mut tool = program("mariadb-backup")
        .args(["--no-defaults", "--user=root", "--backup", "--stream=xbstream"])
        .arg(format!("--socket={}", server.socket().display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = tool.stdout.take().unwrap();
    let mut all = Struck { table: String::new(), stream: Vec::new(), chunks: Vec::new() };
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    loop {
        let mut head = Vec::new();
        (&mut input).take(14).read_to_end(&mut head).unwrap();
        if head.is_empty() {
            break;
        }
        let (flags, kind) = (head[8], char::from(head[9]));
        all.stream.extend(&head);
        let mut take = |count: usize| {
            let mut bytes = vec![0; count];
            input.read_exact(&mut bytes).unwrap();
            all.stream.extend(&bytes);
            bytes
        };
        let path = String::from_utf8(take(number(&head[10..]))).unwrap();
        let mut to = String::new();
        match kind {
            'P' => {
                let payload = take(20);
                take(number(&payload[..8]));
            }
            'R' => {
                let length = number(&take(4));
                to = String::from_utf8(take(length)).unwrap();
            }
            _ => {}
        }
        let table = path.strip_prefix("race/").and_then(|name| name.strip_suffix(".MAD"));
        if let Some(table) = table.filter(|_| kind == 'E' && all.table.is_empty()) {
            table.split('#').next().unwrap_or_default().clone_into(&mut all.table);
            server.sql(&format!("USE race; {}", statement.replace('~', &all.table)));
        }
        all.chunks.push((flags, kind, path, to));
    }
    assert!(tool.wait().unwrap().success());
    assert!(!all.table.is_empty());
    all
}

/// What mbstream makes of a stream, and where.
fn theirs(bench: &Bench, stream: &[u8]) -> (Said, std::path::PathBuf) {
    let dir = bench.dir("theirs");
    (run(Path::new(super::REAL), &["-x"], &dir, stream), dir)
}

/// What our own reader makes of it: files.
fn ours(bench: &Bench, stream: &[u8]) -> std::path::PathBuf {
    let (into, path) = (bench.path("ours"), bench.path("b.xbstream"));
    let _ = fs::remove_dir_all(&into);
    fs::File::create(&path).unwrap().write_all(stream).unwrap();
    let said = program(env!("CARGO_BIN_EXE_dbcalm-db-cmd"))
        .arg("extract")
        .args([format!("--from={}", path.display()), format!("--into={}", into.display())])
        .args(["--name=b.xbstream", "--flavour=mariadb"])
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    into
}

#[test]
fn what_becomes_of_tables_is_done_as_mbstream_does_it_and_where_it_cannot() {
    if !is_installed() {
        return;
    }
    let (server, bench) = (MariaDb::start(), Bench::new());
    for (statement, wanted) in [
        (
            "ALTER TABLE ~ ADD COLUMN c INT",
            "0P race/it.frm, 0E race/it.frm, 2P race/it.MAD, 0E race/it.MAD, 2P race/it.MAI, 0E race/it.MAI, 2P race/it.frm, 0E race/it.frm",
        ),
        ("DROP TABLE ~", "0D race/it.MAD, 0D race/it.MAI, 0D race/it.frm"),
        ("RENAME TABLE ~ TO other", "0R race/it.MAD race/other.MAD, 0R race/it.MAI race/other.MAI"),
    ] {
        let struck = struck(&server, statement);
        assert_eq!(struck.of_the_table(), wanted);
        let (said, dir) = theirs(&bench, &struck.stream);
        assert_eq!(said.text(), "exit 0");
        let (theirs, ours) = (content(&dir), content(&ours(&bench, &struck.stream)));
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        assert!(ours == theirs, "{statement}: other bytes");
    }
    // What there was of it as one of Aria is gone; what is of InnoDB stays.
    let parted = struck_of(&server, "PARTITION BY HASH(a) PARTITIONS 2", "ALTER TABLE ~ ENGINE=InnoDB");
    let files = content(&ours(&bench, &parted.stream));
    let mine = files.keys().filter(|path| path.contains(&parted.table)).map(|path| path.replace(&parted.table, "it"));
    assert_eq!(mine.collect::<Vec<_>>(), ["race/it#P#p0.new", "race/it#P#p1.new", "race/it.frm", "race/it.par"]);
    // Of a statement that failed and was undone the tool takes the beginning for done. Whole it is no more: the witness of tables says so. What
    // mbstream makes of it hangs on what comes next in the stream: before an empty file it ends with `invalid checksum`, else with 0.
    let undone = struck(
        &server,
        "SET @done = 0; EXECUTE IMMEDIATE 'BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR 1146 SET @done = 1; RENAME TABLE ~ TO other, none TO more; END'",
    );
    assert_eq!(
        undone.of_the_table(),
        "0P race/it.frm, 0E race/it.frm, 0R race/it.MAD race/other.MAD, 0R race/it.MAI race/other.MAI"
    );
    let files = content(&ours(&bench, &undone.stream));
    assert_eq!(files["race/other.MAD"].len(), 8192);
    assert!(files.contains_key("xtrabackup_info"), "{:?}", files.keys());
    // A table without rows in this form has no bytes of them.
    let emptied = struck(&server, "ALTER TABLE ~ TRANSACTIONAL=0, ROW_FORMAT=FIXED");
    assert_eq!(
        emptied.of_the_table(),
        "0P race/it.frm, 0E race/it.frm, 0E race/it.MAD, 2P race/it.MAI, 0E race/it.MAI, 2P race/it.frm, 0E race/it.frm"
    );
    let (said, dir) = theirs(&bench, &emptied.stream);
    assert_eq!(said.code, Some(0));
    assert!(said.stderr.contains("File exists"), "{}", said.stderr);
    assert!(!dir.join("xtrabackup_info").exists(), "mbstream extracts all of it");
    let ours = ours(&bench, &emptied.stream);
    assert_eq!(content(&ours)[&format!("race/{}.MAD", emptied.table)], b"");
    let prepared =
        program("mariadb-backup").arg("--prepare").arg(format!("--target-dir={}", ours.display())).output().unwrap();
    assert!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stderr));
    let restored = MariaDb::over(&ours);
    let checked = restored.sql(&format!("CHECK TABLE race.{}; INSERT INTO race.{0} VALUES (1)", emptied.table));
    assert!(checked.trim().ends_with("OK"), "{checked}");
}
