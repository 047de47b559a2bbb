//! Encrypted chains on their ways: lost records, another machine, a command of the operator's, a real server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::daemon::{ROWS, chain, contains, holding, reload, restored, streaming};
use super::{Key, key};
use crate::adopting::lose_the_records;
use crate::cli::stdout;
use crate::harness::TestEnv;
use crate::harness::bucket::Bucket;
use crate::harness::daemon::restore_request;
use crate::harness::mariadb::{MariaDb, is_installed};
use crate::repository::keeping_in;

/// The members of a real chain.
const CHAIN: [&str; 4] = ["full-1", "inc-1", "inc-2", "inc-3"];

/// Sets the file of the secret key, or none.
fn identity(env: &mut TestEnv, file: Option<&Path>) {
    env.set("identity_file", &file.map(|file| file.display().to_string()).unwrap_or_default());
    reload(env);
}

/// A file with the secret keys of all of these.
fn together(env: &TestEnv, keys: &[&Key]) -> PathBuf {
    let file = env.path("together.key");
    let text = keys.iter().map(|key| fs::read_to_string(&key.file).unwrap()).collect::<String>();
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file
}

/// Asks for a restore, which has to be refused because of the key, and leave nothing.
fn refused(env: &TestEnv, ids: &[&str]) -> String {
    let before = env.records();
    let reply = env.send(&restore_request(ids, "folder"));
    assert!(reply.starts_with(r#"{"code": 503, "#) && reply.contains("cannot be decrypted here"), "{reply}");
    assert_eq!(env.records(), before, "nothing was begun");
    reply
}

/// Where nothing is known but what the backups say of themselves: adopting needs no key, and no key keeps it from being done.
#[test]
fn encrypted_backups_are_adopted_without_the_key_and_with_one_that_does_not_fit() {
    let mut env = TestEnv::new();
    let (one, other) = (key(&env.path(""), "one.key"), key(&env.path(""), "other.key"));
    streaming(&mut env, &[&one]);
    env.start_daemon();
    chain(&env);
    for (file, is_its) in [(None, false), (Some(&other.file), false), (Some(&one.file), true)] {
        env.set("identity_file", &file.map(|file| file.display().to_string()).unwrap_or_default());
        lose_the_records(&env);
        let said = stdout(&env, 0, "adopt --all --yes");
        for id in ["full-1", "inc-1"] {
            assert!(said.contains(&format!("adopted '{id}' by its backup.json, metadata and manifest")), "{said}");
        }
        assert_eq!(env.count("backup", "1"), 2);
        if is_its {
            assert!(restored(&env) == ROWS.repeat(200));
        } else {
            assert!(refused(&env, &["full-1", "inc-1"]).contains(&one.public));
        }
    }
}

#[test]
fn a_new_machine_restores_encrypted_backups_from_the_bucket_as_soon_as_it_has_the_key() {
    let bucket = Bucket::start();
    let keys = tempfile::tempdir().unwrap();
    let (one, two) = (key(keys.path(), "one.key"), key(keys.path(), "two.key"));
    let mut lost = TestEnv::new();
    keeping_in(&mut lost, bucket.login(), false);
    streaming(&mut lost, &[&one, &two]);
    lost.start_daemon();
    chain(&lost);
    drop(lost);
    // It does not encrypt what it takes itself, and reads what was encrypted all the same.
    let mut env = TestEnv::new();
    keeping_in(&mut env, bucket.login(), false);
    env.start_daemon();
    let said = stdout(&env, 0, "adopt --all --yes");
    assert!(["full-1", "inc-1"].iter().all(|id| said.contains(&format!("adopted '{id}'"))), "{said}");
    assert!(refused(&env, &["full-1", "inc-1"]).contains(&two.public));
    identity(&mut env, Some(&two.file));
    assert!(restored(&env) == ROWS.repeat(200));
}

#[test]
fn what_is_forwarded_is_encrypted_and_what_is_fetched_needs_the_key() {
    let mut env = TestEnv::new();
    let (one, other) = (key(&env.path(""), "one.key"), key(&env.path(""), "other.key"));
    let there = env.path("elsewhere");
    fs::create_dir(&there).unwrap();
    streaming(&mut env, &[&one]);
    // What is compressed cannot be read as it is either.
    env.set("compression", "");
    env.set("forward", &format!("cat > \"{}/$DBCALM_BACKUP_ID\"", there.display()));
    env.start_daemon();
    chain(&env);
    assert_eq!(crate::harness::listing(&there), "full-1 inc-1");
    for dir in [&there, &env.path("backups")] {
        assert!(holding(dir, &ROWS[..24]).is_empty(), "{}", dir.display());
    }
    let forwarded = there.join("inc-1").display().to_string();
    let bytes = super::age(&["-d", "-i", one.file.to_str().unwrap(), &forwarded], b"").unwrap();
    assert!(contains(&bytes, &ROWS[..24]), "what went there is the stream");

    env.set("fetch", &format!("cat \"{}/$DBCALM_BACKUP_ID\"", there.display()));
    for file in [None, Some(other.file.as_path())] {
        identity(&mut env, file);
        assert!(refused(&env, &["full-1", "inc-1"]).contains(&one.public));
    }
    identity(&mut env, Some(&one.file));
    assert!(restored(&env) == ROWS.repeat(200));

    // Another backup's stream can be decrypted as well, and is not this one.
    env.set("fetch", &format!("cat \"{}/inc-1\"", there.display()));
    reload(&env);
    env.restore(&["full-1"], "folder");
    env.expect_log("restore failed");
    assert!(env.newest("error").contains("has changed since the backup was taken"), "{}", env.newest("error"));
}

/// A server's content, and a chain of four: to old keys, to new ones twice, and a plain one.
fn real_chain(env: &mut TestEnv, server: &mut MariaDb, [old, new, spare]: [&Key; 3]) -> Vec<String> {
    let is_done = |env: &TestEnv| assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    streaming(env, &[old, spare]);
    env.start_daemon();
    server.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE accounts (id INT PRIMARY KEY, text VARCHAR(200)) ENGINE=InnoDB;
         CREATE TABLE diary (id INT PRIMARY KEY, text VARCHAR(200)) ENGINE=Aria;
         INSERT INTO accounts SELECT seq, concat('nobody may read account ', seq) FROM seq_1_to_3000;
         INSERT INTO diary SELECT seq, concat('nobody may read day ', seq) FROM seq_1_to_1000",
    );
    // What is made after the server's last checkpoint is young.
    server.stop();
    server.run();
    server.sql("CREATE TABLE shop.younglings (id INT PRIMARY KEY) ENGINE=InnoDB");
    env.full("full-1");
    is_done(env);
    for (round, id, base) in [(1, "inc-1", "full-1"), (2, "inc-2", "inc-1"), (3, "inc-3", "inc-2")] {
        if round == 3 {
            env.set("encrypt_to", "");
        } else {
            streaming(env, &[new, spare]);
        }
        reload(env);
        server.sql(&format!(
            "USE shop; UPDATE accounts SET text = concat('changed in round {round}: ', id) WHERE id % 5 = {round};
             INSERT INTO diary VALUES ({round} + 5000, 'nobody may read round {round}'); INSERT INTO younglings VALUES ({round})"
        ));
        env.incremental(id, base);
        is_done(env);
    }
    server.content()
}

#[test]
fn a_real_chain_to_old_keys_to_new_ones_and_to_nobody_is_restored_from_the_disk_and_the_bucket() {
    if !is_installed() {
        return;
    }
    let bucket = Bucket::start();
    let mut server = MariaDb::start();
    let mut env = TestEnv::real(&server);
    let keys = ["old.key", "new.key", "spare.key"].map(|name| key(&env.path(""), name));
    let [old, new, spare] = &keys;
    keeping_in(&mut env, bucket.login(), true);
    let content = real_chain(&mut env, &mut server, [old, new, spare]);
    let card: serde_json::Value =
        serde_json::from_slice(&fs::read(env.backup("full-1").join("backup.json")).unwrap()).unwrap();
    assert!(card["young"].as_object().is_some_and(|young| !young.is_empty()), "{card}");
    for text in ["nobody may read", "accounts", "diary", "younglings"] {
        for id in ["full-1", "inc-1", "inc-2"] {
            assert_eq!(holding(&env.backup(id), text.as_bytes()), [""; 0], "{text}");
        }
        let there = bucket.keys().into_keys().filter(|key| !key.contains("/inc-3/"));
        let open = there.filter(|key| contains(&bucket.read(key).unwrap(), text.as_bytes())).collect::<Vec<_>>();
        assert_eq!(open, [""; 0], "{text}");
    }

    // Neither opens all of it.
    for one in [old, new] {
        identity(&mut env, Some(&one.file));
        refused(&env, &CHAIN);
    }
    let both = together(&env, &[old, new]);
    identity(&mut env, Some(&both));
    stdout(&env, 0, "verify --all");
    env.restore(&CHAIN, "folder");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    let row = &env.rows("restore", "id = (SELECT max(id) FROM restore)")[0];
    let folder = Path::new(row["target_path"].as_str().unwrap()).join(row["backup_id"].as_str().unwrap());
    assert_eq!(MariaDb::over(&folder).content(), content, "into a folder");

    // The key that all have in common is enough; this time from the bucket alone.
    identity(&mut env, Some(&spare.file));
    for id in CHAIN {
        let ending = if id == "inc-3" { "" } else { ".age" };
        fs::remove_file(env.backup(id).join(format!("backup-{id}.xbstream.zst{ending}"))).unwrap();
    }
    server.lose_everything();
    env.restore(&CHAIN, "database");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    server.run();
    assert_eq!(server.content(), content, "into the data directory");
}
