//! Streams: what the backup tool writes with `--stream`, and what `mbstream` makes of it, fake and real alike.
//!
//! A fact about mbstream is one body that runs over every mbstream there is; where they differ, a test fails. The real
//! one is taken from the machine, and its absence is a skip.

mod backup;
mod faults;
mod mbstream;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use crate::harness::stand::is_wanted;
use crate::harness::world::World;
use crate::harness::{program, skip};

/// The real mbstream, where Debian and MariaDB's own packages put it.
const REAL: &str = "/usr/bin/mbstream";

/// A directory with the fake tools and their server, and room for what a test writes.
struct Bench {
    root: tempfile::TempDir,
    world: World,
}

/// What a program said.
#[derive(Debug, PartialEq)]
struct Said {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Said {
    /// Its exit code and its messages, without dates and without the name it was called by.
    fn text(&self) -> String {
        let code = self.code.map_or("none".to_owned(), |code| code.to_string());
        let code = format!("exit {code}");
        let parts: Vec<_> = std::iter::once(code.as_str()).chain(self.stderr.lines()).collect();
        parts.join(" | ")
    }
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::Builder::new().prefix("dbcalm").tempdir().unwrap();
        let bin = root.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for (tool, name) in [
            (env!("CARGO_BIN_EXE_fake-mariabackup"), "mariabackup"),
            (env!("CARGO_BIN_EXE_fake-mariabackup"), "xtrabackup"),
            (env!("CARGO_BIN_EXE_fake-mbstream"), "mbstream"),
            (env!("CARGO_BIN_EXE_fake-mbstream"), "xbstream"),
        ] {
            symlink(tool, bin.join(name)).unwrap();
        }
        let world = World::create(&bin).unwrap();
        world.put("shop/orders.ibd", b"order 1\n").unwrap();
        world.put("shop/orders.frm", b"definition").unwrap();
        Self { root, world }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    fn fake(&self, tool: &str) -> PathBuf {
        self.path("bin").join(tool)
    }

    /// Makes a fresh directory.
    fn dir(&self, relative: &str) -> PathBuf {
        let path = self.path(relative);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        path
    }

    /// Runs the fake backup tool; a backup connects as a user, so one is named.
    fn backup(&self, args: &[&str]) -> Said {
        let args: Vec<_> = args.iter().map(|arg| arg.replace('~', &self.root.path().display().to_string())).collect();
        let mut said =
            run(&self.fake("mariabackup"), &[&["--user=backup"], &refs(&args)[..]].concat(), &self.path("."), b"");
        said.stderr = said.stderr.replace(&self.root.path().display().to_string(), "~");
        said
    }

    fn script(&self, tool: &str, line: &str) {
        fs::write(self.path("bin").join(format!("{tool}.script")), line).unwrap();
    }
}

fn refs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// Runs a program in a directory over this stdin. One that reads no more of it is not waited for.
fn run(tool: &Path, args: &[&str], dir: &Path, stdin: &[u8]) -> Said {
    let mut child = program(tool)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(stdin));
        child.wait_with_output().unwrap()
    });
    said(tool, &output)
}

fn said(tool: &Path, output: &Output) -> Said {
    let text = String::from_utf8_lossy(&output.stderr).replace(&tool.display().to_string(), "TOOL");
    let undated = |line: &str| {
        let line = line.trim_start_matches('\x07');
        if let Some(rest) = line.strip_prefix("[00] FATAL ERROR: ") {
            return format!("FATAL ERROR: {}", rest.get(20..).unwrap_or_default());
        }
        line.strip_prefix("[00] ").map_or(line, |rest| rest.get(20..).unwrap_or_default()).to_owned()
    };
    let stderr: Vec<_> = text.lines().map(undated).collect();
    Said { code: output.status.code(), stdout: output.stdout.clone(), stderr: stderr.join("\n") }
}

/// Every mbstream: the fake one under both its names, and the real one.
fn every_mbstream(fact: impl Fn(&Bench, &Path)) {
    let bench = Bench::new();
    let real = real_mbstream().then(|| PathBuf::from(REAL));
    let tools = [bench.fake("mbstream"), bench.fake("xbstream")].into_iter().chain(real);
    insta::allow_duplicates! {
        tools.for_each(|tool| fact(&bench, &tool));
    }
}

fn real_mbstream() -> bool {
    if !is_wanted("local") {
        return false;
    }
    let is_there = Path::new(REAL).exists();
    if !is_there {
        skip("no mbstream is installed here (run ci/setup)");
    }
    is_there
}

/// A payload, with the checksum given or the right one. The test writes the format by itself: it is what is tested.
fn payload(path: &str, offset: u64, bytes: &[u8]) -> Vec<u8> {
    let mut chunk = head(b'P', path);
    chunk.extend((bytes.len() as u64).to_le_bytes());
    chunk.extend(offset.to_le_bytes());
    chunk.extend(crc32(bytes).to_le_bytes());
    chunk.extend(bytes);
    chunk
}

fn head(kind: u8, path: &str) -> Vec<u8> {
    let length = u32::try_from(path.len()).unwrap().to_le_bytes();
    [b"XBSTCK01\0".as_slice(), &[kind], &length, path.as_bytes()].concat()
}

fn file(path: &str, bytes: &[u8]) -> Vec<u8> {
    [payload(path, 0, bytes), head(b'E', path)].concat()
}

/// The CRC-32 of zlib, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

/// Every file below a directory with its content.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let paths = crate::harness::world::files(dir).unwrap();
    paths.into_iter().map(|path| (path.clone(), fs::read(dir.join(path)).unwrap())).collect()
}

/// The names of a stream's files in the order in which they end.
fn ends(stream: &[u8]) -> Vec<String> {
    let (mut names, mut rest) = (Vec::new(), stream);
    while !rest.is_empty() {
        assert_eq!(&rest[..9], b"XBSTCK01\0");
        let (kind, length) = (rest[9], u32::from_le_bytes(rest[10..14].try_into().unwrap()) as usize);
        let path = String::from_utf8(rest[14..14 + length].to_vec()).unwrap();
        rest = &rest[14 + length..];
        if kind == b'P' {
            let length = usize::try_from(u64::from_le_bytes(rest[..8].try_into().unwrap())).unwrap();
            rest = &rest[20 + length..];
        } else {
            names.push(path);
        }
    }
    names
}
