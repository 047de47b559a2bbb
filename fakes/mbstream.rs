//! A fake of `mbstream` and `xbstream` for the tests: `-x` takes a stream from stdin apart, `-c` makes one of files.
//!
//! In: argv, stdin, and a script of faults ([`player`]). Out: files, or a stream; messages and exit codes as seen with
//! mbstream 10.11.19, and so its lies: it exits 0 on no input, on a stream cut between two chunks, and where a file
//! cannot be created, which also ends the extraction, the rest of the stream unread. It makes one level of directories
//! for a file, not more. What it does not do as the real one: a reader of `-c` that is gone gives 1, not SIGPIPE;
//! long options cannot be abbreviated.

mod faults;
mod files;
mod log;
mod player;
mod relay;
mod world;
mod xbstream;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use faults::Progress;
use log::{Flavour, Log, now};
use player::{BAD_SCRIPT, Call, Fault, Step, Stop, print, say};
use rustix::fs::OFlags;
use world::World;
use xbstream::{Chunk, Chunks, Kind};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => stop.exit_code(),
    }
}

/// What the arguments say.
struct Arguments {
    create: bool,
    extract: bool,
    verbose: bool,
    workers: u64,
    directory: Option<String>,
    files: Vec<String>,
}

fn run() -> Step<()> {
    let call = Call::take()?;
    relay::take_over(&call)?;
    let fits = |fault: &Fault| {
        let is_wait = matches!(fault, Fault::Hangs | Fault::Deaf | Fault::SlowUntil(_));
        let is_death = matches!(fault, Fault::DiesBefore(_) | Fault::DiesBy(_) | Fault::DiesAfter(_));
        is_wait || is_death || matches!(fault, Fault::EnospcAt(_))
    };
    if let Some(fault) = call.fault.as_ref().filter(|fault| !fits(fault)) {
        return Err(Stop::because(BAD_SCRIPT, &format!("fake: {fault:?} cannot strike in this call")));
    }
    if let Some(Fault::EnospcAt(bytes)) = call.fault {
        files::fill_after(bytes);
    }
    faults::at_the_start(&call)?;
    let arguments = parse(&call)?;
    let complaint = match (arguments.create, arguments.extract) {
        (true, true) => Some("can't set specify both -c and -x."),
        (false, false) => Some("either -c or -x must be specified."),
        (true, false) if arguments.files.is_empty() => Some("no files are specified."),
        _ => None,
    };
    if let Some(complaint) = complaint {
        return Err(failed(&call, complaint));
    }
    if let Some(directory) = &arguments.directory {
        std::env::set_current_dir(directory)
            .map_err(|error| system(&call, &format!("Can't change dir to '{directory}'"), &error))?;
    }
    if arguments.create {
        create(&call, &arguments)?;
    } else {
        extract(&call, &arguments)?;
    }
    faults::at_the_end(&call)
}

/// Understands the arguments. Every one that the tool does not know ends it with 1, unlike the other tools.
fn parse(call: &Call) -> Step<Arguments> {
    let program = &call.program;
    let mut arguments =
        Arguments { create: false, extract: false, verbose: false, workers: 1, directory: None, files: Vec::new() };
    let mut words = call.args.iter();
    while let Some(word) = words.next() {
        let options: Vec<(String, Option<&str>)> = match (word.strip_prefix("--"), word.strip_prefix('-')) {
            (Some(long), _) => {
                let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
                vec![(format!("--{name}"), value)]
            }
            (None, Some(short)) if !short.is_empty() => letters(short),
            _ => {
                arguments.files.push(word.clone());
                continue;
            }
        };
        for (name, value) in options {
            match (name.as_str(), value) {
                ("-c" | "--create", None) => arguments.create = true,
                ("-x" | "--extract", None) => arguments.extract = true,
                ("-v" | "--verbose", None) => arguments.verbose = true,
                ("-?" | "--help", None) => {
                    print(&format!("{program}  Ver 1.0 for debian-linux-gnu (x86_64)"));
                    return Err(Stop::Exit(0));
                }
                ("-C" | "--directory" | "-p" | "--parallel", value) => {
                    let Some(value) = value.or_else(|| words.next().map(String::as_str)) else {
                        let text = format!("{program}: option '{name}' requires an argument");
                        return Err(Stop::because(1, &text));
                    };
                    if name == "-C" || name == "--directory" {
                        arguments.directory = Some(value.to_owned());
                    } else {
                        arguments.workers = workers(program, value)?;
                    }
                }
                (_, Some(_)) => {
                    let text = format!("{program}: unknown variable '{}'", word.trim_start_matches('-'));
                    return Err(Stop::because(1, &text));
                }
                (_, None) => return Err(Stop::because(1, &format!("{program}: unknown option '{name}'"))),
            }
        }
    }
    Ok(arguments)
}

