//! What holds of every settings file: random ones.

use proptest::prelude::*;

use super::{Config, Problem};

const LEAST: &str = "db_type: mariadb\nbackup_dir: /var/backups/dbcalm\n";

/// The keys that take a path, and a value that none of them takes.
const PATHS: [&str; 7] =
    ["backup_dir", "backup_credentials_file", "backup_bin", "admin_bin", "data_dir", "database_path", "log_file"];

/// Lines that look like settings, like YAML, or like nothing.
fn text() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        prop::sample::select(vec![
            "db_type",
            "backup_dir",
            "stream",
            "host",
            "log_level",
            "compression",
            "jwt_secret_key"
        ])
        .prop_map(str::to_owned),
        prop::sample::select(&PATHS[..]).prop_map(str::to_owned),
        r"[a-z_]{0,8}",
    ];
    let value = prop_oneof![
        prop::sample::select(vec![
            "mariadb",
            "mysql",
            "/a/b",
            "yes",
            "\"0\"",
            "~",
            "",
            "''",
            "[a, b]",
            "{a: b}",
            "!t x",
            "a b",
            "\"a\\tb\""
        ])
        .prop_map(str::to_owned),
        r#"[\[\]{}"'|>&*!%@`#:, a/-]{0,8}"#,
        any::<String>(),
    ];
    let line = prop_oneof![
        4 => (key, value).prop_map(|(key, value)| format!("{key}: {value}")),
        1 => any::<String>(),
        1 => r#"[-?: \t#"'a]{0,8}"#,
    ];
    (prop::collection::vec(line, 0..8), any::<bool>())
        .prop_map(|(lines, enough)| format!("{}{}", if enough { LEAST } else { "" }, lines.join("\n")))
}

/// A word in any mixture of cases, bare or in quotes.
fn spelt(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    let word = prop::sample::select(words).prop_flat_map(|word| {
        let upper = prop::collection::vec(any::<bool>(), word.len());
        upper.prop_map(move |upper| {
            let cases = word.chars().zip(upper);
            cases.map(|(letter, upper)| if upper { letter.to_ascii_uppercase() } else { letter }).collect::<String>()
        })
    });
    (word, prop::sample::select(vec!["", "\"", "'"])).prop_map(|(word, quote)| format!("{quote}{word}{quote}"))
}

fn problem(text: &str) -> Problem {
    Config::parse(text).expect_err(text)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(192) })]

    #[test]
    fn every_text_gives_settings_or_says_what_to_write(text in text()) {
        match Config::parse(&text) {
            Ok(config) => {
                prop_assert!(config.backup_dir.is_absolute() && config.data_dir.is_absolute());
                prop_assert!(config.credentials.is_absolute() && config.database_path.is_absolute());
                prop_assert!(config.host.is_none_or(|host| !host.is_empty() && !host.contains(char::is_whitespace)));
            }
            Err(problem) => {
                prop_assert!(!problem.text.is_empty() && !problem.hint.is_empty());
                let lines = text.lines().count().max(1);
                prop_assert!(problem.line.is_none_or(|line| (1..=lines + 1).contains(&line)), "{:?} of {}", problem.line, lines);
            }
        }
    }

    #[test]
    fn a_mistake_is_found_at_its_line(
        key in prop::sample::select(&PATHS[1..]), value in "q[a-z/]{0,8}", quote in prop::sample::select(vec!["", "\"", "'"]),
        before in prop::collection::vec("api_[a-z]{3}[0-9]: [0-9]{1,4}|# [a-z :]{0,12}|", 0..6)
    ) {
        let mut before = before;
        before.sort();
        before.dedup_by_key(|line| line.split(':').next().unwrap_or_default().to_owned());
        let before = format!("{LEAST}{}\n", before.join("\n"));
        let text = format!("{before}{quote}{key}{quote}: {value}\nhost: localhost\n");
        let problem = problem(&text);
        prop_assert_eq!(problem.text, format!("{key} '{value}' is not an absolute path"));
        prop_assert_eq!(problem.line, Some(before.lines().count() + 1));
        prop_assert!(problem.hint.starts_with(&format!("write '{key}: /")), "{}", problem.hint);
    }

    #[test]
    fn a_boolean_is_one_in_every_spelling_of_yaml_1_1(
        yes in spelt(&["true", "yes", "on", "y", "1"]), no in spelt(&["false", "no", "off", "n", "0"]), other in "[a-z]{2,6}[2-9]"
    ) {
        prop_assert_eq!(Config::parse(&format!("{LEAST}stream: {no}\n")), Config::parse(LEAST));
        let streams = Config::parse(&format!("{LEAST}stream: {yes}\n")).unwrap();
        prop_assert!(streams.streaming.is_some());
        let found = problem(&format!("{LEAST}stream: {other}\n"));
        prop_assert_eq!((found.text.as_str(), found.line), ("stream must be true or false", Some(3)));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_without_the_apis_secrets(
        secret in "[A-Z]{12}", damage in r#"[\[\]{}"'|>&*!%@`#:, \t-]{1,6}"#, front in any::<bool>()
    ) {
        let (front, behind) = if front { (damage.as_str(), "") } else { ("", damage.as_str()) };
        if let Err(problem) = Config::parse(&format!("{LEAST}jwt_secret_key: {front}{secret}{behind}\n")) {
            prop_assert!(!format!("{problem:?}").contains(&secret), "{problem:?}");
        }
    }

    #[test]
    fn a_path_reads_alike_however_it_is_written(parts in prop::collection::vec("[a-z0-9_]{1,6}", 1..4), slashes in 1..3_usize) {
        let plain = format!("/{}", parts.join("/"));
        let loud = format!("{0}{1}{0}", "/".repeat(slashes), parts.join(&"/".repeat(slashes)));
        let with = |path: &str| Config::parse(&format!("db_type: mysql\nbackup_dir: {path}\n"));
        prop_assert_eq!(with(&loud), with(&plain));
        prop_assert_eq!(with(&loud).unwrap().backup_dir.into_os_string(), plain.as_str());
    }
}
