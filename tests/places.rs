//! A server whose files lie in several places, told by an option file that no tool reads: all of them are backed up, restored to where the
//! server looks for them, taken back after a failure, and named before anything starts if something lies there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::harness::daemon::restore_request;
use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::{TestEnv, listing, program, wait_for};

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
                "is in the way, where aria_log_dir_path of the server that was backed up points: move it aside"
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
    let filled = hold(&env);
    env.accepted(&restore_request(&["full-1"], "database"));
    wait_for("the tool to have filled all places", || filled.exists().then_some(()));
    env.kill_and_restart();
    env.expect_log("ended a command of an earlier daemon");
    assert_eq!(names(&server, "data"), Vec::<String>::new(), "no directory of the restore's own is left either");
    let_go(&env);
    env.restore(&["full-1"], "database");
    assert_eq!(env.count("restore", "1"), 1, "{}", env.newest("error"));
    assert_eq!(names(&server, "data/redo"), ["ib_logfile0"]);
    assert_eq!(names(&server, "data/aria"), ["aria_log.00000001", "aria_log_control"]);
    server.run();
    assert_eq!(server.content(), content);
}

/// A server with tables of InnoDB in two directories outside its data directory, the second of which the restore has to make, and a backup
/// of it as a directory or as a stream, with an incremental.
fn with_far_tables(form: &str) -> Option<(MariaDb, TestEnv, Vec<String>)> {
    if !is_installed() {
        return None;
    }
    let server = MariaDb::start();
    let (far, deep) = (place(&server, "far"), place(&server, "made/deep"));
    fs::create_dir(&far).unwrap();
    fs::create_dir_all(&deep).unwrap();
    server.sql(&format!(
        "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY) ENGINE=InnoDB DATA DIRECTORY='{far}';
        INSERT INTO shop.orders SELECT seq FROM shop.seq_1_to_1000; CREATE TABLE shop.near (id INT) ENGINE=InnoDB;
        CREATE TABLE shop.parts (id INT PRIMARY KEY) ENGINE=InnoDB PARTITION BY HASH(id)
        (PARTITION p0 DATA DIRECTORY='{far}', PARTITION p1 DATA DIRECTORY='{deep}'); INSERT INTO shop.parts VALUES (1), (2)",
        far = far.display(),
        deep = deep.display()
    ));
    let mut env = TestEnv::real(&server);
    env.set("stream", form);
    env.relay("mariabackup", Path::new("/usr/bin/mariabackup"));
    env.start_daemon();
    env.full("full-1");
    server.sql("INSERT INTO shop.orders VALUES (5000); INSERT INTO shop.parts VALUES (3)");
    env.incremental("inc-1", "full-1");
    assert_eq!(env.count("backup", "1"), 2, "{}", env.newest("error"));
    let content = server.content();
    Some((server, env, content))
}

/// What lies in the two directories.
fn far_files(server: &MariaDb) -> String {
    let said = program("find").args(["far", "made", "-type", "f"]).current_dir(place(server, "")).output().unwrap();
    let mut found: Vec<_> = String::from_utf8(said.stdout).unwrap().lines().map(str::to_owned).collect();
    found.sort();
    found.join(" ")
}

/// Removes them, but for the first itself.
fn lose_far_tables(server: &MariaDb) {
    fs::remove_dir_all(place(server, "far/shop")).unwrap();
    fs::remove_dir_all(place(server, "made")).unwrap();
}

const FAR: &str = "far/shop/orders.ibd far/shop/parts#P#p0.ibd made/deep/shop/parts#P#p1.ibd";

/// Nothing that a restore brought is left.
fn nothing_is_far(server: &MariaDb, when: &str) {
    assert_eq!(listing(&place(server, "far")), "(empty)", "{when}");
    assert!(!place(server, "made").exists(), "{when}");
}

const CHAIN: [&str; 2] = ["full-1", "inc-1"];

