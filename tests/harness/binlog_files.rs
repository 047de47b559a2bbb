//! Binary logs of MariaDB, made event by event: what a server writes, without one. Shared with the unit tests of `src/binlog` and the fuzz target.

#![allow(dead_code, reason = "each that shares it uses another part")]

use std::fs;
use std::path::{Path, PathBuf};

/// What a file begins with.
pub(crate) const MAGIC: &[u8; 4] = b"\xfebin";

/// One event with its checksum.
pub(crate) fn event(time: u32, kind: u8, server: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(19 + body.len() + 4).unwrap();
    let mut bytes = time.to_le_bytes().to_vec();
    bytes.push(kind);
    bytes.extend_from_slice(&server.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&0_u32.to_le_bytes());
    bytes.extend_from_slice(&0_u16.to_le_bytes());
    bytes.extend_from_slice(body);
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// The first event of a file.
pub(crate) fn format(time: u32, server: u32, version: &str) -> Vec<u8> {
    let mut body = 4_u16.to_le_bytes().to_vec();
    let mut name = version.as_bytes().to_vec();
    name.resize(50, 0);
    body.extend_from_slice(&name);
    body.extend_from_slice(&time.to_le_bytes());
    body.push(19);
    body.extend_from_slice(&[0; 100]);
    body.push(1);
    event(time, 15, server, &body)
}

/// The list of the GTIDs at a file's head: domain, server, number.
pub(crate) fn list(time: u32, server: u32, gtids: &[(u32, u32, u64)]) -> Vec<u8> {
    let mut body = u32::try_from(gtids.len()).unwrap().to_le_bytes().to_vec();
    for (domain, server, number) in gtids {
        body.extend_from_slice(&domain.to_le_bytes());
        body.extend_from_slice(&server.to_le_bytes());
        body.extend_from_slice(&number.to_le_bytes());
    }
    event(time, 163, server, &body)
}

/// The beginning of a transaction.
pub(crate) fn gtid(time: u32, server: u32, domain: u32, number: u64, alone: bool) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    body.extend_from_slice(&domain.to_le_bytes());
    body.push(u8::from(alone));
    body.extend_from_slice(&[0; 6]);
    event(time, 162, server, &body)
}

/// A statement.
pub(crate) fn query(time: u32, server: u32, database: &str, text: &str) -> Vec<u8> {
    let mut body = vec![0; 8];
    body.push(u8::try_from(database.len()).unwrap());
    body.extend_from_slice(&[0; 4]);
    body.extend_from_slice(database.as_bytes());
    body.push(0);
    body.extend_from_slice(text.as_bytes());
    event(time, 2, server, &body)
}

/// The end of a transaction.
pub(crate) fn commit(time: u32, server: u32) -> Vec<u8> {
    event(time, 16, server, &[7; 8])
}

/// The end of a file, which goes on in another.
pub(crate) fn rotate(time: u32, server: u32, next: &str) -> Vec<u8> {
    event(time, 4, server, &[&4_u64.to_le_bytes()[..], next.as_bytes()].concat())
}

/// A whole transaction of one statement.
pub(crate) fn transaction(time: u32, server: u32, number: u64, text: &str) -> Vec<u8> {
    let begin = gtid(time, server, 0, number, false);
    [begin, query(time, server, "shop", text), commit(time, server)].concat()
}

/// A server that writes binary logs, and does nothing else.
pub(crate) struct Writer {
    /// Where it writes.
    pub(crate) dir: PathBuf,
    /// Its id.
    pub(crate) server: u32,
    /// The number of the last transaction.
    pub(crate) last: u64,
    /// The number of the file that it writes to; 0 before the first.
    pub(crate) file: u64,
    /// The time of the next event.
    pub(crate) time: u32,
}

impl Writer {
    /// One that has written nothing.
    pub(crate) fn new(dir: &Path, server: u32) -> Self {
        Self { dir: dir.to_owned(), server, last: 0, file: 0, time: 1_700_000_000 }
    }

    /// The list of its files.
    pub(crate) fn index(&self) -> PathBuf {
        self.dir.join("bin.index")
    }

    pub(crate) fn name(number: u64) -> String {
        format!("bin.{number:06}")
    }

    /// The file that it writes to.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join(Self::name(self.file))
    }

    pub(crate) fn append(&self, bytes: &[u8]) {
        use std::io::Write;
        fs::OpenOptions::new().append(true).open(self.path()).unwrap().write_all(bytes).unwrap();
    }

    /// Begins a file, which is marked as one that is written to.
    pub(crate) fn begin(&mut self) {
        self.file += 1;
        self.time += 1;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(format(self.time, self.server, "10.11.19-MariaDB-log"));
        bytes[21] |= 1;
        let there = [(0, self.server, self.last)];
        bytes.extend(list(self.time, self.server, if self.last == 0 { &[] } else { &there }));
        fs::write(self.path(), bytes).unwrap();
        let mut index = fs::read_to_string(self.index()).unwrap_or_default();
        index.extend(["./", &Self::name(self.file), "\n"]);
        fs::write(self.index(), index).unwrap();
    }

    /// Takes the mark off the file that is written to.
    pub(crate) fn close(&self) {
        let mut bytes = fs::read(self.path()).unwrap();
        bytes[21] &= !1;
        fs::write(self.path(), bytes).unwrap();
    }

    /// Goes on in another file.
    pub(crate) fn flush(&mut self) {
        self.append(&rotate(self.time, self.server, &Self::name(self.file + 1)));
        self.close();
        self.begin();
    }

    /// Commits transactions.
    pub(crate) fn commit(&mut self, count: u64) {
        for _ in 0..count {
            self.last += 1;
            self.time += 1;
            let text = format!("INSERT INTO orders VALUES ({})", self.last);
            self.append(&transaction(self.time, self.server, self.last, &text));
        }
    }

    /// Removes the oldest files, up to but not with this one.
    pub(crate) fn purge_to(&self, number: u64) {
        let index = fs::read_to_string(self.index()).unwrap();
        let (gone, kept): (Vec<_>, Vec<_>) =
            index.lines().partition(|line| line.rsplit_once('.').unwrap().1.parse::<u64>().unwrap() < number);
        fs::write(self.index(), kept.iter().flat_map(|line| [line, "\n"]).collect::<String>()).unwrap();
        for line in gone {
            fs::remove_file(self.dir.join(line)).unwrap();
        }
    }

    /// `RESET MASTER`.
    pub(crate) fn reset(&mut self) {
        self.purge_to(u64::MAX);
        (self.file, self.last) = (0, 0);
        self.begin();
    }
}
