//! Backups that are taken, and requests that are refused.

use insta::assert_snapshot;

use super::{chain, same};
use crate::harness::stand::Stand;

pub(crate) fn a_full_backup_is_recorded_and_restores(stand: &mut dyn Stand) {
    stand.env().start_daemon();
    let content = stand.content();
    stand.write_while(&|| drop(stand.full("full-1")));
    assert_snapshot!(stand.env().records(), @"1 success 0 | backups: full-1 | restores: none");
    assert_snapshot!(stand.env().listing("backups"), @"full-1/");
    stand.lose_everything();
    stand.env().restore(&["full-1"], "database");
    same("the full backup", &stand.restored(), &content);
    stand.check_written();
    assert_snapshot!(stand.env().records(), @"1 success 0, 2 success 0, 3 success 0, 4 success 0 | backups: full-1 | restores: DATABASE full-1");
    assert_snapshot!(stand.env().listing("backups"), @"full-1/ tmp/");
    assert_snapshot!(stand.env().listing("backups/tmp"), @"(empty)");
}

pub(crate) fn an_incremental_holds_what_changed_and_restores(stand: &mut dyn Stand) {
    stand.env().start_daemon();
    stand.full("full-1");
    stand.change(1);
    let content = stand.content();
    stand.write_while(&|| drop(stand.incremental("inc-1", "full-1")));
    assert_snapshot!(stand.env().records(), @"1 success 0, 2 success 0 | backups: full-1, inc-1 from full-1 | restores: none");
    stand.lose_everything();
    stand.env().restore(&["full-1", "inc-1"], "database");
    same("full backup and incremental", &stand.restored(), &content);
    stand.check_written();
}

pub(crate) fn ids_of_all_shapes(stand: &mut dyn Stand) {
    stand.env().start_daemon();
    let long = "x".repeat(128);
    let good = ["2026-11-22-08-46-51", "7", "a.b_c-d..e", "Nightly-Full", long.as_str()];
    for id in good {
        stand.full(id);
        assert!(stand.env().backup(id).is_dir(), "{id}");
    }
    let too_long = "x".repeat(129);
    for id in
        ["", ".", "..", ".hidden", "-rf", "a/b", "../x", "a b", "a\\u0000b", "é", "$(id)", "tmp", "restores", &too_long]
    {
        let reply = stand.env().send(&format!(r#"{{"cmd":"full_backup","args":{{"id":"{id}"}}}}"#));
        assert!(reply.starts_with(r#"{"code": 400, "status": ""#), "{id}: {reply}");
    }
    let mut wanted: Vec<_> = good.iter().map(|id| format!("{id}/")).collect();
    wanted.sort();
    assert_eq!(stand.env().listing("backups").replace("[TIME]", "2026-11-22-08-46-51"), wanted.join(" "));
    assert_eq!(stand.env().count("process", "status != 'success'"), 0);
}

pub(crate) fn what_cannot_be_is_refused_and_leaves_nothing(stand: &mut dyn Stand) {
    stand.env().start_daemon();
    chain(stand, 2);
    let rows = stand.env().count("process", "1");
    let restore = crate::harness::daemon::restore_request(&["full-1", "inc-1"], "database");
    let full = r#"{"cmd":"full_backup","args":{"id":"full-2"}}"#;
    let ask = |stand: &dyn Stand, request: &str| stand.env().send_raw(request.as_bytes());

    assert_snapshot!(ask(stand, full.replace("full-2", "full-1").as_str()), @r#"{"code": 409, "status": "Backup with id full-1 already exists"}"#);
    assert_snapshot!(ask(stand, r#"{"cmd":"incremental_backup","args":{"id":"inc-9","from_backup_id":"nothing"}}"#), @r#"{"code": 404, "status": "Base backup with id nothing not found"}"#);
    assert_snapshot!(ask(stand, &restore), @r#"{"code": 503, "status": "cannot restore to database, MySQL/MariaDb server is not stopped"}"#);
    stand.stop_server();
    assert_snapshot!(ask(stand, full), @r#"{"code": 503, "status": "cannot create backup, MySQL/MariaDB server is not running"}"#);
    let in_the_way = stand.data_dir().join("shop");
    std::fs::create_dir_all(&in_the_way).unwrap();
    assert_snapshot!(ask(stand, &restore), @r#"{"code": 503, "status": "cannot restore to database, mysql/mariadb data directory is not empty (usually /var/lib/mysql)"}"#);
    assert_eq!(stand.env().count("process", "1"), rows, "a refusal leaves no row");
    assert_snapshot!(stand.env().listing("backups"), @"full-1/ inc-1/");
}
