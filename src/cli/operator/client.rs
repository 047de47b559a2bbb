//! A client of the daemon: one request, one reply.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::exit::{Exit, Failure};
use crate::command::parse::{RECORDED_IDS, RESTORE_BACKUP, TO_PLACE};
use crate::model::{BackupId, Rejection};

/// How long an answer is waited for: the daemon's own bound is below 5 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long it is waited for that something is done: the daemon's own bound is below that.
const DONE_WITHIN: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Deserialize)]
struct Reply {
    code: u16,
    status: String,
    id: Option<String>,
}

/// Sends a command that the daemon has to accept; gives the id of its records.
pub(super) fn order(socket: &Path, command: &str, args: &Value) -> Result<String, Failure> {
    let reply = exchange(socket, command, args, ANSWER_WITHIN)?;
    match (reply.code, reply.id) {
        (202, Some(id)) => Ok(id),
        (code, _) => Err(refused(code, &reply.status)),
    }
}

/// Sends a command that is answered when it is done, and waits for that; gives what was done, in the daemon's words.
pub(super) fn order_done(socket: &Path, command: &str, args: &Value) -> Result<String, Failure> {
    let reply = exchange(socket, command, args, DONE_WITHIN)?;
    match reply.code {
        200 => Ok(reply.status),
        400 if reply.status == Rejection::InvalidCommand.to_string() => Err(Failure::because(
            "the daemon takes no such command from this user",
            "run this as root or as the daemon's user; a daemon of an earlier version knows none: systemctl restart dbcalm-db-cmd",
        )),
        code => Err(refused(code, &reply.status)),
    }
}

fn exchange(socket: &Path, command: &str, args: &Value, within: Duration) -> Result<Reply, Failure> {
    let request = serde_json::json!({"cmd": command, "args": args}).to_string();
    let said = ask(socket, &request, within).map_err(|why| {
        if !matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
            return unreachable(socket, &why);
        }
        Failure::because(
            format!("the daemon at '{}' has not answered in {} s", socket.display(), within.as_secs()),
            "it may be at work all the same: journalctl -u dbcalm-db-cmd shows at what",
        )
        .exit(Exit::Unreachable)
    })?;
    serde_json::from_slice(&said).map_err(|why| {
        let text = String::from_utf8_lossy(&said).chars().take(200).collect::<String>();
        Failure::because(
            format!("the program that answers at '{}' is not the command daemon: {why}: '{text}'", socket.display()),
            "name the daemon's socket with --socket",
        )
        .exit(Exit::Unreachable)
    })
}

/// Orders the restore of a chain, full backup first, and of what came after it up to a place that was found; gives the id of its records.
pub(super) fn order_restore(socket: &Path, ids: &[&str], target: &str, place: Option<&str>) -> Result<String, Failure> {
    let mut args = serde_json::json!({"id_list": ids, "target": target});
    if let Some((args, place)) = args.as_object_mut().zip(place) {
        args.insert(TO_PLACE.to_owned(), place.into());
    }
    // Ids that the Go daemon allowed are recorded, and no client of the daemon's may name them.
    if let Some(args) = args.as_object_mut().filter(|_| ids.iter().any(|id| id.parse::<BackupId>().is_err())) {
        args.insert(RECORDED_IDS.to_owned(), true.into());
    }
    order(socket, RESTORE_BACKUP, &args)
}

/// Whether the daemon takes connections.
pub(super) fn answers(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

fn ask(socket: &Path, request: &str, within: Duration) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(request.as_bytes())?;
    let mut said = Vec::new();
    // A reply is smaller than that; what sends more is something else.
    stream.take(64 * 1024).read_to_end(&mut said)?;
    if said.is_empty() { Err(io::Error::other("it closed the connection without an answer")) } else { Ok(said) }
}

/// That nobody answers, and what to do about it.
pub(super) fn unreachable(socket: &Path, why: &io::Error) -> Failure {
    let hint = if why.kind() == io::ErrorKind::PermissionDenied {
        "run this as root, or as a member of the group of the socket's directory"
    } else {
        "systemctl start dbcalm-db-cmd, or name the daemon's socket with --socket"
    };
    Failure::because(format!("no daemon answers at '{}': {why}", socket.display()), hint).exit(Exit::Unreachable)
}

/// What the daemon said no to; its own words, and what they ask for.
fn refused(code: u16, status: &str) -> Failure {
    let hint = match code {
        400 if status.contains("do not descend") => "dbcalm-db-cmd backup full",
        400 if status.contains(TO_PLACE) => {
            "only root and the daemon's user may restore to a moment by this command: run this as one of them"
        }
        400 if status.contains(RECORDED_IDS) => {
            "only root and the daemon's user may restore such ids: run this as one of them"
        }
        403 => "allowed_users and allowed_groups in the settings say who may give commands",
        404 if status.starts_with("Base") => {
            "dbcalm-db-cmd list shows what is there; a stream of the Go daemon cannot be a base: dbcalm-db-cmd backup full"
        }
        400 if status.starts_with("the chain of base") => {
            "dbcalm-db-cmd backup full; without --from, the base is the newest backup that can be one"
        }
        404 => "dbcalm-db-cmd list shows which backups there are, and what is broken",
        409 if status.contains("is needed by") => "with --chain they are removed too",
        409 => "leave out the id to have one made from the time",
        503 if status.contains("cannot be removed now") => "nothing was removed: try again when that has ended",
        503 if status.contains("shutting down") => {
            "what a removal has begun the next start ends: systemctl start dbcalm-db-cmd"
        }
        503 if status.contains("not stopped") => "stop the server first: systemctl stop mariadb",
        503 if status.contains("not empty") => {
            "move what is in the data directory aside: a restore fills it and overwrites nothing"
        }
        _ => "dbcalm-db-cmd check finds what is wrong",
    };
    let exit = if code == 404 { Exit::NotFound } else { Exit::Failed };
    Failure::because(format!("the daemon refused ({code}): {status}"), hint).exit(exit)
}
