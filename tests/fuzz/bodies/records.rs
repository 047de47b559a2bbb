//! Records that another program wrote: rows that say `running`, as a start reads them, and a backup, as a request reads it.
//!
//! In: a line for each column, whose first byte may choose its type: `#` an integer, `%` a real, `$` bytes, `~` NULL; else it is
//! text, UTF-8 or not. Holds that whatever the tables take is read, and that no row, whatever it names, has anything touched but
//! what the daemon itself makes in `backup_dir`, and the data directory of the settings.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use dbcalm_db_cmd::config::Config;
use dbcalm_db_cmd::fuzzing::{self, Cell, Unreadable};
use dbcalm_db_cmd::model::BackupId;
use dbcalm_db_cmd::records::process::Interrupted;
use rusqlite::types::ValueRef;

const BACKUPS: &str = "/var/backups/dbcalm";
const DATA: &str = "/var/lib/mysql";

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    fuzzing::settings(&format!("db_type: mariadb\nbackup_dir: {BACKUPS}\ndata_dir: {DATA}\n")).unwrap()
});

pub(crate) fn check(input: &[u8]) {
    let mut lines = input.splitn(7, |&byte| byte == b'\n').map(cell);
    let mut next = || lines.next().unwrap_or(Cell(ValueRef::Null));
    let row = [next(), next(), next(), next(), next()];
    let backup = [next(), next()];
    match fuzzing::records(row, backup) {
        Ok(read) => {
            assert!(read.start_time.is_some(), "the column takes no NULL");
            read.interrupted.iter().for_each(touches_its_own_alone);
        }
        Err(Unreadable::Refused(_)) => {}
        Err(Unreadable::Read(why)) => panic!("{row:?} and {backup:?} cannot be read: {why}"),
    }
}

fn cell(line: &[u8]) -> Cell<'_> {
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok().map(str::to_owned).unwrap_or_default();
    Cell(match line {
        [b'#', digits @ ..] => ValueRef::Integer(number(digits).parse().unwrap_or_default()),
        [b'%', digits @ ..] => ValueRef::Real(number(digits).parse().unwrap_or_default()),
        [b'$', bytes @ ..] => ValueRef::Blob(bytes),
        [b'~', ..] => ValueRef::Null,
        text => ValueRef::Text(text),
    })
}

fn touches_its_own_alone(row: &Interrupted) {
    assert!(row.kind == "backup" || row.kind == "restore");
    let Some((dir, copied)) = fuzzing::touched(row, &CONFIG) else { return };
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap();
    // Letter by letter: what only normalizes to a place inside is none.
    let is = |place: &str| dir.as_os_str() == format!("{BACKUPS}/{place}{name}").as_str();
    if row.kind == "backup" {
        assert!(is("") && name.parse::<BackupId>().is_ok(), "{}", dir.display());
        assert_eq!(option(row, "--target-dir"), Some(dir.clone()), "{row:?}");
        assert_eq!(copied, None);
    } else {
        assert!(is("tmp/") || is("restores/"), "{}", dir.display());
        assert!(
            name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && name.len() >= 11,
            "{}",
            dir.display()
        );
    }
    if let Some(copied) = copied {
        is_inside(&copied, &dir);
        let data_dir = option(row, "--datadir");
        assert!(data_dir.is_none_or(|path| path == Path::new(DATA)), "{row:?}");
    }
}

fn is_inside(copied: &Path, dir: &Path) {
    let name = copied.file_name().and_then(|name| name.to_str()).unwrap();
    assert!(
        copied.as_os_str() == dir.join(name).as_os_str() && name.parse::<BackupId>().is_ok(),
        "{}",
        copied.display()
    );
}

/// What a row's command names by the first option of this name.
fn option(row: &Interrupted, name: &str) -> Option<PathBuf> {
    let (_, behind) = row.command.split_once(&format!(" {name}="))?;
    behind.split(" --").next().map(PathBuf::from)
}
