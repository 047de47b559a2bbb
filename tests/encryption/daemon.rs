//! A daemon with `encrypt_to`: nothing leaves it that can be read, and only whoever has a key gets it back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use insta::assert_snapshot;
use rustix::process::Signal;

use super::{Key, key};
use crate::cli::{json, run, stdout};
use crate::harness::bucket::Bucket;
use crate::harness::{TestEnv, wait_for};
use crate::repository::keeping_in;

/// Rows of a table, such as nobody else writes.
pub(super) const ROWS: &[u8] = b"a row that nobody but its owner may read\n";

pub(super) fn streaming(env: &mut TestEnv, to: &[&Key]) {
    env.set("stream", "true");
    env.set("compression", "zstd");
    let names = to.iter().map(|key| key.public.as_str()).collect::<Vec<_>>().join(", ");
    env.set("encrypt_to", &format!("[{names}]"));
}

pub(super) fn chain(env: &TestEnv) {
    env.world.put("shop/orders.ibd", &ROWS.repeat(100)).unwrap();
    env.full("full-1");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    env.world.put("shop/orders.ibd", &ROWS.repeat(200)).unwrap();
    env.incremental("inc-1", "full-1");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
}

/// Has the daemon read its settings again.
pub(super) fn reload(env: &TestEnv) {
    let before = env.log().matches("settings were read again").count();
    env.signal(Signal::HUP);
    wait_for("the settings to be read again", || {
        (env.log().matches("settings were read again").count() > before).then_some(())
    });
}

pub(super) fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// The files below a directory that hold these bytes.
pub(super) fn holding(dir: &Path, wanted: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, wanted));
        } else if path.is_file() && contains(&fs::read(&path).unwrap(), wanted) {
            found.push(path.display().to_string());
        }
    }
    found
}

pub(super) fn restored(env: &TestEnv) -> Vec<u8> {
    env.restore(&["full-1", "inc-1"], "folder");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    let args: serde_json::Value = serde_json::from_str(&env.newest_raw("args")).unwrap();
    fs::read(Path::new(args["tmp_dir"].as_str().unwrap()).join("full-1/shop/orders.ibd")).unwrap()
}

#[test]
fn of_known_text_nothing_reaches_the_disk_or_the_bucket_that_can_be_read() {
    let secret = &ROWS[..24];
    for keep_local in [true, false] {
        for is_encrypted in [true, false] {
            let bucket = Bucket::start();
            let mut env = TestEnv::new();
            let (one, two) = (key(&env.path(""), "one.key"), key(&env.path(""), "two.key"));
            keeping_in(&mut env, bucket.login(), keep_local);
            if is_encrypted {
                streaming(&mut env, &[&one, &two]);
            }
            // What is compressed cannot be read as it is either.
            env.set("compression", "");
            env.start_daemon();
            chain(&env);
            let in_bucket = |key: &String| bucket.read(key).is_some_and(|bytes| contains(&bytes, secret));
            let there = bucket.keys().into_keys().filter(in_bucket).count();
            let here = holding(&env.path("backups"), secret).len();
            // The test sees what there is to be seen.
            let wanted = if is_encrypted { (0, 0) } else { (if keep_local { 2 } else { 0 }, 2) };
            assert_eq!((here, there), wanted, "keep_local {keep_local}, encrypted {is_encrypted}");
            if is_encrypted {
                env.set("identity_file", &one.file.display().to_string());
                reload(&env);
                assert!(contains(&restored(&env), secret));
            }
        }
    }
}

