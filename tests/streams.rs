//! Streams: what the backup tool writes with `--stream`, and what `mbstream` makes of it, fake and real alike.
//!
//! A fact about mbstream is one body that runs over every mbstream there is: the fake one under both its names, the one of this
//! machine, and that of each series in its container. Where they differ, a test fails.

/// Makes a test of each fact on each mbstream.
macro_rules! on_every_mbstream {
    ($($fact:ident),* $(,)?) => { $(
        mod $fact {
            use crate::streams::{on_the_fake, on_the_real_one_here, on_the_real_one_of};

            #[test]
            fn fake_10_5() {
                on_the_fake("mbstream", "10.5.23-MariaDB", super::$fact);
            }

            #[test]
            fn fake_10_11() {
                on_the_fake("mbstream", "10.11.19-MariaDB", super::$fact);
            }

            #[test]
            fn fake_xbstream() {
                on_the_fake("xbstream", "10.11.19-MariaDB", super::$fact);
            }

            #[test]
            fn mariadb_here() {
                on_the_real_one_here(super::$fact);
            }

            #[test]
            fn mariadb_10_5() {
                on_the_real_one_of("10.5", super::$fact);
            }

            #[test]
            fn mariadb_10_11() {
                on_the_real_one_of("10.11", super::$fact);
            }

            #[test]
            fn mariadb_11_8() {
                on_the_real_one_of("11.8", super::$fact);
            }
        }
    )* };
}

/// Makes a test of each fact on each real backup tool.
macro_rules! on_every_mariadb {
    ($($fact:ident),* $(,)?) => { $(
        mod $fact {
            use crate::contract::{Real, the_real_one_of};
            use crate::streams::on_the_real_tool;

            #[test]
            fn mariadb_here() {
                on_the_real_tool(Real::here(), super::$fact);
            }

            #[test]
            fn mariadb_10_5() {
                on_the_real_tool(the_real_one_of("10.5"), super::$fact);
            }

            #[test]
            fn mariadb_10_11() {
                on_the_real_tool(the_real_one_of("10.11"), super::$fact);
            }

            #[test]
            fn mariadb_11_8() {
                on_the_real_tool(the_real_one_of("11.8"), super::$fact);
            }
        }
    )* };
}

mod backup;
mod ddl;
mod extract;
mod faults;
mod mbstream;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use crate::contract::{Real, the_real_one_of};
use crate::harness::program;
use crate::harness::stand::is_wanted;
use crate::harness::world::World;

/// The real mbstream, where Debian and MariaDB's own packages put it.
const REAL: &str = "/usr/bin/mbstream";

/// An mbstream.
enum Mbstream {
    /// A program of this machine.
    Here(PathBuf),
    /// The real one of a series, with who runs it.
    Real(&'static Real),
}

impl Mbstream {
    /// Runs it in a directory over this stdin.
    fn run(&self, args: &[&str], dir: &Path, stdin: &[u8]) -> Said {
        match self {
            Self::Here(tool) => run(tool, args, dir, stdin),
            Self::Real(real) => {
                let (outcome, stdout) = real.feed(&[&[REAL], args].concat(), dir, stdin);
                Said { code: outcome.code, stdout, stderr: undated(&outcome.stderr, REAL) }
            }
        }
    }
}

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
    /// Its exit code and its messages.
    fn text(&self) -> String {
        let code = self.code.map_or("none".to_owned(), |code| code.to_string());
        let code = format!("exit {code}");
        let parts: Vec<_> = std::iter::once(code.as_str()).chain(self.stderr.lines()).collect();
        parts.join(" | ")
    }
}

impl Bench {
    fn new() -> Self {
        Self::over(tempfile::Builder::new().prefix("dbcalm").tempdir().unwrap())
    }

    fn over(root: tempfile::TempDir) -> Self {
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

    /// Whether the tools are those of 10.5, or the fakes as such.
    fn is_old(&self) -> bool {
        self.world.version().is_some_and(|version| version.starts_with("10.5."))
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
    let text = String::from_utf8_lossy(&output.stderr);
    Said {
        code: output.status.code(),
        stdout: output.stdout.clone(),
        stderr: undated(&text, &tool.display().to_string()),
    }
}

/// What a tool said, without dates and without the name it was called by.
fn undated(text: &str, tool: &str) -> String {
    let text = text.replace(tool, "TOOL");
    let undated = |line: &str| {
        let line = line.trim_start_matches('\x07');
        if let Some(rest) = line.strip_prefix("[00] FATAL ERROR: ") {
            return format!("FATAL ERROR: {}", rest.get(20..).unwrap_or_default());
        }
        line.strip_prefix("[00] ").map_or(line, |rest| rest.get(20..).unwrap_or_default()).to_owned()
    };
    text.lines().map(undated).collect::<Vec<_>>().join("\n")
}

/// A fact about mbstream.
type Fact = fn(&Bench, &Mbstream);

fn on_the_fake(name: &str, version: &str, fact: Fact) {
    if is_wanted("fakes") {
        let bench = Bench::new();
        bench.world.set_version(version).unwrap();
        let tool = Mbstream::Here(bench.fake(name));
        insta::allow_duplicates!(fact(&bench, &tool));
    }
}

fn on_the_real_one_here(fact: Fact) {
    on_the_real_one(Real::here(), fact);
}

fn on_the_real_one_of(series: &'static str, fact: Fact) {
    on_the_real_one(the_real_one_of(series), fact);
}

fn on_the_real_one(real: Option<&'static Real>, fact: Fact) {
    if let Some(real) = real {
        let bench = beside(real);
        insta::allow_duplicates!(fact(&bench, &Mbstream::Real(real)));
    }
}

fn on_the_real_tool(real: Option<&'static Real>, fact: fn(&Bench, &'static Real)) {
    if let Some(real) = real {
        insta::allow_duplicates!(fact(&beside(real), real));
    }
}

/// A bench whose directories the real tools see too.
fn beside(real: &Real) -> Bench {
    let bench = Bench::over(tempfile::tempdir_in(real.dir()).unwrap());
    bench.world.set_version(real.version()).unwrap();
    bench
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
