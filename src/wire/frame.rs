//! From the bytes of a connection to one whole JSON document, as soon as it is whole.
//!
//! A client does not close its write side, so the end is found in the bytes themselves: [`Scanner`] follows braces and
//! strings, a byte once, whatever pieces they come in. It does not judge the JSON; it only knows where an object ends.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

use crate::command::Rejection;

/// The largest request, in bytes: 1 MiB, by the contract.
pub const MAX_REQUEST: usize = 1024 * 1024;

/// How long the rest of a request may take, from the connection on: 4 s, since a client gives up after 5.
pub const REST_WITHIN: Duration = Duration::from_secs(4);

/// Objects and arrays within each other, at most: what `serde_json` reads.
const MAX_DEPTH: usize = 127;

/// How long, and how much of it, is read of what a refused client still sends, so that it can finish writing and read the
/// reply: a socket closed with unread bytes gives its peer an error in place of the end.
const DRAIN_WITHIN: Duration = Duration::from_secs(1);
const MAX_DRAIN: usize = 16 * MAX_REQUEST;

/// What a connection brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Framed {
    /// A document that is whole, with white space around it at most.
    Whole(Vec<u8>),
    /// The client left without a byte.
    Nothing,
}

/// Reads one document.
///
/// # Errors
/// The outer error is the connection's; the inner one is what to tell the client: too large, incomplete, not an object, or
/// something behind the object.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Result<Framed, Rejection>> {
    let deadline = Instant::now() + REST_WITHIN;
    let mut bytes = Vec::new();
    let mut scanner = Scanner::default();
    loop {
        let seen = bytes.len();
        let Ok(read) = timeout_at(deadline, stream.read_buf(&mut bytes)).await else {
            return Ok(Err(incomplete("the request is incomplete: its rest did not come within 4 s")));
        };
        if read? == 0 {
            return Ok(match scanner.state {
                State::Before if bytes.is_empty() => Ok(Framed::Nothing),
                State::Before | State::Inside => {
                    Err(incomplete("the request is incomplete: it ended inside the object"))
                }
                State::After => Ok(Framed::Whole(bytes)),
            });
        }
        if let Err(text) = scanner.scan(bytes.get(seen..).unwrap_or_default()) {
            return Ok(Err(incomplete(text)));
        }
        if bytes.len() > MAX_REQUEST {
            return Ok(Err(incomplete("the request is larger than 1 MiB")));
        }
        if scanner.state == State::After {
            return Ok(Ok(Framed::Whole(bytes)));
        }
    }
}

/// Takes in what a refused client still sends, bounded in time and size.
pub async fn drain(stream: &mut (impl AsyncRead + Unpin)) {
    let deadline = Instant::now() + DRAIN_WITHIN;
    let mut bytes = vec![0; 64 * 1024];
    let mut total = 0;
    while let Ok(Ok(read @ 1..)) = timeout_at(deadline, stream.read(&mut bytes)).await {
        total += read;
        if total > MAX_DRAIN {
            return;
        }
    }
}

fn incomplete(text: &str) -> Rejection {
    Rejection::Malformed(text.to_owned())
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Before,
    Inside,
    After,
}

/// Where in the document the bytes have come to.
#[derive(Debug, Default)]
struct Scanner {
    state: State,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scanner {
    fn scan(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        bytes.iter().try_for_each(|&byte| self.step(byte))
    }

    fn step(&mut self, byte: u8) -> Result<(), &'static str> {
        let white = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match self.state {
            State::Before | State::After if white => {}
            State::Before if byte == b'{' => {
                self.state = State::Inside;
                self.depth = 1;
            }
            State::Before => return Err("the request is not a JSON object"),
            State::After => return Err("the request goes on behind the object"),
            State::Inside if self.in_string => match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            },
            State::Inside => match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' if self.depth == MAX_DEPTH => return Err("the request is nested too deeply"),
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        self.state = State::After;
                    }
                }
                _ => {}
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::{Framed, MAX_REQUEST, REST_WITHIN, read};

    async fn frame(bytes: &[u8]) -> Result<Framed, String> {
        read(&mut Cursor::new(bytes)).await.unwrap().map_err(|why| why.to_string())
    }

    #[tokio::test]
    async fn an_object_is_whole_however_it_is_cut() {
        let document = br#" {"a": "}\"]{", "b": [{"c": "\\"}]} "#;
        for cut in 0..document.len() {
            let (front, back) = document.split_at(cut);
            let mut pieces = front.chain(back);
            assert!(matches!(read(&mut pieces).await.unwrap(), Ok(Framed::Whole(_))), "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn every_prefix_is_incomplete() {
        let document = br#"{"a": "}\"]{", "b": [{"c": "\\"}]}"#;
        assert_eq!(frame(b"").await, Ok(Framed::Nothing));
        for end in 1..document.len() {
            let text = frame(&document[..end]).await.unwrap_err();
            assert_eq!(text, "the request is incomplete: it ended inside the object", "{end} bytes");
        }
    }

    #[tokio::test]
    async fn what_is_no_object_is_refused_at_its_first_byte() {
        for bytes in [&b"[1]"[..], b"5", b"\"x\"", b"nonsense", b"\xff", b"\0", b"  x"] {
            assert_eq!(frame(bytes).await.unwrap_err(), "the request is not a JSON object", "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn an_object_with_something_behind_it_is_refused() {
        assert_eq!(frame(b"{} {}").await.unwrap_err(), "the request goes on behind the object");
        assert_eq!(frame(b"{}x").await.unwrap_err(), "the request goes on behind the object");
        assert!(frame(b"{}\r\n").await.is_ok());
    }

    #[tokio::test]
    async fn size_and_depth_are_bounded() {
        let deep = format!("{{\"a\":{}", "[".repeat(MAX_REQUEST));
        assert_eq!(frame(deep.as_bytes()).await.unwrap_err(), "the request is nested too deeply");
        let large = format!("{{\"a\":\"{}", "x".repeat(MAX_REQUEST));
        assert_eq!(frame(large.as_bytes()).await.unwrap_err(), "the request is larger than 1 MiB");
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_request_gets_its_answer_before_the_client_gives_up() {
        let (mut client, mut server) = tokio::io::duplex(64);
        client.write_all(b"{\"cmd\":").await.unwrap();
        let begun = tokio::time::Instant::now();
        let refusal = read(&mut server).await.unwrap().unwrap_err();
        assert_eq!(refusal.to_string(), "the request is incomplete: its rest did not come within 4 s");
        assert_eq!(begun.elapsed().as_secs(), REST_WITHIN.as_secs());
    }
}
