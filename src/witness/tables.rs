//! Whether each table of a backup has the files of its engine.
//!
//! mariadb-backup copies the definitions (`.frm`) last, while all DDL waits (`BACKUP STAGE BLOCK_DDL`): they are the tables that there were.
//! Tables of Aria, `MyISAM`, CSV, MERGE and ARCHIVE it copies before, and then repeats upon the copies what the server's DDL log says. Where a
//! table was renamed or replaced before its turn came, that takes its files away or leaves a definition alone, with status 0 and
//! `completed OK!` (seen with 10.11.19). So the engine is read from the definition, and its files are looked for.
//!
//! The layouts were read from files of a MariaDB 10.11.19: in a definition, the bytes 0xFE 0x01, the engine's number at offset 3 and the
//! partitions' engine at offset 61; in a `.par` a length in words of 4 bytes, a checksum, the number of partitions, a byte for the engine of
//! each, padded to 4, a length, and the names, each ended by a zero. Numbers are little-endian. The engines' numbers are those of
//! MariaDB's `handler.h`, which may not change.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::{manifest, renames};
use crate::model::at;

/// How much of a definition says what engine it is for, in bytes.
pub(crate) const HEAD: usize = 64;

/// The definitions that no table of the server has to do with: what a crash has left of an `ALTER TABLE`.
pub(super) const LEFT_BY_A_CRASH: &[u8] = b"#sql";

/// What a definition of a table begins with; that of a view is text.
const MAGIC: [u8; 2] = [0xfe, 0x01];
const ENGINE_AT: usize = 3;
const PARTITIONS_ENGINE_AT: usize = 61;
const PARTITIONED: u8 = 20;

/// Where in the list of partitions their number stands, and where their engines do.
const COUNT_AT: usize = 8;
const ENGINES_AT: usize = 12;

/// An engine that has these files for each table or partition, whatever its settings are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Engine {
    number: u8,
    pub(super) name: &'static str,
    endings: &'static [&'static str],
}

/// The others have none (MEMORY, BLACKHOLE, FEDERATED). `InnoDB`'s are last; see [`Lacking::may_have_none`].
pub(super) const ENGINES: [Engine; 6] = [
    Engine { number: 9, name: "MyISAM", endings: &["MYD", "MYI"] },
    Engine { number: 10, name: "MERGE", endings: &["MRG"] },
    Engine { number: 16, name: "ARCHIVE", endings: &["ARZ"] },
    Engine { number: 17, name: "CSV", endings: &["CSM", "CSV"] },
    Engine { number: 42, name: "Aria", endings: &["MAD", "MAI"] },
    Engine { number: 12, name: INNODB, endings: &[TABLESPACE] },
];

const INNODB: &str = "InnoDB";
const TABLESPACE: &str = "ibd";

/// What else a backup has of a tablespace, for the ending of its name: what an incremental has of it, or all of one that was made since the
/// server's last checkpoint.
const INSTEAD: [&str; 2] = ["ibd.delta", "new"];

/// A table that has a definition, and lacks files of its engine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lacking {
    /// Its definition, relative to the backup.
    pub definition: PathBuf,
    /// The name of its engine.
    pub engine: &'static str,
    /// What is missing, relative to the backup.
    pub files: Vec<PathBuf>,
}

impl Lacking {
    /// Whether a server may have it like that: a table of `InnoDB` in the system tablespace, or one whose tablespace was discarded. DDL alone
    /// makes no other lack its tablespace (seen with 10.5.23, 10.11.19 and 11.8.6), but `IMPORT TABLESPACE` does: the import takes on the
    /// id of the tablespace that was discarded, and the tool leaves out what has an id that its redo log removes (seen with 10.11.19).
    pub(crate) fn may_have_none(&self) -> bool {
        self.engine == INNODB
    }
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.files.first().map(|path| path.display().to_string()).unwrap_or_default();
        write!(f, "'{}' is there without '{first}'", self.definition.display())?;
        match self.files.len() {
            0 | 1 => write!(f, " ({})", self.engine),
            count => write!(f, " and {} more ({})", count - 1, self.engine),
        }
    }
}

