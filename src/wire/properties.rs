//! What holds of every request, however it is spelt and cut: random ones.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use proptest::prelude::*;
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, ReadBuf};

use super::{Budget, Framed, MAX_REPLY, MAX_REQUEST, Request, Response, read};
use crate::command::Command;

/// A client that sends pieces, each of which is read by itself.
struct Pieces(VecDeque<Vec<u8>>);

impl Pieces {
    /// `bytes`, cut at these places.
    fn of(bytes: &[u8], cuts: &[prop::sample::Index]) -> Self {
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let pieces = at.windows(2).map(|ends| bytes[ends[0]..ends[1]].to_vec());
        Self(pieces.filter(|piece| !piece.is_empty()).collect())
    }
}

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.0.pop_front() {
            let rest = piece.split_off(piece.len().min(buffer.remaining()));
            buffer.put_slice(&piece);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn frame(mut pieces: Pieces) -> Framed {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(read(&mut pieces, &Budget::default())).unwrap()
}

fn whole(bytes: &[u8]) -> Framed {
    frame(Pieces::of(bytes, &[]))
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..6)
}

/// Any text, and more often than not what the scanner has to see through.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), r#"[{}\[\]"\\/ a:,é]{0,12}"#]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 32, 4, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from), object_of(inner)]
    })
}

fn object_of(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::vec((text(), inner), 0..4)
        .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>()))
}

/// An object, as one line or as several.
fn document() -> impl Strategy<Value = (Value, Vec<u8>)> {
    (object_of(value()), any::<bool>()).prop_map(|(value, pretty)| {
        let bytes = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
        (value, bytes.unwrap())
    })
}

/// Bytes that are no document, or nearly one.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(prop::sample::select(&b"{}[]\"\\ ,:a\n\xff"[..]), 0..40).prop_map(|mut bytes| {
            bytes.insert(0, b'{');
            bytes
        }),
        document().prop_map(|(_, bytes)| bytes),
    ]
}

/// A request that is nearly one of the three: known names and unknown ones, right types and wrong ones.
fn request() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["id", "from_backup_id", "schedule_id", "id_list", "target", "é\n\"x"]);
    let argument = prop_oneof![
        prop::sample::select(vec!["a", "full-1", "..", "", "database", "folder", "tmp"]).prop_map(Value::from),
        Just(serde_json::json!(["a", "b"])),
        value(),
    ];
    let args = prop::collection::vec((name.prop_map(str::to_owned), argument), 0..4)
        .prop_map(|pairs| Value::Object(pairs.into_iter().collect()));
    let cmd = prop_oneof![
        prop::sample::select(vec!["full_backup", "incremental_backup", "restore_backup", "rm"]).prop_map(Value::from),
        value(),
    ];
    (cmd, args).prop_map(|(cmd, args)| serde_json::json!({ "cmd": cmd, "args": args }))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(192) })]

    #[test]
    fn a_document_is_whole_however_it_is_cut(
        (value, bytes) in document(), before in "[ \t\r\n]{0,3}", after in "[ \t\r\n]{0,3}", cuts in cuts()
    ) {
        let bytes = [before.as_bytes(), &bytes, after.as_bytes()].concat();
        let Framed::Whole(taken) = frame(Pieces::of(&bytes, &cuts)) else { panic!("{bytes:?} is whole") };
        prop_assert!(bytes.starts_with(&taken));
        prop_assert_eq!(serde_json::from_slice::<Value>(&taken).unwrap(), value);
    }

    #[test]
    fn no_part_of_a_document_is_whole((_, bytes) in document(), end in any::<prop::sample::Index>(), cuts in cuts()) {
        let part = &bytes[..end.index(bytes.len())];
        match frame(Pieces::of(part, &cuts)) {
            Framed::Nothing => prop_assert!(part.is_empty()),
            Framed::Cut(why) => prop_assert_eq!(why.code(), 400),
            other @ (Framed::Whole(_) | Framed::Bad(_)) => prop_assert!(false, "{part:?} is {other:?}"),
        }
    }

    #[test]
    fn a_cut_changes_nothing_but_whether_what_comes_behind_the_object_is_seen(bytes in soup(), cuts in cuts()) {
        let (at_once, in_pieces) = (whole(&bytes), frame(Pieces::of(&bytes, &cuts)));
        match (&at_once, &in_pieces) {
            // It was answered before the rest came.
            (Framed::Bad(why), Framed::Whole(taken)) => {
                prop_assert_eq!(why.to_string(), "something follows the request's object");
                prop_assert!(bytes.starts_with(taken) && matches!(whole(taken), Framed::Whole(_)));
            }
            (Framed::Whole(_), Framed::Whole(taken)) => prop_assert!(bytes.starts_with(taken)),
            _ => prop_assert_eq!(at_once, in_pieces),
        }
    }

    #[test]
    fn what_stands_behind_the_object_is_refused((_, bytes) in document(), rest in "[ \n]{0,2}[^ \t\r\n]\\PC{0,5}") {
        let Framed::Bad(why) = whole(&[&bytes, rest.as_bytes()].concat()) else { panic!("{rest:?} is too much") };
        prop_assert_eq!(why.code(), 400);
    }

    #[test]
    fn every_request_is_read_or_refused_in_a_reply_that_fits(request in request(), cut in any::<prop::sample::Index>()) {
        let mut bytes = serde_json::to_vec(&request).unwrap();
        for _ in 0..2 {
            match Request::parse(&bytes).and_then(|request| Command::parse(&request)) {
                Ok(command) => prop_assert!(request["cmd"] == command.name()),
                Err(why) => {
                    let reply = Response::rejected(&why).to_bytes();
                    prop_assert!(reply.len() < MAX_REPLY && reply.is_ascii());
                    let reply: Map<String, Value> = serde_json::from_slice(&reply).unwrap();
                    prop_assert_eq!((reply["code"].as_u64(), reply.len()), (Some(400), 2));
                }
            }
            // And what is left of it when its end is gone.
            bytes.truncate(cut.index(bytes.len() + 1));
        }
    }

    #[test]
    fn bytes_that_are_no_request_are_refused(bytes in soup()) {
        prop_assert_eq!(Request::parse(&bytes).is_ok(), bytes.strip_prefix(b"{").is_some_and(|rest| {
            let rest: Vec<u8> = rest.iter().copied().filter(|byte| !b" \n".contains(byte)).collect();
            rest == b"}"
        }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn a_mebibyte_is_the_most(size in MAX_REQUEST - 3..=MAX_REQUEST + 3, cuts in cuts()) {
        let mut bytes = br#"{"a":""#.to_vec();
        bytes.resize(size - 2, b'x');
        bytes.extend(br#""}"#);
        match frame(Pieces::of(&bytes, &cuts)) {
            Framed::Whole(taken) => prop_assert!(size <= MAX_REQUEST && taken.len() == size),
            Framed::Bad(why) => {
                prop_assert!(size > MAX_REQUEST);
                prop_assert_eq!(why.to_string(), "the request is larger than 1 MiB");
            }
            other @ (Framed::Nothing | Framed::Cut(_)) => prop_assert!(false, "{size} bytes are {other:?}"),
        }
    }
}
