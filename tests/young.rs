//! Tables of `InnoDB` that are so young that their pages are in the redo log alone when the tool begins, with a real server and tool.

use crate::harness::TestEnv;
use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::wait_for;

const INCREMENTAL: &str = r#"{"cmd":"incremental_backup","args":{"id":"inc-1","from_backup_id":"full-1"}}"#;

/// The restored content, which has to be the server's.
fn restored(env: &TestEnv) -> Vec<String> {
    env.restore(&["full-1", "inc-1"], "folder");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    let row = &env.rows("restore", "id = (SELECT max(id) FROM restore)")[0];
    let folder = env.here(row["target_path"].as_str().unwrap()).join(row["backup_id"].as_str().unwrap());
    MariaDb::over(&folder).content()
}

#[test]
fn a_young_table_that_was_renamed_since_the_base_fails_an_incremental_and_not_the_next() {
    if !is_installed() {
        return;
    }
    for form in ["", "true"] {
        let mut server = MariaDb::start();
        let mut env = TestEnv::real(&server);
        env.set("stream", form);
        env.set("parallel", "1");
        env.set("backup_options", "[--throttle=150]");
        env.start_daemon();
        server.sql(
            "DROP DATABASE sys; TRUNCATE mysql.help_topic; TRUNCATE mysql.help_keyword; TRUNCATE mysql.help_relation;
             CREATE DATABASE shop; USE shop; CREATE TABLE a1 (b CHAR(250)) ENGINE=Aria;
             INSERT INTO a1 SELECT repeat('x', 250) FROM seq_1_to_6000; CREATE TABLE a2 LIKE a1; INSERT INTO a2 SELECT * FROM a1",
        );
        server.stop();
        server.run();
        server.sql(
            "USE shop; CREATE TABLE t (a INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO t SELECT seq FROM seq_1_to_500",
        );
        env.full("full-1");
        assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
        server.sql("RENAME TABLE shop.t TO shop.renamed");
        assert!(env.send(INCREMENTAL).contains("202"));
        wait_for("the tool to copy a table of Aria", || server.is_being_copied().then_some(()));
        // Its pages come to its file.
        server.sql("USE shop; FLUSH TABLES renamed FOR EXPORT; UNLOCK TABLES");
        env.settled();
        let (status, error) = (env.newest("status"), env.newest("error"));
        assert_eq!(status, "failed", "stream '{form}'");
        assert!(error.contains("new tables: 'shop/t' (now 'shop/renamed'); the tool cannot apply"), "{error}");
        env.expect_log("backup failed");

        assert!(env.send(INCREMENTAL).contains("202"));
        env.settled();
        assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
        assert_eq!(restored(&env), server.content(), "stream '{form}'");
    }
}
