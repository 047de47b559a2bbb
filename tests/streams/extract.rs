//! Our own reader beside mbstream: the same files with the same bytes, from a real server's stream, however it is compressed and by whom.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Bench, Mbstream, content, run};
use crate::contract::Real;
use crate::harness::program;

on_every_mariadb![what_is_extracted_is_what_mbstream_extracts];

/// By whom a stream is compressed in the predecessors' place: the commands that the Go daemon runs.
const COMPRESSORS: [(&str, &[&str]); 3] = [("", &[]), (".gz", &["gzip", "-c"]), (".zst", &["zstd", "-", "-c", "-T0"])];

fn what_is_extracted_is_what_mbstream_extracts(bench: &Bench, real: &'static Real) {
    let _alone = real.alone();
    real.sql(
        "CREATE OR REPLACE DATABASE extracted; USE extracted; CREATE TABLE extracted.holes (t TEXT) ENGINE=InnoDB PAGE_COMPRESSED=1;
         INSERT INTO extracted.holes SELECT repeat('much of the same ', 500) FROM seq_1_to_2000;
         FLUSH TABLES extracted.holes FOR EXPORT; UNLOCK TABLES;
         CREATE TABLE extracted.log (t TEXT) ENGINE=MyISAM; INSERT INTO extracted.log VALUES ('line 1');
         CREATE TABLE extracted.rows (t TEXT) ENGINE=InnoDB;
         INSERT INTO extracted.rows SELECT sha2(seq, 512) FROM seq_1_to_20000",
    );
    let place = format!("--target-dir={}", bench.dir("target").display());
    let (said, stream) = real.stream(&["--stream=xbstream", &place]);
    assert_eq!(said.code, Some(0), "{said}");
    real.sql("DROP DATABASE extracted");
    let theirs_dir = bench.dir("theirs");
    assert_eq!(Mbstream::Real(real).run(&["-x"], &theirs_dir, &stream).text(), "exit 0");
    let theirs = content(&theirs_dir);
    // One that was made since the checkpoint comes as `.new`.
    for table in ["extracted/holes.", "extracted/rows.", "extracted/log.MYD", "ibdata1", "backup-my.cnf"] {
        assert!(theirs.keys().any(|path| path.starts_with(table)), "{table} is not in {:?}", theirs.keys());
    }
    for (ending, command) in COMPRESSORS {
        let name = format!("b.xbstream{ending}");
        let stored = match command {
            [] => stream.clone(),
            [program, args @ ..] => run(Path::new(program), args, &bench.path("."), &stream).stdout,
        };
        fs::write(bench.path(&name), stored).unwrap();
        let into = bench.path(&format!("ours{ending}"));
        let said = program(env!("CARGO_BIN_EXE_dbcalm-db-cmd"))
            .arg("extract")
            .arg(format!("--from={}", bench.path(&name).display()))
            .arg(format!("--into={}", into.display()))
            .args([&format!("--name={name}"), "--flavour=mariadb"])
            .output()
            .unwrap();
        assert!(said.status.success(), "{name}: {}", String::from_utf8_lossy(&said.stderr));
        let ours = content(&into);
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{name}");
        for (path, bytes) in &theirs {
            assert!(ours[path] == *bytes, "{name}: '{path}' is another");
        }
        // Of such a table most is holes, and they stay holes.
        let holes =
            theirs.keys().find(|path| ["extracted/holes.ibd", "extracted/holes.new"].contains(&path.as_str())).unwrap();
        let taken = |dir: &Path| fs::metadata(dir.join(holes)).unwrap().blocks() * 512;
        let (taken, its, length) = (taken(&into), taken(&theirs_dir), theirs[holes].len() as u64);
        assert!(its < length / 2, "mbstream takes {its} of {length} bytes");
        assert!(taken <= its, "{name}: {taken} bytes are taken where mbstream takes {its}");
    }
}
