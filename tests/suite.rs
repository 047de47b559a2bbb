//! The one test binary of the project; a module a topic.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says why on stderr"
)]

mod harness;

mod backup;
mod exchanges;
mod hostile;
mod lifecycle;
mod orm;
mod pythons;
mod recorder;
mod restore;
mod scenarios;
mod workflow;

/// A test that nobody calls proves nothing: every file here is a module above.
#[test]
fn no_file_of_the_suite_is_forgotten() {
    let suite = include_str!("suite.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_some_and(|extension| extension == "rs") && name != "suite" {
            assert!(suite.contains(&format!("\nmod {name};\n")), "tests/{name}.rs is not part of the suite");
        }
    }
}