/// Whether a file is a definition that tells something.
pub(crate) fn is_definition(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    name.ends_with(b".frm") && !name.starts_with(LEFT_BY_A_CRASH)
}

/// Whether a file lists the partitions of a table.
pub(crate) fn is_partition_list(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("par"))
}

/// Whether a file is one that mariadb-backup copies a second time where DDL changed its table; of a partitioned table it is all that begins
/// with its name, InnoDB's too (seen with 10.11.19).
pub(crate) fn is_copied_again(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    let is_engines = ENGINES.iter().flat_map(|engine| engine.endings).any(|known| *known == ending);
    is_engines || ["frm", "par", "opt", "TRG", "TRN", "ARM", "ibd"].iter().any(|known| *known == ending)
}

/// Whether a file has rows or keys of a table of another engine than `InnoDB`, or of a partition of it.
pub(crate) fn is_of_another_engine(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    ENGINES
        .iter()
        .filter(|engine| engine.name != INNODB)
        .flat_map(|engine| engine.endings)
        .any(|known| *known == ending)
}

/// The number of a definition's engine. None if it is no table's.
pub(super) fn engine_number(head: &[u8]) -> Option<u8> {
    head.strip_prefix(&MAGIC).and_then(|_| head.get(ENGINE_AT)).copied()
}

/// What the table with this definition lacks among the files that are there; `read` gives the list of its partitions.
pub(crate) fn lacking(
    definition: &Path,
    head: &[u8],
    read: impl FnOnce(&Path) -> Option<Vec<u8>>,
    is_there: impl Fn(&Path) -> bool,
) -> Option<Lacking> {
    let number = engine_number(head)?;
    let (engine, wanted) = if number == PARTITIONED {
        let list = definition.with_extension("par");
        let engine = ENGINES.iter().find(|engine| head.get(PARTITIONS_ENGINE_AT) == Some(&engine.number));
        match (engine, read(&list)) {
            (Some(engine), None) => (engine, vec![list]),
            (Some(engine), Some(bytes)) => (engine, of_partitions(definition, &bytes)?),
            // Those of an engine that is not known.
            (None, _) => return None,
        }
    } else {
        let engine = ENGINES.iter().find(|engine| engine.number == number)?;
        (engine, engine.endings.iter().map(|ending| definition.with_extension(ending)).collect())
    };
    let is_there = |path: &PathBuf| {
        let has_other = || INSTEAD.iter().any(|ending| is_there(&path.with_extension(ending)));
        is_there(path) || (path.extension() == Some(OsStr::new(TABLESPACE)) && has_other())
    };
    let files = wanted.into_iter().filter(|path| !is_there(path)).collect::<Vec<_>>();
    (!files.is_empty()).then(|| Lacking { definition: definition.to_owned(), engine: engine.name, files })
}

