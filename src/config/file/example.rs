//! The example settings that the packages carry, held to the parser: what they say is the default is.

use std::collections::BTreeSet;

use super::Config;

const EXAMPLE: &str = include_str!("../../../packaging/config.example.yml");
const PAGE: &str = include_str!("../../../docs/settings.md");

const LEAST: &str = "db_type: mariadb\nbackup_dir: /var/backups/dbcalm\n";

/// A line that is a setting commented out: no space behind its `#`.
fn commented(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase()))
}

#[test]
fn it_says_the_least_that_must_be_set_and_nothing_else() {
    assert_eq!(Config::parse(EXAMPLE), Config::parse(LEAST));
}

#[test]
fn what_is_commented_out_is_the_default_unless_it_is_called_an_example() {
    let mut defaults = 0;
    for paragraph in EXAMPLE.split("\n\n").filter(|paragraph| !paragraph.contains("\n# Example:\n")) {
        for setting in paragraph.lines().filter_map(commented) {
            assert_eq!(Config::parse(&format!("{LEAST}{setting}\n")), Config::parse(LEAST), "{setting}");
            defaults += 1;
        }
    }
    assert!(defaults >= 8, "{defaults} defaults are in it");
}

/// With everything in it set but for what begins with one of `without`.
fn with_all_but(without: &[&str]) -> Config {
    let lines = EXAMPLE.lines().map(|line| commented(line).unwrap_or(line)).map(|line| match line {
        "stream: false" => "stream: true",
        other => other,
    });
    let kept = lines.filter(|line| !without.iter().any(|key| line.starts_with(key)));
    Config::parse(&kept.collect::<Vec<_>>().join("\n")).unwrap()
}

/// In two turns: a stream is kept by `forward` or in a repository, and binary logs are not archived beside what is encrypted.
#[test]
fn everything_in_it_can_be_set() {
    let config = with_all_but(&["repository", "keep_local", "binlog_"]);
    assert!(config.streaming.as_ref().is_some_and(|streaming| !streaming.recipients.is_empty()));
    assert!(config.streaming.unwrap().forward.is_some_and(|command| command.contains("$DBCALM_BACKUP_ID")));
    assert!(config.fetch.is_some() && config.backup_bin.is_some());
    assert_eq!(config.backup_options, ["--throttle=100"]);
    let config = with_all_but(&["forward", "fetch", "encrypt_to"]);
    assert!(config.binlogs.is_some());
    let remote = config.repository.unwrap().remote;
    assert_eq!(remote.to_string(), "s3://backups/db1");
    assert!(remote.endpoint.is_some() && remote.region.is_some() && remote.path_style);
    assert!(remote.ca.is_some() && remote.credentials.is_some());
}

/// The page's table of the settings and the example name the same keys.
#[test]
fn it_names_every_setting() {
    let key = |line: &str| line.split_once(':').map(|(key, _)| key.to_owned());
    let settings = EXAMPLE.lines().filter(|line| !line.starts_with("# ")).map(|line| commented(line).unwrap_or(line));
    let example: BTreeSet<_> = settings.filter_map(key).collect();
    let section = PAGE.split("\n## ").next().unwrap();
    let cells = section.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    let table: BTreeSet<_> =
        cells.flat_map(|cell| cell.split(',')).map(|name| name.trim().trim_matches('`').to_owned()).collect();
    assert_eq!(example, table);
}
