//! The settings, line by line.

use std::path::Path;

use tracing::level_filters::LevelFilter;

use super::{Compression, Config, Flavour};

const LEAST: &str = "db_type: mariadb\nbackup_dir: /var/backups/dbcalm/\n";

fn problem(text: &str) -> String {
    let problem = Config::parse(text).expect_err(text);
    format!("{}{} | {}", problem.place(), problem.text, problem.hint)
}

/// What YAML 1.1 takes for the end of a line and no editor does is counted as none.
#[test]
fn a_line_is_one_of_an_editors() {
    for end in ['\u{2028}', '\u{2029}', '\u{85}'] {
        let one = problem(&format!("{LEAST}stream: 𝍠{end}A"));
        assert!(one.starts_with(", line 3"), "{end:?}: {one}");
        let behind = problem(&format!("x: 'é{end}b'\n{LEAST}stream: maybe\n"));
        assert!(behind.starts_with(", line 4"), "{end:?}: {behind}");
    }
}

#[test]
fn the_defaults_are_the_contracts() {
    let config = Config::parse(LEAST).unwrap();
    assert_eq!(config.flavour, Flavour::MariaDb);
    assert_eq!(config.backup_dir, Path::new("/var/backups/dbcalm"), "without the slash");
    assert_eq!(config.credentials, Path::new("/etc/dbcalm/credentials.cnf"));
    assert_eq!((config.backup_bin, config.admin_bin), (None, None));
    assert_eq!(config.data_dir, Path::new("/var/lib/mysql"));
    assert!(config.progress);
    assert_eq!(config.metrics_file, None);
    assert_eq!(config.host, None);
    assert_eq!(config.database_path, Path::new("/var/lib/dbcalm/db.sqlite3"));
    assert_eq!(config.log_file, Path::new("/var/log/dbcalm/dbcalm.log"));
    assert_eq!(config.log_level, LevelFilter::INFO);
}

#[test]
fn the_apis_own_keys_are_no_error_and_an_empty_value_is_an_unset_one() {
    let text = format!(
        "{LEAST}jwt_secret_key: s3cret\ncors_origins: [\"*\"]\napi_port: 8335\nhost:\ndata_dir: ''\nstream:\nforward: \"\"\n"
    );
    assert_eq!(Config::parse(&text), Config::parse(LEAST));
}

#[test]
fn no_path_holds_a_control_character_and_no_problem_takes_more_than_a_line() {
    let said = problem("db_type: mariadb\nbackup_dir: \"/b\\0\\n/c\"\n");
    assert_eq!(
        said,
        r", line 2backup_dir '/b\0\n/c' contains a control character | write 'backup_dir: /var/backups/dbcalm' or another path"
    );
    for bad in ["db_type: \"a\\nb\"\n", "db_type: mysql\nbackup_dir: \"a\\nb\"\n"] {
        assert!(problem(bad).contains(r"a\nb"), "{}", problem(bad));
    }
    for key in ["log_level", "allowed_users", "allowed_groups"] {
        assert!(problem(&format!("{LEAST}{key}: \"a\\nb\"\n")).contains(r"a\nb"), "{key}");
    }
}

#[test]
fn booleans_are_read_as_yaml_1_1_spells_them() {
    let streams = |value: &str| Config::parse(&format!("{LEAST}stream: {value}\n")).unwrap().streaming.is_some();
    for no in ["false", "no", "off", "No", "OFF", "\"0\"", "0", "\"false\"", "n"] {
        assert!(!streams(no), "{no}");
    }
    for yes in ["true", "yes", "on", "Yes", "\"1\"", "1", "\"true\"", "y"] {
        assert!(streams(yes), "{yes}");
    }
    assert!(problem(&format!("{LEAST}stream: maybe\n")).contains("stream must be true or false"));
}

