//! What `backup` and `restore` have done, by the daemon.

use std::io::Write;
use std::process::Stdio;

use insta::assert_snapshot;

use super::{command, json, run, said, stderr, stdout};
use crate::harness::TestEnv;
use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::world::content_of;

#[test]
fn a_backup_is_followed_to_its_end() {
    let env = TestEnv::start();
    let full = run(&env, "backup full monday");
    assert_eq!(full.status, 0, "{}", full.stderr);
    assert!(full.stdout.contains("what         backup monday\nstatus       success\n"), "{}", full.stdout);
    assert!(full.stderr.contains("full backup monday: accepted as ") && !full.stderr.contains('\r'), "{}", full.stderr);
    assert_eq!(json(&env, 0, "backup incremental tuesday")["args"]["from_backup_id"], "monday");
    assert_eq!(json(&env, 0, "backup incremental other --from monday")["args"]["from_backup_id"], "monday");
    // Several in one second, each with an id of its own.
    let unnamed = ["backup full", "backup incremental", "backup full", "backup full"]
        .map(|command| json(&env, 0, command)["args"]["id"].as_str().unwrap().to_owned());
    assert_eq!(env.redact(&unnamed[0]), "[TIME]");
    assert_eq!(unnamed.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{unnamed:?}");
    let quiet = run(&env, "backup full quiet --quiet");
    assert_eq!((quiet.status, quiet.stdout.as_str(), quiet.stderr.as_str()), (0, "", ""));

    env.script("mariabackup", r#"{"fault":{"exit":3}}"#);
    assert!(stdout(&env, 1, "backup full broken").contains("status       failed\n"));
    env.expect_log("backup failed");
}

#[test]
fn a_detached_order_is_followed_by_its_id() {
    let env = TestEnv::start();
    let id = stdout(&env, 0, "backup full monday --detach");
    let status = json(&env, 0, &format!("status {} --follow", id.trim()));
    assert_eq!((&status["status"], &status["command_id"]), (&"success".into(), &id.trim().into()));
}

#[test]
fn a_folder_restore_ends_by_saying_where_it_is() {
    let env = TestEnv::start();
    env.full("monday");
    env.incremental("noon", "monday");
    let said = stdout(&env, 0, "restore noon --target folder");
    let folder = said.lines().find_map(|line| line.strip_prefix("folder       ")).expect(&said);
    assert_eq!(env.redact(folder), "~/backups/restores/[TIME]/monday");
    assert_eq!(content_of(std::path::Path::new(folder)).unwrap(), env.world.content().unwrap());
    let command_id = said.lines().find_map(|line| line.strip_prefix("command      ")).unwrap();
    assert_eq!(json(&env, 0, &format!("status {command_id}"))["folder"], folder);
    // What is no folder, or was never filled, has none.
    assert!(json(&env, 0, "backup full tuesday")["folder"].is_null());
    env.script("mariabackup", "{}");
    env.script("mariabackup", r#"{"fault":{"exit":3}}"#);
    let failed = json(&env, 1, "restore noon --target folder");
    assert!(failed["folder"].is_null(), "{failed:#}");
    env.expect_log("restore failed");
}

#[test]
fn a_refusal_is_in_the_daemons_words_with_a_hint() {
    let env = TestEnv::start();
    assert_snapshot!(stderr(&env, 3, "backup incremental"), @r"
    error: no backup can be the base of an incremental
    hint: take a full backup first: dbcalm-db-cmd backup full
    ");
    env.full("monday");
    assert_snapshot!(stderr(&env, 1, "backup full monday"), @r"
    error: the daemon refused (409): Backup with id monday already exists
    hint: leave out the id to have one made from the time
    ");
    assert_eq!(run(&env, "backup incremental x --from none").status, 3);
    assert_eq!(run(&env, "backup full ../etc").status, 2);
    assert_eq!(run(&env, "restore monday").status, 2);
    assert_eq!(run(&env, "restore none --target folder").status, 3);
    assert_snapshot!(stderr(&env, 1, "restore monday --target database --yes"), @r"
    error: the daemon refused (503): cannot restore to database, MySQL/MariaDb server is not stopped
    hint: stop the server first: systemctl stop mariadb
    ");
    env.incremental("tuesday", "monday");
    std::fs::remove_dir_all(env.backup("tuesday")).unwrap();
    assert_snapshot!(stderr(&env, 1, "restore tuesday --target folder"), @r"
    error: 'tuesday' cannot be restored: the files of 'tuesday' are gone
    hint: the newest backup that can be restored is 'monday': dbcalm-db-cmd list shows all
    ");
}

#[test]
fn nobody_at_the_socket_is_a_status_of_its_own() {
    let env = TestEnv::new();
    let said = stderr(&env, 4, "backup full monday");
    assert!(said.starts_with("error: no daemon answers at '~/run/db-cmd.sock': "), "{said}");
    assert!(
        said.ends_with("hint: systemctl start dbcalm-db-cmd, or name the daemon's socket with --socket\n"),
        "{said}"
    );
}

#[test]
fn a_database_restore_asks_first() {
    let env = TestEnv::start();
    env.full("monday");
    env.world.stop().unwrap();
    assert_snapshot!(stderr(&env, 2, "restore monday --target database"), @r"
    error: a database restore asks for confirmation, but there is no terminal
    hint: confirm with --yes
    ");
    // At a terminal: `script` makes one.
    for (answer, status) in [("n\n", 1), ("y\n", 0)] {
        let mut asked = command(&env, "restore latest --target database");
        let line = std::iter::once(asked.get_program()).chain(asked.get_args());
        let line: Vec<_> = line.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        asked = crate::harness::program("script");
        asked.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]);
        let mut child = asked.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
        let said = said(&child.wait_with_output().unwrap());
        assert!(said.stdout.contains("Continue? [y/N]"), "{}", said.stdout);
        assert_eq!(said.status, status, "{}", said.stdout);
        assert_eq!(env.count("restore", "1"), i64::from(status == 0));
    }
}

#[test]
fn a_real_servers_newest_chain_is_restored_by_three_commands() {
    if !is_installed() {
        return;
    }
    let mut server = MariaDb::start();
    let env = TestEnv::real(&server);
    env.start_daemon();
    server.sql("CREATE DATABASE shop; USE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO shop.orders SELECT seq FROM seq_1_to_1000");
    stdout(&env, 0, "backup full");
    server.sql("USE shop; INSERT INTO shop.orders SELECT seq FROM seq_1001_to_2000");
    stdout(&env, 0, "backup incremental noon");
    let content = server.content();
    let folder = json(&env, 0, "restore latest --target folder");
    assert_eq!((&folder["step"], &folder["steps"]), (&4.into(), &4.into()));
    server.lose_everything();
    let restored = run(&env, "restore latest --target database --yes");
    assert_eq!(restored.status, 0, "{}{}", restored.stdout, restored.stderr);
    assert!(restored.stderr.contains("step "), "{}", restored.stderr);
    server.run();
    assert_eq!(server.content(), content);
    let listed = stdout(&env, 0, "list restores");
    assert!(listed.contains("database") && listed.contains("folder"), "{listed}");
}
