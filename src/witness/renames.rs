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

use crate::model::at;

/// Whether a file notes a rename.
pub(crate) fn is_note(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("ren"))
}

/// The name that a table has by what stands in such a file, relative to the backup and without an ending.
pub(crate) fn new_name(contents: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(contents.trim_ascii().to_vec()))
}

/// What is noted in the backup in `dir` with these files: old names, and new ones.
///
/// # Errors
/// A note cannot be read.
pub(crate) fn noted<'a>(
    dir: &Path,
    files: impl IntoIterator<Item = &'a PathBuf>,
) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let notes = files.into_iter().filter(|path| is_note(path));
    let read = |path: &PathBuf| fs::read(dir.join(path)).map_err(at(&dir.join(path)));
    notes.map(|path| Ok((path.with_extension(""), new_name(&read(path)?)))).collect()
}

/// The tables that took each other's names, in order.
pub(crate) fn circles(renames: impl IntoIterator<Item = (PathBuf, PathBuf)>) -> Vec<PathBuf> {
    let mut renames = renames.into_iter().filter(|(old, new)| old != new).collect::<HashMap<_, _>>();
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::circles;

    fn of(renames: &[(&str, &str)]) -> Vec<String> {
        let table = |name: &str| PathBuf::from(format!("shop/{name}"));
        let found = circles(renames.iter().map(|(old, new)| (table(old), table(new))));
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
