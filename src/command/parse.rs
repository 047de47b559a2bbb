//! From a [`Request`] to an [`Order`]: names, types and shapes; no look at the world.

use serde_json::{Map, Value};

use super::{Adopt, Backup, Command, Housekeeping, Order, Remove, Restore};
use crate::model::id::BadId;
use crate::model::{BackupId, Rejection, Target};
use crate::wire::Request;

/// The wire's name for a full backup.
pub const FULL_BACKUP: &str = "full_backup";
/// The wire's name for an incremental backup.
pub const INCREMENTAL_BACKUP: &str = "incremental_backup";
/// The wire's name for a restore.
pub const RESTORE_BACKUP: &str = "restore_backup";
/// The wire's name for a removal: the operator's alone.
pub const REMOVE_BACKUP: &str = "remove_backup";
/// The wire's name for what gives a backup a record: the operator's alone.
pub const ADOPT_BACKUP: &str = "adopt_backup";

/// The argument of a restore by which root and the daemon's user name backups by ids that no new one may have, as they are recorded.
pub const RECORDED_IDS: &str = "recorded_ids";

/// The most of a client's own text that is given back to it, in characters: a reply has to fit in 4096 bytes.
const MAX_QUOTE: usize = 64;

/// The longest chain: hourly incrementals for more than a year. What a client names is looked up, so it is bounded.
const MAX_CHAIN: usize = 10_000;

/// The arguments of one command: the required ones in the order in which a missing one is named, then the optional.
struct Shape {
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

const FULL: Shape = Shape { required: &["id"], optional: &["schedule_id"] };
const INCREMENTAL: Shape = Shape { required: &["id", "from_backup_id"], optional: &["schedule_id"] };
const RESTORE: Shape = Shape { required: &["id_list", "target"], optional: &[] };
/// The same from the operator's own command line.
const OPERATORS_RESTORE: Shape = Shape { optional: &[RECORDED_IDS], ..RESTORE };
const REMOVE: Shape = Shape { required: &["id_list"], optional: &[] };
const ADOPT: Shape = Shape { required: &["id"], optional: &[FROM] };

/// The argument of an adoption that says what the backup was taken from.
pub const FROM: &str = "from_backup_id";

impl Order {
    /// Reads a request: of root's or the daemon's own user, or of a client, for whom there are the three commands and no others.
    ///
    /// # Errors
    /// It is none of them, or an argument is not what it should be.
    pub fn parse(request: &Request, is_operator: bool) -> Result<Self, Rejection> {
        match request.cmd.as_str() {
            REMOVE_BACKUP if is_operator => {
                REMOVE.check(&request.args)?;
                // Whoever may remove what is recorded names it as it is recorded.
                let (first, others) = id_list(&request.args, true, "the backups")?;
                Ok(Self::Housekeeping(Housekeeping::Remove(Remove { first, others })))
            }
            ADOPT_BACKUP if is_operator => {
                ADOPT.check(&request.args)?;
                // What lies there may be the Go daemon's, which allowed other names.
                let named = |value, name| parse_id(value, name, BackupId::recorded);
                let id = named(required(&request.args, "id")?, "id")?;
                let from = present(&request.args, FROM).map(|value| named(value, FROM)).transpose()?;
                Ok(Self::Housekeeping(Housekeeping::Adopt(Adopt { id, from })))
            }
            _ => Command::parse_for(request, is_operator).map(Self::Job),
        }
    }
}

impl Command {
    /// Reads a client's request as a command.
    pub fn parse(request: &Request) -> Result<Self, Rejection> {
        Self::parse_for(request, false)
    }

    /// Reads a request as a job's command: of root's or the daemon's own user, or of a client.
    pub fn parse_for(request: &Request, is_operator: bool) -> Result<Self, Rejection> {
        let args = &request.args;
        match request.cmd.as_str() {
            FULL_BACKUP => {
                FULL.check(args)?;
                Ok(Self::Backup(Backup { id: id(args, "id")?, base: None, schedule_id: schedule_id(args)? }))
            }
            INCREMENTAL_BACKUP => {
                INCREMENTAL.check(args)?;
                let (id, base) = (id(args, "id")?, id(args, "from_backup_id")?);
                if id == base {
                    return Err(malformed(format!(
                        "a backup cannot be its own base: id and from_backup_id are '{id}'"
                    )));
                }
                Ok(Self::Backup(Backup { id, base: Some(base), schedule_id: schedule_id(args)? }))
            }
            RESTORE_BACKUP => {
                let shape = if is_operator { &OPERATORS_RESTORE } else { &RESTORE };
                shape.check(args)?;
                let (full, incrementals) = id_list(args, recorded_ids(args)?, "the chain, oldest first")?;
                Ok(Self::Restore(Restore { full, incrementals, target: target(args)? }))
            }
            _ => Err(Rejection::InvalidCommand),
        }
    }
}

impl Shape {
    fn check(&self, args: &Map<String, Value>) -> Result<(), Rejection> {
        if let Some(name) = self.required.iter().find(|name| present(args, name).is_none()) {
            return Err(Rejection::MissingArgument(name));
        }
        let known = |name: &str| self.required.contains(&name) || self.optional.contains(&name);
        match args.keys().find(|name| !known(name)) {
            Some(name) => Err(malformed(format!("unknown argument {}", quote(name)))),
            None => Ok(()),
        }
    }
}

/// The argument of this name; null is the same as absent.
fn present<'a>(args: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    args.get(name).filter(|value| !value.is_null())
}

