//! docs/keys.md, whose blocks are typed as they stand.
//!
//! Stand-ins are the names of places, of the keys and of the backup, and for `systemctl` the harness's daemon.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::daemon::reload;
use crate::harness::{TestEnv, page, program};

fn blocks() -> BTreeMap<&'static str, String> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/keys.md")).unwrap();
    page::blocks(text.leak(), &["sh", "yaml"])
}

/// Types a block in the directory of the keys, and gives what it says.
fn typed(env: &TestEnv, safe: &Path, text: &str) -> String {
    let home = env.path("").display().to_string();
    let etc = env.etc("config.yml");
    let text = text
        .replace("-o mysql -g mysql ", "")
        .replace("/etc/dbcalm/config.yml", &etc.display().to_string())
        .replace("/etc/dbcalm/", &home)
        .replace("backup-ID.", &format!("{}/backup-full-1.", env.backup("full-1").display()));
    let path = format!("{}:{}", env.path("typed").display(), std::env::var("PATH").unwrap());
    let config = env.etc("config.yml");
    let mut shell = program("/bin/sh");
    shell.args(["-euc", &text]).current_dir(safe).env("PATH", path).env("DBCALM_CONFIG", config);
    let said = shell.env("DBCALM_SOCKET", env.socket()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&said.stdout).into_owned(), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{text}\n{out}{err}");
    out
}

#[test]
fn the_page_on_keys_is_typed_as_it_stands() {
    let blocks = blocks();
    let mut env = TestEnv::new();
    let safe = env.path("safe");
    fs::create_dir(&safe).unwrap();
    fs::create_dir(env.path("typed")).unwrap();
    symlink(env!("CARGO_BIN_EXE_dbcalm-db-cmd"), env.path("typed").join("dbcalm-db-cmd")).unwrap();
    let keys = typed(&env, &safe, &blocks["make"]);
    let public: Vec<_> = keys.lines().filter(|line| line.starts_with("age1")).collect();
    let [first, second] = public[..] else { panic!("{keys}") };
    let settings = blocks["settings"].replace("AGE1_FIRST", first).replace("AGE1_SECOND", second);
    let (head, list) = settings.split_once("encrypt_to:").unwrap();
    for line in head.lines() {
        let (key, value) = line.split_once(": ").unwrap();
        env.set(key, value);
    }
    env.set("encrypt_to", list);
    env.start_daemon();
    let named = blocks["first"].replace("backup full", "backup full full-1");
    let said = typed(&env, &safe, &named);
    assert!(said.contains(&format!("backups are encrypted to 2 keys: {first}, {second}")), "{said}");
    assert!(said.contains(&format!("to {first}, {second}")), "{said}");
    // As an editor leaves a file.
    let text = fs::read_to_string(env.etc("config.yml")).unwrap() + "\n";
    fs::write(env.etc("config.yml"), text).unwrap();
    typed(&env, &safe, &blocks["identity"]);
    reload(&env);
    let said = typed(&env, &safe, &blocks["restore"]);
    assert!(said.contains("ok       full-1") && !said.contains("encrypted"), "{said}");
    typed(&env, &safe, &blocks["away"]);
    reload(&env);
    assert!(!fs::read_to_string(env.etc("config.yml")).unwrap().contains("identity_file"));
    typed(&env, &safe, &blocks["by hand"]);
    assert!(fs::read_dir(safe.join("look")).unwrap().count() > 3);
    let done = ["make", "settings", "first", "identity", "restore", "away", "by hand"];
    assert_eq!(blocks.keys().copied().collect::<std::collections::BTreeSet<_>>(), done.into_iter().collect());
}
