//! `--stream` and `--extra-lsndir` of the fake backup: the backup on stdout, and its metadata in a directory beside it.
//!
//! With `--stream` nothing is written to the target directory, which is not even made, and the redo log comes once, as
//! the last file before the metadata. The extra directory gets its two files after the checkpoints are in the stream and
//! before the info file is: it is no proof of a whole stream. All seen with mariadb-backup 10.11.19.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::Tool;
use crate::log::Flavour;
use crate::metadata;
use crate::player::{Step, Stop};
use crate::xbstream;

/// Whether the backup goes to stdout.
pub(crate) fn is_on(tool: &Tool) -> bool {
    tool.options.get("stream").is_some()
}

/// Refuses a format that the tool does not know, whatever it is called for. MariaDB's knows its own by two names;
/// that xtrabackup has one is by its documentation, that it complains alike is an assumption.
pub(crate) fn check(tool: &Tool) -> Step<()> {
    match tool.options.get("stream") {
        None | Some("xbstream") => Ok(()),
        Some("mbstream") if tool.flavour == Flavour::Mariabackup => Ok(()),
        Some(other) => {
            tool.log.note(0, &format!("Invalid --stream argument: {other}"));
            Err(Stop::Exit(1))
        }
    }
}

/// What the info file calls the format: 10.5.23 calls a stream a tar, which it is not.
pub(crate) fn format(tool: &Tool) -> &'static str {
    match tool.flavour {
        _ if !is_on(tool) => "file",
        Flavour::Mariabackup if metadata::is_old(tool.flavour, tool.release) => "tar",
        Flavour::Mariabackup => "mbstream",
        Flavour::Xtrabackup => "xbstream",
    }
}

/// Writes a whole file to stdout. A reader that is gone, or a full disk, ends the backup.
pub(crate) fn put(tool: &Tool, name: &str, content: &[u8]) -> Step<()> {
    written(tool, xbstream::write_file(&mut io::stdout(), name, content))
}

/// Tells the reader to remove a file again.
pub(crate) fn take_away(tool: &Tool, name: &str) -> Step<()> {
    written(tool, xbstream::write_removal(&mut io::stdout(), name))
}

fn written(tool: &Tool, written: io::Result<()>) -> Step<()> {
    written.map_err(|error| {
        let text = error.to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        let number = error.raw_os_error().unwrap_or_default();
        let program = &tool.call.program;
        tool.log.plain(&format!("{program}: Error writing file 'UNKNOWN' (errno: {number} \"{text}\")"));
        tool.log.fatal(&format!("{}: Error: failed to copy datafile.", tool.flavour.name()));
        Stop::Exit(1)
    })
}

/// Makes the extra directory, but not its parent, before anything is copied.
pub(crate) fn make_lsn_dir(tool: &Tool) -> Step<()> {
    let Some(dir) = tool.options.get("extra-lsndir") else { return Ok(()) };
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if !Path::new(dir).is_dir() => {
            let number = error.raw_os_error().unwrap_or_default();
            tool.log.note(0, &format!("Error: cannot mkdir {number}: {dir}/\n"));
            Err(Stop::Exit(1))
        }
        _ => Ok(()),
    }
}

/// Writes the metadata into the extra directory, over what is there.
pub(crate) fn write_lsn_dir(tool: &Tool, checkpoints: &str, info: &str) -> Step<()> {
    let Some(dir) = tool.options.get("extra-lsndir") else { return Ok(()) };
    for (name, text) in [(tool.names.checkpoints, checkpoints), (tool.names.info, info)] {
        let path = Path::new(dir).join(name);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o666).open(path)?;
        file.write_all(text.as_bytes())?;
    }
    Ok(())
}