fn required<'a>(args: &'a Map<String, Value>, name: &'static str) -> Result<&'a Value, Rejection> {
    present(args, name).ok_or(Rejection::MissingArgument(name))
}

fn id(args: &Map<String, Value>, name: &'static str) -> Result<BackupId, Rejection> {
    parse_id(required(args, name)?, name, str::parse)
}

fn parse_id(
    value: &Value,
    name: &str,
    read: impl FnOnce(&str) -> Result<BackupId, BadId>,
) -> Result<BackupId, Rejection> {
    let text = value.as_str().ok_or_else(|| wrong_type(name, "a string", value))?;
    read(text).map_err(|why| malformed(format!("{name} {} is not a backup id: {why}", quote(text))))
}

fn schedule_id(args: &Map<String, Value>) -> Result<Option<i64>, Rejection> {
    let Some(value) = present(args, "schedule_id") else { return Ok(None) };
    value.as_i64().map(Some).ok_or_else(|| wrong_type("schedule_id", "a 64-bit integer", value))
}

fn recorded_ids(args: &Map<String, Value>) -> Result<bool, Rejection> {
    let Some(value) = present(args, RECORDED_IDS) else { return Ok(false) };
    value.as_bool().ok_or_else(|| wrong_type(RECORDED_IDS, "a boolean", value))
}

fn id_list(
    args: &Map<String, Value>,
    are_recorded: bool,
    wanted: &str,
) -> Result<(BackupId, Vec<BackupId>), Rejection> {
    let value = required(args, "id_list")?;
    let items = value.as_array().ok_or_else(|| wrong_type("id_list", "an array of strings", value))?;
    if items.len() > MAX_CHAIN {
        return Err(malformed(format!("id_list names {} backups, more than the limit of {MAX_CHAIN}", items.len())));
    }
    let read = if are_recorded { BackupId::recorded } else { str::parse };
    let mut ids =
        items.iter().map(|item| parse_id(item, "in id_list,", read)).collect::<Result<Vec<_>, _>>()?.into_iter();
    let full = ids.next().ok_or_else(|| malformed(format!("id_list is empty: name {wanted}")))?;
    Ok((full, ids.collect()))
}

fn target(args: &Map<String, Value>) -> Result<Target, Rejection> {
    let value = required(args, "target")?;
    match value.as_str().ok_or_else(|| wrong_type("target", "a string", value))? {
        "database" => Ok(Target::Database),
        "folder" => Ok(Target::Folder),
        other => Err(malformed(format!("unknown target {}: it must be \"database\" or \"folder\"", quote(other)))),
    }
}

fn malformed(text: String) -> Rejection {
    Rejection::Malformed(text)
}

fn wrong_type(name: &str, wanted: &str, value: &Value) -> Rejection {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    malformed(format!("{name} must be {wanted}, not {found}"))
}

/// A client's own text, bounded and with nothing in it that could break a line of a log.
fn quote(text: &str) -> String {
    let mut quoted: String = text.chars().take(MAX_QUOTE).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_QUOTE).is_some() {
        quoted.push('…');
    }
    format!("'{quoted}'")
}

#[cfg(test)]
mod tests {
    use crate::command::{Backup, Command, Housekeeping, Order, Restore};
    use crate::model::{BackupId, Target};
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
            Ok(Command::Restore(Restore { full: id("a"), incrementals: vec![id("b")], target: Target::Folder }))
        );
    }

    #[test]
    fn a_removal_is_the_operators_and_for_everybody_else_no_command() {
        let parse = |args: &str, is_operator| {
            let request = format!(r#"{{"cmd":"remove_backup","args":{args}}}"#);
            let order = Order::parse(&Request::parse(request.as_bytes()).unwrap(), is_operator);
            order.map_err(|why| format!("{} {why}", why.code()))
        };
        let Ok(Order::Housekeeping(Housekeeping::Remove(remove))) = parse(r#"{"id_list":["a","my backup"]}"#, true)
        else {
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
        let refused =
            |args: &str, is_operator| Command::parse_for(&request(args), is_operator).unwrap_err().to_string();
        assert_eq!(refused(r#""id_list":["a"],"recorded_ids":true"#, false), "unknown argument 'recorded_ids'");
        for args in [r#""id_list":["my backup"]"#, r#""id_list":["my backup"],"recorded_ids":false"#] {
            assert!(refused(args, true).contains("is not a backup id: "));
        }
        for id in ["../etc", "a/b", ".", "", "tmp", "a\\nb"] {
            let said = refused(&format!(r#""id_list":["a","{id}"],"recorded_ids":true"#), true);
            assert!(said.starts_with("in id_list, '"), "{id}: {said}");
        }
        assert_eq!(
            refused(r#""id_list":["a"],"recorded_ids":"x""#, true),
            "recorded_ids must be a boolean, not a string"
        );
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
}
