//! The plans, held to the commands that the Python daemon built, as they were recorded for five kinds of server and settings.
//! What differs is what the contract changes: incrementals are copied before they are applied, and a copy-back always names the
//! data directory.

use std::path::Path;

use serde_json::Value;

use super::{Ground, Plan};
use crate::command::{Backup, BackupId, Restore, Target};
use crate::config::Config;
use crate::plan::version::Version;

const RECORDED: &str = include_str!("../../tests/commands.json");

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn id(text: &str) -> BackupId {
    text.parse().unwrap()
}

/// The settings under which a server's commands were recorded.
fn config(case: &Value) -> Config {
    let family = if text(case, "server").starts_with("mysql") { "mysql" } else { "mariadb" };
    let mut lines = vec![format!("db_type: {family}"), "backup_dir: /var/backups/dbcalm".to_owned()];
    lines
        .extend(case["config"].as_object().unwrap().keys().map(|key| format!("{key}: {}", text(&case["config"], key))));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.yml"), lines.join("\n")).unwrap();
    Config::load(&dir.path().join("config.yml")).unwrap()
}

fn argvs(plan: &Plan) -> Vec<Vec<String>> {
    let argv = |step: &super::Step| {
        let mut argv = vec![step.invocation.program.clone()];
        argv.extend(step.invocation.args.clone());
        argv
    };
    std::iter::once(&plan.first).chain(&plan.rest).map(argv).collect()
}

/// What the contract makes of the recorded commands of a restore.
fn expected(recorded: &Value, config: &Config) -> Vec<Vec<String>> {
    let tmp_dir = text(recorded, "tmp_dir");
    let mut expected = Vec::new();
    for argv in recorded["argvs"].as_array().unwrap() {
        let mut argv = texts(argv);
        if let Some(at) = argv.iter().position(|arg| arg == "--incremental-dir") {
            let stored = argv[at + 1].clone();
            let name = Path::new(&stored).file_name().unwrap().to_str().unwrap().to_owned();
            argv[at + 1] = format!("{tmp_dir}/{name}");
            expected.push(vec!["/usr/bin/cp".to_owned(), "-r".to_owned(), stored, tmp_dir.to_owned()]);
        }
        let data_dir = format!("--datadir={}", config.data_dir.display());
        if argv.contains(&"--copy-back".to_owned()) && !argv.contains(&data_dir) {
            argv.push(data_dir);
        }
        expected.push(argv);
    }
    expected
}

#[test]
fn the_plans_are_the_recorded_commands() {
    let recorded: Vec<Value> = serde_json::from_str(RECORDED).unwrap();
    assert_eq!(recorded.len(), 5);
    for case in &recorded {
        let (server, config) = (text(case, "server"), config(case));
        let bin = texts(&case["full_backup"]["argv"])[0].clone();
        for kind in ["full_backup", "incremental_backup"] {
            let wanted = &case[kind];
            let base = wanted["from_backup_id"].as_str().map(id);
            let backup = Backup { id: id(text(wanted, "id")), base, schedule_id: None };
            let plan = Plan::backup(&backup, &bin, &config);
            assert_eq!(argvs(&plan), [texts(&wanted["argv"])], "{kind} of {server}");
        }
        for kind in ["restore_full_database", "restore_chain_database", "restore_chain_folder"] {
            let wanted = &case[kind];
            let mut chain = texts(&wanted["id_list"]).into_iter().map(|text| id(&text));
            let target = if kind.ends_with("folder") { Target::Folder } else { Target::Database };
            let restore = Restore { full: chain.next().unwrap(), incrementals: chain.collect(), target };
            let ground = Ground {
                bin: &bin,
                version: Version::parse(server.split('-').nth(1).unwrap()),
                tmp_dir: Path::new(text(wanted, "tmp_dir")),
                timestamp: None,
            };
            let plan = Plan::restore(&restore, ground, &config);
            assert_eq!(argvs(&plan), expected(wanted, &config), "{kind} of {server}");
        }
    }
}

#[test]
fn the_arguments_are_recorded_as_python_writes_them() {
    let case: Vec<Value> = serde_json::from_str(RECORDED).unwrap();
    let config = config(&case[0]);
    let args = |base: Option<&str>, schedule_id| {
        Plan::backup(&Backup { id: id("b"), base: base.map(id), schedule_id }, "/bin/tool", &config).args
    };
    assert_eq!(args(None, None), r#"{"id": "b"}"#);
    assert_eq!(args(Some("a"), Some(7)), r#"{"id": "b", "from_backup_id": "a", "schedule_id": 7}"#);
}
