//! A real server under the fake xtrabackup, which stands for a tool that cannot be had: what is restored starts, and has its data.
//!
//! The server here is MariaDB, since it is what a developer has; a MySQL server in its container goes the same way.

use std::path::Path;

use crate::harness::TestEnv;
use crate::harness::mariadb::{MariaDb, is_installed};

#[test]
fn a_real_servers_chain_by_the_fake_xtrabackup_is_restored_and_starts() {
    if !is_installed() {
        return;
    }
    let mut server = MariaDb::start();
    let mut env = TestEnv::new();
    env.mysql();
    env.world.set_live(&server.data_dir()).unwrap();
    env.credentials(&format!("[client-dbcalm]\nuser=root\nsocket={}\n", server.socket().display()));
    env.set("admin_bin", "/usr/bin/mariadb-admin");
    env.set("data_dir", &server.data_dir().display().to_string());
    env.start_daemon();

    server.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, note VARCHAR(100)) ENGINE=InnoDB;
         CREATE TABLE shop.dropped (id INT) ENGINE=InnoDB; INSERT INTO shop.orders SELECT seq, 'first' FROM seq_1_to_1000",
    );
    env.full("full-1");
    let first = server.content();
    server.sql(
        "USE shop; UPDATE shop.orders SET note = 'second' WHERE id < 500; DROP TABLE shop.dropped;
         CREATE TABLE shop.new (id INT) ENGINE=InnoDB; INSERT INTO shop.new SELECT seq FROM seq_1_to_100",
    );
    env.incremental("inc-1", "full-1");
    let second = server.content();
    server.sql("DELETE FROM shop.orders WHERE id > 900");
    env.incremental("inc-2", "inc-1");
    let third = server.content();
    assert_eq!(env.count("backup", "1"), 3, "{}", env.process_rows().join("\n"));
    assert!(first != second && second != third);
    assert!(!env.backup("inc-2").join("db.sock").exists());

    for (ids, content) in
        [(&["full-1"][..], first), (&["full-1", "inc-1"], second), (&["full-1", "inc-1", "inc-2"], third)]
    {
        server.lose_everything();
        env.restore(ids, "database");
        assert_eq!(env.newest("status"), "success", "{ids:?}: {}", env.newest("error"));
        assert!(!Path::new(&server.data_dir()).join("xtrabackup_logfile").exists());
        server.run();
        assert_eq!(server.content(), content, "{ids:?}");
    }
    server.stop();
    let refused = env.send(r#"{"cmd":"full_backup","args":{"id":"full-2"}}"#);
    assert_eq!(refused, r#"{"code": 503, "status": "cannot create backup, MySQL/MariaDB server is not running"}"#);
}
