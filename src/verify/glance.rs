//! What a glance at the members of a chain tells: a few looks at the disk each, and none at the content.
//!
//! In: a backup's row, and that of its base. Out: what surely keeps it from being restored. An incremental would be taken from such a chain
//! in vain; what only a close look shows, the last verification tells. What cannot be read by whoever looks speaks against nothing.

use std::fs;
use std::path::{Path, PathBuf};

use super::kept::{self, Outcome};
use crate::chains::Broken;
use crate::command::BackupId;
use crate::copying::widow_of;
use crate::disk::stored;
use crate::plan::stored::Stored;
use crate::plan::tool::Flavour;
use crate::store::reader::BackupRow;
use crate::witness::{self, Checkpoints, Doubt, MetadataError};

/// Where to look.
#[derive(Debug, Clone, Copy)]
pub struct Glance<'a> {
    /// Where the backups are.
    pub backup_dir: &'a Path,
    /// Whose backups they are.
    pub flavour: Flavour,
}

impl Glance<'_> {
    /// Whether `base` is what `child` was taken from, and not another backup that has its id now; none, if that cannot be told.
    ///
    /// This is the one place that says so of two backups on the disk: by where the one ends and the other begins.
    pub fn is_base(&self, base: &BackupRow, child: &BackupRow) -> Option<bool> {
        let [base, child] = [base, child].map(|row| self.checkpoints(row).and_then(Result::ok));
        Some(child?.from_lsn == base?.to_lsn)
    }

    /// What surely keeps `row` from being restored on top of its `base`.
    pub fn doubt(&self, row: &BackupRow, base: Option<&BackupRow>) -> Option<Broken> {
        let unfit = |why: String| Broken::Unfit { id: row.id.clone(), why };
        match self.checkpoints(row) {
            None => {}
            Some(Err(why)) => return Some(unfit(crate::chain(&why))),
            Some(Ok(found)) => {
                let from = match base {
                    None => Some(0),
                    Some(base) => self.checkpoints(base).and_then(Result::ok).map(|base| base.to_lsn),
                };
                let folder = self.backup_dir.join(&row.id);
                match (witness::fits(&folder, &found, row.from.is_some(), from), base) {
                    (Ok(()), _) => {}
                    (Err(Doubt::Lsn { .. }), Some(base)) => {
                        return Some(Broken::AnotherBase { child: row.id.clone(), base: base.id.clone() });
                    }
                    (Err(why), _) => return Some(unfit(crate::chain(&why))),
                }
            }
        }
        let is_consumed = row.from.is_some() && self.folder(row).is_some_and(|folder| is_consumed(&folder));
        is_consumed.then(|| Broken::Consumed(row.id.clone()))
    }

    /// Its folder, where its id can be that of one.
    fn folder(&self, row: &BackupRow) -> Option<PathBuf> {
        let id: BackupId = row.id.parse().ok()?;
        Some(self.backup_dir.join(id.as_str()))
    }

    /// The checkpoints of a backup, or why they are none; nothing, where a stream has them or this user may not look.
    fn checkpoints(&self, row: &BackupRow) -> Option<Result<Checkpoints, MetadataError>> {
        match Checkpoints::read(&self.folder(row)?, self.flavour.tool()) {
            Err(MetadataError::Unreadable { .. }) => None,
            Err(why) => match stored::look(self.backup_dir, &row.id.parse().ok()?) {
                Ok(Some(Stored::Directory(_))) => Some(Err(why)),
                Ok(_) | Err(_) => None,
            },
            found => Some(found),
        }
    }
}

/// What the last verification of `row` has against it; one of another backup of the same id counts nothing.
pub fn known_damage(row: &BackupRow, verified: &kept::All) -> Option<Broken> {
    let kept = verified.get(&row.id).filter(|kept| kept.begun == row.start_time)?;
    (kept.outcome == Outcome::Damaged).then(|| Broken::Damaged(row.id.clone()))
}

/// Whether an incremental was applied itself. The system tablespace is in each, and at the top: the whole of it need not be looked through.
fn is_consumed(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names: Vec<_> = entries.map(|entry| PathBuf::from(entry.file_name())).collect();
    widow_of(names.iter().map(PathBuf::as_path)).is_some()
}
