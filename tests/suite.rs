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

mod access;
mod backup;
mod cli;
mod contract;
mod crowd;
mod exchanges;
mod faults;
mod full_disks;
mod fuzz;
mod histories;
mod hostile;
mod hung;
mod json;
mod layers;
mod lifecycle;
mod live;
mod metrics;
mod migration;
mod orm;
mod packaging;
mod paths;
mod places;
mod power_cut;
mod progress;
mod pythons;
mod recorder;
mod reflinks;
mod relay;
mod restore;
mod scenarios;
mod streams;
mod tables;
mod torture;
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

/// The READMEs say which test proves what; a name that is there has to be a test's.
#[test]
fn every_test_that_is_named_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut source = String::new();
    for dir in ["src", "tests", "fakes"] {
        for path in harness::world::files(&root.join(dir)).unwrap() {
            if std::path::Path::new(&path).extension() == Some("rs".as_ref()) {
                source.push_str(&std::fs::read_to_string(root.join(dir).join(path)).unwrap());
            }
        }
    }
    let mut named = 0;
    for readme in ["README.md", "SECURITY.md", "tests/README.md", "docs/safety.md"] {
        let text = std::fs::read_to_string(root.join(readme)).unwrap();
        for name in text.split('`').filter(|word| word.contains("::") && !word.contains([' ', '\n', '<', '…'])) {
            let function = name.rsplit("::").next().unwrap();
            if !function.is_empty() && name != "harness::wait_for" && name != "harness::stand::Stand" {
                assert!(source.contains(&format!("fn {function}(")), "{readme} names {name}, which is no test");
                named += 1;
            }
        }
    }
    assert!(named > 100, "{named} tests are named");
}
