//! What the backup tool writes with `--stream` and `--extra-lsndir`, fake and real, and what comes of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use insta::assert_snapshot;

use super::{Bench, Mbstream, Said, content, ends, refs, run, said};
use crate::contract::Real;
use crate::harness::mariadb::{self, MariaDb};
use crate::harness::{listing, program};

on_every_mbstream![a_backup_streams_to_stdout_and_writes_nothing_else];

on_every_mariadb![the_real_backup_refuses_alike, a_real_stream_is_extracted_alike_by_the_fake];

fn a_backup_streams_to_stdout_and_writes_nothing_else(bench: &Bench, tool: &Mbstream) {
    let said = bench.backup(&["--backup", "--stream=xbstream", "--target-dir=~/target"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stderr.ends_with("\ncompleted OK!"), "{}", said.stderr);
    assert_eq!(listing(&bench.path("target")), "(absent)");
    let names = ends(&said.stdout);
    assert_snapshot!(names.join(" ").replace("mariadb_backup_", "xtrabackup_"), @"ibdata1 shop/orders.ibd shop/orders.frm ib_logfile0 xtrabackup_checkpoints backup-my.cnf xtrabackup_info");
    let plain = bench.backup(&["--backup", "--target-dir=~/plain"]);
    assert_eq!(plain.code, Some(0), "{}", plain.stderr);
    let plain = content(&bench.path("plain"));
    // A test that takes the stream apart by the fake alone would prove that the fake agrees with itself.
    let dir = bench.dir("out");
    assert_snapshot!(tool.run(&["-x"], &dir, &said.stdout).text(), @"exit 0");
    let mut streamed = content(&dir);
    assert_eq!(streamed.keys().collect::<Vec<_>>(), plain.keys().collect::<Vec<_>>());
    let info = String::from_utf8(streamed.remove(names.last().unwrap()).unwrap()).unwrap();
    let format = if bench.is_old() { "tar" } else { "mbstream" };
    assert!(info.contains(&format!("\nformat = {format}\n")), "{info}");
    assert!(streamed.iter().all(|(path, bytes)| &plain[path] == bytes));
}

#[test]
fn a_format_that_is_none_and_a_directory_that_cannot_be_made_are_refused() {
    let bench = Bench::new();
    for format in ["tar", "bogus", ""] {
        let said = bench.backup(&["--backup", &format!("--stream={format}")]);
        assert_eq!(said.text(), format!("exit 1 | Invalid --stream argument: {format}"));
        assert_eq!(said.stdout, b"");
    }
    let last =
        |said: &Said| format!("exit {:?} {}", said.code, said.stderr.lines().rfind(|line| !line.is_empty()).unwrap());
    let stream = bench.backup(&["--backup", "--stream=mbstream", "--extra-lsndir=~/no/such"]);
    assert_snapshot!(last(&stream), @"exit Some(1) Error: cannot mkdir 2: ~/no/such/");
    assert_eq!(stream.stdout, b"");
    let plain = bench.backup(&["--backup", "--target-dir=~/plain", "--extra-lsndir=~/no/such"]);
    assert_snapshot!(last(&plain), @"exit Some(1) Error: cannot mkdir 2: ~/no/such/");
    assert_eq!(listing(&bench.path("plain")), "(absent)");
}

/// What the real tool says to the same wrong calls, and what it leaves of them.
fn the_real_backup_refuses_alike(bench: &Bench, real: &'static Real) {
    let _alone = real.alone();
    for format in ["tar", "bogus", ""] {
        let (said, stdout) = real.stream(&[&format!("--stream={format}")]);
        assert_eq!((said.code, stdout.len()), (Some(1), 0), "{said}");
        said.says(&format!("Invalid --stream argument: {format}"));
    }
    let (dir, plain) = (bench.path("no/such").display().to_string(), bench.path("plain").display().to_string());
    for place in ["--stream=xbstream".to_owned(), format!("--target-dir={plain}")] {
        let (said, stdout) = real.stream(&[&place, &format!("--extra-lsndir={dir}")]);
        assert_eq!((said.code, stdout.len()), (Some(1), 0), "{said}");
        said.says(&format!("Error: cannot mkdir 2: {dir}/"));
        assert_eq!(listing(&bench.path("plain")), "(absent)");
    }
}

/// A full backup and an incremental of a base of which nothing is there but its checkpoints; the info file is the last of each.
fn a_real_stream_is_extracted_alike_by_the_fake(bench: &Bench, real: &'static Real) {
    let _alone = real.alone();
    real.sql(
        "CREATE OR REPLACE DATABASE streamed; USE streamed; CREATE TABLE orders (id INT PRIMARY KEY, note VARCHAR(400));
         INSERT INTO orders SELECT seq, repeat('x', 400) FROM seq_1_to_2000; CREATE TABLE plain (id INT) ENGINE=MyISAM",
    );
    let prefix = if real.has_old_names() { "xtrabackup" } else { "mariadb_backup" };
    let lsn = bench.path("lsn").display().to_string();
    let base = format!("--incremental-basedir={lsn}");
    for args in [vec!["--stream=xbstream", &format!("--extra-lsndir={lsn}")], vec!["--stream=mbstream", &base]] {
        let (said, stream) = real.stream(&args);
        assert_eq!(said.code, Some(0), "{said}");
        let names = ends(&stream);
        assert_eq!(
            names[names.len() - 4..],
            ["ib_logfile0", &format!("{prefix}_checkpoints"), "backup-my.cnf", &format!("{prefix}_info")]
        );
        let [ours, theirs] = [Mbstream::Here(bench.fake("mbstream")), Mbstream::Real(real)].map(|tool| {
            let dir = bench.dir("out");
            assert_eq!(tool.run(&["-x", "-p", "2"], &dir, &stream).text(), "exit 0");
            content(&dir)
        });
        assert_eq!(ours.len(), names.len());
        assert!(ours == theirs, "the fake extracts something else");
        let info = String::from_utf8_lossy(&ours[&format!("{prefix}_info")]).into_owned();
        let format = if bench.is_old() { "tar" } else { "mbstream" };
        assert!(info.contains(&format!("\nformat = {format}\n")), "{info}");
    }
    real.sql("DROP DATABASE streamed");
}

#[test]
fn a_streamed_chain_is_prepared_and_applied() {
    let bench = Bench::new();
    let take = |args: &[&str], to: &str| {
        let said = bench.backup(args);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let dir = bench.dir(to);
        assert_eq!(run(&bench.fake("mbstream"), &["-x"], &dir, &said.stdout).text(), "exit 0");
    };
    take(&["--backup", "--stream=xbstream", "--extra-lsndir=~/lsn-1"], "full");
    assert_eq!(listing(&bench.path("lsn-1")), "xtrabackup_checkpoints xtrabackup_info");
    for name in ["xtrabackup_checkpoints", "xtrabackup_info"] {
        assert_eq!(fs::read(bench.path("lsn-1").join(name)).unwrap(), fs::read(bench.path("full").join(name)).unwrap());
    }
    bench.world.put("shop/orders.ibd", b"order 1\norder 2\n").unwrap();
    bench.world.put("shop/new.ibd", b"a table of its own\n").unwrap();
    take(&["--backup", "--stream=xbstream", "--incremental-basedir=~/lsn-1", "--extra-lsndir=~/lsn-2"], "inc");
    assert!(bench.path("inc/shop/orders.ibd.delta").exists());

    for args in
        [&["--prepare", "--target-dir=~/full"][..], &["--prepare", "--target-dir=~/full", "--incremental-dir=~/inc"]]
    {
        let said = bench.backup(args);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
    }
    let data = content(&bench.world.data());
    let restored = content(&bench.path("full"));
    assert!(data.len() >= 4);
    for (path, bytes) in &data {
        assert_eq!(restored.get(path), Some(bytes), "{path}");
    }
}

#[test]
fn extra_metadata_is_written_without_a_stream_too() {
    let bench = Bench::new();
    for round in ["1", "2"] {
        // The second round finds the files of the first, and writes over them.
        let said = bench.backup(&["--backup", &format!("--target-dir=~/full-{round}"), "--extra-lsndir=~/lsn"]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let full = content(&bench.path(&format!("full-{round}")));
        for (name, bytes) in content(&bench.path("lsn")) {
            assert!(full[&name] == bytes, "{name}");
        }
        assert_eq!(listing(&bench.path("lsn")), "xtrabackup_checkpoints xtrabackup_info");
    }
}

/// Backs up with a stdout that takes nothing; gives the exit code and the last two lines.
fn backup_to(tool: &Path, args: &[&str], stdout: Stdio) -> String {
    let output = program(tool).args(args).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).output().unwrap();
    let said = said(tool, &output);
    let lines: Vec<_> = said.stderr.lines().collect();
    format!("exit {:?} | {}", said.code, lines[lines.len() - 2..].join(" | "))
}

#[test]
fn a_reader_that_is_gone_and_a_full_disk_fail_the_backup() {
    let (bench, real) = (Bench::new(), mariadb::is_installed());
    let server = real.then(MariaDb::start);
    let mut tools = vec![(bench.fake("mariabackup"), vec!["--user=backup".to_owned()])];
    if let Some(server) = &server {
        let socket = format!("--socket={}", server.socket().display());
        tools.push((
            PathBuf::from("mariadb-backup"),
            vec!["--no-defaults".to_owned(), "--user=root".to_owned(), socket],
        ));
    }
    for (tool, login) in tools {
        let args = [&refs(&login)[..], &["--backup", "--stream=xbstream"]].concat();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        insta::allow_duplicates! {
            assert_snapshot!(backup_to(&tool, &args, writer.into()), @r#"exit Some(1) | TOOL: Error writing file 'UNKNOWN' (errno: 32 "Broken pipe") | FATAL ERROR: mariabackup: Error: failed to copy datafile."#);
            assert_snapshot!(backup_to(&tool, &args, full.into()), @r#"exit Some(1) | TOOL: Error writing file 'UNKNOWN' (errno: 28 "No space left on device") | FATAL ERROR: mariabackup: Error: failed to copy datafile."#);
        }
    }
}
