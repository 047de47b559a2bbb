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
mod adopting;
mod backup;
mod binlogs;
mod buckets;
mod busy;
mod checks;
mod cli;
mod contract;
mod crowd;
mod encryption;
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
mod one_server;
mod orm;
mod packaging;
mod paths;
mod places;
mod power_cut;
mod progress;
mod proxies;
mod pythons;
mod reach;
mod readers;
mod recorder;
mod reflinks;
mod relay;
mod removing;
mod replica;
mod repository;
mod restore;
mod scenarios;
mod streams;
mod tables;
mod torture;
mod unreadable;
mod workflow;
mod young;

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

/// Each page of the project, by its path, with its text.
fn pages() -> Vec<(String, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for dir in ["", "docs", "tests", "findings"] {
        for entry in std::fs::read_dir(root.join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(found.len() > 12, "{}", found.len());
    found
}

/// What a heading is called in a link: its words in small letters, with `-` between them.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_between_the_pages_leads_somewhere() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut links = 0;
    for (page, text) in pages() {
        let links_of_page = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        for link in links_of_page.filter(|link| !link.contains("://")) {
            let (file, wanted) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
            let path = match file {
                "" => root.join(&page),
                file => root.join(&page).parent().unwrap().join(file),
            };
            assert!(path.exists(), "{page} links to {link}, which is not there");
            if let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) {
                let text = std::fs::read_to_string(&path).unwrap();
                let mut headings = text.lines().filter(|line| line.starts_with('#')).map(anchor);
                assert!(headings.any(|heading| heading == wanted), "{page} links to {link}, which has no such heading");
            }
            links += 1;
        }
    }
    assert!(links > 30, "{links} links");
}

/// The pages say which test proves what; a name that is there has to be a test's.
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
    for (page, text) in pages() {
        if page == "CHANGELOG.md" {
            continue;
        }
        for name in text.split('`').filter(|word| word.contains("::") && !word.contains([' ', '\n', '<', '…'])) {
            let function = name.rsplit("::").next().unwrap();
            if !function.is_empty() && name != "harness::wait_for" && name != "harness::stand::Stand" {
                assert!(source.contains(&format!("fn {function}(")), "{page} names {name}, which is no test");
                named += 1;
            }
        }
    }
    assert!(named > 100, "{named} tests are named");
}
