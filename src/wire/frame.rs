//! From the bytes of a connection to one whole JSON document, as soon as it is whole.
//!
//! A client does not close its write side, so the end is found in the bytes themselves: [`Scanner`] follows braces and
//! strings, a byte once, whatever pieces they come in. It does not judge the JSON; it only knows where an object ends.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

use super::budget::{Budget, SMALL};
use crate::model::Rejection;

/// The largest request, in bytes: 1 MiB, by the contract.
pub const MAX_REQUEST: usize = 1024 * 1024;

/// How long the rest of a request may take, from the connection on: 4 s, since a client gives up after 5.
pub const REST_WITHIN: Duration = Duration::from_secs(4);

/// What a client is told whose request has taken longer.
const LATE: &str = "the request is incomplete: its rest did not come within 4 s";

/// Objects and arrays within each other, at most: what `serde_json` reads.
const MAX_DEPTH: usize = 127;

/// How long, and how much of it, is read of what a refused client still sends, so that it can finish writing and read the
/// reply: a socket closed with unread bytes gives its peer an error in place of the end.
const DRAIN_WITHIN: Duration = Duration::from_secs(1);
const MAX_DRAIN: usize = 16 * MAX_REQUEST;
/// How much of it is read at once, in bytes: little, since a thousand clients may be refused at the same time.
const DRAIN_PIECE: usize = 4 * 1024;

/// What a connection brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Framed {
    /// A document that is whole, with white space around it at most.
    Whole(Vec<u8>),
    /// The client left without a byte.
    Nothing,
    /// No document came, or half of one, and nothing more is on its way.
    Cut(Rejection),
    /// What came can be no document, and the client may still be writing: see [`drain`].
    Bad(Rejection),
}

/// Reads one document; a large one as far as `budget` lets it.
pub async fn read(stream: &mut (impl AsyncRead + Unpin), budget: &Budget) -> io::Result<Framed> {
    let deadline = Instant::now() + REST_WITHIN;
    let mut bytes = Vec::new();
    let mut scanner = Scanner::default();
    let mut permit = None;
    loop {
        let seen = bytes.len();
        if seen >= SMALL && permit.is_none() {
            match timeout_at(deadline, budget.large()).await {
                Ok(granted) => permit = granted,
                Err(_elapsed) => return Ok(Framed::Bad(malformed(LATE))),
            }
        }
        let ended = scanner.state == State::After;
        let wait_until = if ended { Instant::now() } else { deadline };
        let Ok(read) = timeout_at(wait_until, stream.read_buf(&mut bytes)).await else {
            return Ok(if ended { Framed::Whole(bytes) } else { Framed::Cut(malformed(LATE)) });
        };
        if read? == 0 {
            return Ok(match scanner.state {
                State::Before if bytes.is_empty() => Framed::Nothing,
                State::Before | State::Inside => {
                    Framed::Cut(malformed("the request is incomplete: it ended inside the object"))
                }
                State::After => Framed::Whole(bytes),
            });
        }
        if let Err(text) = scanner.scan(bytes.get(seen..).unwrap_or_default()) {
            return Ok(Framed::Bad(malformed(text)));
        }
        if bytes.len() > MAX_REQUEST {
            return Ok(Framed::Bad(malformed("the request is larger than 1 MiB")));
        }
        // Where the object ends with the buffer, there may be more behind it: that is looked for, and not waited for.
        if scanner.state == State::After && bytes.len() < bytes.capacity() {
            return Ok(Framed::Whole(bytes));
        }
    }
}

/// Waits for the first byte of a client that is not heard, and reads no more: one that says nothing costs nothing and is told
/// nothing.
pub async fn turn_away(stream: &mut (impl AsyncRead + Unpin), why: Rejection) -> io::Result<Framed> {
    match timeout_at(Instant::now() + REST_WITHIN, stream.read(&mut [0])).await {
        Ok(Ok(0)) => Ok(Framed::Nothing),
        Ok(Ok(_)) => Ok(Framed::Bad(why)),
        Ok(Err(failed)) => Err(failed),
        Err(_silent) => Ok(Framed::Cut(why)),
    }
}

/// Takes in what a refused client still sends, bounded in time and size.
pub async fn drain(stream: &mut (impl AsyncRead + Unpin)) {
    let deadline = Instant::now() + DRAIN_WITHIN;
    let mut bytes = vec![0; DRAIN_PIECE];
    let mut total = 0;
    while let Ok(Ok(read @ 1..)) = timeout_at(deadline, stream.read(&mut bytes)).await {
        total += read;
        if total > MAX_DRAIN {
            return;
        }
    }
}