/// The options of a word such as `xvp2`: what comes after one that takes a value is its value.
fn letters(word: &str) -> Vec<(String, Option<&str>)> {
    let mut options = Vec::new();
    for (place, letter) in word.char_indices() {
        let rest = word.get(place + letter.len_utf8()..).filter(|rest| !rest.is_empty());
        let takes_value = matches!(letter, 'C' | 'p');
        options.push((format!("-{letter}"), rest.filter(|_| takes_value)));
        if takes_value {
            break;
        }
    }
    options
}

fn workers(program: &str, value: &str) -> Step<u64> {
    match value.parse() {
        Ok(0) => {
            say(b"Warning: option 'parallel': signed value 0 adjusted to 1");
            Ok(1)
        }
        Ok(number) => Ok(number),
        Err(_) => {
            let text = format!("{program}: Error while setting value '{value}' to 'parallel'");
            Err(Stop::because(1, &text))
        }
    }
}

/// Writes the named files to stdout.
fn create(call: &Call, arguments: &Arguments) -> Step<()> {
    let log = Log { flavour: Flavour::Mariabackup };
    let mut progress = Progress::new(call, &log, arguments.files.len());
    for name in &arguments.files {
        let status =
            fs::metadata(name).map_err(|error| system(call, &format!("Can't get stat of '{name}'"), &error))?;
        if !status.is_file() {
            return Err(failed(call, &format!("{name} is not a regular file, exiting.")));
        }
        progress.before(Path::new(name))?;
        if arguments.verbose {
            log.note(0, name);
        }
        xbstream::write_file(&mut io::stdout(), name, &fs::read(name)?).map_err(|error| {
            say(format!("{}: Error writing file 'UNKNOWN' {}", call.program, code(&error)).as_bytes());
            failed(call, "xb_stream_write_data() failed.")
        })?;
    }
    Ok(())
}

/// Extracts the stream on stdin. As with the real tool's threads, a failure ends one worker, and the others go on.
/// A file that cannot be created is the one failure that the exit code does not tell.
fn extract(call: &Call, arguments: &Arguments) -> Step<()> {
    let log = Log { flavour: Flavour::Mariabackup };
    // How many files will come is not known, so the faults of the middle strike before the second one.
    let mut progress = Progress::new(call, &log, 2);
    let mut chunks = Chunks::new(io::stdin().lock(), !is_old(call));
    let mut files = BTreeMap::new();
    let mut has_failed = false;
    let mut workers = arguments.workers;
    while workers > 0 {
        let read = match chunks.next() {
            Ok(None) => break,
            Ok(Some(chunk)) => {
                let is_of_a_file = matches!(chunk.kind, Kind::Payload(_) | Kind::End(_));
                if is_of_a_file && !files.contains_key(&chunk.path) {
                    progress.before(Path::new(&chunk.path))?;
                    if arguments.verbose && is_valid(call, &chunk.path) {
                        log.note(0, &chunk.path);
                    }
                }
                put(call, &mut files, &chunk)
            }
            Err(why) => Err(Failure::Unreadable(why)),
        };
        match read {
            Ok(()) => {}
            Err(Failure::NotCreated) => workers -= 1,
            Err(failure) => {
                if let Failure::Unreadable(why) = failure {
                    log.note(0, &format!("xb_stream_read_chunk(): {why}"));
                }
                has_failed = true;
                workers -= 1;
            }
        }
    }
    progress.end(Path::new("."))?;
    if has_failed { Err(Stop::Exit(1)) } else { Ok(()) }
}

/// Why a worker ends early.
enum Failure {
    /// A file cannot be created, which was said already, and which the exit code does not tell.
    NotCreated,
    /// A file cannot be written further, which was said already.
    NotWritten,
    /// The stream is not what it should be.
    Unreadable(String),
}

