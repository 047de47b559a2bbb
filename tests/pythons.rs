//! The Python client under every Python that is here: the same conversation under each, word for word.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{TestEnv, program, skip};

/// The oldest Python that `tests/client` says it runs under.
const OLDEST: (u32, u32) = (3, 6);

#[test]
fn the_client_says_and_hears_the_same_under_every_python() {
    let (found, others) = pythons();
    for (path, why) in others {
        eprintln!("not used: {}: {why}", path.display());
    }
    if found.is_empty() {
        skip("no Python 3.6 or later is here (run ci/setup)");
        return;
    }
    for (path, version) in &found {
        eprintln!("Python {version}: {}", path.display());
        let said = conversation(path, &format!("py-{version}"));
        // What is redacted here is the version alone, so that all are held to one text.
        assert_eq!(said.replace(&format!("py-{version}"), "py"), expected(), "under Python {version}");
        assert_eq!(
            recorded(path),
            "01-nobody-there.json: no connection: No such file or directory\n",
            "under Python {version}"
        );
    }
    let versions: Vec<_> = found.values().map(String::as_str).collect();
    eprintln!("the same under {} Pythons: {}", found.len(), versions.join(", "));
}

fn expected() -> String {
    let reply = |status: i32, text: &str| format!("{status} {text}\n");
    [
        reply(1, r#"{"code": 400, "status": "Invalid command"}"#),
        reply(0, r#"{"code": 202, "status": "Accepted", "id": "[ID]"}"#),
        reply(1, r#"{"code": 409, "status": "Backup with id py-full already exists"}"#),
        reply(0, r#"{"code": 202, "status": "Accepted", "id": "[ID]"}"#),
        reply(1, r#"{"code": 404, "status": "Base backup with id never not found"}"#),
        reply(0, r#"{"code": 202, "status": "Accepted", "id": "[ID]"}"#),
        reply(1, r#"{"code": 503, "status": "cannot restore to database, MySQL/MariaDb server is not stopped"}"#),
        "1 success 0, 2 success 0, 3 success 0, 4 success 0, 5 success 0, 6 success 0 | \
         backups: py-full, py-inc from py-full | restores: FOLDER py-full"
            .to_owned(),
    ]
    .concat()
}

/// What the client prints and how it ends, for each command, and what the records say at the end.
fn conversation(python: &Path, id: &str) -> String {
    let env = TestEnv::start();
    let chain = format!(r#""id_list": ["{id}-full", "{id}-inc"]"#);
    let mut told = String::new();
    for (command, args) in [
        ("nope", "{}".to_owned()),
        ("full_backup", format!(r#"{{"id": "{id}-full", "schedule_id": 7}}"#)),
        ("full_backup", format!(r#"{{"id": "{id}-full"}}"#)),
        ("incremental_backup", format!(r#"{{"id": "{id}-inc", "from_backup_id": "{id}-full"}}"#)),
        ("incremental_backup", format!(r#"{{"id": "{id}-other", "from_backup_id": "never"}}"#)),
        ("restore_backup", format!(r#"{{{chain}, "target": "folder"}}"#)),
        ("restore_backup", format!(r#"{{{chain}, "target": "database"}}"#)),
    ] {
        let client = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client/dbcalm_client.py");
        let mut said = program(python);
        let said =
            said.arg("-B").arg(client).arg(env.path("run/mariadb-cmd.sock")).args([command, &args]).output().unwrap();
        let (out, error) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        told.push_str(&env.redact(&format!("{} {out}{error}", said.status.code().unwrap())));
        env.settled();
    }
    told + &env.records()
}

/// What the recorder says, which has to run wherever the client does.
fn recorded(python: &Path) -> String {
    let dir = tempfile::tempdir().unwrap();
    let recorder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client/record.py");
    let mut command = program(python);
    command.arg("-B").arg(recorder).args(["--socket", "/none", "--database", "/none", "--out"]).arg(dir.path());
    let said = command.args(["--name", "nobody there", "full_backup"]).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr))
}

/// Every Python that is new enough, by its program, with its version; and those that are not used, with the reason.
fn pythons() -> (BTreeMap<PathBuf, String>, BTreeMap<PathBuf, String>) {
    let (mut found, mut others) = (BTreeMap::new(), BTreeMap::new());
    for candidate in candidates() {
        let asked = program(&candidate)
            .args([
                "-c",
                "import os, sys; print(os.path.realpath(sys.executable)); print('%d.%d.%d' % sys.version_info[:3])",
            ])
            .output();
        let said = match asked {
            Ok(said) if said.status.success() => String::from_utf8(said.stdout).unwrap(),
            Ok(said) => {
                let why = String::from_utf8_lossy(&said.stderr).lines().next().unwrap_or_default().to_owned();
                others.insert(candidate, format!("{}: {why}", said.status));
                continue;
            }
            Err(why) => {
                others.insert(candidate, why.to_string());
                continue;
            }
        };
        let (path, version) = said.trim().split_once('\n').unwrap();
        let mut numbers = version.split('.').map(|number| number.parse().unwrap());
        if (numbers.next().unwrap(), numbers.next().unwrap()) < OLDEST {
            others.insert(path.into(), format!("{version} is older than {}.{}", OLDEST.0, OLDEST.1));
        } else {
            found.insert(path.into(), version.to_owned());
        }
    }
    (found, others)
}

/// The programs of those names in the directories of PATH, in the system's, and in pyenv's versions.
fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    dirs.push("/usr/bin".into());
    dirs.push("/usr/local/bin".into());
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv"));
    if let Some(pyenv) = std::env::var_os("PYENV_ROOT").map(PathBuf::from).or(home) {
        // What pyenv puts into PATH only passes on to one of these.
        dirs.retain(|dir| *dir != pyenv.join("shims"));
        let versions = fs::read_dir(pyenv.join("versions")).into_iter().flatten();
        dirs.extend(versions.map(|entry| entry.unwrap().path().join("bin")));
    }
    let is_python = |name: &str| {
        let minor = name.strip_prefix("python3").map(|rest| rest.strip_prefix('.').unwrap_or(rest));
        minor.is_some_and(|minor| minor.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut candidates: Vec<_> = dirs
        .iter()
        .flat_map(|dir| fs::read_dir(dir).into_iter().flatten())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_python))
        .collect();
    candidates.sort();
    candidates.dedup();
    candidates
}
