//! Bytes of a client, from framing to a command or a reply.
//!
//! In: a line of piece sizes (a byte each, over and over; 0 is all the rest), and behind it what the client sends. Holds that
//! the cuts change nothing, that what is whole is a request by the contract or is refused with a 400, and that each refusal
//! fits into one read.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use dbcalm_db_cmd::command::{Backup, Command, Restore};
use dbcalm_db_cmd::model::{BackupId, Rejection, Target};
use dbcalm_db_cmd::wire::{self, Budget, Framed, MAX_REPLY, MAX_REQUEST, Request, Response};
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, ReadBuf};

pub(crate) fn check(input: &[u8]) {
    let end = input.iter().position(|&byte| byte == b'\n').unwrap_or_default();
    let (sizes, bytes) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    let (at_once, in_pieces) = (frame(&[], bytes), frame(sizes, bytes));
    match (&at_once, &in_pieces) {
        // It was answered before the rest came.
        (Framed::Bad(why), Framed::Whole(taken)) => {
            assert_eq!(why.to_string(), "something follows the request's object");
            assert!(bytes.starts_with(taken) && matches!(frame(&[], taken), Framed::Whole(_)));
        }
        (Framed::Whole(one), Framed::Whole(other)) => assert_eq!(one.trim_ascii_end(), other.trim_ascii_end()),
        _ => assert_eq!(at_once, in_pieces),
    }
    let document = serde_json::from_slice::<Map<String, Value>>(bytes).ok();
    match (&at_once, &document) {
        (Framed::Whole(taken), _) => {
            assert!(bytes.starts_with(taken) && bytes[taken.len()..].trim_ascii().is_empty());
            request(taken, document.as_ref());
        }
        (_, Some(_)) => assert!(bytes.len() > MAX_REQUEST, "an object was not taken as whole: {at_once:?}"),
        (Framed::Nothing, None) => assert!(bytes.is_empty()),
        (Framed::Cut(why) | Framed::Bad(why), None) => refused(why),
    }
    if document.is_none() {
        // A reason of any text fits too.
        reply(&Rejection::Broken(String::from_utf8_lossy(bytes).into_owned()));
    }
}

fn request(bytes: &[u8], document: Option<&Map<String, Value>>) {
    let request = match Request::parse(bytes) {
        Ok(request) => request,
        Err(why) => return refused(&why),
    };
    let document = document.expect("what is no object was read as a request");
    assert!(document.keys().all(|key| key == "cmd" || key == "args"));
    assert_eq!(request.cmd, document.get("cmd").and_then(Value::as_str).unwrap_or_default());
    let args = document.get("args").and_then(Value::as_object).cloned().unwrap_or_default();
    assert_eq!(request.args, args);
    match Command::parse(&request) {
        Ok(command) => {
            assert!(is_a_command(&request.cmd, &args), "taken: {request:?}");
            assert_eq!(command.name(), request.cmd);
            means(&command, &args);
        }
        Err(why) => {
            refused(&why);
            assert!(!is_a_command(&request.cmd, &args), "refused: {request:?}: {why}");
        }
    }
}

/// The contract's own words, section 4.
fn is_a_command(cmd: &str, args: &Map<String, Value>) -> bool {
    let known = |names: &[&str]| args.keys().all(|key| names.contains(&key.as_str()));
    let id = |name: &str| args.get(name).is_some_and(is_an_id);
    let schedule = || args.get("schedule_id").is_none_or(|value| value.is_null() || value.is_i64());
    match cmd {
        "full_backup" => known(&["id", "schedule_id"]) && id("id") && schedule(),
        "incremental_backup" => {
            known(&["id", "from_backup_id", "schedule_id"])
                && id("id")
                && id("from_backup_id")
                && schedule()
                && args["id"] != args["from_backup_id"]
        }
        "restore_backup" => {
            let list = args.get("id_list").and_then(Value::as_array);
            known(&["id_list", "target"])
                && list.is_some_and(|list| (1..=10_000).contains(&list.len()) && list.iter().all(is_an_id))
                && args.get("target").is_some_and(|target| target == "database" || target == "folder")
        }
        _ => false,
    }
}

fn is_an_id(value: &Value) -> bool {
    let allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    value.as_str().is_some_and(|text| {
        (1..=128).contains(&text.len())
            && text.chars().all(|character| allowed.contains(character))
            && !text.starts_with(['.', '-'])
            && !matches!(text, "tmp" | "restores")
    })
}

/// A command says what its arguments say.
fn means(command: &Command, args: &Map<String, Value>) {
    let text = |name: &str| args.get(name).and_then(Value::as_str);
    match command {
        Command::Backup(Backup { id, base, schedule_id }) => {
            assert_eq!((Some(id.as_str()), base.as_ref().map(BackupId::as_str)), (text("id"), text("from_backup_id")));
            assert_eq!(*schedule_id, args.get("schedule_id").and_then(Value::as_i64));
        }
        Command::Restore(restore @ Restore { target, .. }) => {
            let chain: Vec<_> = restore.chain().map(BackupId::as_str).collect();
            assert_eq!(Value::from(chain), args["id_list"]);
            assert_eq!(text("target"), Some(if *target == Target::Folder { "folder" } else { "database" }));
        }
    }
}

fn refused(why: &Rejection) {
    assert_eq!(why.code(), 400, "{why}");
    reply(why);
}

/// One JSON object of `code` and `status`, in ASCII, for one read of the Go API.
fn reply(why: &Rejection) {
    let bytes = Response::rejected(why).to_bytes();
    assert!(bytes.len() < MAX_REPLY && bytes.is_ascii(), "{} bytes", bytes.len());
    let front = format!("{{\"code\": {}, \"status\": \"", why.code());
    assert!(bytes.starts_with(front.as_bytes()) && bytes.ends_with(b"\"}"));
    let object: Map<String, Value> = serde_json::from_slice(&bytes).unwrap();
    assert!(object.len() == 2 && object["status"].is_string());
    assert!(!bytes.iter().any(u8::is_ascii_control), "a reply is one line");
}

/// A client that sends pieces, each of which is read by itself.
struct Pieces<'a> {
    sizes: std::iter::Cycle<std::slice::Iter<'a, u8>>,
    piece: &'a [u8],
    rest: &'a [u8],
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.piece.is_empty() {
            let size = self.sizes.next().map_or(0, |&size| usize::from(size));
            let end = if size == 0 { self.rest.len() } else { size.min(self.rest.len()) };
            (self.piece, self.rest) = self.rest.split_at(end);
        }
        let (now, later) = self.piece.split_at(self.piece.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.piece = later;
        Poll::Ready(Ok(()))
    }
}

thread_local! {
    /// For its clock; made once, since that takes longer than all that is done in it.
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
}

/// Polled by hand, since this client is always ready: a runtime would be most of what is run.
fn frame(sizes: &[u8], bytes: &[u8]) -> Framed {
    let mut client = Pieces { sizes: sizes.iter().cycle(), piece: &[], rest: bytes };
    RUNTIME.with(|runtime| {
        let _clock = runtime.enter();
        let budget = Budget::default();
        match pin!(wire::read(&mut client, &budget)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(framed) => framed.unwrap(),
            Poll::Pending => panic!("it waits for a client that has sent everything"),
        }
    })
}
