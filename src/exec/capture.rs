//! What a program writes, kept within bounds: the beginning, the end, and the lines that were asked for.
//!
//! In: bytes as they come, for as long as they come. Out: [`Captured`] text. A log without an end takes no more memory than
//! [`HEAD`] + [`TAIL`] + [`MAX_LINE`], whatever its lines are. What is left out is left out by whole lines, so that a secret is never cut into two harmless halves.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// How much of the beginning is kept, in bytes.
const HEAD: usize = 64 * 1024;
/// How much of the end is kept, in bytes.
const TAIL: usize = 192 * 1024;
/// A line longer than this is taken as several.
const MAX_LINE: usize = 16 * 1024;
/// How many watched lines are kept.
const MAX_WATCHED: usize = 16;
/// How much of a line is heard while its program runs, in bytes.
const MAX_HEARD: usize = 1024;

/// How much is kept: what the constants say, but where every bound is to be met with little.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Of the beginning, in bytes.
    pub(crate) head: usize,
    /// Of the end, in bytes.
    pub(crate) tail: usize,
    /// Of what is taken as one line, in bytes.
    pub(crate) line: usize,
    /// Of the watched lines.
    pub(crate) watched: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { head: HEAD, tail: TAIL, line: MAX_LINE, watched: MAX_WATCHED }
    }
}

/// How many watched parts are kept: a backup has one for each table.
const MAX_PARTS: usize = 1 << 20;

/// What of a log is kept wherever it stands.
#[derive(Debug, Clone, Copy)]
pub enum Watch {
    /// The lines that hold this text, the first of them.
    Text(&'static str),
    /// What this finds in a line, without a bound that a real log comes to.
    Part(fn(&[u8]) -> Option<&[u8]>),
}

impl Watch {
    /// What of this line is kept.
    fn find(self, line: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Text(text) => contains(line, text.as_bytes()).then_some(line),
            Self::Part(find) => find(line),
        }
    }

    /// The same of all lines of a text that is whole.
    #[cfg(test)]
    pub(crate) fn find_all(self, text: &str) -> Vec<String> {
        let found = text.lines().filter_map(|line| self.find(line.as_bytes()));
        found.map(|found| String::from_utf8_lossy(found).into_owned()).collect()
    }
}

/// The last line of a program that still runs, for whoever looks.
#[derive(Debug, Clone, Default)]
pub struct LastLine(Arc<Mutex<String>>);

impl LastLine {
    /// The line; empty before there is one.
    pub fn last(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line.get(..MAX_HEARD).unwrap_or(line));
        line.trim_end().clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Whether a line is kept. It has its line break, unless it is longer than a line may be, or the last one.
pub type Select = fn(&[u8]) -> bool;

/// Takes in output.
#[derive(Debug, Default)]
pub struct Capture {
    bounds: Bounds,
    select: Option<Select>,
    last_line: Option<LastLine>,
    watch: Option<Watch>,
    line: Vec<u8>,
    head: Vec<u8>,
    /// Whole lines, one behind the other: a line has no allocation of its own, for it may be empty.
    tail: VecDeque<u8>,
    left_out: usize,
    watched: Vec<String>,
}

/// Output as text; bytes that are not UTF-8 have become U+FFFD.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// The beginning and the end, with a line between them that says how much is missing, if something is.
    pub text: String,
    /// What was watched for, wherever it stood: of a text the first 16 lines.
    pub watched: Vec<String>,
}

impl Capture {
    /// Keeps what is watched for, beside the beginning and the end.
    pub fn watching(watch: Option<Watch>) -> Self {
        Self::within(Bounds::default(), watch)
    }

    /// The same within other bounds.
    pub(crate) fn within(bounds: Bounds, watch: Option<Watch>) -> Self {
        Self { bounds, watch, ..Self::default() }
    }

    /// Lets each line be heard as soon as it is whole.
    #[must_use]
    pub fn last_line_in(mut self, last_line: Option<LastLine>) -> Self {
        self.last_line = last_line;
        self
    }

    /// Keeps the lines that are selected, and no others.
    #[must_use]
    pub fn selecting(mut self, select: Option<Select>) -> Self {
        self.select = select;
        self
    }

