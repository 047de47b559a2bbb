//! As much of HTTP/1.1 as a proxy needs: heads, lengths, chunks.

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;

use super::Fault;

/// A request's or an answer's first line and headers.
pub(super) struct Head {
    first: String,
    headers: Vec<(String, String)>,
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    /// With the connection.
    ToEnd,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

impl Head {
    /// Reads one. None if the other side has nothing more to say.
    pub(super) fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        if from.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let (first, mut headers) = (line(from)?, Vec::new());
        loop {
            let line = line(from)?;
            if line.is_empty() {
                return Ok(Some(Self { first, headers }));
            }
            let (name, value) = line.split_once(':').ok_or_else(|| broken("a header without a colon"))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// Reads an answer's, past those that only say that there will be one.
    pub(super) fn read_final(from: &mut impl BufRead) -> io::Result<Self> {
        loop {
            let head = Self::read(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if head.status() >= 200 {
                return Ok(head);
            }
        }
    }

    fn word(&self, index: usize) -> &str {
        self.first.split(' ').nth(index).unwrap_or_default()
    }

    pub(super) fn method(&self) -> &str {
        self.word(0)
    }

    /// A request's path and query.
    pub(super) fn target(&self) -> (String, String) {
        let (path, query) = self.word(1).split_once('?').unwrap_or((self.word(1), ""));
        (path.to_owned(), query.to_owned())
    }

    pub(super) fn whole_target(&self) -> &str {
        self.word(1)
    }

    /// An answer's status; 0 if this is none.
    pub(super) fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or_default()
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let is_it = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.headers.iter().find(is_it).map(|(_, value)| value.as_str())
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    fn is_chunked(&self) -> bool {
        self.get("transfer-encoding").is_some_and(|encoding| encoding.to_ascii_lowercase().contains("chunked"))
    }

    fn length(&self) -> Option<u64> {
        self.get("content-length")?.parse().ok()
    }

    /// Where a request's body ends: one that says nothing of it has none.
    pub(super) fn framing(&self) -> Framing {
        if self.is_chunked() { Framing::Chunked } else { Framing::Length(self.length().unwrap_or(0)) }
    }

    /// Where an answer's body ends.
    fn framing_of_answer(&self, is_to_head: bool) -> Framing {
        match self.length() {
            _ if is_to_head || matches!(self.status(), 204 | 304) => Framing::Length(0),
            _ if self.is_chunked() => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::ToEnd,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut lines = vec![self.first.clone()];
        lines.extend(self.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        (lines.join("\r\n") + "\r\n\r\n").into_bytes()
    }
}

/// Gives a body's bytes piece by piece, in buffers of a bounded size; false from `take` ends it.
fn each(
    from: &mut impl BufRead,
    framing: Framing,
    mut take: impl FnMut(&mut [u8]) -> io::Result<bool>,
) -> io::Result<bool> {
    let mut buffer = vec![0; 64 << 10];
    let mut exactly = |from: &mut dyn Read, mut left: u64| -> io::Result<bool> {
        while left > 0 {
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = from.read(&mut buffer[..most])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= read as u64;
            if !take(&mut buffer[..read])? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    match framing {
        Framing::Length(length) => exactly(from, length),
        Framing::Chunked => loop {
            let said = line(from)?;
            let length = said.split(';').next().and_then(|length| u64::from_str_radix(length.trim(), 16).ok());
            let length = length.ok_or_else(|| broken("a chunk without a length"))?;
            if length == 0 {
                while !line(from)?.is_empty() {}
                return Ok(true);
            }
            if !exactly(from, length)? {
                return Ok(false);
            }
            line(from)?;
        },
        Framing::ToEnd => {
            let mut rest = Vec::new();
            from.read_to_end(&mut rest)?;
            take(&mut rest)
        }
    }
}

/// Reads a request's body.
pub(super) fn read_body(from: &mut impl BufRead, framing: Framing) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    each(from, framing, |piece| {
        body.extend_from_slice(piece);
        Ok(true)
    })?;
    Ok(body)
}

/// Reads so many bytes, and does nothing with them.
pub(super) fn skip(from: &mut impl BufRead, bytes: u64) -> io::Result<()> {
    io::copy(&mut from.take(bytes), &mut io::sink()).map(drop)
}

pub(super) fn write(mut to: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)
}

/// Passes a request on.
pub(super) fn send(to: &TcpStream, head: &Head, body: &[u8], framing: Framing) -> io::Result<()> {
    write(to, &head.bytes())?;
    if framing == Framing::Chunked && !body.is_empty() {
        write(to, format!("{:x}\r\n", body.len()).as_bytes())?;
        write(to, body)?;
        write(to, b"\r\n0\r\n\r\n")
    } else if framing == Framing::Chunked {
        write(to, b"0\r\n\r\n")
    } else {
        // A store that refuses a request may do so before it has read it, and its answer is there all the same.
        match write(to, body) {
            Err(why) if matches!(why.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Ok(()),
            other => other,
        }
    }
}

/// Answers in the store's stead.
pub(super) fn answer(to: &TcpStream, is_to_head: bool, status: u16, headers: &str, body: &[u8]) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status} Scripted\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    write(to, head.as_bytes())?;
    if is_to_head { Ok(()) } else { write(to, body) }
}

/// An answer's way to the client, with what happens to its body there.
pub(super) struct Passing<'a> {
    to: &'a TcpStream,
    passed: u64,
    cut: Option<u64>,
    wrong: Option<u64>,
}

impl<'a> Passing<'a> {
    pub(super) fn new(to: &'a TcpStream, fault: Option<&Fault>) -> Self {
        let (cut, wrong) = match fault {
            Some(Fault::CutAnswer(at)) => (Some(*at), None),
            Some(Fault::WrongByte(at)) => (None, Some(*at)),
            _ => (None, None),
        };
        Self { to, passed: 0, cut, wrong }
    }

    /// Passes head and body; whether the client has had all of it, and knows where it ended.
    pub(super) fn all(&mut self, answer: &Head, from: &mut impl BufRead, is_to_head: bool) -> io::Result<bool> {
        let framing = answer.framing_of_answer(is_to_head);
        write(self.to, &answer.bytes())?;
        if self.cut == Some(0) {
            return Ok(false);
        }
        let is_whole = each(from, framing, |piece| self.pass(piece, framing))?;
        if is_whole && framing == Framing::Chunked {
            write(self.to, b"0\r\n\r\n")?;
        }
        Ok(is_whole && framing != Framing::ToEnd)
    }

    fn pass(&mut self, piece: &mut [u8], framing: Framing) -> io::Result<bool> {
        let place = |at: u64| at.checked_sub(self.passed).and_then(|at| usize::try_from(at).ok());
        if let Some(byte) = self.wrong.and_then(place).and_then(|at| piece.get_mut(at)) {
            *byte ^= 1;
        }
        let goes = self.cut.and_then(place).map_or(piece.len(), |left| left.min(piece.len()));
        let is_cut = self.cut.is_some_and(|at| self.passed + piece.len() as u64 >= at);
        let piece = &piece[..goes];
        self.passed += piece.len() as u64;
        if framing == Framing::Chunked {
            // A cut chunk says its whole length, so that its end is missed.
            let length = if is_cut { piece.len() + 1 } else { piece.len() };
            write(self.to, format!("{length:x}\r\n").as_bytes())?;
            write(self.to, piece)?;
            if !is_cut {
                write(self.to, b"\r\n")?;
            }
        } else {
            write(self.to, piece)?;
        }
        Ok(!is_cut)
    }
}