/// Nor do names of tables lie beside what is encrypted, where a witness has to know them again.
#[test]
fn the_tables_that_were_bare_on_the_server_are_known_again_and_not_named() {
    for is_encrypted in [false, true] {
        let mut env = TestEnv::new();
        let one = key(&env.path(""), "one.key");
        env.world.put("shop/diary.frm", &crate::tables::definition()).unwrap();
        let data = env.world.data().display().to_string();
        env.world.set_variable("datadir", &data).unwrap();
        env.set("data_dir", &data);
        env.set("stream", "true");
        if is_encrypted {
            streaming(&mut env, &[&one]);
            env.set("identity_file", &one.file.display().to_string());
        }
        env.start_daemon();
        env.full("full-1");
        env.expect_log("the server had it like that");
        assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
        let named = holding(&env.backup("full-1"), b"diary");
        assert_eq!(named.is_empty(), is_encrypted, "{named:?}");
        assert!(env.backup("full-1/dbcalm.bare").is_file());
        let said = stdout(&env, 0, "verify full-1");
        assert!(said.contains("ok       full-1"), "{said}");
    }
}

#[test]
fn a_restore_needs_the_key_and_says_so_before_it_begins() {
    let mut env = TestEnv::new();
    let (one, two, other) =
        (key(&env.path(""), "one.key"), key(&env.path(""), "two.key"), key(&env.path(""), "other.key"));
    streaming(&mut env, &[&one, &two]);
    env.start_daemon();
    chain(&env);
    let before = env.records();
    let ask = |env: &TestEnv| {
        let reply = env.send(r#"{"cmd":"restore_backup","args":{"id_list":["full-1","inc-1"],"target":"folder"}}"#);
        reply
            .replace(&one.public, "[ONE]")
            .replace(&two.public, "[TWO]")
            .replace(&other.public, "[OTHER]")
            .replace(&env.path("").display().to_string(), "/")
    };
    let mut told = vec![ask(&env)];
    for (name, text) in [
        ("other.key", None),
        ("none.key", None),
        ("passphrase.key", Some("age-encryption.org/v1\n-> scrypt a 18\n")),
        ("public.key", Some(one.public.as_str())),
    ] {
        if let Some(text) = text {
            fs::write(env.path(name), text).unwrap();
        }
        let file = env.path(name).display().to_string();
        env.set("identity_file", &file);
        reload(&env);
        told.push(ask(&env));
    }
    assert_snapshot!(told.join("\n"), @r#"
    {"code": 503, "status": "Backup with id full-1 is encrypted to [ONE], [TWO], and cannot be decrypted here: set identity_file to the file with the secret key of one of them"}
    {"code": 503, "status": "Backup with id full-1 is encrypted to [ONE], [TWO], and cannot be decrypted here: identity_file '~/other.key' is of [OTHER]"}
    {"code": 503, "status": "Backup with id full-1 is encrypted to [ONE], [TWO], and cannot be decrypted here: identity_file '~/none.key' cannot be read: No such file or directory (os error 2)"}
    {"code": 503, "status": "Backup with id full-1 is encrypted to [ONE], [TWO], and cannot be decrypted here: identity_file '~/passphrase.key' cannot be used: it is protected by a passphrase, which nobody is there to type: write it decrypted, readable by the daemon's user alone (age -d FILE)"}
    {"code": 503, "status": "Backup with id full-1 is encrypted to [ONE], [TWO], and cannot be decrypted here: identity_file '~/public.key' cannot be used: line 1 of it is a public key: the secret one is needed here"}
    "#);
    assert_eq!(env.records(), before, "nothing was begun");
    assert_eq!(env.listing("backups"), "full-1/ inc-1/");
    for key in [&one, &two] {
        env.set("identity_file", &key.file.display().to_string());
        reload(&env);
        assert!(restored(&env) == ROWS.repeat(200));
    }
}

#[test]
fn a_secret_key_that_others_may_read_is_warned_of_by_check_and_by_the_step_that_reads_it() {
    let mut env = TestEnv::new();
    let one = key(&env.path(""), "one.key");
    streaming(&mut env, &[&one]);
    env.set("identity_file", &one.file.display().to_string());
    env.start_daemon();
    chain(&env);
    for (mode, is_warned) in [(0o600, false), (0o640, true), (0o604, true)] {
        fs::set_permissions(&one.file, fs::Permissions::from_mode(mode)).unwrap();
        let wanted = format!("may be read or written by others than its owner (mode {mode:04o})");
        let checked = run(&env, "check");
        assert_eq!(checked.stdout.contains(&wanted), is_warned, "{}", checked.stdout);
        assert!(restored(&env) == ROWS.repeat(200));
        if is_warned {
            env.expect_log(&wanted);
        }
        assert_eq!(env.log().contains(&wanted), is_warned);
        assert_eq!(env.newest("output").contains(&wanted), is_warned, "{}", env.newest("output"));
    }
}

#[test]
fn a_chain_may_have_members_that_are_encrypted_to_others_or_to_nobody() {
    let mut env = TestEnv::new();
    let (old, new) = (key(&env.path(""), "old.key"), key(&env.path(""), "new.key"));
    env.set("stream", "true");
    env.start_daemon();
    env.world.put("shop/orders.ibd", &ROWS.repeat(100)).unwrap();
    env.full("full-1");
    // Rotation: what comes next is for others.
    for (id, from, to) in [("inc-1", "full-1", &old), ("inc-2", "inc-1", &new)] {
        streaming(&mut env, &[to]);
        reload(&env);
        env.incremental(id, from);
        assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    }
    let both = env.path("both.key");
    let text = [&old.file, &new.file].map(|file| fs::read_to_string(file).unwrap()).concat();
    fs::write(&both, text).unwrap();
    fs::set_permissions(&both, fs::Permissions::from_mode(0o600)).unwrap();
    for (file, wanted) in [(&old.file, false), (&new.file, false), (&both, true)] {
        env.set("identity_file", &file.display().to_string());
        reload(&env);
        let ask = r#"{"cmd":"restore_backup","args":{"id_list":["full-1","inc-1","inc-2"],"target":"folder"}}"#;
        let reply = env.send(ask);
        assert_eq!(reply.contains("202"), wanted, "{reply}");
        if wanted {
            env.settled();
            assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
        }
    }
}

#[test]
fn verify_looks_at_the_hash_without_the_key_and_at_everything_with_it() {
    let mut env = TestEnv::new();
    let (one, two) = (key(&env.path(""), "one.key"), key(&env.path(""), "two.key"));
    streaming(&mut env, &[&one, &two]);
    env.start_daemon();
    chain(&env);
    let plain = |text: String| text.replace(&one.public, "[ONE]").replace(&two.public, "[TWO]");
    let without = plain(stdout(&env, 0, "verify full-1"));
    assert!(without.contains("it is encrypted to [ONE], [TWO]: each byte is what it was"), "{without}");
    let shown = plain(stdout(&env, 0, "show full-1"));
    assert!(shown.contains("encrypted    to [ONE], [TWO]\n"), "{shown}");
    assert_eq!(json(&env, 0, "list")["backups"][0]["encrypted"], true);
    let card: serde_json::Value =
        serde_json::from_slice(&fs::read(env.backup("full-1").join("backup.json")).unwrap()).unwrap();
    assert_eq!(card["form"]["encryption"]["format"], "age-v1");
    assert_eq!(card["form"]["encryption"]["recipients"][1], two.public);
    env.set("identity_file", &two.file.display().to_string());
    let with = stdout(&env, 0, "verify full-1 inc-1");
    assert!(!with.contains("encrypted"), "{with}");
    let stream = env.backup("full-1").join("backup-full-1.xbstream.zst.age");
    let mut bytes = fs::read(&stream).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&stream, &bytes).unwrap();
    let said = stdout(&env, 1, "verify full-1");
    assert!(said.contains("DAMAGED"), "{said}");
    env.set("identity_file", &one.file.display().to_string());
    assert!(stdout(&env, 1, "verify full-1").contains("DAMAGED"));
}
