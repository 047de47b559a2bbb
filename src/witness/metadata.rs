//! The files that the tools write beside the data: checkpoints, info, and the server's options.
//!
//! Each is read by a pure function over its text; what is empty, cut or damaged is an error that names the file. On a full
//! disk mariadb-backup 10.11.19 left `backup-my.cnf` and the info file empty and ended with status 0.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::{Lsn, Moment, Tool};

/// The server's options as they were at the backup, one of the files every backup has.
pub(crate) const OPTIONS: &str = "backup-my.cnf";

/// Files larger than this are not what they should be, in bytes.
const MAX_METADATA: u64 = 1024 * 1024;

/// Why metadata is not believed.
#[derive(Debug, Error)]
pub enum MetadataError {
    /// None of the names it may have is there.
    #[error("no {name} in '{}'", dir.display())]
    Missing {
        /// The name it should have.
        name: &'static str,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// It is there and cannot be read.
    #[error("'{}' cannot be read", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It can be read, and a field is not there or is no number.
    #[error("'{}' has no valid {field}", path.display())]
    Field {
        /// Which file.
        path: PathBuf,
        /// Which field.
        field: &'static str,
    },
}

/// The checkpoints file: what kind of backup it is, and between which LSNs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoints {
    /// `full-backuped`, `incremental`, `log-applied`, `full-prepared`.
    pub backup_type: String,
    /// 0 for a full backup, the base's `to_lsn` for an incremental.
    pub from_lsn: Lsn,
    /// The checkpoint up to which pages were copied.
    pub to_lsn: Lsn,
    /// Up to where redo log was copied.
    pub last_lsn: Lsn,
}

impl Checkpoints {
    /// Reads the checkpoints of the backup in `dir`.
    pub fn read(dir: &Path, tool: &Tool) -> Result<Self, MetadataError> {
        let (path, text) = read_one(dir, tool.checkpoints)?;
        Self::parse(&text).map_err(|field| MetadataError::Field { path, field })
    }

    /// Reads the text of a checkpoints file.
    ///
    /// # Errors
    /// The name of the first field that is absent or no number.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let fields = fields(text);
        let lsn = |name: &'static str| fields.get(name).and_then(|value| value.parse().ok()).ok_or(name);
        let backup_type = fields.get("backup_type").filter(|value| !value.is_empty()).ok_or("backup_type")?;
        Ok(Self {
            backup_type: (*backup_type).to_owned(),
            from_lsn: lsn("from_lsn")?,
            to_lsn: lsn("to_lsn")?,
            last_lsn: lsn("last_lsn")?,
        })
    }

    /// Whether the LSNs stand in the order that time gave them; equal ones are legal.
    pub(crate) fn check_order(&self, dir: &Path) -> Result<(), MetadataError> {
        let field = |field| MetadataError::Field { path: dir.to_owned(), field };
        if self.to_lsn < self.from_lsn || self.to_lsn == 0 {
            return Err(field("to_lsn"));
        }
        if self.last_lsn < self.to_lsn {
            return Err(field("last_lsn"));
        }
        Ok(())
    }
}

/// What an info file says of the backup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Info {
    /// The version of the tool.
    pub tool_version: String,
    /// The version of the server.
    pub server_version: String,
    /// What the tool calls the backup; no other has that name. None if it does not say so.
    pub uuid: Option<String>,
    /// The server's place in its binary log. None if it has none.
    pub binlog: Option<Binlog>,
}

/// A place in a binary log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binlog {
    /// The file's name.
    pub file: String,
    /// The offset in it, in bytes.
    pub position: u64,
    /// The GTID position. None if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtid: Option<String>,
}

impl Binlog {
    /// Reads `filename 'b.000001', position '328', GTID of the last change '0-1-3'`, as mariadb-backup 10.11.19 writes it.
    fn parse(text: &str) -> Option<Self> {
        let quoted = |name: &str| text.split_once(name)?.1.split('\'').nth(1);
        Some(Self {
            file: quoted("filename ")?.to_owned(),
            position: quoted("position ")?.parse().ok()?,
            gtid: quoted("GTID of the last change ").filter(|gtid| !gtid.is_empty()).map(str::to_owned),
        })
    }
}

/// Reads the info file of the backup in `dir`: it must name the tool and the version of the server.
pub(crate) fn info(dir: &Path, tool: &Tool) -> Result<Info, MetadataError> {
    let (path, text) = read_one(dir, tool.info)?;
    check_info(&text).map_err(|field| MetadataError::Field { path, field })?;
    let fields = fields(&text);
    let get = |name: &str| fields.get(name).map(|value| (*value).to_owned()).unwrap_or_default();
    Ok(Info {
        tool_version: get("tool_version"),
        server_version: get("server_version"),
        uuid: uuid(&fields),
        binlog: fields.get("binlog_pos").and_then(|text| Binlog::parse(text)),
    })
}

