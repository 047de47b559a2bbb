//! `verify --restore` of what servers are really like: what cannot be checked is not called damage, and no live file is touched.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;

use super::{command, json, run, said, stdout};
use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::{TestEnv, program};

/// A server with an encryption key of its own, and engines and a compression from plugins.
fn server() -> MariaDb {
    MariaDb::with(|root| {
        let keys = root.join("keys");
        fs::write(&keys, KEY).unwrap();
        format!(
            "plugin-load-add=file_key_management\nfile-key-management-filename={}\nplugin-load-add=provider_lz4\n\
             plugin-load-add=ha_archive\nplugin-load-add=ha_blackhole\nplugin-load-add=ha_sphinx",
            keys.display()
        )
    })
}

const KEY: &str = "1;a7addd9adea9978fda19f21e6be987880e68ac92632ca052e5bb42b1a506939a\n";

const TABLES: &str = "CREATE DATABASE shop; USE shop;
    CREATE TABLE encrypted (id INT PRIMARY KEY, note CHAR(100)) ENGINE=InnoDB ENCRYPTED=YES;
    INSERT INTO encrypted SELECT seq, 'x' FROM seq_1_to_1000;
    SET GLOBAL innodb_compression_algorithm = lz4;
    CREATE TABLE compressed (id INT PRIMARY KEY, note CHAR(100)) ENGINE=InnoDB PAGE_COMPRESSED=1;
    INSERT INTO compressed SELECT seq, 'x' FROM seq_1_to_1000;
    CREATE TABLE archive (id INT) ENGINE=ARCHIVE; INSERT INTO archive SELECT seq FROM seq_1_to_10;
    CREATE TABLE parted (id INT) ENGINE=BLACKHOLE PARTITION BY HASH (id) PARTITIONS 2;
    CREATE TABLE versioned (id INT PRIMARY KEY) ENGINE=InnoDB WITH SYSTEM VERSIONING;
    CREATE SEQUENCE numbers;
    CREATE TABLE `new\nline\\\\` (id INT PRIMARY KEY) ENGINE=InnoDB;
    CREATE TABLE blackhole (id INT) ENGINE=BLACKHOLE;
    CREATE TABLE memory (id INT) ENGINE=MEMORY;
    CREATE TABLE search (id BIGINT UNSIGNED NOT NULL, weight INT NOT NULL, query VARCHAR(100) NOT NULL, INDEX (query)) ENGINE=SPHINX";

/// What `verify --restore` says of the one backup; it must end with this status.
fn verified(env: &TestEnv, status: i32) -> Value {
    let said = json(env, status, "verify --restore full-1");
    said["backups"][0].clone()
}

fn warnings(report: &Value) -> Vec<&str> {
    report["warnings"].as_array().unwrap().iter().map(|why| why.as_str().unwrap()).collect()
}

#[test]
fn what_a_server_can_be_like_is_no_damage() {
    if !is_installed() {
        return;
    }
    let mut server = server();
    let env = TestEnv::real(&server);
    env.start_daemon();
    server.sql(TABLES);
    // The pages are in the tables' files then, and not in the redo log alone.
    server.stop();
    server.run();
    stdout(&env, 0, "backup full full-1");
    let report = verified(&env, 0);
    assert_eq!(report["outcome"], "ok", "{report}");
    assert_eq!(
        warnings(&report),
        [
            "not checked: shop.search: a backup has no rows of the engine SPHINX",
            "not checked: shop.blackhole, shop.memory, shop.numbers: its engine has no CHECK TABLE"
        ]
    );
    let count = "SELECT count(*) - 4 FROM information_schema.tables WHERE table_schema IN ('mysql', 'shop') AND table_type <> 'VIEW'";
    assert_eq!((report["tables"].to_string().as_str(), &report["not_checked"]), (server.sql(count).trim(), &4.into()));
    let text = stdout(&env, 0, "verify --restore full-1");
    assert!(
        text.starts_with("ok       full-1  directory  restored, ") && text.contains(" tables checked, 4 not in "),
        "{text}"
    );

    // With another key, nothing is known of what it would have to open; what was known of it stays.
    let keys = server.option_file().with_file_name("keys");
    fs::write(&keys, KEY.replace("a7ad", "b7ad")).unwrap();
    let report = verified(&env, 1);
    assert_eq!((&report["outcome"], &report["problems"]), (&"unchecked".into(), &Value::Array(Vec::new())), "{report}");
    let unknown = "not checked: shop.encrypted: it is encrypted, and the keys here do not open it";
    assert!(warnings(&report).contains(&unknown), "{report}");
    assert_eq!(json(&env, 0, "list")["backups"][0]["verified"]["outcome"], "ok");
    let text = stdout(&env, 1, "verify --restore full-1");
    assert!(
        text.starts_with("unproved full-1  directory  ")
            && text.contains("\n         hint: verify it on a machine whose server has "),
        "{text}"
    );

    // With its key, a page of it that is no more what it was is damage.
    fs::write(&keys, KEY).unwrap();
    fs::remove_file(env.backup("full-1/dbcalm.sha256")).unwrap();
    let table = env.backup("full-1/shop/encrypted.ibd");
    let mut pages = fs::read(&table).unwrap();
    pages[3 * 16 * 1024 + 5000] ^= 1;
    fs::write(&table, pages).unwrap();
    let report = verified(&env, 1);
    assert_eq!(report["outcome"], "damaged", "{report}");
    assert!(report["problems"][0].as_str().unwrap().starts_with("table shop.encrypted: "), "{report}");
}

