//! Hostile bytes without a fuzzer: each input that the fuzzer found to be of interest (`tests/fuzz/corpus`), through the body of
//! its target.

use std::fs;
use std::path::{Path, PathBuf};

/// What the targets hold, shared with them: see `tests/fuzz/targets`.
mod bodies {
    pub(crate) mod age;
    pub(crate) mod binlog;
    pub(crate) mod frame;
    pub(crate) mod metadata;
    pub(crate) mod records;
    pub(crate) mod settings;
    pub(crate) mod stream;
}

/// Fewer files than this are no corpus.
const LEAST: usize = 20;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// Says which input it was, if the test ends here.
struct Input(PathBuf);

impl Drop for Input {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0.display());
        }
    }
}

fn replay(target: &str, check: fn(&[u8])) {
    let corpus = fuzz().join("corpus").join(target);
    let entries = fs::read_dir(&corpus).unwrap_or_else(|why| panic!("no corpus in {}: {why}", corpus.display()));
    let mut count = 0;
    for entry in entries {
        let input = Input(entry.unwrap().path());
        check(&fs::read(&input.0).unwrap());
        count += 1;
    }
    assert!(count >= LEAST, "{count} inputs in {}", corpus.display());
}

#[test]
fn no_bytes_of_a_client_are_too_strange() {
    replay("frame", bodies::frame::check);
}

#[test]
fn no_settings_are_too_strange() {
    replay("settings", bodies::settings::check);
}

#[test]
fn nothing_that_a_tool_leaves_or_says_is_too_strange() {
    replay("metadata", bodies::metadata::check);
}

#[test]
fn no_records_are_too_strange() {
    replay("records", bodies::records::check);
}

#[test]
fn no_stream_is_too_strange() {
    replay("stream", bodies::stream::check);
}

#[test]
fn no_encrypted_stream_is_too_strange() {
    replay("age", bodies::age::check);
}

#[test]
fn no_binary_log_is_too_strange() {
    replay("binlog", bodies::binlog::check);
}

#[test]
fn every_target_is_replayed() {
    let source = include_str!("fuzz.rs");
    let names = |dir: &str| -> Vec<String> {
        let entries = fs::read_dir(fuzz().join(dir)).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<_> = entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names("targets"), names("corpus"));
    for target in names("targets") {
        assert!(source.contains(&format!("replay(\"{target}\", ")), "{target} is not replayed");
    }
}