    /// Takes in the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.bounds.line - self.line.len();
            let end =
                bytes.iter().take(room).position(|&byte| byte == b'\n').map_or(room.min(bytes.len()), |at| at + 1);
            let (piece, rest) = bytes.split_at(end);
            reserve(&mut self.line, piece.len(), self.bounds.line);
            self.line.extend_from_slice(piece);
            if self.line.ends_with(b"\n") || self.line.len() >= self.bounds.line {
                self.end_line();
            }
            bytes = rest;
        }
    }

    fn most(&self, watch: Watch) -> usize {
        match watch {
            Watch::Text(_) => self.bounds.watched,
            Watch::Part(_) => MAX_PARTS,
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.take_line(&line);
        // The next line has the room of this one.
        self.line = line;
        self.line.clear();
    }

    fn take_line(&mut self, line: &[u8]) {
        if let Some(last) = &self.last_line {
            last.set(line);
        }
        if let Some(watch) = self.watch
            && self.watched.len() < self.most(watch)
            && let Some(found) = watch.find(line)
        {
            self.watched.push(String::from_utf8_lossy(found).trim_end().to_owned());
        }
        if self.select.is_some_and(|select| !select(line)) {
            return;
        }
        if self.tail.is_empty() && self.left_out == 0 && self.head.len() + line.len() <= self.bounds.head {
            reserve(&mut self.head, line.len(), self.bounds.head);
            self.head.extend_from_slice(line);
            return;
        }
        while !self.tail.is_empty() && self.tail.len() + line.len() > self.bounds.tail {
            self.drop_line();
        }
        if line.len() > self.bounds.tail {
            self.left_out += line.len();
            return;
        }
        let room = room(self.tail.capacity(), self.tail.len() + line.len(), self.bounds.tail);
        self.tail.reserve_exact(room - self.tail.len());
        self.tail.extend(line);
    }

    /// Leaves out the first line of the end: up to its line break, or as long as a line may be.
    fn drop_line(&mut self) {
        let line = self.tail.iter().take(self.bounds.line).position(|&byte| byte == b'\n');
        let length = line.map_or(self.bounds.line, |at| at + 1).min(self.tail.len());
        self.tail.drain(..length);
        self.left_out += length;
    }

    /// Everything there is to keep.
    pub fn finish(mut self) -> Captured {
        if !self.line.is_empty() {
            self.end_line();
        }
        let mut bytes = self.head;
        if self.left_out > 0 {
            bytes.extend_from_slice(format!("[… {} bytes left out …]\n", self.left_out).as_bytes());
        }
        bytes.extend(self.tail);
        Captured { text: String::from_utf8_lossy(&bytes).into_owned(), watched: self.watched }
    }
}

/// Makes room for more: twice what there was, as a vector grows, but never more than the bound.
fn reserve(kept: &mut Vec<u8>, more: usize, bound: usize) {
    kept.reserve_exact(room(kept.capacity(), kept.len() + more, bound) - kept.len());
}

/// How much room there has to be for as much as is needed.
fn room(capacity: usize, needed: usize, bound: usize) -> usize {
    if needed > capacity { needed.max(capacity * 2).min(bound) } else { needed }
}