/// Every file below a directory, with its inode, its time and its bytes.
fn files(dir: &Path) -> Vec<(String, u64, i64, i64, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let is = fs::metadata(&path).unwrap();
            found.push((path.display().to_string(), is.ino(), is.mtime(), is.mtime_nsec(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn a_table_outside_the_data_directory_is_read_from_its_copy_and_its_live_file_left_alone() {
    if !is_installed() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let mut server = MariaDb::start();
    let env = TestEnv::real(&server);
    env.start_daemon();
    let place = outside.path().display();
    server.sql(&format!(
        "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, note CHAR(100)) ENGINE=InnoDB DATA DIRECTORY='{place}';
         CREATE TABLE shop.parts (id INT PRIMARY KEY) ENGINE=InnoDB PARTITION BY RANGE (id)
           (PARTITION p0 VALUES LESS THAN (100) DATA DIRECTORY '{place}', PARTITION p1 VALUES LESS THAN MAXVALUE);
         CREATE TABLE shop.old (id INT PRIMARY KEY) ENGINE=MyISAM DATA DIRECTORY='{place}' INDEX DIRECTORY='{place}';
         USE shop; INSERT INTO shop.orders SELECT seq, 'x' FROM seq_1_to_1000; INSERT INTO shop.parts SELECT seq FROM seq_1_to_1000;
         INSERT INTO shop.old SELECT seq FROM seq_1_to_10"
    ));
    stdout(&env, 0, "backup full full-1");
    let check = |server: &str| {
        let before = files(outside.path());
        let report = verified(&env, 0);
        assert_eq!((&report["outcome"], &report["not_checked"]), (&"ok".into(), &0.into()), "{server}: {report}");
        assert!(files(outside.path()) == before, "{server}: a live file was touched");
    };
    server.sql("UPDATE shop.orders SET note = 'live'");
    server.stop();
    assert!(
        files(outside.path()).iter().any(|file| file.0.ends_with("shop/orders.ibd")),
        "there is something to touch"
    );
    check("stopped");
    // It was lost with its directory, as on a new machine.
    let aside = tempfile::tempdir().unwrap();
    fs::rename(outside.path().join("shop"), aside.path().join("shop")).unwrap();
    check("lost");
    fs::rename(aside.path().join("shop"), outside.path().join("shop")).unwrap();
    server.run();
    assert_eq!(server.sql("SELECT count(*) FROM shop.orders WHERE note = 'live'").trim(), "1000");
}

#[test]
fn a_server_that_cannot_run_on_what_was_restored_says_why() {
    if !is_installed() {
        return;
    }
    let server = MariaDb::start();
    let env = TestEnv::real(&server);
    env.start_daemon();
    stdout(&env, 0, "backup full full-1");
    stdout(&env, 0, "backup full full-2");
    // In the way of a server's temporary tables, which a prepare has none of.
    fs::remove_file(env.backup("full-1/dbcalm.sha256")).unwrap();
    fs::create_dir(env.backup("full-1/ibtmp1")).unwrap();
    fs::write(env.backup("full-1/ibtmp1/x"), "x").unwrap();
    let scratch = env.path(&"long".repeat(30));
    fs::create_dir(&scratch).unwrap();
    let verify = |args: &str| said(&command(&env, args).env("TMPDIR", &scratch).output().unwrap());
    let said = verify("verify --restore full-1 full-2");
    assert_eq!(said.status, 1, "{}{}", said.stdout, said.stderr);
    let lines: Vec<_> = said.stdout.lines().collect();
    assert!(lines.len() > 3, "{}{}", said.stdout, said.stderr);
    assert!(lines[0].starts_with("unproved full-1  directory  restored, 0 tables checked in "), "{}", said.stdout);
    assert!(
        lines[1].starts_with("warning  full-1: not checked: no server starts on what was restored: "),
        "{}",
        said.stdout
    );
    assert!(lines[1].contains("ibtmp1"), "in the server's own words: {}", said.stdout);
    assert!(
        lines[3].starts_with("ok       full-2  directory  restored, "),
        "the next is verified all the same: {}",
        said.stdout
    );
    assert_eq!(env.listing("backups/restores"), "(empty)");
    let listed = json(&env, 0, "list");
    let kept = |at: usize| listed["backups"][at]["verified"]["outcome"].clone();
    assert_eq!([kept(0), kept(1)], [Value::Null, "ok".into()]);
    assert_eq!(run(&env, "verify --restore full-2 --quiet").status, 0);
}

/// The commands of docs/restore.md that start a second server, as they stand there but for names, on a server with encrypted tables.
#[test]
fn the_second_server_of_the_page_starts_on_a_restored_folder() {
    if !is_installed() {
        return;
    }
    let server = server();
    let env = TestEnv::real(&server);
    env.start_daemon();
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, note CHAR(20)) ENGINE=InnoDB ENCRYPTED=YES; INSERT INTO shop.orders VALUES (1, 'as backed up')");
    stdout(&env, 0, "backup full full-1");
    stdout(&env, 0, "restore full-1 --target folder");
    let restored = json(&env, 0, "list restores --limit 1");
    let into = restored["restores"][0]["target_path"].as_str().unwrap();
    let page = include_str!("../../docs/restore.md");
    let section = page.split("\n## One table, or a look first\n").nth(1).unwrap();
    let commands = section.split("```sh\n").nth(2).unwrap().split("```").next().unwrap();
    let uid = rustix::process::getuid().as_raw().to_string();
    let socket = env.path("look.sock").display().to_string();
    let names =
        [("FULL", "full-1"), ("INTO", into), ("/tmp/look.sock", &socket), ("mysql:", &uid), ("=mysql", "=root")];
    let commands = names.iter().fold(commands.to_owned(), |text, (name, is)| text.replace(name, is));
    fs::write(env.path(".my.cnf"), "[client]\nuser=root\n").unwrap();
    let typed =
        program("bash").args(["-ec", &commands]).current_dir(env.path("")).env("HOME", env.path("")).output().unwrap();
    assert!(typed.status.success(), "{commands}{}", String::from_utf8_lossy(&typed.stderr));
    let dump = fs::read_to_string(env.path("orders.sql")).unwrap();
    assert!(dump.contains("(1,'as backed up')"), "{dump}");
}

/// The full backup's options are those of a server with one file.
#[test]
fn a_chain_whose_system_tablespace_got_a_second_file_is_checked() {
    if !is_installed() {
        return;
    }
    let mut server = MariaDb::start();
    let env = TestEnv::real(&server);
    env.start_daemon();
    stdout(&env, 0, "backup full full-1");
    server.stop();
    let megabytes = fs::metadata(server.data_dir().join("ibdata1")).unwrap().len() >> 20;
    let options = fs::read_to_string(server.option_file()).unwrap();
    let files = format!("innodb_data_file_path=ibdata1:{megabytes}M;ibdata2:12M:autoextend");
    fs::write(server.option_file(), format!("{options}{files}\ninnodb_file_per_table=0\n")).unwrap();
    server.run();
    server.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE far (id INT PRIMARY KEY, note CHAR(250)) ENGINE=InnoDB;
         INSERT INTO far SELECT seq, 'x' FROM seq_1_to_40000",
    );
    stdout(&env, 0, "backup incremental inc-1 --from full-1");
    let said = json(&env, 0, "verify --restore inc-1");
    assert_eq!(said["backups"][0]["outcome"], "ok", "{said}");
    // So a server of one's own starts on what was restored to a folder, with the options that are there.
    env.restore(&["full-1", "inc-1"], "folder");
    let row = &env.rows("restore", "id = (SELECT max(id) FROM restore)")[0];
    let options = env.here(row["target_path"].as_str().unwrap()).join("full-1/backup-my.cnf");
    assert!(fs::read_to_string(options).unwrap().contains(&files));
}