#[test]
fn streams_are_as_they_are_set() {
    let streaming = |lines: &str| Config::parse(&format!("{LEAST}stream: true\n{lines}")).unwrap().streaming.unwrap();
    let plain = streaming("");
    assert_eq!((plain.compression, plain.level, plain.forward), (Compression::None, None, None));
    assert!((1..=8).contains(&plain.threads));
    let set =
        streaming("compression: gzip\ncompression_level: 9\ncompression_threads: \"3\"\nforward: ssh host 'cat > x'\n");
    assert_eq!((set.compression, set.level, set.threads), (Compression::Gzip, Some(9), 3));
    assert_eq!(set.forward.as_deref(), Some("ssh host 'cat > x'"));
    let said = |lines: &str| problem(&format!("{LEAST}{lines}"));
    assert_eq!(
        said("stream: true\ncompression: lz4\n"),
        ", line 4compression 'lz4' is not known | write 'compression: zstd' or 'compression: gzip', or leave it empty"
    );
    assert_eq!(
        said("stream: true\ncompression: gzip\ncompression_level: 10\n"),
        ", line 5compression_level must be a whole number from 1 to 9 | write 'compression_level: 1', or leave it out for the default"
    );
    assert!(said("stream: true\ncompression_level: 3\n").contains("compression_level needs compression"));
    assert!(said("compression_threads: 2\n").contains("compression_threads needs stream: true"));
    assert!(said("stream: true\nforward: \"a\\0b\"\n").contains("forward contains a control character"));
}

#[test]
fn what_makes_it_fast_is_set_within_bounds() {
    let config = |lines: &str| Config::parse(&format!("{LEAST}{lines}")).unwrap();
    assert!((1..=8).contains(&config("").parallel));
    assert_eq!((config("parallel: 16").parallel, config("").use_memory), (16, 2 << 30));
    for (text, bytes) in [("512M", 512 << 20), ("1G", 1 << 30), ("20480 KiB", 20 << 20), ("104857600", 100 << 20)] {
        assert_eq!(config(&format!("use_memory: {text}")).use_memory, bytes, "{text}");
    }
    assert_eq!(
        config("backup_options: [--throttle=9, --galera-info]").backup_options,
        ["--throttle=9", "--galera-info"]
    );
    assert_eq!(config("fetch: ssh host 'cat x'").fetch.as_deref(), Some("ssh host 'cat x'"));
    let said = |lines: &str| problem(&format!("{LEAST}{lines}\n"));
    for bad in ["0", "65", "many", "[1]", "1.5"] {
        assert!(said(&format!("parallel: {bad}")).contains("parallel must be a whole number from 1 to 64"), "{bad}");
    }
    for bad in ["1M", "lots", "5X", "-1G", "[1]", "99999999999G"] {
        assert!(said(&format!("use_memory: {bad}")).contains("use_memory must be an amount of memory"), "{bad}");
    }
    assert_eq!(
        said("backup_options: [--throttle=9, --target-dir=/x]"),
        ", line 3backup_options: '--target-dir=/x' is set by the daemon itself | write 'backup_options: [\"--throttle=100\"]', or other options of the backup tool that tune it"
    );
}

#[test]
fn a_bad_setting_is_named_with_its_line_and_what_to_write() {
    let cases = [
        ("backup_dir: /b\n", "db_type is not set | write 'db_type: mariadb' or 'db_type: mysql'"),
        (
            "db_type: postgres\nbackup_dir: /b\n",
            ", line 1db_type 'postgres' is not known | write 'db_type: mariadb' or 'db_type: mysql'",
        ),
        ("db_type: mysql\n", "backup_dir is not set | add 'backup_dir: /var/backups/dbcalm'"),
        (
            "db_type: mysql\n\nbackup_dir: backups\n",
            ", line 3backup_dir 'backups' is not an absolute path | write 'backup_dir: /var/backups/dbcalm' or another path that begins with /",
        ),
        (
            "db_type: mysql\n'backup_dir': [1]\n",
            ", line 2backup_dir must be text | write 'backup_dir: /var/backups/dbcalm'",
        ),
        (
            "db_type: mysql\nbackup_dir: /b\nlog_level: loud\n",
            ", line 3log_level 'loud' is not known | write 'log_level: info', or one of error, warn, debug, trace",
        ),
        (
            "db_type: mysql\nbackup_dir: /b\ncompression: gzip\n",
            ", line 3compression needs stream: true | write 'stream: true' too, or remove 'compression'",
        ),
        (
            "db_type: mysql\nbackup_dir: /b\nmetrics_file: /m/dbcalm\n",
            ", line 3metrics_file '/m/dbcalm' does not end in .prom | write 'metrics_file: /var/lib/prometheus/node-exporter/dbcalm.prom' or another path that ends in .prom",
        ),
        ("- a\n- b\n", "it is not a mapping of keys to values | write it as YAML: one 'key: value' a line"),
    ];
    for (text, said) in cases {
        assert_eq!(problem(text), said, "{text}");
    }
}