fn malformed(text: &str) -> Rejection {
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
            State::After => return Err("something follows the request's object"),
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
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::{Budget, Framed, MAX_DRAIN, MAX_REQUEST, REST_WITHIN, drain, read, turn_away};
    use crate::model::Rejection;

    async fn frame(bytes: &[u8]) -> Result<Framed, String> {
        match read(&mut Cursor::new(bytes), &Budget::default()).await.unwrap() {
            Framed::Cut(why) | Framed::Bad(why) => Err(why.to_string()),
            good @ (Framed::Whole(_) | Framed::Nothing) => Ok(good),
        }
    }

    #[tokio::test]
    async fn an_object_is_whole_however_it_is_cut() {
        let document = br#" {"a": "}\"]{", "b": [{"c": "\\"}]} "#;
        for cut in 0..document.len() {
            let (front, back) = document.split_at(cut);
            let mut pieces = front.chain(back);
            assert!(matches!(read(&mut pieces, &Budget::default()).await.unwrap(), Framed::Whole(_)), "cut at {cut}");
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
        assert_eq!(frame(b"{} {}").await.unwrap_err(), "something follows the request's object");
        assert_eq!(frame(b"{}x").await.unwrap_err(), "something follows the request's object");
        assert!(frame(b"{}\r\n").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_with_the_object_is_seen_wherever_the_object_ends() {
        for length in 8..300 {
            let object = format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
            assert_eq!(
                frame(format!("{object}x").as_bytes()).await.unwrap_err(),
                "something follows the request's object"
            );
            // And nobody waits for what does not come.
            let (mut client, mut server) = tokio::io::duplex(1024);
            client.write_all(object.as_bytes()).await.unwrap();
            let begun = tokio::time::Instant::now();
            assert_eq!(
                read(&mut server, &Budget::default()).await.unwrap(),
                Framed::Whole(object.into_bytes()),
                "{length} bytes"
            );
            assert!(begun.elapsed() < REST_WITHIN / 1000, "{length} bytes took {:?}", begun.elapsed());
        }
    }

    #[tokio::test]
    async fn what_a_refused_client_still_sends_is_taken_in_up_to_a_bound() {
        let most = u64::try_from(MAX_DRAIN).unwrap();
        for (sent, left) in [(1000, 0..=0), (2 * most, most - 1024 * 1024..=most)] {
            let mut stream = (&b"x"[..]).chain(tokio::io::repeat(b'x').take(sent));
            drain(&mut stream).await;
            assert!(left.contains(&stream.get_ref().1.limit()), "of {sent} are left {}", stream.get_ref().1.limit());
        }
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
        let Framed::Cut(refusal) = read(&mut server, &Budget::default()).await.unwrap() else {
            panic!("half a request is none")
        };
        assert_eq!(refusal.to_string(), "the request is incomplete: its rest did not come within 4 s");
        assert_eq!(begun.elapsed().as_secs(), REST_WITHIN.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_a_second_is_too_slow() {
        let (mut client, mut server) = tokio::io::duplex(64);
        let dribbling = tokio::spawn(async move {
            for byte in br#"{"cmd":"full_backup"}"# {
                client.write_all(&[*byte]).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let begun = tokio::time::Instant::now();
        assert!(matches!(read(&mut server, &Budget::default()).await.unwrap(), Framed::Cut(_)));
        assert_eq!(begun.elapsed().as_secs(), REST_WITHIN.as_secs());
        dribbling.abort();
    }

    /// However many clients send a megabyte each, a bounded number of them does so at a time; small requests wait for none of them.
    #[tokio::test(start_paused = true)]
    async fn large_requests_take_turns_and_small_ones_do_not() {
        let budget = Arc::new(Budget::default());
        let mut clients = Vec::new();
        let mut readers = Vec::new();
        for _ in 0..80 {
            let (mut client, mut server) = tokio::io::duplex(1024 * 1024);
            client.write_all(format!("{{\"a\":\"{}", "x".repeat(500_000)).as_bytes()).await.unwrap();
            clients.push(client);
            let budget = Arc::clone(&budget);
            readers.push(tokio::spawn(async move { read(&mut server, &budget).await.unwrap() }));
        }
        // Until each of them has what it gets: half a megabyte, or none but its beginning.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let mut small = &b"{}"[..];
        assert_eq!(read(&mut small, &budget).await.unwrap(), Framed::Whole(b"{}".to_vec()));
        // One that goes on, and ends, makes room for another.
        clients[0].write_all(b"\"}").await.unwrap();
        assert!(matches!((&mut readers[0]).await.unwrap(), Framed::Whole(bytes) if bytes.len() > 500_000));
        for reader in readers.into_iter().skip(1) {
            let late = reader.await.unwrap();
            assert!(
                matches!(&late, Framed::Cut(why) | Framed::Bad(why) if why.to_string().contains("within 4 s")),
                "{late:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_turned_away_is_not_read() {
        let no = || Rejection::Forbidden(7);
        assert_eq!(turn_away(&mut &b""[..], no()).await.unwrap(), Framed::Nothing);
        let mut bytes = &b"{}"[..];
        assert_eq!(turn_away(&mut bytes, no()).await.unwrap(), Framed::Bad(no()));
        assert_eq!(bytes, b"}", "but for the byte that says that there is something");
        let (_silent, mut server) = tokio::io::duplex(64);
        assert_eq!(turn_away(&mut server, no()).await.unwrap(), Framed::Cut(no()));
    }
}
