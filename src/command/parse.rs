//! From a [`Request`] to an [`Order`]: names, types and shapes; no look at the world.

use serde_json::{Map, Value};

use super::{Adopt, Backup, Command, Housekeeping, Order, Remove, Restore};
use crate::model::id::BadId;
use crate::model::{BackupId, Gtid, Moment, Rejection, Target, Until};
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

/// The argument of a restore that says up to when the binary log is replayed: a time, or `end`.
pub const TO: &str = "to";
/// The one that names the last transaction that is replayed.
pub const TO_GTID: &str = "to_gtid";
/// The one that names the first transaction that is not.
pub const BEFORE_GTID: &str = "before_gtid";
/// The one by which root and the daemon's user name the place itself.
pub const TO_PLACE: &str = "to_place";
/// What [`TO`] says for all that is archived.
pub const END: &str = "end";

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
const RESTORE: Shape = Shape { required: &["id_list", "target"], optional: &[TO, TO_GTID, BEFORE_GTID] };
/// The same from the operator's own command line.
const OPERATORS_RESTORE: Shape = Shape { optional: &[TO, TO_GTID, BEFORE_GTID, TO_PLACE, RECORDED_IDS], ..RESTORE };
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
                Ok(Self::Restore(Restore { full, incrementals, target: target(args)?, until: until(args)? }))
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

fn until(args: &Map<String, Value>) -> Result<Option<Until>, Rejection> {
    let said = [TO, TO_GTID, BEFORE_GTID, TO_PLACE].into_iter().filter_map(|name| Some((name, present(args, name)?)));
    let said = said.collect::<Vec<_>>();
    let (name, value) = match said.as_slice() {
        [] => return Ok(None),
        [one] => *one,
        _ => return Err(malformed("only one of to, to_gtid and before_gtid can be given".to_owned())),
    };
    let text = value.as_str().ok_or_else(|| wrong_type(name, "a string", value))?;
    let gtid = || text.parse::<Gtid>().map_err(|_none| malformed(format!("{name} {} is no GTID", quote(text))));
    Ok(Some(match name {
        TO if text == END => Until::End,
        TO => Until::Time(
            Moment::read(text)
                .ok_or_else(|| malformed(format!("to {} is neither a date and a time nor \"{END}\"", quote(text))))?,
        ),
        TO_GTID => Until::Through(gtid()?),
        TO_PLACE => Until::Place(text.to_owned()),
        _ => Until::Before(gtid()?),
    }))
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
mod tests;
