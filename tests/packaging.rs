//! What the packages carry besides the program; `ci/package --test` installs them.

use insta::assert_snapshot;

use super::harness;

#[path = "../packaging/pages.rs"]
#[allow(dead_code, reason = "its main is the example's")]
mod pages;

#[test]
fn what_is_shown_of_the_command_line_has_pages_and_completions_and_what_is_hidden_has_none() {
    let dir = tempfile::tempdir().unwrap();
    pages::write(dir.path()).unwrap();
    let files = harness::world::files(dir.path()).unwrap();
    let command = dbcalm_db_cmd::cli::command();
    let (hidden, shown): (Vec<_>, Vec<_>) = command.get_subcommands().partition(|inner| inner.is_hide_set());
    assert!(!hidden.is_empty() && !shown.is_empty());
    let page = |name: &str| format!("man/dbcalm-db-cmd-{name}.1");
    for inner in &shown {
        assert!(files.contains(&page(inner.get_name())), "{} has no page", inner.get_name());
    }
    for inner in &hidden {
        assert!(!files.contains(&page(inner.get_name())), "{} has a page", inner.get_name());
        for file in files.iter().filter(|file| file.starts_with("completions/")) {
            let text = std::fs::read_to_string(dir.path().join(file)).unwrap();
            let name = format!("dbcalm__db__cmd__{}", inner.get_name());
            assert!(text.contains("check"), "{file} completes nothing");
            assert!(!text.contains(&name), "{file} completes {}", inner.get_name());
            assert!(!text.contains(&inner.get_about().unwrap().to_string()), "{file} tells of {}", inner.get_name());
        }
    }
    let completions: Vec<_> = files.iter().filter(|file| file.starts_with("completions/")).cloned().collect();
    assert_snapshot!(completions.join("\n"), @"
    completions/_dbcalm-db-cmd
    completions/dbcalm-db-cmd.bash
    completions/dbcalm-db-cmd.fish
    ");
}

#[test]
fn what_the_page_on_security_says_of_the_unit_stands_in_it() {
    let page = include_str!("../SECURITY.md").split("The unit in `packaging/` ").nth(1).unwrap();
    let unit = include_str!("../packaging/dbcalm-db-cmd.service");
    let settings: Vec<_> = page.split("(`").skip(1).map(|text| text.split("`)").next().unwrap()).collect();
    assert_eq!(settings, ["ProtectSystem=full", "ProtectHome=yes", "PrivateTmp=yes"]);
    for setting in settings.into_iter().chain(["User=mysql", "CapabilityBoundingSet=", "AmbientCapabilities="]) {
        assert!(unit.lines().any(|line| line == setting), "{setting}");
    }
}
