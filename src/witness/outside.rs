//! Tables whose rows are in files of their own that no backup has: those of CONNECT.
//!
//! In: the server's data directory. Out: their definitions. mariadb-backup copies these and leaves the data files out, in the data directory
//! too, without a word (seen with 10.11.19). CONNECT has no number of its own among the engines: its name stands in the definition, behind
//! its length in two bytes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::tables::{HEAD, engine_number, is_definition};

/// The engine's name as a definition has it.
const CONNECT: &[u8] = b"\x07\x00CONNECT";

/// Engines that are plugins have numbers from here on (MariaDB's `handler.h`, `DB_TYPE_FIRST_DYNAMIC`).
const FIRST_DYNAMIC: u8 = 45;

/// The definitions of CONNECT's tables, relative to the data directory, in order. What cannot be read is passed over.
///
/// # Errors
/// The directory cannot be read.
pub(crate) fn connect_tables(data_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for database in fs::read_dir(data_dir)? {
        let database = database?;
        let Ok(entries) = fs::read_dir(database.path()) else { continue };
        for entry in entries.flatten().filter(|entry| is_definition(Path::new(&entry.file_name()))) {
            if is_connect(&entry.path()).unwrap_or(false) {
                found.push(Path::new(&database.file_name()).join(entry.file_name()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Reads the whole definition only if its engine is a plugin.
fn is_connect(definition: &Path) -> io::Result<bool> {
    let mut file = File::open(definition)?;
    let mut text = Vec::with_capacity(HEAD);
    file.by_ref().take(HEAD as u64).read_to_end(&mut text)?;
    if engine_number(&text).is_none_or(|number| number < FIRST_DYNAMIC) {
        return Ok(false);
    }
    file.read_to_end(&mut text)?;
    Ok(text.windows(CONNECT.len()).any(|window| window == CONNECT))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::connect_tables;

    #[test]
    fn tables_of_connect_are_known_by_the_name_of_their_engine() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("shop")).unwrap();
        // As 10.11.19 wrote them: the engine's number, and its name.
        let definition = |number: u8, name: &[u8]| {
            let mut text = [0; 150];
            text[..4].copy_from_slice(&[0xfe, 0x01, 0x0a, number]);
            [&text[..], &[7, 0], name].concat()
        };
        for (name, text) in [
            ("ext.frm", definition(47, b"CONNECT")),
            ("rocks.frm", definition(46, b"ROCKSDB")),
            ("plain.frm", definition(12, b"CONNECT")),
            ("view.frm", b"TYPE=VIEW\n\x07\0CONNECT".to_vec()),
            ("ext.csv", definition(47, b"CONNECT")),
        ] {
            fs::write(dir.path().join("shop").join(name), text).unwrap();
        }
        fs::write(dir.path().join("ibdata1"), "").unwrap();
        assert_eq!(connect_tables(dir.path()).unwrap(), [PathBuf::from("shop/ext.frm")]);
        assert!(connect_tables(&dir.path().join("nowhere")).is_err());
    }
}