#[test]
fn tables_outside_the_data_directory_are_restored_to_where_they_lay() {
    let Some((mut server, env, content)) = with_far_tables("") else { return };
    server.lose_everything();
    let said = env.send(&restore_request(&CHAIN, "database"));
    assert!(said.contains(r#""code": 503, "status": "cannot restore to database, '"#), "{said}");
    for file in FAR.split(' ') {
        assert!(said.contains(&format!("/{file}'")), "{said}");
    }
    assert!(
        said.contains("are in the way, where DATA DIRECTORY of the server that was backed up points: move them"),
        "{said}"
    );
    lose_far_tables(&server);

    for fault in [r#"{"dies_after":"KILL"}"#, r#"{"dies_by":"KILL"}"#, r#"{"exit":3}"#] {
        for _prepare in CHAIN {
            env.script("mariabackup", r#"{"expects":["--prepare"]}"#);
        }
        env.script("mariabackup", &format!(r#"{{"expects":["--move-back"],"fault":{fault}}}"#));
        env.restore(&CHAIN, "database");
        env.expect_log("restore failed");
        nothing_is_far(&server, fault);
        assert_eq!(listing(&server.data_dir()), "(empty)", "{fault}");
    }
    env.restore(&CHAIN, "database");
    assert_eq!(env.count("restore", "1"), 1, "{}", env.newest("error"));
    assert_eq!(far_files(&server), FAR);
    server.run();
    assert_eq!(server.content(), content);
}

/// What is in a stream shows when it is extracted: before the data directory is touched.
#[test]
fn tables_of_a_stream_outside_the_data_directory_are_restored_to_where_they_lay() {
    let Some((mut server, env, content)) = with_far_tables("true") else { return };
    server.lose_everything();
    env.restore(&CHAIN, "database");
    env.expect_log("restore failed");
    let error = env.newest("error");
    assert!(
        error.contains("/far/shop/orders.ibd', '") && error.contains("are in the way, where DATA DIRECTORY"),
        "{error}"
    );
    assert_eq!((listing(&server.data_dir()).as_str(), far_files(&server).as_str()), ("(empty)", FAR));
    lose_far_tables(&server);

    // Who may write to a stream says where a table goes: nowhere but into the data directory.
    let stream = env.backup("full-1/backup-full-1.xbstream");
    let mode = fs::metadata(&stream).unwrap().permissions().mode();
    fs::set_permissions(&stream, fs::Permissions::from_mode(mode | 0o020)).unwrap();
    env.restore(&["full-1"], "database");
    assert_eq!(env.count("restore", "1"), 1, "{}", env.newest("error"));
    nothing_is_far(&server, "not vouched for");
    server.run();
    assert_eq!(server.sql("SELECT count(*) FROM shop.orders").trim(), "1000");
    server.lose_everything();
    fs::set_permissions(&stream, fs::Permissions::from_mode(mode)).unwrap();

    env.restore(&CHAIN, "database");
    assert_eq!(env.count("restore", "1"), 2, "{}", env.newest("error"));
    assert_eq!(far_files(&server), FAR);
    server.run();
    assert_eq!(server.content(), content);
}

/// Lets the tool wait when it has filled the data directory, and fail once it may go on; gives the file that is there when it waits.
fn hold(env: &TestEnv) -> PathBuf {
    let (filled, script) = (env.path("filled"), env.path("tool"));
    let text = format!(
        "#!/bin/sh\n/usr/bin/mariabackup \"$@\" || exit\ncase \"$*\" in *--move-back*) touch '{}'
        until [ -e '{}' ]; do sleep 0.02; done; exit 3;; esac\n",
        filled.display(),
        env.path("go-on").display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(env.path("bin/mariabackup.real"), script.to_str().unwrap()).unwrap();
    filled
}

/// The tool is the real one again.
fn let_go(env: &TestEnv) {
    fs::write(env.path("bin/mariabackup.real"), "/usr/bin/mariabackup").unwrap();
}

/// The daemon is killed when the tool has put everything where it belongs, and before it is looked at.
#[test]
fn what_a_killed_daemon_brought_outside_the_data_directory_is_taken_back() {
    let Some((mut server, env, content)) = with_far_tables("") else { return };
    let filled = hold(&env);
    server.lose_everything();
    lose_far_tables(&server);
    env.accepted(&restore_request(&CHAIN, "database"));
    wait_for("the tool to have filled all places", || filled.exists().then_some(()));
    assert_eq!(far_files(&server), FAR);
    // An operator's own, which came meanwhile.
    fs::write(place(&server, "made/deep/note"), "").unwrap();
    env.kill_and_restart();
    env.expect_log("ended a command of an earlier daemon");
    assert_eq!(far_files(&server), "made/deep/note");
    assert_eq!(
        (listing(&server.data_dir()).as_str(), listing(&place(&server, "far")).as_str()),
        ("(empty)", "(empty)")
    );
    fs::remove_dir_all(place(&server, "made")).unwrap();

    let_go(&env);
    env.restore(&CHAIN, "database");
    assert_eq!(env.count("restore", "1"), 1, "{}", env.newest("error"));
    server.run();
    assert_eq!(server.content(), content);
}

/// Whoever may write to a backup's folder says where a tool puts a table's file.
#[test]
fn a_table_whose_place_others_may_have_written_is_put_nowhere() {
    let Some((mut server, env, _)) = with_far_tables("") else { return };
    server.lose_everything();
    lose_far_tables(&server);
    let shop = env.backup("full-1/shop");
    let link = shop.join("orders.isl");
    for path in [&shop, &link] {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o020)).unwrap();
        let said = env.send(&restore_request(&CHAIN, "database"));
        let wanted = "/full-1/shop/orders.isl' says where a table's file goes, but others than the daemon's user may have written it";
        assert!(said.contains(r#""code": 503"#) && said.contains(wanted), "{said}");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    // A restore to a folder leads nowhere.
    fs::set_permissions(&shop, fs::Permissions::from_mode(0o770)).unwrap();
    env.restore(&CHAIN, "folder");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    nothing_is_far(&server, "to a folder");
}

/// Whoever starts a server on what a restore has brought, before that fails, has its files outside: they are not the restore's to take any more.
#[test]
fn a_server_that_is_started_before_a_restore_fails_loses_no_file_outside() {
    let Some((mut server, env, content)) = with_far_tables("") else { return };
    let filled = hold(&env);
    server.lose_everything();
    lose_far_tables(&server);
    env.accepted(&restore_request(&CHAIN, "database"));
    wait_for("the tool to have filled all places", || filled.exists().then_some(()));
    server.run();
    assert_eq!(server.content(), content);
    fs::write(env.path("go-on"), "").unwrap();
    env.settled();
    env.expect_log("restore failed");
    let error = env.newest("error");
    assert!(error.contains("was left as it is: it may be half filled, but its server may still run"), "{error}");
    assert_eq!(far_files(&server), FAR);
}