/// When the backup in `dir` was begun and had ended, by its info file. None if that does not say so.
///
/// The tool writes the times of its machine's zone and does not name the zone (`start_time = 2026-11-28 14:34:47`, as seen with mariadb-backup
/// 10.11.19). The file itself is written at the end, so its own time tells the zone, where it was copied with its times; else they are taken
/// for UTC.
pub(crate) fn times(dir: &Path, tool: &Tool) -> Result<Option<(Moment, Moment)>, MetadataError> {
    let (path, text) = read_one(dir, tool.info)?;
    let fields = fields(&text);
    let time = |name: &str| fields.get(name).and_then(|value| Moment::read(value));
    let Some((start, end)) = time("start_time").zip(time("end_time")) else { return Ok(None) };
    let written = fs::symlink_metadata(&path).and_then(|there| there.modified()).ok().and_then(Moment::of);
    let zone = written.and_then(|written| zone(end, written)).unwrap_or_default();
    Ok(Some((start.shifted(zone), end.shifted(zone))))
}

/// By how many seconds a time of a zone is to be shifted so that it is UTC, if the two are of one moment. Zones are whole quarters of an hour apart.
fn zone(local: Moment, written: Moment) -> Option<i64> {
    const QUARTER: f64 = 900.0;
    const FARTHEST: f64 = 56.0;
    const SLACK: f64 = 10.0;
    let apart = written.seconds() - local.seconds();
    let quarters = (apart / QUARTER).round();
    let is_one_moment = quarters.abs() <= FARTHEST && (apart - quarters * QUARTER).abs() <= SLACK;
    #[expect(clippy::cast_possible_truncation, reason = "a whole number, and small")]
    is_one_moment.then_some((quarters * QUARTER) as i64)
}

fn uuid(fields: &HashMap<&str, &str>) -> Option<String> {
    fields.get("uuid").filter(|uuid| !uuid.is_empty()).map(|uuid| (*uuid).to_owned())
}

/// What the tool calls the backup whose info file lies in `dir`. A restore brings that file into the data directory, and it is of the
/// member that was applied last (seen with mariadb-backup 10.11.19). None if there is none.
pub(crate) fn uuid_of(dir: &Path, tool: &Tool) -> Option<String> {
    let (_, text) = read_one(dir, tool.info).ok()?;
    uuid(&fields(&text))
}

/// Reads the text of an info file; the error is the first field that it should have and has not.
pub(crate) fn check_info(text: &str) -> Result<(), &'static str> {
    let fields = fields(text);
    let absent = |name: &&str| fields.get(name).is_none_or(|value| value.is_empty());
    ["tool_name", "tool_version", "server_version"].into_iter().find(absent).map_or(Ok(()), Err)
}

/// What the info file of the backup in `dir` says of tables that were left out; None if nothing was.
///
/// mariadb-backup 10.11.19 writes `partial = Y` for each of `--databases`, `--tables`, their `-file` and their `-exclude`, also where an
/// option file says it (seen). `MyRocks` left out by `--skip-rocksdb-backup` is not told of.
pub(crate) fn partial(dir: &Path, tool: &Tool) -> Result<Option<String>, MetadataError> {
    let (_, text) = read_one(dir, tool.info)?;
    Ok(fields(&text).get("partial").filter(|value| !value.eq_ignore_ascii_case("n")).map(|value| (*value).to_owned()))
}

/// The name of the directory that the backup in `dir` was taken into, by its info file: the folder may have been swapped with another's.
pub(crate) fn taken_into(dir: &Path, tool: &Tool) -> Option<String> {
    let (_, text) = read_one(dir, tool.info).ok()?;
    last_of_target(fields(&text).get("tool_command")?).map(str::to_owned)
}

/// The last part of the directory that a tool's command line names: its own, or, of a stream, that of the metadata.
fn last_of_target(command: &str) -> Option<&str> {
    let rest =
        ["--target-dir=", "--extra-lsndir="].into_iter().find_map(|option| Some(command.split_once(option)?.1))?;
    // A path may have blanks in it; the next option begins with two dashes.
    let path = rest.split_once(" --").map_or(rest, |(path, _)| path).trim();
    Path::new(path).file_name()?.to_str()
}

/// Reads the server's options in `dir`: a prepare without them takes its defaults for the server's page size and files.
pub(super) fn options(dir: &Path) -> Result<(), MetadataError> {
    let (path, text) = read_one(dir, &[OPTIONS])?;
    check_options(&text).map_err(|field| MetadataError::Field { path, field })
}

