//! What CI calls: each job of the workflow is one script of `ci/` that is here and can be run, and `ci/test` calls the same ones.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use insta::assert_snapshot;
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn workflow() -> Value {
    serde_yaml::from_str(&fs::read_to_string(format!("{ROOT}/.github/workflows/ci.yml")).unwrap()).unwrap()
}

/// What each job runs, and which actions of others it needs.
fn jobs() -> BTreeMap<String, (Vec<String>, Vec<String>)> {
    let workflow = workflow();
    let jobs = workflow["jobs"].as_object().unwrap();
    let texts = |job: &Value, key: &str| -> Vec<String> {
        job["steps"].as_array().unwrap().iter().filter_map(|step| Some(step.get(key)?.as_str()?.to_owned())).collect()
    };
    jobs.iter().map(|(name, job)| (name.clone(), (texts(job, "run"), texts(job, "uses")))).collect()
}

#[test]
fn each_job_is_one_script_that_is_here() {
    let jobs = jobs();
    let lines = jobs.iter().map(|(name, (runs, _))| format!("{name}: {}", runs.join("; ")));
    assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @"
    containers: ./ci/suite scenarios:: contract:: streams::
    deny: ./ci/audit
    docs: ./ci/docs
    format: ./ci/format
    lint: ./ci/lint
    package: ./ci/package --test
    suite: ./ci/suite
    ");
    for (name, (runs, _)) in &jobs {
        assert_eq!(runs.len(), 1, "{name}");
        let script = Path::new(ROOT).join(runs[0].split(' ').next().unwrap());
        let mode =
            fs::metadata(&script).unwrap_or_else(|why| panic!("{}: {why}", script.display())).permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{} can be run", script.display());
    }
}

#[test]
fn no_job_needs_an_action_that_is_not_githubs_own() {
    for (name, (_, uses)) in jobs() {
        assert_eq!(uses.first().map(String::as_str), Some("actions/checkout@v4"), "{name}");
        let foreign =
            uses.iter().find(|action| !["actions/checkout@v4", "actions/cache@v4"].contains(&action.as_str()));
        assert_eq!(foreign, None, "{name}");
    }
}

#[test]
fn the_workflow_writes_nothing_and_ends() {
    let workflow = workflow();
    assert_eq!(workflow["permissions"], serde_json::json!({"contents": "read"}));
    for (name, job) in workflow["jobs"].as_object().unwrap() {
        assert!(job["timeout-minutes"].as_i64().is_some_and(|minutes| minutes <= 60), "{name} has no end");
        assert_eq!(job["runs-on"], "ubuntu-24.04", "{name}");
    }
}

/// Whoever runs `ci/test` has run what CI runs, but for the audit, whose tool takes minutes to build.
#[test]
fn ci_test_calls_the_scripts_that_ci_calls() {
    let test = fs::read_to_string(format!("{ROOT}/ci/test")).unwrap();
    for script in ["./ci/format", "./ci/lint", "./ci/docs", "./ci/package --test", "./ci/suite"] {
        assert!(test.lines().any(|line| line.ends_with(script)), "ci/test does not call {script}");
    }
}
