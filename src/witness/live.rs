//! What the server's own data directory says of a backup of it, when the backup has been taken.
//!
//! It tells two things that the backup cannot: whether a definition without its files lay there like that before (then the backup shows what
//! there was), and which tables were renamed across each other meanwhile. The latter is in `ddl.log`, which the server begins anew with
//! each `BACKUP STAGE START`: a line for each statement, of fields with tabs between them (read from a MariaDB 10.11.19).

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::index;
use super::tables::Lacking;

/// The server's log of DDL during a backup, in its data directory.
const DDL_LOG: &str = "ddl.log";

/// The engines that the log has for tables which mariadb-backup renames in the backup, as the server did.
const RENAMED_IN_BACKUPS: [&str; 5] = ["Aria", "MyISAM", "MRG_MyISAM", "ARCHIVE", "CSV"];

/// What the log says of a table that took the place of a partition. The tool passes it over: where it had copied the two before, they came out with
/// the rows that they had then (seen with 10.11.19).
const EXCHANGE: &str = "EXCHANGE_PARTITION";

/// The longest line of the log that is read, in bytes: five names of 64 characters are shorter.
const LONGEST_LINE: usize = 64 * 1024;

/// The data directory of the server that a backup was taken of.
#[derive(Debug, Clone)]
pub struct Live {
    data_dir: PathBuf,
    /// When the backup began, since 1970.
    begin: Duration,
}

impl Live {
    /// For a backup that begins now.
    pub fn begin(data_dir: &Path) -> Self {
        let begin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { data_dir: data_dir.to_owned(), begin }
    }

    /// Whether the table lay there without its files before the backup began, and still does. A definition changes its time when the
    /// table is created, altered or renamed.
    pub(super) fn is_as_bare(&self, table: &Lacking) -> bool {
        let is_gone = |file: &PathBuf| {
            let there = fs::symlink_metadata(self.data_dir.join(file));
            there.is_err_and(|why| why.kind() == ErrorKind::NotFound)
        };
        let definition = fs::symlink_metadata(self.data_dir.join(&table.definition));
        definition.is_ok_and(|there| changed(&there) < self.begin) && table.files.iter().all(is_gone)
    }

    /// Whether the table has there all that it lacks in the backup.
    pub(super) fn has(&self, table: &Lacking) -> bool {
        table.files.iter().all(|file| self.data_dir.join(file).is_file())
    }

    /// Whether a file that was left out lies behind a symlink.
    pub(super) fn has_symlink(&self, table: &Lacking) -> bool {
        let is_symlink = |file: &PathBuf| {
            fs::symlink_metadata(self.data_dir.join(file)).is_ok_and(|there| there.file_type().is_symlink())
        };
        table.files.iter().any(is_symlink)
    }

    /// The tables that were made anew since they were copied, in order.
    /// What the tool copies again at the end, while all DDL waits, is what the server has. It does not always do so: of a table that it copied
    /// in the midst of a `CREATE … SELECT` it kept the rows of that moment (seen with mariadb-backup 10.11.19).
    pub(super) fn emptied(&self, indexes: &[(PathBuf, String)]) -> Vec<String> {
        let is_anew = |(path, mark): &(PathBuf, String), is_renamed| {
            // What is gone by now was dropped when the backup was over.
            index::is_anew(&self.data_dir.join(path), mark, self.begin, is_renamed).unwrap_or(false)
        };
        let mut anew = indexes.iter().filter(|index| is_anew(index, false)).collect::<Vec<_>>();
        if !anew.is_empty()
            && let Some(log) = self.ddl_log()
        {
            let renamed = renamed(log);
            anew.retain(|index| !renamed.contains(&table_of(&index.0)) || is_anew(index, true));
        }
        let mut tables = anew.into_iter().map(|(path, _)| table_of(path)).collect::<Vec<_>>();
        tables.sort();
        tables.dedup();
        tables
    }

    /// The log of the DDL during this backup.
    fn ddl_log(&self) -> Option<BufReader<File>> {
        let log = File::open(self.data_dir.join(DDL_LOG)).ok()?;
        // One of a backup before this one says nothing.
        let is_ours = log.metadata().is_ok_and(|there| there.is_file() && changed(&there) >= self.begin);
        is_ours.then(|| BufReader::new(log))
    }

