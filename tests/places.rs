//! A server whose files lie in several places, told by an option file that no tool reads: all of them are backed up, restored to where the
//! server looks for them, taken back after a failure, and named before anything starts if something lies there.

use std::fs;
use std::path::PathBuf;

use crate::harness::TestEnv;
use crate::harness::daemon::restore_request;
use crate::harness::mariadb::{MariaDb, is_installed};

/// The redo log and Aria's log of this server lie in two directories below `within`, relative to the place of its data directory.
fn start(within: &str) -> Option<(MariaDb, TestEnv)> {
    if !is_installed() {
        return None;
    }
    let mut server = MariaDb::start();
    server.stop();
    let root = server.data_dir().parent().unwrap().join(within);
    for (place, prefix) in [("redo", "ib_logfile"), ("aria", "aria_log")] {
        fs::create_dir(root.join(place)).unwrap();
        for entry in fs::read_dir(server.data_dir()).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_str().unwrap().starts_with(prefix) {
                fs::rename(entry.path(), root.join(place).join(entry.file_name())).unwrap();
            }
        }
    }
    let options = fs::read_to_string(server.option_file()).unwrap();
    let more = format!("innodb_log_group_home_dir={0}/redo\naria_log_dir_path={0}/aria\n", root.display());
    fs::write(server.option_file(), options + &more).unwrap();
    server.run();
    server.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY) ENGINE=InnoDB;
        INSERT INTO shop.orders SELECT seq FROM shop.seq_1_to_1000;
        CREATE TABLE shop.log (id INT) ENGINE=Aria; INSERT INTO shop.log VALUES (1), (2)",
    );
    let mut env = TestEnv::real(&server);
    env.relay("mariabackup", std::path::Path::new("/usr/bin/mariabackup"));
    env.start_daemon();
    Some((server, env))
}

fn place(server: &MariaDb, name: &str) -> PathBuf {
    server.data_dir().parent().unwrap().join(name)
}

fn names(server: &MariaDb, name: &str) -> Vec<String> {
    let entries = fs::read_dir(place(server, name)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn empty(server: &MariaDb, name: &str) {
    for file in names(server, name) {
        fs::remove_file(place(server, name).join(file)).unwrap();
    }
}

#[test]
fn a_server_with_its_logs_elsewhere_is_restored_to_where_it_looks() {
    let Some((mut server, env)) = start("") else { return };
    env.full("full-1");
    let content = server.content();
    server.sql("INSERT INTO shop.orders VALUES (5000)");
    server.lose_everything();

    // What lies there would be replayed over what is restored.
    let said = env.send(&restore_request(&["full-1"], "database"));
    assert!(
        said.contains(r#""code": 503, "status": "cannot restore to database, '"#)
            && said.contains("/aria/aria_log")
            && said.contains(
                "is in the way, where aria_log_dir_path of the server that was backed up leads: move it aside"
            ),
        "{said}"
    );
    empty(&server, "aria");
    let said = env.send(&restore_request(&["full-1"], "database"));
    assert!(said.contains("/redo/ib_logfile0' is in the way, where innodb_log_group_home_dir"), "{said}");
    empty(&server, "redo");

    // A failure leaves nothing there, so that the next try is no other than the first.
    for fault in [r#"{"dies_after":"KILL"}"#, r#"{"exit":3}"#] {
        env.script("mariabackup", r#"{"expects":["--prepare"]}"#);
        env.script("mariabackup", &format!(r#"{{"expects":["--move-back"],"fault":{fault}}}"#));
        env.restore(&["full-1"], "database");
        env.expect_log("restore failed");
        assert_eq!((names(&server, "redo"), names(&server, "aria")), (Vec::new(), Vec::new()), "{fault}");
    }
    env.restore(&["full-1"], "database");
    assert_eq!(env.count("restore", "1"), 1, "{}", env.newest("error"));
    assert_eq!(names(&server, "redo"), ["ib_logfile0"]);
    assert_eq!(names(&server, "aria"), ["aria_log.00000001", "aria_log_control"]);
    server.run();
    assert_eq!(server.content(), content);

    // A folder has all of it, and needs none of the places.
    env.restore(&["full-1"], "folder");
    let folder = env.rows("restore", "1").last().unwrap()["target_path"].as_str().unwrap().to_owned();
    assert_eq!(MariaDb::over(&PathBuf::from(folder).join("full-1")).content(), content);
}

/// Directories of their own below the data directory: a tool that is not told of them puts the files at the top, and the server does not start.
#[test]
fn a_server_with_its_logs_below_its_data_directory_is_restored_to_where_it_looks() {
    let Some((mut server, env)) = start("data") else { return };
    env.full("full-1");
    let content = server.content();
    server.sql("INSERT INTO shop.orders VALUES (5000)");
    server.lose_everything();
    for fault in [r#"{"dies_after":"KILL"}"#, r#"{"exit":3}"#] {
        env.script("mariabackup", r#"{"expects":["--prepare"]}"#);
        env.script("mariabackup", &format!(r#"{{"expects":["--move-back"],"fault":{fault}}}"#));
        env.restore(&["full-1"], "database");
        env.expect_log("restore failed");
        assert_eq!(names(&server, "data"), Vec::<String>::new(), "{fault}");
    }
    env.restore(&["full-1"], "database");
    assert_eq!(env.count("restore", "1"), 1, "{}", env.newest("error"));
    assert_eq!(names(&server, "data/redo"), ["ib_logfile0"]);
    assert_eq!(names(&server, "data/aria"), ["aria_log.00000001", "aria_log_control"]);
    server.run();
    assert_eq!(server.content(), content);
}
