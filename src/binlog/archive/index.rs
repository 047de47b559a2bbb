//! The server's own list of its binary logs: a name or a path in each line, the oldest first (mariadb.com, "Overview of the Binary Log").

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{ArchiveError, at};

/// A list is no longer than this, in bytes: a million names.
const MAX_SIZE: u64 = 64 << 20;

/// A file of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Log {
    /// Its name.
    pub name: String,
    /// The number at the end of that.
    pub number: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// Reads the list. What is no path from the root on is below the data directory.
///
/// # Errors
/// It cannot be read, or names no file.
pub(super) fn read(index: &Path, data_dir: &Path) -> Result<Vec<Log>, ArchiveError> {
    let file = File::open(index).map_err(at(index))?;
    let mut text = String::new();
    file.take(MAX_SIZE).read_to_string(&mut text).map_err(at(index))?;
    let wrong = |what| ArchiveError::Index { path: index.to_owned(), what };
    // A line without an end may be one that is being written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let logs = parse(whole, data_dir).ok_or_else(|| wrong("names a file that has no number at its end"))?;
    if logs.is_empty() {
        return Err(wrong("names no file"));
    }
    Ok(logs)
}

fn parse(text: &str, data_dir: &Path) -> Option<Vec<Log>> {
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let logs = lines.map(|line| {
        let path: PathBuf = data_dir.join(line).components().collect();
        let name = path.file_name()?.to_str()?.to_owned();
        // It becomes a name in the archive.
        let is_plain = name.chars().all(|c| !c.is_control()) && !name.starts_with('.');
        let number = number(&name).filter(|_| is_plain)?;
        Some(Log { name, number, path })
    });
    logs.collect()
}

impl Log {
    /// The name without the number.
    pub(super) fn base(&self) -> &str {
        base(&self.name)
    }

    /// Opens it. One that is no plain file is not waited for.
    pub(super) fn open(&self) -> io::Result<File> {
        if !fs::symlink_metadata(&self.path)?.is_file() {
            return Err(io::Error::other("it is no plain file"));
        }
        File::open(&self.path)
    }
}

/// A file's name without its number.
pub(super) fn base(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(base, _)| base)
}

/// The number at its end. None if there is none.
pub(super) fn number(name: &str) -> Option<u64> {
    let digits = name.rsplit_once('.')?.1;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::parse;

    #[test]
    fn a_list_names_files_wherever_they_are() {
        let logs = parse("./bin.000001\n/var/log/mysql/bin.1000000\n\n", Path::new("/data")).unwrap();
        let said: Vec<_> = logs.iter().map(|log| (log.name.as_str(), log.number, log.path.to_str().unwrap())).collect();
        let wanted = [("bin.000001", 1, "/data/bin.000001"), ("bin.1000000", 1_000_000, "/var/log/mysql/bin.1000000")];
        assert_eq!(said, wanted);
        assert_eq!(logs[0].base(), "bin");
        for text in ["bin", "bin.", "bin.x1", "bin.-1", "bin.99999999999999999999", ".000001", "a/.."] {
            assert_eq!(parse(text, Path::new("/data")), None, "{text}");
        }
    }
}
