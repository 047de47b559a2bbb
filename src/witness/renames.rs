//! InnoDB's tables that were renamed while the tool copied, as it notes them in a backup.
//!
//! For each, mariadb-backup leaves `OLD.ren` with the new name in it, and renames at the next prepare. Where tables took each other's names it goes
//! round by a name of its own. That holds for whole files. Of an incremental each table has two, `.delta` and `.meta`, and there it loses one:
//! the prepare ends with status 1, each time (seen with 10.11.19, circles of two and of three; renames that close no circle are applied).

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Whether a file notes a rename.
pub(crate) fn is_note(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("ren"))
}

/// The tables that took each other's names, in order; from the files that note renames, and what they say.
pub(crate) fn circles(notes: impl IntoIterator<Item = (PathBuf, Vec<u8>)>) -> Vec<PathBuf> {
    let rename = |(note, new): (PathBuf, Vec<u8>)| {
        (note.with_extension(""), PathBuf::from(OsString::from_vec(new.trim_ascii_end().to_vec())))
    };
    let mut renames = notes.into_iter().map(rename).filter(|(old, new)| old != new).collect::<HashMap<_, _>>();
    // What takes nobody's name away is in no circle. Without it, nor may be what lost its name to it.
    loop {
        let (before, taken) = (renames.len(), renames.values().cloned().collect::<HashSet<_>>());
        renames.retain(|old, _| taken.contains(old));
        let known = renames.keys().cloned().collect::<HashSet<_>>();
        renames.retain(|_, new| known.contains(new));
        if renames.len() == before {
            break;
        }
    }
    let mut circles = renames.into_keys().collect::<Vec<_>>();
    circles.sort();
    circles
}

/// Those of the backup in `dir` with these files.
///
/// # Errors
/// A note cannot be read.
pub(crate) fn circles_in<'a>(dir: &Path, files: impl IntoIterator<Item = &'a PathBuf>) -> io::Result<Vec<PathBuf>> {
    let notes = files.into_iter().filter(|path| is_note(path));
    let read = notes.map(|path| Ok((path.clone(), fs::read(dir.join(path))?)));
    Ok(circles(read.collect::<io::Result<Vec<_>>>()?))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::circles;

    fn of(renames: &[(&str, &str)]) -> Vec<String> {
        let notes = renames.iter().map(|(old, new)| (PathBuf::from(format!("shop/{old}.ren")), format!("shop/{new}")));
        let found = circles(notes.map(|(note, new)| (note, new.into_bytes())));
        found.into_iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn tables_that_took_each_others_names_are_found() {
        let none: [&str; 0] = [];
        assert_eq!(of(&[]), none);
        assert_eq!(of(&[("a", "d"), ("b", "a"), ("c", "b")]), none, "a row of renames");
        assert_eq!(of(&[("a", "a")]), none);
        assert_eq!(of(&[("a", "b"), ("b", "a")]), ["shop/a", "shop/b"]);
        assert_eq!(of(&[("parts#P#p0", "single"), ("single", "parts#P#p0")]), ["shop/parts#P#p0", "shop/single"]);
        assert_eq!(of(&[("a", "b"), ("b", "c"), ("c", "a"), ("d", "e")]), ["shop/a", "shop/b", "shop/c"]);
    }
}
