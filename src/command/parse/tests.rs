//! Requests, and what they are read as.

use crate::command::{Backup, Command, Housekeeping, Order, Restore};
use crate::model::{BackupId, Moment, Target, Until};
use crate::wire::Request;

fn parse(json: &str) -> Result<Command, String> {
    let request = Request::parse(json.as_bytes()).map_err(|why| why.to_string())?;
    Command::parse(&request).map_err(|why| format!("{} {why}", why.code()))
}

fn refused(json: &str) -> String {
    parse(json).expect_err(json)
}

#[test]
fn the_three_commands() {
    let id = |text: &str| text.parse().unwrap();
    assert_eq!(
        parse(r#"{"cmd":"full_backup","args":{"id":"a"}}"#),
        Ok(Command::Backup(Backup { id: id("a"), base: None, schedule_id: None }))
    );
    assert_eq!(
        parse(r#"{"args":{"schedule_id":7,"from_backup_id":"a","id":"b"},"cmd":"incremental_backup"}"#),
        Ok(Command::Backup(Backup { id: id("b"), base: Some(id("a")), schedule_id: Some(7) })),
        "arguments go by name, in any order"
    );
    assert_eq!(
        parse(r#"{"cmd":"restore_backup","args":{"target":"folder","id_list":["a","b"]}}"#),
        Ok(Command::Restore(Restore {
            full: id("a"),
            incrementals: vec![id("b")],
            target: Target::Folder,
            until: None
        }))
    );
}

#[test]
fn a_restore_may_end_at_a_moment() {
    let until = |more: &str| {
        let said = parse(&format!(r#"{{"cmd":"restore_backup","args":{{"target":"folder","id_list":["a"],{more}}}}}"#));
        said.map(|command| match command {
            Command::Restore(restore) => restore.until,
            Command::Backup(_) => panic!("{more}"),
        })
    };
    let gtid = "0-7-4711".parse().unwrap();
    for (more, wanted) in [
        (r#""to":null"#, None),
        (r#""to":"end""#, Some(Until::End)),
        (r#""to":"2026-11-30 15:03:05+01:00""#, Some(Until::Time(Moment::read("2026-11-30 14:03:05").unwrap()))),
        (r#""to_gtid":"0-7-4711","to":null"#, Some(Until::Through(gtid))),
        (r#""before_gtid":"0-7-4711""#, Some(Until::Before(gtid))),
    ] {
        assert_eq!(until(more), Ok(wanted), "{more}");
    }
    for (more, text) in [
        (r#""to":7"#, "400 to must be a string, not a number"),
        (r#""to":"14:03""#, "400 to '14:03' is neither a date and a time nor \"end\""),
        (r#""to_gtid":"0-7""#, "400 to_gtid '0-7' is no GTID"),
        (r#""to":"end","before_gtid":"0-7-1""#, "400 only one of to, to_gtid and before_gtid can be given"),
    ] {
        assert_eq!(until(more), Err(text.to_owned()), "{more}");
    }
}

#[test]
fn a_removal_is_the_operators_and_for_everybody_else_no_command() {
    let parse = |args: &str, is_operator| {
        let request = format!(r#"{{"cmd":"remove_backup","args":{args}}}"#);
        let order = Order::parse(&Request::parse(request.as_bytes()).unwrap(), is_operator);
        order.map_err(|why| format!("{} {why}", why.code()))
    };
    let Ok(Order::Housekeeping(Housekeeping::Remove(remove))) = parse(r#"{"id_list":["a","my backup"]}"#, true) else {
        panic!()
    };
    assert_eq!(remove.ids().map(BackupId::as_str).collect::<Vec<_>>(), ["a", "my backup"]);
    for args in [r#"{"id_list":["a"]}"#, r#"{"id_list":[]}"#, "{}", r#"{"x":1}"#] {
        assert_eq!(parse(args, false), Err("400 Invalid command".to_owned()), "{args}");
    }
    for (args, text) in [
        ("{}", "400 Missing required argument id_list"),
        (r#"{"id_list":["a"],"target":"folder"}"#, "400 unknown argument 'target'"),
        (r#"{"id_list":[]}"#, "400 id_list is empty: name the backups"),
        (
            r#"{"id_list":["../a"]}"#,
            "400 in id_list, '../a' is not a backup id: nothing in backup_dir can safely be called so",
        ),
    ] {
        assert_eq!(parse(args, true), Err(text.to_owned()), "{args}");
    }
}

#[test]
fn an_adoption_is_the_operators_and_may_name_what_a_predecessor_took() {
    let parse = |args: &str, is_operator| {
        let request = format!(r#"{{"cmd":"adopt_backup","args":{args}}}"#);
        let order = Order::parse(&Request::parse(request.as_bytes()).unwrap(), is_operator);
        order.map_err(|why| format!("{} {why}", why.code()))
    };
    for (args, id, from) in [
        (r#"{"id":"my backup"}"#, "my backup", None),
        (r#"{"id":"a","from_backup_id":"full:1"}"#, "a", Some("full:1")),
        (r#"{"id":"a","from_backup_id":null}"#, "a", None),
    ] {
        let Ok(Order::Housekeeping(Housekeeping::Adopt(adopt))) = parse(args, true) else { panic!("{args}") };
        assert_eq!((adopt.id.as_str(), adopt.from.as_ref().map(BackupId::as_str)), (id, from));
        assert_eq!(parse(args, false), Err("400 Invalid command".to_owned()), "{args}");
    }
    for (args, text) in [
        ("{}", "400 Missing required argument id"),
        (r#"{"id":"a","schedule_id":7}"#, "400 unknown argument 'schedule_id'"),
        (r#"{"id":7}"#, "400 id must be a string, not a number"),
        (r#"{"id":"restores"}"#, "400 id 'restores' is not a backup id: the daemon uses this name itself"),
        (
            r#"{"id":"a","from_backup_id":"../b"}"#,
            "400 from_backup_id '../b' is not a backup id: nothing in backup_dir can safely be called so",
        ),
    ] {
        assert_eq!(parse(args, true), Err(text.to_owned()), "{args}");
    }
}

#[test]
fn null_is_the_same_as_absent() {
    assert_eq!(refused(r#"{"cmd":"full_backup","args":{"id":null}}"#), "400 Missing required argument id");
    assert!(parse(r#"{"cmd":"full_backup","args":{"id":"a","schedule_id":null}}"#).is_ok());
    assert_eq!(refused(r#"{"cmd":"full_backup","args":null}"#), "400 Missing required argument id");
    assert_eq!(refused(r#"{"cmd":"full_backup"}"#), "400 Missing required argument id");
}

#[test]
fn missing_arguments_are_named_in_the_order_of_the_contract() {
    let cases = [
        (r#"{"cmd":"incremental_backup","args":{}}"#, "id"),
        (r#"{"cmd":"incremental_backup","args":{"id":"a"}}"#, "from_backup_id"),
        (r#"{"cmd":"restore_backup","args":{}}"#, "id_list"),
        (r#"{"cmd":"restore_backup","args":{"id_list":["a"]}}"#, "target"),
    ];
    for (json, name) in cases {
        assert_eq!(refused(json), format!("400 Missing required argument {name}"), "{json}");
    }
}

#[test]
fn bad_arguments_get_a_clear_400() {
    let cases = [
        (r#"{"cmd":"nope","args":{}}"#, "Invalid command"),
        (r#"{"cmd":"","args":{}}"#, "Invalid command"),
        (r#"{"cmd":"full_backup","args":{"id":""}}"#, "id '' is not a backup id: it is empty"),
        (r#"{"cmd":"full_backup","args":{"id":5}}"#, "id must be a string, not a number"),
        (r#"{"cmd":"full_backup","args":{"id":["a"]}}"#, "id must be a string, not an array"),
        (r#"{"cmd":"full_backup","args":{"id":{"a":1}}}"#, "id must be a string, not an object"),
        (
            r#"{"cmd":"restore_backup","args":{"id_list":[null],"target":"folder"}}"#,
            "in id_list, must be a string, not null",
        ),
        (r#"{"cmd":"full_backup","args":{"id":"a","x":1}}"#, "unknown argument 'x'"),
        (r#"{"cmd":"full_backup","args":{"id":"a","from_backup_id":"b"}}"#, "unknown argument 'from_backup_id'"),
        (
            r#"{"cmd":"full_backup","args":{"id":"a","schedule_id":7.5}}"#,
            "schedule_id must be a 64-bit integer, not a number",
        ),
        (
            r#"{"cmd":"full_backup","args":{"id":"a","schedule_id":true}}"#,
            "schedule_id must be a 64-bit integer, not a boolean",
        ),
        (
            r#"{"cmd":"incremental_backup","args":{"id":"a","from_backup_id":"a"}}"#,
            "a backup cannot be its own base: id and from_backup_id are 'a'",
        ),
        (
            r#"{"cmd":"restore_backup","args":{"id_list":[],"target":"folder"}}"#,
            "id_list is empty: name the chain, oldest first",
        ),
        (
            r#"{"cmd":"restore_backup","args":{"id_list":"a","target":"folder"}}"#,
            "id_list must be an array of strings, not a string",
        ),
        (
            r#"{"cmd":"restore_backup","args":{"id_list":["a","../b"],"target":"folder"}}"#,
            "in id_list, '../b' is not a backup id: it may contain only A-Z a-z 0-9 . _ -",
        ),
        (
            r#"{"cmd":"restore_backup","args":{"id_list":["a"],"target":"elsewhere"}}"#,
            "unknown target 'elsewhere': it must be \"database\" or \"folder\"",
        ),
    ];
    for (json, text) in cases {
        assert_eq!(refused(json), format!("400 {text}"), "{json}");
    }
}

#[test]
fn ids_that_no_new_backup_may_have_are_the_operators_and_stay_in_the_backup_directory() {
    let request = |args: &str| {
        let request = format!(r#"{{"cmd":"restore_backup","args":{{"target":"folder",{args}}}}}"#);
        Request::parse(request.as_bytes()).unwrap()
    };
    let odd = request(r#""id_list":["my backup","full:1"],"recorded_ids":true"#);
    let Ok(Command::Restore(restore)) = Command::parse_for(&odd, true) else { panic!() };
    assert_eq!(restore.chain().map(BackupId::as_str).collect::<Vec<_>>(), ["my backup", "full:1"]);
    let refused = |args: &str, is_operator| Command::parse_for(&request(args), is_operator).unwrap_err().to_string();
    assert_eq!(refused(r#""id_list":["a"],"recorded_ids":true"#, false), "unknown argument 'recorded_ids'");
    for args in [r#""id_list":["my backup"]"#, r#""id_list":["my backup"],"recorded_ids":false"#] {
        assert!(refused(args, true).contains("is not a backup id: "));
    }
    for id in ["../etc", "a/b", ".", "", "tmp", "a\\nb"] {
        let said = refused(&format!(r#""id_list":["a","{id}"],"recorded_ids":true"#), true);
        assert!(said.starts_with("in id_list, '"), "{id}: {said}");
    }
    assert_eq!(refused(r#""id_list":["a"],"recorded_ids":"x""#, true), "recorded_ids must be a boolean, not a string");
}

#[test]
fn a_chain_is_bounded() {
    let request = |count: usize| {
        let ids = vec![r#""a""#; count].join(",");
        format!(r#"{{"cmd":"restore_backup","args":{{"id_list":[{ids}],"target":"folder"}}}}"#)
    };
    assert!(parse(&request(10_000)).is_ok());
    assert_eq!(refused(&request(10_001)), "400 id_list names 10001 backups, more than the limit of 10000");
}

#[test]
fn a_long_text_is_not_given_back_whole() {
    let text = refused(&format!(r#"{{"cmd":"full_backup","args":{{"id":"a","{}":1}}}}"#, "y".repeat(5000)));
    assert!(text.len() < 200, "{text}");
}