    /// The tables that took the names of others which had been renamed, in the order of it. Which of the two had its rows copied under
    /// which name cannot be told: mariadb-backup renames its copies likewise, whether they were copied before or after (seen with 10.11.19: two tables came out with each other's rows, status 0).
    pub(super) fn crossed(&self) -> Vec<String> {
        self.ddl_log().map(crossed).unwrap_or_default()
    }
}

fn changed(there: &fs::Metadata) -> Duration {
    let seconds = u64::try_from(there.ctime()).unwrap_or_default();
    Duration::new(seconds, u32::try_from(there.ctime_nsec()).unwrap_or_default())
}

/// The name that the log of DDL has for the table with this file: `shop.orders` for `shop/orders#P#p0.MAI`.
fn table_of(path: &Path) -> String {
    let table = path.with_extension("").to_string_lossy().replacen('/', ".", 1);
    table.split("#P#").next().unwrap_or_default().to_owned()
}

/// The fields of each line of the log.
fn each_line(mut log: impl BufRead, mut take: impl FnMut(&[&str])) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut log).take(LONGEST_LINE as u64).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        take(&text.trim_end_matches('\n').split('\t').collect::<Vec<_>>());
    }
}

/// The tables that the log says have another name than before. The tool renames its copy likewise, and the server writes into the head of its own
/// if it is one of Aria.
fn renamed(log: impl BufRead) -> HashSet<String> {
    let mut renamed = HashSet::new();
    each_line(log, |fields| {
        if let (Some(old), Some(new)) = (fields.get(4..6), fields.get(9..11))
            && old != new
        {
            renamed.insert(new.join("."));
        }
    });
    renamed
}

