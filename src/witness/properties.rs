//! What holds of all metadata, whatever a full disk or a damaged one made of it: random files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::ahead::Hashed;
use super::metadata::{Checkpoints, info, options};
use super::{manifest, redo};
use crate::copying::{CopyError, Copying};
use crate::model::Flavour;

const PREFIX: &str = "InnoDB: End of log at LSN=";

/// Bytes of any kind, or lines that are nearly those of a metadata file.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let key = "backup_type|from_lsn|to_lsn|last_lsn|tool_name|tool_version|server_version|\\[mysqld\\]|[a-z]{0,4}";
    let value = "[0-9]{0,22}|-1|incremental|full-backuped| |\\PC{0,5}";
    let line = (key, " ?= ?|", value).prop_map(|(key, equals, value)| format!("{key}{equals}{value}"));
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n").into_bytes()),
    ]
}

/// The first bytes of a redo log: one of the known formats, more often than chance has them, and any numbers.
fn redo_log() -> impl Strategy<Value = Vec<u8>> {
    let magic = prop_oneof![Just(*b"PHYS"), Just(*b"Phys"), any::<[u8; 4]>()];
    (magic, lsn(), prop::collection::vec(any::<u8>(), 0..40), 0..30_usize).prop_map(|(magic, first, rest, end)| {
        let mut log = [&magic[..], &[0; 4], &first.to_be_bytes(), &rest].concat();
        log.truncate(log.len() - end.min(log.len()));
        log
    })
}

fn lsn() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..20_000_u64, u64::MAX - 15_000..]
}

/// A directory with this file in it, and no other.
fn dir(name: &str, content: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), content).unwrap();
    dir
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(192) })]

    #[test]
    fn checkpoints_are_what_their_lines_say_in_any_order(
        kind in "[a-z-]{1,12}", from in lsn(), to in lsn(), last in lsn(), turn in 0..4_usize, space in "[ \t]{0,2}",
        other in "[a-z]{1,5}_info = [0-9]"
    ) {
        let mut lines = [("backup_type", kind.clone()), ("from_lsn", from.to_string()), ("to_lsn", to.to_string()), ("last_lsn", last.to_string())];
        lines.rotate_left(turn);
        let lines = lines.map(|(key, value)| format!("{space}{key}{space}={space}{value}{space}\n"));
        let found = Checkpoints::parse(&format!("{other}\n{}", lines.concat()));
        prop_assert_eq!(&found, &Ok(Checkpoints { backup_type: kind, from_lsn: from, to_lsn: to, last_lsn: last }));
        let in_order = from <= to && to <= last && to > 0;
        prop_assert_eq!(found.unwrap().check_order(Path::new("/b")).is_ok(), in_order);
        // Without one of them there are none.
        prop_assert!(Checkpoints::parse(&lines[1..].concat()).is_err());
    }

    #[test]
    fn whatever_is_in_a_metadata_file_is_read_or_refused(bytes in bytes()) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let has = |key: &str| text.lines().any(|line| {
            line.split_once('=').is_some_and(|(name, value)| name.trim() == key && !value.trim().is_empty())
        });
        let tool = Flavour::MySql.tool();
        if Checkpoints::read(dir("xtrabackup_checkpoints", &bytes).path(), tool).is_ok() {
            prop_assert!(["backup_type", "from_lsn", "to_lsn", "last_lsn"].into_iter().all(has));
        }
        if info(dir("xtrabackup_info", &bytes).path(), tool).is_ok() {
            prop_assert!(["tool_name", "tool_version", "server_version"].into_iter().all(has));
        }
        prop_assert_eq!(options(dir("backup-my.cnf", &bytes).path()).is_ok(), text.lines().any(|line| line.trim() == "[mysqld]"));
    }

    #[test]
    fn no_redo_log_is_too_strange_to_be_looked_at(log in redo_log(), last in lsn()) {
        let dir = dir("ib_logfile0", &log);
        if let Some((size, needed)) = redo::shortfall(dir.path(), last) {
            prop_assert_eq!(size, log.len() as u64);
            prop_assert!(size < needed && (log.starts_with(b"PHYS") || log.starts_with(b"Phys")));
        }
    }

    #[test]
    fn a_redo_log_of_the_newer_format_is_short_by_the_byte(first in 0..1000_u64, length in 0..2000_u64, cut in -3..=3_i64) {
        let needed = 12288 + length;
        let mut log = [&b"Phys\0\0\0\0"[..], &first.to_be_bytes()].concat();
        log.resize(usize::try_from(needed.saturating_add_signed(-cut)).unwrap(), 0);
        let found = redo::shortfall(dir("ib_logfile0", &log).path(), first + length);
        prop_assert_eq!(found, (cut > 0).then_some((log.len() as u64, needed)));
    }

    #[test]
    fn the_last_end_of_the_redo_log_that_is_said_counts(
        lsns in prop::collection::vec(lsn(), 0..4), noise in prop::collection::vec(any::<String>(), 0..3), behind in "[^0-9]?[a-z]{0,3}"
    ) {
        let said = lsns.iter().map(|lsn| format!("2026-11-22 0 [Note] {PREFIX}{lsn}{behind}"));
        let lines: Vec<String> = said.chain(noise).collect();
        prop_assert_eq!(redo::end(&lines, PREFIX, Path::new("/nowhere")), lsns.last().copied());
    }

    #[test]
    fn a_damaged_manifest_passes_no_backup_as_whole(text in prop::collection::vec(any::<u8>(), 0..200), file in "[a-z]{1,8}") {
        let dir = dir(manifest::NAME, &text);
        fs::write(dir.path().join(file), "data").unwrap();
        // A text that is no manifest at all, or a hash that the file does not have.
        let copying = Copying { from: dir.path(), into: &dir.path().with_extension("copy"), threads: 1 };
        prop_assert!(matches!(copying.run(), Err(CopyError::Damaged(_))), "{:?}", text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn a_manifest_knows_every_file_and_every_change(
        files in prop::collection::btree_map(r"[a-z \\\n'é*#-]{1,10}", prop::collection::vec(any::<u8>(), 0..50), 1..6),
        at in any::<prop::sample::Index>(), change in 0..3_u8
    ) {
        let dir = tempfile::tempdir().unwrap();
        let files: BTreeMap<PathBuf, Vec<u8>> = files.into_iter().map(|(name, content)| (dir.path().join("x").join(name), content)).collect();
        fs::create_dir(dir.path().join("x")).unwrap();
        for (path, content) in &files {
            fs::write(path, content).unwrap();
        }
        let stop = CancellationToken::new();
        manifest::write(dir.path(), &Hashed::default(), &stop).unwrap();
        let (path, content) = files.iter().nth(at.index(files.len())).unwrap();
        match change {
            0 => fs::remove_file(path).unwrap(),
            1 => fs::write(path, [content.as_slice(), b"!"].concat()).unwrap(),
            _ => {}
        }
        let relative = path.strip_prefix(dir.path()).unwrap().to_owned();
        let expected = if change < 2 { Err(relative) } else { Ok(()) };
        let into = tempfile::tempdir().unwrap();
        let found = match (Copying { from: dir.path(), into: &into.path().join("copy"), threads: 2 }).run() {
            Err(CopyError::Damaged(path)) => Err(path),
            other => other.map(|_| ()).map_err(|why| PathBuf::from(why.to_string())),
        };
        prop_assert_eq!(found, expected);
    }
}