#[test]
fn a_key_of_the_apis_that_has_the_name_of_ours_is_not_the_one_that_is_named() {
    let line = |text: &str| Config::parse(text).expect_err(text).line;
    let cases = [
        ("api:\n  host: 0.0.0.0\n  port: 8335\nhost: [a, list]\n", Some(6)),
        ("api:\n  - host: 0.0.0.0\n    port: 8335\n'host' : [a, list]\n", Some(6)),
        ("api: {host: 0.0.0.0,\n  a: {host : x}}\n\"host\": [a]\n", Some(5)),
        ("api: |\n  host: 0.0.0.0\nhost: [a, list]\n", Some(5)),
        ("api: 'a\n  host: b'\nhost: [a, list]\n", Some(5)),
        ("# host: x\n? host\n: [a, list]\n", Some(4)),
        ("1: 2\n~: 3\nhost: [a, list]\n", Some(5)),
        ("api:\n  log_level: x\nlog_level: loud\n", Some(5)),
        ("api:\n  parallel: 900\nparallel: 900\n", Some(5)),
        // A key that stands twice: the second of them, and not where the mapping begins.
        ("api:\n  host: x\nhost: a\nhost: b\n", Some(6)),
    ];
    for (lines, expected) in cases {
        assert_eq!(line(&format!("{LEAST}{lines}")), expected, "{lines}");
    }
    assert_eq!(line("api:\n  db_type: x\nbackup_dir: /b\n"), None, "what is not set has no line");
    assert_eq!(line("{db_type: mysql, backup_dir: /b,\n  api: {stream: 1},\n stream: maybe}\n"), Some(3));
}

#[test]
fn what_is_not_yaml_is_refused_without_quoting_a_secret() {
    let said = problem("db_type: mariadb\njwt_secret_key: \"s3cret\n");
    assert!(said.contains("not YAML") && !said.contains("s3cret"), "{said}");
    assert_eq!(
        problem(&format!("{LEAST}db_type: mysql\n")),
        ", line 3db_type stands in it twice | leave one of the two lines with 'db_type:'"
    );
}

#[test]
fn what_the_apis_own_readers_take_for_theirs_is_taken() {
    let of_the_api = format!(
        "defaults: &defaults {{log_level: debug, parallel: 3}}\napi:\n  <<: *defaults\n  token_limit: 99999999999999999999\n\
         \x20 port: 1\n  port: 2\nnegative: -99999999999999999999\nhuge: {}\ncors_origins: [a]\ncors_origins: [b]\n\
         tagged: !vault s3cret\n{LEAST}",
        "9".repeat(60)
    );
    assert_eq!(Config::parse(&of_the_api), Config::parse(LEAST));
    // A merge at the top names our keys too; what stands there itself goes first.
    let merged = Config::parse(&format!("{of_the_api}<<: *defaults\nparallel: 2\n")).unwrap();
    assert_eq!((merged.log_level, merged.parallel), (LevelFilter::DEBUG, 2));
    let several = format!("a: &a {{parallel: 5}}\nb: &b {{parallel: 6, log_level: warn}}\n<<: [*a, *b]\n{LEAST}");
    let several = Config::parse(&several).unwrap();
    assert_eq!((several.log_level, several.parallel), (LevelFilter::WARN, 5));
    let said = problem(&format!("a: &a {{parallel: many}}\n{LEAST}<<: *a\n"));
    assert!(said.starts_with(", line 4parallel must be a whole number"), "{said}");
    for large in ["99999999999999999999", "-99999999999999999999"] {
        assert!(problem(&format!("{LEAST}parallel: {large}\n")).contains("must be a whole number from 1 to 64"));
        assert!(
            problem(&format!("{LEAST}host: {large}\nparallel: 0\n")).contains("parallel"),
            "a name may be a number"
        );
    }
    assert!(problem(&format!("{LEAST}host: !x y\n")).contains("host must be text"));
}
