//! Tables that the tool loses while it copies, with status 0 and `completed OK!`: no success, and the table is named.
//!
//! Over the real tool the order of events comes of a throttle and of the files that it has open: it copies Aria's tables one after the other,
//! from a list that it makes first, and those of `MyISAM` only then.

use std::fs;

use rustix::process::{Signal, kill_process};

use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::{TestEnv, wait_for};

/// The first bytes of a definition of MariaDB 10.11.19, of Aria.
pub(crate) fn definition() -> Vec<u8> {
    let mut head = b"\xfe\x01\x0a\x2a\x12\0\x56\0\x01\0\xae\x01\0\0\x10\0".to_vec();
    head.resize(64, 0);
    head
}

/// A fake server with a table of Aria, or the definition of one.
fn fakes(files: &[&str]) -> TestEnv {
    let env = TestEnv::new();
    for name in files {
        let content = if name.ends_with("frm") { definition() } else { b"rows".to_vec() };
        env.world.put(&format!("shop/{name}"), &content).unwrap();
    }
    env
}

const WHOLE: [&str; 3] = ["log.frm", "log.MAI", "log.MAD"];

#[test]
fn a_table_without_the_files_of_its_engine_is_no_success() {
    for form in ["", "true"] {
        let mut env = fakes(&WHOLE);
        env.set("stream", form);
        env.start_daemon();
        env.script("mariabackup", r#"{"fault":"loses_tables"}"#);
        env.full("full-1");
        env.expect_log("backup failed");
        let error = env.newest("error");
        assert!(error.contains("1 table was lost by the tool"), "{error}");
        assert!(error.contains("'shop/log.frm' is there without 'shop/log.MAD' and 1 more (Aria)"), "{error}");
        assert!(error.contains("take the backup again"), "{error}");
        assert_eq!((env.newest("status").as_str(), env.listing("backups").as_str()), ("failed", "(empty)"));
        env.full("full-1");
        assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    }
}

#[test]
fn a_table_that_was_copied_and_taken_away_is_no_success() {
    for form in ["", "true"] {
        let mut env = fakes(&WHOLE);
        env.set("stream", form);
        env.start_daemon();
        env.script("mariabackup", r#"{"fault":"takes_tables_away"}"#);
        env.full("full-1");
        env.expect_log("backup failed");
        let error = env.newest("error");
        assert!(error.contains("1 table was lost by the tool"), "{error}");
        assert!(error.contains("'shop/log.frm' was removed again"), "{error}");
        assert_eq!((env.newest("status").as_str(), env.listing("backups").as_str()), ("failed", "(empty)"));
    }
}

/// A definition that lay there like that before is the server's own: it is told, the backup is a success, and it verifies and restores.
#[test]
fn a_definition_that_was_bare_on_the_server_makes_no_backup_fail() {
    for form in ["", "true"] {
        let mut env = fakes(&WHOLE[..1]);
        let data = env.world.data().display().to_string();
        env.world.set_variable("datadir", &data).unwrap();
        env.set("data_dir", &data);
        env.set("stream", form);
        env.start_daemon();
        env.full("full-1");
        env.expect_log("the server had it like that");
        assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
        assert_eq!(fs::read_to_string(env.backup("full-1/dbcalm.bare")).unwrap(), "shop/log.frm\n");
        let verified = env.command().args(["verify", "full-1"]).output().unwrap();
        assert!(verified.status.success(), "{verified:?}");
        env.restore(&["full-1"], "folder");
        assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
        assert!(!env.listing("backups/restores").contains("dbcalm.bare"));
    }
}

/// Of what was taken before there was this witness `verify` tells too; whether the table was whole on the server nobody knows.
#[test]
fn a_stored_backup_that_lacks_a_table_is_damaged() {
    let env = fakes(&WHOLE);
    env.start_daemon();
    env.full("full-1");
    let sealed = env.backup("full-1/dbcalm.sha256");
    let lines = fs::read_to_string(&sealed).unwrap();
    let without: Vec<_> = lines.lines().filter(|line| !line.contains("log.M")).collect();
    fs::write(&sealed, without.join("\n") + "\n").unwrap();
    for name in &WHOLE[1..] {
        fs::remove_file(env.backup("full-1/shop").join(name)).unwrap();
    }
    let verified = env.command().args(["verify", "--quick", "full-1"]).output().unwrap();
    assert_eq!(verified.status.code(), Some(1));
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(
        said.contains("'shop/log.frm' is there without 'shop/log.MAD' and 1 more (Aria): it was lost while"),
        "{said}"
    );
    let lines = fs::read_to_string(&sealed).unwrap();
    let older: Vec<_> = lines.lines().filter(|line| !line.contains("backup.json")).collect();
    fs::write(&sealed, older.join("\n") + "\n").unwrap();
    fs::remove_file(env.backup("full-1/backup.json")).unwrap();
    let verified = env.command().args(["verify", "--quick", "full-1"]).output().unwrap();
    assert_eq!(verified.status.code(), Some(0));
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(
        said.contains("warning  full-1: 'shop/log.frm' is there without 'shop/log.MAD' and 1 more (Aria)"),
        "{said}"
    );
}

/// Takes a backup; the statements run when the tool has copied a part.
fn backup_during(env: &TestEnv, server: &MariaDb, request: &str, statements: &str) {
    assert!(env.send(request).contains("202"));
    wait_for("the tool to copy a table of Aria", || server.is_being_copied().then_some(()));
    server.sql(statements);
    env.settled();
}

/// The tables of Aria are large enough to be copied for a second each under the throttle of these tests, whichever comes first.
const TABLES: &str = "DROP DATABASE IF EXISTS shop; CREATE DATABASE shop; USE shop;
    CREATE TABLE a1 (a INT, b CHAR(250)) ENGINE=Aria; INSERT INTO a1 SELECT seq, repeat('x', 250) FROM seq_1_to_6000;
    CREATE TABLE a2 LIKE a1; INSERT INTO a2 SELECT * FROM a1; CREATE TABLE a3 LIKE a1; INSERT INTO a3 SELECT * FROM a1;
    CREATE TABLE m1 (a INT) ENGINE=MyISAM; INSERT INTO m1 VALUES (1);
    CREATE TABLE m2 (a INT, b INT) ENGINE=MyISAM; INSERT INTO m2 VALUES (1, 2);
    CREATE TABLE parts (a INT) ENGINE=MyISAM PARTITION BY HASH(a) PARTITIONS 2; INSERT INTO parts VALUES (1), (2);
    CREATE TABLE ranges (a INT, b CHAR(250)) ENGINE=Aria PARTITION BY RANGE (a) (PARTITION p0 VALUES LESS THAN MAXVALUE);
    INSERT INTO ranges VALUES (7, 'seven');
    CREATE TABLE inno (a INT) ENGINE=InnoDB; INSERT INTO inno VALUES (1);
    CREATE TABLE inno_parts (a INT) ENGINE=InnoDB PARTITION BY HASH(a) PARTITIONS 2; INSERT INTO inno_parts VALUES (2), (3);
    CREATE TABLE single (a INT) ENGINE=InnoDB; INSERT INTO single VALUES (5);
    DROP DATABASE IF EXISTS old; CREATE DATABASE old; CREATE TABLE old.one (a INT) ENGINE=InnoDB;";

const SWAP: &str = "RENAME TABLE kept.one TO kept.r, kept.two TO kept.one, kept.r TO kept.two";

/// What is run in the midst of a backup, and what its failure says; nothing, where the backup is true.
const RACES: [(&str, &str); 14] = [
    ("RENAME TABLE a1 TO z1, a2 TO z2, a3 TO z3", "' is there without 'shop/z"),
    (
        "CREATE OR REPLACE TABLE a1 (b INT) ENGINE=Aria; CREATE OR REPLACE TABLE a2 (b INT) ENGINE=Aria;
         CREATE OR REPLACE TABLE a3 (b INT) ENGINE=Aria",
        "frm' was removed again",
    ),
    ("CREATE OR REPLACE TABLE m1 (b INT) ENGINE=MyISAM", "'shop/m1.frm' was removed again"),
    (
        "CREATE OR REPLACE TABLE parts (b INT) ENGINE=MyISAM PARTITION BY HASH(b) PARTITIONS 3",
        "'shop/parts.frm' was removed again",
    ),
    ("RENAME TABLE m1 TO t, m2 TO m1, t TO m2", "shop.m1, shop.m2; it is not known whose rows"),
    ("DROP DATABASE old; CREATE DATABASE old; CREATE TABLE old.two (a INT) ENGINE=InnoDB", "'old/two.frm' was removed"),
    // In a full backup whole files are renamed; in an incremental it is more than the tool can do.
    (SWAP, ""),
    (SWAP, "2 tables of InnoDB changed names with each other while the tool copied: kept/one, kept/two;"),
    (
        "ALTER TABLE ranges EXCHANGE PARTITION p0 WITH TABLE a1; ALTER TABLE parts EXCHANGE PARTITION p1 WITH TABLE m1",
        "shop.ranges, shop.a1, shop.parts, shop.m1; it is not known whose rows",
    ),
    // The tool says `Error on aria table file open` of these too.
    ("DROP TABLE a1, a2, a3", ""),
    (
        "ALTER TABLE a1 ENGINE=InnoDB; ALTER TABLE a2 ENGINE=InnoDB; ALTER TABLE a3 ENGINE=InnoDB;
         RENAME TABLE m1 TO t, inno TO r; DROP TABLE m2",
        "",
    ),
    (
        "ALTER TABLE a1 ADD COLUMN c INT; ALTER TABLE m1 ADD COLUMN c INT; TRUNCATE TABLE a2; RENAME TABLE parts TO q;
         ALTER TABLE inno_parts EXCHANGE PARTITION p1 WITH TABLE single",
        "",
    ),
    // One of them the tool is copying, or has copied.
    (
        "TRUNCATE TABLE a1; TRUNCATE TABLE a2; TRUNCATE TABLE a3",
        " truncated or made while the tool copied them, or after that: shop.a",
    ),
    // It fails at its last table, and all is as before; of that the tool knows nothing.
    (
        "EXECUTE IMMEDIATE 'BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR 1146 BEGIN END;
         RENAME TABLE a1 TO z1, a2 TO z2, a3 TO z3, none TO more; END'",
        "frm' is there without 'shop/a",
    ),
];

fn races(form: &str) {
    if !is_installed() {
        return;
    }
    let mut server = MariaDb::start();
    let mut env = TestEnv::real(&server);
    env.set("stream", form);
    env.set("parallel", "1");
    env.set("backup_options", "[--throttle=150]");
    env.start_daemon();
    // Its hundred views, and the texts of HELP, would be copied at the same pace.
    server
        .sql("DROP DATABASE sys; TRUNCATE mysql.help_topic; TRUNCATE mysql.help_keyword; TRUNCATE mysql.help_relation");
    // Of tables that are younger than the last checkpoint the tool notes no renames: it copies them at the end.
    server.sql("CREATE DATABASE kept; CREATE TABLE kept.one (a INT) ENGINE=InnoDB; CREATE TABLE kept.two (b INT) ENGINE=InnoDB");
    server.stop();
    server.run();
    env.full("base");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    server.sql("INSERT INTO kept.one VALUES (1); INSERT INTO kept.two VALUES (2)");
    for (index, (statements, wanted)) in RACES.into_iter().enumerate() {
        server.sql(TABLES);
        let id = format!("b{index}");
        let (request, chain) = if index % 2 == 0 {
            (format!(r#"{{"cmd":"full_backup","args":{{"id":"{id}"}}}}"#), vec![id.as_str()])
        } else {
            let args = format!(r#"{{"id":"{id}","from_backup_id":"base"}}"#);
            (format!(r#"{{"cmd":"incremental_backup","args":{args}}}"#), vec!["base", &id])
        };
        backup_during(&env, &server, &request, &format!("USE shop; {statements}"));
        let (status, error) = (env.newest("status"), env.newest("error"));
        if !wanted.is_empty() {
            assert_eq!(status, "failed", "{statements}");
            assert!(error.contains(wanted), "{statements}: {error}");
            env.expect_log("backup failed");
            continue;
        }
        assert_eq!(status, "success", "{statements}: {error}");
        env.restore(&chain, "folder");
        assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
        let row = &env.rows("restore", "id = (SELECT max(id) FROM restore)")[0];
        let folder = env.here(row["target_path"].as_str().unwrap()).join(row["backup_id"].as_str().unwrap());
        assert_eq!(MariaDb::over(&folder).content(), server.content(), "{statements}");
    }
}

#[test]
fn ddl_while_a_real_tool_copies_loses_no_table_in_silence() {
    races("");
}

#[test]
fn ddl_while_a_real_tool_streams_loses_no_table_in_silence() {
    races("true");
}

const IS_LATER: &str = "SELECT now() > max(create_time) FROM information_schema.tables WHERE table_schema = 'shop'";

/// The tool copies tables of `MyISAM` before all DDL waits, and a `TRUNCATE` is not in the log of DDL that it goes by after that.
#[test]
fn a_table_of_myisam_that_is_truncated_after_it_was_copied_is_no_success() {
    if !is_installed() {
        return;
    }
    let server = MariaDb::start();
    for form in ["", "true"] {
        let mut env = TestEnv::real(&server);
        env.set("stream", form);
        env.set("parallel", "1");
        env.start_daemon();
        server.sql(
            "DROP DATABASE IF EXISTS shop; CREATE DATABASE shop; USE shop;
             CREATE TABLE m1 (a INT, b CHAR(250)) ENGINE=MyISAM; INSERT INTO m1 SELECT seq, 'x' FROM seq_1_to_60000;
             CREATE TABLE m2 LIKE m1; INSERT INTO m2 SELECT * FROM m1; CREATE TABLE m3 LIKE m1; INSERT INTO m3 SELECT * FROM m1",
        );
        assert!(env.send(r#"{"cmd":"full_backup","args":{"id":"full-1"}}"#).contains("202"));
        let tool = server.stop_between_tables_of_myisam();
        // The server keeps whole seconds.
        wait_for("another second than the tables were made in", || server.sql(IS_LATER).contains('1').then_some(()));
        server.sql("USE shop; TRUNCATE TABLE m1; TRUNCATE TABLE m2; TRUNCATE TABLE m3");
        kill_process(tool, Signal::CONT).unwrap();
        env.settled();
        let (status, error) = (env.newest("status"), env.newest("error"));
        assert_eq!(status, "failed", "{form}");
        assert!(error.contains("truncated or made while the tool copied") && error.contains("shop.m"), "{error}");
        env.expect_log("backup failed");
    }
}

/// `DATA DIRECTORY` of Aria: mariadb-backup leaves the table out, always.
#[test]
fn a_table_of_aria_behind_a_symlink_is_no_success() {
    if !is_installed() {
        return;
    }
    let server = MariaDb::start();
    let env = TestEnv::real(&server);
    let place = env.path("elsewhere");
    fs::create_dir(&place).unwrap();
    server.sql(&format!(
        "CREATE DATABASE shop; CREATE TABLE shop.far (a INT) ENGINE=Aria DATA DIRECTORY='{0}' INDEX DIRECTORY='{0}'",
        place.display()
    ));
    env.start_daemon();
    env.full("full-1");
    env.expect_log("backup failed");
    let error = env.newest("error");
    assert!(error.contains("1 table was left out by the tool, which follows no symlink"), "{error}");
    assert!(error.contains("'shop/far.frm' is there without 'shop/far.MAD' and 1 more (Aria)"), "{error}");
}

/// `IMPORT TABLESPACE` writes pages with an LSN of 0: until a checkpoint the tool leaves the table out, and no incremental on a base from before
/// has its rows.
#[test]
fn an_imported_table_is_in_a_full_backup_or_in_none() {
    if !is_installed() {
        return;
    }
    let mut server = MariaDb::start();
    let mut env = TestEnv::real(&server);
    env.start_daemon();
    server.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, v CHAR(100)) ENGINE=InnoDB;
         INSERT INTO shop.orders SELECT seq, 'right' FROM seq_1_to_3000",
    );
    let (live, kept) = (server.data_dir().join("shop/orders.ibd"), env.path("kept.ibd"));
    server.stop();
    fs::copy(&live, &kept).unwrap();
    server.run();
    server.sql(
        "UPDATE shop.orders SET v = 'wrong'; SET GLOBAL innodb_file_per_table = OFF;
         CREATE TABLE shop.shared (a INT) ENGINE=InnoDB; SET GLOBAL innodb_file_per_table = ON;
         CREATE TABLE shop.discarded (a INT) ENGINE=InnoDB; ALTER TABLE shop.discarded DISCARD TABLESPACE",
    );
    env.full("mon");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    server.sql("ALTER TABLE shop.orders DISCARD TABLESPACE");
    fs::copy(&kept, &live).unwrap();
    server.sql("ALTER TABLE shop.orders IMPORT TABLESPACE");
    for form in ["true", ""] {
        env.signal(Signal::TERM);
        assert_eq!(env.wait_for_end(), Some(0));
        env.set("stream", form);
        env.start_daemon();
        env.full("tue");
        env.expect_log("backup failed");
        let error = env.newest("error");
        assert!(error.contains("1 table was left out by the tool: 'shop/orders.frm' is there without"), "{error}");
    }
    server.stop();
    server.run();
    env.incremental("wed", "mon");
    env.expect_log("backup failed");
    let error = env.newest("error");
    assert!(error.contains("imported since 'mon' was taken"), "{error}");
    assert!(error.contains(": 'shop/orders.ibd'; an incremental leaves them out"), "{error}");
    assert!(error.contains("lack: take a full backup"), "{error}");
    env.full("thu");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    server.sql("INSERT INTO shop.orders VALUES (9999, 'new'); INSERT INTO shop.shared VALUES (1)");
    env.incremental("fri", "thu");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    let verified = env.command().args(["verify", "fri", "--restore"]).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
    env.restore(&["thu", "fri"], "folder");
    let row = &env.rows("restore", "id = (SELECT max(id) FROM restore)")[0];
    let folder = env.here(row["target_path"].as_str().unwrap()).join("thu");
    let restored = MariaDb::over(&folder);
    let rows = "SELECT v, count(*) FROM shop.orders GROUP BY v ORDER BY v";
    assert_eq!((restored.sql(rows), restored.sql("SELECT a FROM shop.shared")), (server.sql(rows), "1\n".to_owned()));
}
