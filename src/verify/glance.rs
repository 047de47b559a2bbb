//! What a glance at the members of a chain tells: a few looks at the disk each, and none at the content.
//!
//! In: a backup's row, and that of its base. Out: what surely keeps it from being restored. An incremental would be taken from such a chain
//! in vain; what only a close look shows, the last verification tells. What cannot be read by whoever looks speaks against nothing.

use std::fs;
use std::path::{Path, PathBuf};

use super::kept::{self, Outcome};
use crate::chains::Broken;
use crate::copying::widow_of;
use crate::model::{BackupId, Flavour, Stored};
use crate::records::reader::BackupRow;
use crate::repository::card::Card;
use crate::repository::stored;
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
    /// Whether `base` surely is what `child` was taken from, and not another backup that has its id now.
    ///
    /// This is the one place that says so of two backups on the disk. What the child says of its base is believed. One of before there were
    /// cards says nothing, and is known by its LSNs: it begins at the checkpoint that its base ends at. On a server
    /// that made no new checkpoint a backup taken after the child ends there too, but has read more redo log (three in a row had the
    /// `to_lsn` 44864 and the `last_lsn` 46839, 48640 and 49155, seen with mariadb-backup 10.11.19): what the child brings is older. If it
    /// has not, nothing was written since, and either will do.
    pub fn is_base(&self, base: &BackupRow, child: &BackupRow) -> bool {
        if let Some(told) = self.told(base, child) {
            return told;
        }
        let [base, child] = [base, child].map(|row| self.checkpoints(row).and_then(Result::ok));
        let found = base.zip(child);
        found.is_some_and(|(base, child)| child.from_lsn == base.to_lsn && base.last_lsn <= child.last_lsn)
    }

    /// Whether `child` surely was taken from another backup than `base`: it says so, or begins elsewhere than where that ends.
    pub fn is_apart(&self, base: &BackupRow, child: &BackupRow) -> bool {
        if let Some(told) = self.told(base, child) {
            return !told;
        }
        let [base, child] = [base, child].map(|row| self.checkpoints(row).and_then(Result::ok));
        base.zip(child).is_some_and(|(base, child)| child.from_lsn != base.to_lsn)
    }

    /// What the cards of both say of it. None if they say nothing.
    fn told(&self, base: &BackupRow, child: &BackupRow) -> Option<bool> {
        let card = |row| Card::read(&self.folder(row)?).ok().flatten();
        let wanted = card(child)?.from?.uuid?;
        Some(card(base)?.uuid == wanted)
    }

    /// What surely keeps `row` from being restored on top of its `base`.
    pub fn doubt(&self, row: &BackupRow, base: Option<&BackupRow>) -> Option<Broken> {
        if let Some(base) = base.filter(|base| self.told(base, row) == Some(false)) {
            return Some(Broken::AnotherBase { child: row.id.clone(), base: base.id.clone() });
        }
        let unfit = |why: String| Broken::Unfit { id: row.id.clone(), why };
        match self.checkpoints(row) {
            None => {}
            Some(Err(why)) => return Some(unfit(crate::model::causes(&why))),
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
                    (Err(why), _) => return Some(unfit(crate::model::causes(&why))),
                }
            }
        }
        let is_consumed = row.from.is_some() && self.folder(row).is_some_and(|folder| is_consumed(&folder));
        is_consumed.then(|| Broken::Consumed(row.id.clone()))
    }

    /// Its folder, where its id can be that of one.
    fn folder(&self, row: &BackupRow) -> Option<PathBuf> {
        let id = BackupId::recorded(&row.id).ok()?;
        Some(self.backup_dir.join(id.as_str()))
    }

    /// The checkpoints of a backup, or why they are none; nothing, where a stream has them or this user may not look.
    fn checkpoints(&self, row: &BackupRow) -> Option<Result<Checkpoints, MetadataError>> {
        match Checkpoints::read(&self.folder(row)?, self.flavour.tool()) {
            Err(MetadataError::Unreadable { .. }) => None,
            Err(why) => match stored::look(self.backup_dir, &BackupId::recorded(&row.id).ok()?) {
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::Glance;
    use crate::chains::Broken;
    use crate::model::Flavour;
    use crate::records::reader::BackupRow;

    /// A backup with these LSNs, or with no folder.
    fn backup(dir: &Path, id: &str, lsns: Option<(u64, u64, u64)>) -> BackupRow {
        let is_full = lsns.is_none_or(|(from, ..)| from == 0);
        if let Some((from, to, last)) = lsns {
            let kind = if is_full { "full-backuped" } else { "incremental" };
            let text = format!("backup_type = {kind}\nfrom_lsn = {from}\nto_lsn = {to}\nlast_lsn = {last}\n");
            fs::create_dir(dir.join(id)).unwrap();
            fs::write(dir.join(id).join("xtrabackup_checkpoints"), text).unwrap();
        }
        BackupRow { id: id.to_owned(), from: (!is_full).then(|| "a".to_owned()), ..BackupRow::default() }
    }

    #[test]
    fn a_base_ends_where_the_incremental_begins_and_has_seen_no_more_than_it() {
        let dir = tempfile::tempdir().unwrap();
        let glance = Glance { backup_dir: dir.path(), flavour: Flavour::MariaDb };
        let child = backup(dir.path(), "child", Some((100, 200, 240)));
        let idle = backup(dir.path(), "idle", Some((100, 100, 140)));
        for (id, lsns, of_child, of_idle, is_apart) in [
            ("base", Some((0, 100, 120)), true, true, false),
            ("as-idle", Some((0, 100, 140)), true, true, false),
            ("later", Some((0, 100, 180)), true, false, false),
            ("much-later", Some((0, 200, 260)), false, false, true),
            ("not-here", None, false, false, false),
            ("../outside", None, false, false, false),
        ] {
            let base = backup(dir.path(), id, lsns);
            let said = (glance.is_base(&base, &child), glance.is_base(&base, &idle), glance.is_apart(&base, &child));
            assert_eq!(said, (of_child, of_idle, is_apart), "{id}");
        }
    }

    #[test]
    fn what_surely_cannot_be_restored_is_doubted_and_what_cannot_be_told_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let glance = Glance { backup_dir: dir.path(), flavour: Flavour::MariaDb };
        let doubt = |row: &BackupRow, base| glance.doubt(row, base).map(|why: Broken| why.to_string());
        let base = backup(dir.path(), "a", Some((0, 100, 120)));
        let child = backup(dir.path(), "b", Some((100, 200, 240)));
        assert_eq!((doubt(&base, None), doubt(&child, Some(&base))), (None, None));
        for name in ["ibdata1.meta", "ibdata1.delta"] {
            fs::write(dir.path().join("b").join(name), "").unwrap();
        }
        assert_eq!(doubt(&child, Some(&base)), None);
        fs::remove_file(dir.path().join("b/ibdata1.delta")).unwrap();
        let said = doubt(&child, Some(&base)).unwrap();
        assert_eq!(said, "'b' has been consumed: an earlier restore applied it in place");
        fs::write(dir.path().join("a/xtrabackup_checkpoints"), "backup_type = full-backuped\nfrom_lsn = 0\n").unwrap();
        assert!(doubt(&base, None).unwrap().ends_with("/a/xtrabackup_checkpoints' has no valid to_lsn"));
        // A stream of the Go daemon has no folder, and an id of its own may be none of ours.
        fs::write(dir.path().join("backup-s.xbstream"), "x").unwrap();
        for id in ["s", "../a", "gone"] {
            assert_eq!(doubt(&backup(dir.path(), id, None), None), None, "{id}");
        }
    }
}