/// The files of all partitions; None if the list is not of the known layout.
fn of_partitions(definition: &Path, list: &[u8]) -> Option<Vec<PathBuf>> {
    let number = |at: usize| {
        let bytes = list.get(at..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let count = number(COUNT_AT).filter(|count| *count <= list.len())?;
    let engines = list.get(ENGINES_AT..ENGINES_AT + count)?;
    let names_at = ENGINES_AT + count.next_multiple_of(4);
    let names = list.get(names_at + 4..)?.get(..number(names_at)?)?;
    let names = names.split(|byte| *byte == 0).take(count).collect::<Vec<_>>();
    if names.len() != count || names.iter().any(|name| name.is_empty()) {
        return None;
    }
    let table = definition.with_extension("").into_os_string().into_vec();
    let file = |name: &[u8], ending: &str| {
        let path = [&table, &b"#P#"[..], name, b".", ending.as_bytes()].concat();
        PathBuf::from(OsString::from_vec(path))
    };
    let of = |(number, name): (&u8, &&[u8])| {
        let engine = ENGINES.iter().find(|engine| engine.number == *number);
        let endings = engine.map(|engine| engine.endings).unwrap_or_default();
        endings.iter().map(|ending| file(name, ending)).collect::<Vec<_>>()
    };
    Some(engines.iter().zip(&names).flat_map(of).collect())
}

/// What the backup in `dir` lacks, in order, and the files it has.
///
/// # Errors
/// The system's.
pub(crate) fn of_folder(dir: &Path) -> io::Result<(Vec<Lacking>, HashSet<PathBuf>)> {
    let files = manifest::files(dir)?.into_iter().collect::<HashSet<_>>();
    let mut found = of_files(dir, &files)?;
    found.sort();
    Ok((found, files))
}

/// The tablespace of a table that is to be renamed to this.
pub(crate) fn tablespace_of(new: &Path) -> PathBuf {
    let mut name = new.as_os_str().to_owned();
    name.push(".");
    name.push(TABLESPACE);
    name.into()
}

/// What the backup in `dir`, with these files, lacks.
///
/// # Errors
/// A definition cannot be read.
pub(crate) fn of_files(dir: &Path, files: &HashSet<PathBuf>) -> io::Result<Vec<Lacking>> {
    let renamed = renames::noted(dir, files)?.iter().map(|(_, new)| tablespace_of(new)).collect::<HashSet<_>>();
    let mut found = Vec::new();
    for definition in files.iter().filter(|path| is_definition(path)) {
        let mut head = Vec::with_capacity(HEAD);
        let path = dir.join(definition);
        let opened = File::open(&path).map_err(at(&path))?;
        opened.take(HEAD as u64).read_to_end(&mut head).map_err(at(&path))?;
        let read = |path: &Path| files.contains(path).then(|| fs::read(dir.join(path)).ok()).flatten();
        found.extend(lacking(definition, &head, read, |path| files.contains(path) || renamed.contains(path)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{Lacking, lacking, of_folder};

    /// The first 64 bytes of definitions of MariaDB 10.11.19, in which these tables differ by the engines alone.
    fn head(engine: u8, partitions: u8) -> [u8; 64] {
        let mut head = [0; 64];
        head[..16].copy_from_slice(b"\xfe\x01\x0a\x00\x12\0\x56\0\x01\0\xae\x01\0\0\x10\0");
        (head[3], head[61]) = (engine, partitions);
        head
    }

    /// Of a table of Aria, partitioned by range and hash; from the same server.
    const LIST: &[u8] = b"\x11\0\0\0\x0f\x2a\x2a\x2a\x04\0\0\0\x2a\x2a\x2a\x2a\x30\0\0\0\
        p0#SP#p0sp0\0p0#SP#p0sp1\0p1#SP#p1sp0\0p1#SP#p1sp1\0\0\0\0\0\0\0\0\0";

    fn look(head: &[u8], list: Option<&[u8]>, files: &[&str]) -> Vec<String> {
        let read = |path: &Path| {
            assert_eq!(path, Path::new("shop/a.par"));
            list.map(<[u8]>::to_vec)
        };
        let found =
            lacking(Path::new("shop/a.frm"), head, read, |path| files.iter().any(|file| Path::new(file) == path));
        let files = found.map(|found| found.files).unwrap_or_default();
        files.iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn each_engine_has_its_files() {
        for (engine, wanted) in [
            (9, &["shop/a.MYD", "shop/a.MYI"][..]),
            (10, &["shop/a.MRG"]),
            (16, &["shop/a.ARZ"]),
            (17, &["shop/a.CSM", "shop/a.CSV"]),
            (42, &["shop/a.MAD", "shop/a.MAI"]),
            (12, &["shop/a.ibd"]),
        ] {
            assert_eq!(look(&head(engine, 0), None, &[]), wanted, "{engine}");
            assert_eq!(look(&head(engine, 0), None, wanted), [""; 0], "{engine}");
            assert_eq!(look(&head(engine, 0), None, &wanted[1..]), wanted[..1], "{engine}");
        }
    }

    #[test]
    fn what_may_have_no_files_proves_nothing() {
        // MEMORY, FEDERATED, BLACKHOLE, performance_schema, S3, those that came with a plugin.
        for engine in [0, 6, 18, 19, 28, 41, 45, 127] {
            assert_eq!(look(&head(engine, 0), None, &[]), [""; 0], "{engine}");
        }
        for other in [&b"definition"[..], b"TYPE=VIEW\nquery=select 1\n", b"", b"\xfe\x01\x0a", b"\xfe\x02\x0a\x2a"] {
            assert_eq!(look(other, None, &[]), [""; 0], "{other:?}");
        }
    }

    #[test]
    fn each_partition_has_the_files_of_its_engine() {
        let all: Vec<String> = ["p0#SP#p0sp0", "p0#SP#p0sp1", "p1#SP#p1sp0", "p1#SP#p1sp1"]
            .into_iter()
            .flat_map(|part| [format!("shop/a#P#{part}.MAD"), format!("shop/a#P#{part}.MAI")])
            .collect();
        assert_eq!(look(&head(20, 42), Some(LIST), &[]), all);
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        assert_eq!(look(&head(20, 42), Some(LIST), &all), [""; 0]);
        assert_eq!(look(&head(20, 42), Some(LIST), &all[1..]), all[..1]);
        assert_eq!(look(&head(20, 42), None, &all), ["shop/a.par"], "without the list no server opens it");
    }

    #[test]
    fn a_tablespace_is_there_whole_as_a_part_or_by_another_name() {
        for other in ["shop/a.ibd", "shop/a.ibd.delta", "shop/a.new"] {
            assert_eq!(look(&head(12, 0), None, &[other]), [""; 0], "{other}");
        }
        for other in ["shop/a.ibd.meta", "shop/a.ren", "shop/a.isl", "shop/b.ibd"] {
            assert_eq!(look(&head(12, 0), None, &[other]), ["shop/a.ibd"], "{other}");
        }
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("shop")).unwrap();
        for (name, content) in [("b.frm", &head(12, 0)[..]), ("a.ibd", b""), ("c.frm", &head(12, 0))] {
            fs::write(dir.path().join("shop").join(name), content).unwrap();
        }
        let found = || of_folder(dir.path()).unwrap().0.iter().map(ToString::to_string).collect::<Vec<_>>();
        let c = "'shop/c.frm' is there without 'shop/c.ibd' (InnoDB)";
        assert_eq!(found(), ["'shop/b.frm' is there without 'shop/b.ibd' (InnoDB)", c]);
        fs::write(dir.path().join("shop/a.ren"), "shop/b").unwrap();
        assert_eq!(found(), [c]);
    }

    #[test]
    fn a_list_of_another_layout_proves_nothing() {
        for end in 0..LIST.len() - 8 {
            assert_eq!(look(&head(20, 42), Some(&LIST[..end]), &[]), [""; 0], "{end} bytes");
        }
        let mut list = LIST.to_vec();
        list[8..12].copy_from_slice(&[0xff; 4]);
        assert_eq!(look(&head(20, 42), Some(&list), &[]), [""; 0]);
    }

    #[test]
    fn a_folder_is_looked_through() {
        let dir = tempfile::tempdir().unwrap();
        let shop = dir.path().join("shop");
        fs::create_dir(&shop).unwrap();
        for (name, content) in [
            ("orders.frm", &b"definition"[..]),
            ("orders.ibd", b""),
            ("log.frm", &head(42, 0)),
            ("log.MAI", b""),
            ("log.MAD", b""),
            ("gone.frm", &head(9, 0)),
            ("parts.frm", &head(20, 42)),
            ("parts.par", LIST),
            ("#sql-alter-1-2.frm", &head(42, 0)),
            ("alone.MAD", b""),
        ] {
            fs::write(shop.join(name), content).unwrap();
        }
        let (found, files) = of_folder(dir.path()).unwrap();
        assert_eq!(files.len(), 10);
        let said: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "'shop/gone.frm' is there without 'shop/gone.MYD' and 1 more (MyISAM)",
                "'shop/parts.frm' is there without 'shop/parts#P#p0#SP#p0sp0.MAD' and 7 more (Aria)",
            ]
        );
        let one = Lacking { files: vec!["a.MRG".into()], definition: "a.frm".into(), engine: "MERGE" };
        assert_eq!(one.to_string(), "'a.frm' is there without 'a.MRG' (MERGE)");
    }
}