/// Does what a chunk asks. Its file is created before its checksum is compared: a wrong one leaves it empty. What becomes of a file is
/// done wherever its path leads, and what cannot be done is not told.
fn put(call: &Call, files: &mut BTreeMap<String, (File, u64)>, chunk: &Chunk) -> Result<(), Failure> {
    let path = &chunk.path;
    let is_open = files.contains_key(path);
    if matches!(chunk.kind, Kind::Removed | Kind::Renamed(_)) && is_open {
        let _ = failed(call, &format!("rename and remove chunks can not be applied to opened file: {path}"));
        return Err(Failure::NotCreated);
    }
    match &chunk.kind {
        Kind::Removed => {
            remove(path);
            return Ok(());
        }
        Kind::Renamed(to) => {
            let _ = fs::rename(here(path), here(to));
            return Ok(());
        }
        Kind::Payload(_) | Kind::End(_) if !is_open => {
            let file = create_file(call, path, chunk.is_anew).ok_or(Failure::NotCreated)?;
            files.insert(path.clone(), (file, 0));
        }
        Kind::Payload(_) | Kind::End(_) => {}
    }
    let payload = match &chunk.kind {
        Kind::Payload(payload) => payload,
        Kind::End(Some(name)) => return name.checked().map(|_| ()).map_err(Failure::Unreadable),
        Kind::End(None) | Kind::Removed | Kind::Renamed(_) => {
            files.remove(path);
            return Ok(());
        }
    };
    let bytes = payload.checked().map_err(Failure::Unreadable)?;
    let Some((file, written)) = files.get_mut(path) else { return Err(Failure::NotWritten) };
    if payload.offset != *written {
        let (real, expected) = (payload.offset, *written);
        let _ =
            failed(call, &format!("out-of-order chunk: real offset = 0x{real:x}, expected offset = 0x{expected:x}"));
        return Err(Failure::NotWritten);
    }
    if let Err(error) = files::fill(file, bytes) {
        let _ = system(call, &format!("Error writing file './{path}'"), &error);
        let _ = failed(call, "my_write() failed.");
        return Err(Failure::NotWritten);
    }
    *written += bytes.len() as u64;
    Ok(())
}

/// Removes a file, or a directory with all that is in it; of the directory itself, all that is in it.
fn remove(path: &str) {
    let path = here(path);
    if fs::symlink_metadata(&path).is_ok_and(|there| there.is_dir()) {
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            remove(&entry.path().display().to_string());
        }
        let _ = fs::remove_dir(path);
    } else {
        let _ = fs::remove_file(path);
    }
}

/// A path of a chunk, from the directory that is extracted into.
fn here(path: &str) -> PathBuf {
    if path.starts_with('/') { path.into() } else { format!("./{path}").into() }
}

fn is_old(call: &Call) -> bool {
    World::at(&call.bin).version().is_some_and(|version| version.starts_with("10.5."))
}

/// Whether the real tool takes such a path for a file that begins: 10.5.23 takes any, and goes wherever it leads; later ones look for
/// `/../` and at the first letter alone.
fn is_valid(call: &Call, path: &str) -> bool {
    is_old(call) || !path.starts_with(['.', '/']) && !path.contains("/../")
}

/// Creates a file that must not be there yet, unless it is written anew, and its directory, if that alone is missing. Says why it cannot.
fn create_file(call: &Call, path: &str, is_anew: bool) -> Option<File> {
    if !is_valid(call, path) {
        let _ = failed(call, &format!("invalid filename {path}"));
        return None;
    }
    let cannot = |what: &str, error: &io::Error| {
        let _ = system(call, what, error);
        let _ = failed(call, "failed to create file.");
    };
    if let Some((directory, _)) = path.rsplit_once('/') {
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                cannot(&format!("Can't create directory './{directory}/'"), &error);
                return None;
            }
            _ => {}
        }
    }
    let shown = if path.starts_with('/') { path.to_owned() } else { format!("./{path}") };
    let mut options = OpenOptions::new();
    options.write(true).create_new(!is_anew).mode(0o640);
    if is_anew {
        options.create(true).truncate(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    }
    match options.open(&shown) {
        Ok(file) => Some(file),
        Err(error) => {
            cannot(&format!("Can't create/write to file '{shown}'"), &error);
            None
        }
    }
}

/// Says what failed, with the date, as the tool's own messages have it.
fn failed(call: &Call, text: &str) -> Stop {
    Stop::because(1, &format!("[00] {} {}: {text}", now(), call.program))
}

/// Says what the system refused, without a date and with a bell, as the tool's library has it.
fn system(call: &Call, text: &str, error: &io::Error) -> Stop {
    Stop::because(1, &format!("\x07{}: {text} {}", call.program, code(error)))
}

fn code(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    format!("(Errcode: {} \"{text}\")", error.raw_os_error().unwrap_or_default())
}