/// Reads the text of the server's options; the error is what it should have and has not.
pub(crate) fn check_options(text: &str) -> Result<(), &'static str> {
    if text.lines().any(|line| line.trim() == "[mysqld]") { Ok(()) } else { Err("[mysqld] section") }
}

fn read_one(dir: &Path, names: &[&'static str]) -> Result<(PathBuf, String), MetadataError> {
    for name in names {
        let path = dir.join(name);
        match fs::symlink_metadata(&path) {
            Ok(there) if there.is_file() && there.len() <= MAX_METADATA => {
                return match fs::read(&path) {
                    Ok(bytes) => Ok((path, String::from_utf8_lossy(&bytes).into_owned())),
                    Err(source) => Err(MetadataError::Unreadable { path, source }),
                };
            }
            Ok(_) => {
                let source = io::Error::other("it is not a plain file, or is too large");
                return Err(MetadataError::Unreadable { path, source });
            }
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(MetadataError::Unreadable { path, source }),
        }
    }
    Err(MetadataError::Missing { name: names.last().copied().unwrap_or_default(), dir: dir.to_owned() })
}

/// `key = value`, one a line.
fn fields(text: &str) -> HashMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.trim(), value.trim())).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Binlog, Checkpoints, zone};
    use crate::model::Moment;

    const FULL: &str =
        "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 44404\nlast_lsn = 44760\nrecover_binlog_info = 0\n";

    #[test]
    fn the_directory_that_a_backup_was_taken_into_is_read_from_its_command() {
        let of = super::last_of_target;
        assert_eq!(of("--backup --target-dir=/b/full-1 --host=localhost"), Some("full-1"));
        assert_eq!(of("--backup --target-dir=/my backups/full-1/"), Some("full-1"));
        assert_eq!(of("--stream=xbstream --extra-lsndir=/b/b --host=x"), Some("b"));
        assert_eq!(of("--backup"), None);
        assert_eq!(of("--target-dir=/"), None);
    }

    #[test]
    fn the_place_in_the_binary_log_is_read() {
        let of = |text: &str| Binlog::parse(text).map(|found| (found.file, found.position, found.gtid));
        let found = of("filename 'b.000002', position '328', GTID of the last change '0-1-3,1-2-9'");
        assert_eq!(found, Some(("b.000002".to_owned(), 328, Some("0-1-3,1-2-9".to_owned()))));
        let found = of("filename 'b.000002', position '328'");
        assert_eq!(found, Some(("b.000002".to_owned(), 328, None)));
        assert_eq!(of(""), None);
    }

    #[test]
    fn the_zone_of_a_time_is_told_by_when_it_was_written() {
        let at = |text: &str| Moment::read(text).unwrap();
        let local = at("2026-11-28 14:34:47");
        for (written, shift) in [
            ("2026-11-28 14:34:47.9", Some(0)),
            ("2026-11-28 13:34:49", Some(-3600)),
            ("2026-11-28 09:04:47", Some(-19_800)),
            ("2026-11-29 00:34:50", Some(36_000)),
            ("2026-11-28 14:40:00", None),
            ("2026-11-30 14:34:47", None),
        ] {
            assert_eq!(zone(local, at(written)), shift, "{written}");
        }
        assert_eq!(local.shifted(-19_800), at("2026-11-28 09:04:47"));
    }

    #[test]
    fn checkpoints_are_read() {
        let checkpoints = Checkpoints::parse(FULL).unwrap();
        assert_eq!(checkpoints.backup_type, "full-backuped");
        assert_eq!((checkpoints.from_lsn, checkpoints.to_lsn, checkpoints.last_lsn), (0, 44404, 44760));
        assert!(checkpoints.check_order(Path::new("/b")).is_ok());
    }

    #[test]
    fn what_is_cut_or_damaged_is_no_checkpoints_file() {
        for end in 0..FULL.find("\nrecover").unwrap() - 4 {
            assert!(Checkpoints::parse(&FULL[..end]).is_err(), "{:?}", &FULL[..end]);
        }
        assert_eq!(Checkpoints::parse(&FULL.replace("44404", "x")), Err("to_lsn"));
        assert_eq!(Checkpoints::parse(&FULL.replace("44404", "-1")), Err("to_lsn"));
        assert_eq!(Checkpoints::parse(&"\0".repeat(100)), Err("backup_type"));
    }

    #[test]
    fn lsns_run_forward() {
        let check = |text: &str| Checkpoints::parse(text).unwrap().check_order(Path::new("/b")).is_ok();
        assert!(check(&FULL.replace("44760", "44404")), "equal ones are legal");
        assert!(!check(&FULL.replace("44760", "44403")));
        assert!(!check(&FULL.replace("from_lsn = 0", "from_lsn = 44405")));
        assert!(!check(&FULL.replace("to_lsn = 44404", "to_lsn = 0")));
    }
}