fn crossed(log: impl BufRead) -> Vec<String> {
    let (mut left, mut crossed) = (HashSet::new(), Vec::new());
    each_line(log, |fields| {
        let [_time, query, engine, partitioned, db, table, _id, _engine, _partitioned, new_db, new_table, ..] = *fields
        else {
            return;
        };
        if !RENAMED_IN_BACKUPS.contains(&engine) {
            return;
        }
        let new = format!("{new_db}.{new_table}");
        if query == EXCHANGE {
            let both = [format!("{db}.{table}"), new];
            crossed.extend(both.into_iter().filter(|name| !crossed.contains(name)).collect::<Vec<_>>());
            return;
        }
        if (query, partitioned) != ("RENAME", "0") {
            return;
        }
        if left.contains(&new) && !crossed.contains(&new) {
            crossed.push(new);
        }
        left.insert(format!("{db}.{table}"));
    });
    crossed
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::time::Duration;

    use super::{Live, crossed};
    use crate::witness::tables::Lacking;

    /// Lines of a MariaDB 10.11.19.
    const ALTER: &str = "2026-11-28 14:38:10\tALTER\tMyISAM\t0\tr\tm1\t553d069a\tMyISAM\t0\tr\tm1\t556b6452\n";

    fn rename(engine: &str, partitioned: u8, from: &str, to: &str) -> String {
        format!(
            "2026-11-28 14:38:10\tRENAME\t{engine}\t{partitioned}\tr\t{from}\t553d\t{engine}\t{partitioned}\tr\t{to}\t553d\n"
        )
    }

    #[test]
    fn tables_that_take_each_others_names_are_told() {
        let of = |lines: &[String]| crossed(lines.concat().as_bytes());
        let swap = |engine: &str, partitioned: u8| {
            [("m1", "z1"), ("m2", "m1"), ("z1", "m2")].map(|(from, to)| rename(engine, partitioned, from, to))
        };
        assert_eq!(of(&swap("MyISAM", 0)), ["r.m1", "r.m2"]);
        assert_eq!(of(&swap("InnoDB", 0)), [""; 0], "InnoDB's come out right");
        assert_eq!(of(&swap("Aria", 1)), [""; 0], "partitioned tables are copied anew");
        assert_eq!(of(&[rename("Aria", 0, "a", "old"), rename("Aria", 0, "new", "a")]), ["r.a"]);
        assert_eq!(of(&[rename("Aria", 0, "a", "b"), rename("Aria", 0, "c", "d"), ALTER.to_owned()]), [""; 0]);
        let dropped = "2026-11-28 14:36:06\tDROP\tAria\t0\tr\ta\t0b22\t\t0\t\t\t\n".to_owned();
        assert_eq!(of(&[dropped, rename("Aria", 0, "b", "a")]), [""; 0]);
        assert_eq!(of(&["\u{fffd}\t".to_owned(), "RENAME".to_owned()]), [""; 0]);
    }

    #[test]
    fn tables_that_exchange_rows_with_a_partition_are_told() {
        let line = |engine: &str| {
            format!("2026-11-28 16:20:33\tEXCHANGE_PARTITION\t{engine}\t1\tr\tp\ta27e\t{engine}\t0\tr\ts\ta27f\n")
        };
        assert_eq!(crossed(line("Aria").repeat(2).as_bytes()), ["r.p", "r.s"]);
        assert_eq!(crossed(line("InnoDB").as_bytes()), [""; 0], "InnoDB's come out right");
    }

    #[test]
    fn only_the_log_of_this_backup_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let live = Live::begin(dir.path());
        assert_eq!(live.crossed(), [""; 0]);
        let lines = [rename("Aria", 0, "a", "old"), rename("Aria", 0, "new", "a")].concat();
        fs::write(dir.path().join("ddl.log"), lines).unwrap();
        assert_eq!(Live { begin: Duration::ZERO, ..live.clone() }.crossed(), ["r.a"]);
        assert_eq!(Live { begin: live.begin + Duration::from_secs(60), ..live }.crossed(), [""; 0]);
    }

    #[test]
    fn what_lay_bare_before_is_not_the_backups_fault() {
        let dir = tempfile::tempdir().unwrap();
        let table =
            Lacking { definition: "a.frm".into(), engine: "Aria", files: ["a.MAD", "a.MAI"].map(Into::into).to_vec() };
        let at = |begin: Duration| Live { data_dir: dir.path().to_owned(), begin };
        let (always, later) = (at(Duration::ZERO), at(Live::begin(dir.path()).begin + Duration::from_secs(60)));
        assert!(!later.is_as_bare(&table), "it is not there at all");
        fs::write(dir.path().join("a.frm"), "").unwrap();
        assert!(later.is_as_bare(&table));
        assert!(!always.is_as_bare(&table), "it came during the backup");
        assert!(!later.has_symlink(&table));
        symlink(Path::new("/elsewhere/a.MAI"), dir.path().join("a.MAI")).unwrap();
        assert!(!later.is_as_bare(&table), "it has one of its files");
        assert!(later.has_symlink(&table));
    }

    /// The line of the log is one of a MariaDB 10.11.19.
    #[test]
    fn a_table_whose_index_is_another_than_was_copied_is_told_unless_it_was_renamed() {
        let dir = tempfile::tempdir().unwrap();
        let live = Live { data_dir: dir.path().to_owned(), begin: Duration::ZERO };
        fs::create_dir(dir.path().join("r")).unwrap();
        let head =
            |place: u8, made: u8| [&b"\xfe\xfe\x09\x03"[..], &[0; 24], &[place; 7], &[0; 132], &[made; 8]].concat();
        for (name, place) in [("same", 1), ("emptied", 2), ("t#P#p0", 2), ("t#P#p1", 2), ("m1", 2)] {
            fs::write(dir.path().join(format!("r/{name}.MAI")), head(place, 1)).unwrap();
        }
        let index = |name: &str| (format!("r/{name}.MAI").into(), "01".repeat(15));
        let indexes = ["same", "emptied", "t#P#p0", "t#P#p1", "m1", "gone"].map(index);
        assert_eq!(live.emptied(&indexes), ["r.emptied", "r.m1", "r.t"]);
        fs::write(dir.path().join("ddl.log"), [ALTER, &rename("Aria", 0, "a", "emptied")].concat()).unwrap();
        assert_eq!(live.emptied(&indexes), ["r.m1", "r.t"], "the tool renamed its copy, which has the old head");
        fs::write(dir.path().join("r/emptied.MAI"), head(2, 2)).unwrap();
        assert_eq!(live.emptied(&indexes), ["r.emptied", "r.m1", "r.t"], "it was truncated too");
    }
}
