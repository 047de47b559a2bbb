//! docs/reference.md is what the program is: its commands are generated, its fields and exit statuses are looked for.

use std::collections::BTreeSet;
use std::fs;

use clap::Command;
use serde_json::Value;

use super::json;
use crate::harness::TestEnv;
use crate::harness::bucket::Bucket;
use crate::repository::keeping_in;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");
const BEGIN: &str = "<!-- commands: generated, see tests/cli/reference.rs -->\n";
const END: &str = "<!-- end of commands -->\n";

/// A command that an operator sees and those below it, each with what it says for `--help`.
fn add(command: &Command, all: &mut Vec<(String, String)>) {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    // With a longer text somewhere, `--help` would say another one than `-h`.
    assert!(command.get_long_about().is_none(), "{name} has a longer text");
    all.push((name, command.clone().render_help().to_string()));
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
        add(inner, all);
    }
}

fn commands() -> Vec<(String, String)> {
    let mut root = dbcalm_db_cmd::cli::command();
    root.build();
    let mut all = Vec::new();
    add(&root, &mut all);
    all
}

#[test]
fn the_commands_are_those_of_the_program() {
    let sections = commands().into_iter().map(|(name, help)| {
        let help: Vec<_> = help.trim_end().lines().map(str::trim_end).collect();
        format!("### `{name}`\n\n```\n{}\n```\n", help.join("\n"))
    });
    let wanted = sections.collect::<Vec<_>>().join("\n");
    let page = fs::read_to_string(PAGE).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (there, tail) = rest.split_once(END).unwrap();
    if there.trim() == wanted.trim() {
        return;
    }
    assert!(
        std::env::var_os("DBCALM_BLESS").is_some(),
        "docs/reference.md is not what the program says: DBCALM_BLESS=1 cargo test --test suite -- cli::reference writes it"
    );
    fs::write(PAGE, format!("{head}{BEGIN}\n{wanted}\n{END}{tail}")).unwrap();
}

#[test]
fn every_help_fits_a_screen_and_has_an_example() {
    for (name, help) in commands() {
        let lines: usize = help.lines().map(|line| line.chars().count().div_ceil(80).max(1)).sum();
        assert!(lines <= 24, "{name} takes {lines} lines of 80 columns:\n{help}");
        assert!(help.contains("Example"), "{name}:\n{help}");
    }
}

/// The keys of all objects in a document but for those of a request's own arguments.
fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                found.insert(key.clone());
                if key != "args" {
                    keys(value, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_field_and_exit_status_is_in_the_reference() {
    let env = TestEnv::start();
    let mut found = BTreeSet::new();
    let mut add = |value: &Value| keys(value, &mut found);
    add(&json(&env, 0, "backup full monday"));
    add(&json(&env, 0, "restore monday --target folder"));
    add(&json(&env, 0, "restore monday --target folder --dry-run"));
    let id = json(&env, 0, "backup full tuesday --detach");
    add(&id);
    add(&json(&env, 0, &format!("status --follow {}", id["command_id"].as_str().unwrap())));
    add(&json(&env, 0, &format!("logs {}", id["command_id"].as_str().unwrap())));
    add(&json(&env, 0, "verify latest"));
    for what in ["list", "list restores", "list processes", "show latest"] {
        add(&json(&env, 0, what));
    }
    add(&json(&env, 0, "check"));
    add(&json(&env, 0, "remove --keep-full 1 --dry-run"));
    crate::binlogs::archive_timelines(&env);
    add(&json(&env, 0, "list binlogs"));
    add(&json(&env, 0, "binlog --around 2023-11-14T22:13 --within 1h"));
    env.database().execute("DELETE FROM backup WHERE id = 'tuesday'", []).unwrap();
    add(&json(&env, 0, "adopt --all --dry-run"));
    let (bucket, mut env) = (Bucket::start(), TestEnv::new());
    keeping_in(&mut env, bucket.login(), false);
    env.start_daemon();
    env.full("monday");
    add(&json(&env, 0, "list --repository"));
    add(&json(&env, 0, "show latest"));
    let page = fs::read_to_string(PAGE).unwrap();
    let fields = page.split_once("## JSON").unwrap().1;
    for key in &found {
        assert!(fields.contains(&format!("`{key}`")), "the field {key} is not in docs/reference.md");
    }
    for row in fields.lines().filter_map(|line| line.strip_prefix("| `")) {
        for name in row.split(" | ").next().unwrap().split(", ") {
            let name = name.trim_matches('`');
            assert!(found.contains(name), "docs/reference.md has a field {name}, which nothing says");
        }
    }
    for status in 0..=4 {
        assert!(page.contains(&format!("\n| {status} | ")), "the exit status {status} is not in docs/reference.md");
    }
}