fn contains(line: &[u8], needle: &[u8]) -> bool {
    line.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::{Capture, HEAD, LastLine, TAIL, Watch};

    fn captured(pieces: &[&[u8]]) -> super::Captured {
        let mut capture = Capture::watching(Some(Watch::Text("LSN=")));
        for piece in pieces {
            capture.push(piece);
        }
        capture.finish()
    }

    #[test]
    fn the_last_whole_line_is_heard_while_the_program_runs() {
        let heard = LastLine::default();
        let mut capture = Capture::default().last_line_in(Some(heard.clone()));
        assert_eq!(heard.last(), "");
        capture.push(b"Applying ./a.ibd\nApplying ");
        assert_eq!(heard.last(), "Applying ./a.ibd");
        capture.push(&[b'x'; 10_000]);
        capture.push(b"\n");
        assert_eq!(heard.last().len(), super::MAX_HEARD);
    }

    #[test]
    fn what_is_short_is_kept_whole() {
        assert_eq!(captured(&[]).text, "");
        assert_eq!(captured(&[b"a\nb", b"c\n", b"\xff no end"]).text, "a\nbc\n\u{fffd} no end");
    }

    #[test]
    fn of_an_endless_log_the_beginning_and_the_end_are_kept_by_whole_lines() {
        let mut capture = Capture::watching(Some(Watch::Text("LSN=")));
        capture.push(b"first\n");
        for number in 0..1_000_000 {
            capture.push(format!("line {number}\n").as_bytes());
            if number == 500_000 {
                capture.push(b"End of log at LSN=42\n");
            }
        }
        capture.push(b"completed OK!\n");
        let captured = capture.finish();
        assert!(captured.text.starts_with("first\nline 0\n"));
        assert!(captured.text.ends_with("line 999999\ncompleted OK!\n"));
        assert!(captured.text.len() <= HEAD + TAIL + 64, "{} bytes", captured.text.len());
        let gap = captured.text.lines().position(|line| line.contains("bytes left out")).unwrap();
        assert!(captured.text.lines().nth(gap - 1).unwrap().starts_with("line "));
        assert!(captured.text.lines().nth(gap + 1).unwrap().starts_with("line "));
        assert_eq!(captured.watched, ["End of log at LSN=42"]);
    }

    #[test]
    fn of_lines_in_the_midst_the_parts_are_kept_that_are_asked_for() {
        fn number(line: &[u8]) -> Option<&[u8]> {
            line.strip_prefix(b"line ")?.strip_suffix(b"\n").filter(|number| number.ends_with(b"000"))
        }
        let mut capture = Capture::watching(Some(Watch::Part(number)));
        for number in 0..100_000 {
            capture.push(format!("line {number}\n").as_bytes());
        }
        let watched = capture.finish().watched;
        assert_eq!((watched.len(), watched[42].as_str()), (99, "43000"));
    }

    #[test]
    fn what_is_kept_takes_no_more_memory_than_its_bound_whatever_the_lines_are() {
        let held = |capture: &Capture| capture.head.capacity() + capture.tail.capacity() + capture.line.capacity();
        for line in [&b"\n"[..], b"x\n", b"\xff\n", &[b'x'; 100], &[b'x'; 16_384]] {
            let mut capture = Capture::default();
            let mut most = 0;
            for _ in 0..(3 * (HEAD + TAIL)).div_ceil(line.len()) {
                capture.push(line);
                most = most.max(held(&capture));
            }
            let whole = HEAD + TAIL + super::MAX_LINE;
            assert!(most <= whole, "{most} bytes for lines of {} bytes", line.len());
            let text = capture.finish().text;
            assert!(text.contains("bytes left out"), "{} bytes", text.len());
        }
    }

    #[test]
    fn what_is_left_out_and_what_is_kept_are_all_that_came() {
        let bounds = super::Bounds { head: 20, tail: 40, line: 16, watched: 1 };
        for length in [0, 1, 5, 15, 16, 17, 31, 60] {
            let mut capture = Capture::within(bounds, None);
            let line = [vec![b'x'; length], b"\n".to_vec()].concat();
            (0..100).for_each(|_| capture.push(&line));
            let text = capture.finish().text;
            let (head, rest) = text.split_once("[… ").unwrap();
            let (left_out, tail) = rest.split_once(" bytes left out …]\n").unwrap();
            assert_eq!(head.len() + left_out.parse::<usize>().unwrap() + tail.len(), 100 * line.len(), "{length}");
            assert!(head.len() <= bounds.head && tail.len() <= bounds.tail, "{length}");
            assert!(length > 15 || tail.lines().all(|line| line.len() == length), "{length}: {tail}");
        }
    }

    #[test]
    fn a_log_without_line_ends_is_bounded_too() {
        let mut capture = Capture::default();
        for _ in 0..1000 {
            capture.push(&[b'x'; 10_000]);
        }
        assert!(capture.finish().text.len() <= HEAD + TAIL + 64);
    }
}
