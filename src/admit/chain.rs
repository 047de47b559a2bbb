//! Whether backups belong together: the chain that an incremental would be taken from, and that which is to be restored.
//!
//! The records say what a chain is, and a glance at the disk, with what the last verifications found, whether it still is one. What is not
//! looked at is the content: a restore looks at that, and `verify`.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use super::{in_the_way, on_disk, unreadable};
use crate::chains::{Broken, Chains};
use crate::command::Restore;
use crate::config::Config;
use crate::disk;
use crate::model::{BackupId, Rejection};
use crate::records::reader::BackupRow;
use crate::records::{Known, Recorded};
use crate::repository::stored;
use crate::verify::glance::{Glance, known_damage};
use crate::verify::kept;
use crate::world::{Claim, Purpose, World};

/// Holds what an incremental is to be taken from against the records and the disk: it must be one that can be restored itself. Its chain is
/// claimed, so that nobody removes of it meanwhile.
pub(super) async fn claim_base(
    base: &BackupId,
    world: &World,
    config: &Config,
    until: Instant,
) -> Result<Claim, Rejection> {
    let chain = || async { world.records.chain(base.to_string(), until).await.map_err(|why| unreadable(&why, config)) };
    let ids: Vec<_> = chain().await?.iter().filter_map(|member| BackupId::recorded(&member.row.id).ok()).collect();
    let claim = world.claims.claim_ids(&ids, Purpose::Base, until).await;
    let claim = claim.map_err(|held| in_the_way(held, Rejection::BaseNotFound))?;
    // What was removed before it was claimed is not there any more.
    let recorded = chain().await?;
    let (id, backup_dir, flavour) = (base.clone(), config.backup_dir.clone(), config.flavour);
    let database = config.database_path.clone();
    let look = move || {
        let is_recorded = recorded.iter().any(|member| member.row.id == id.as_str());
        // The tool reads the base's checkpoints in its folder.
        if !is_recorded || !disk::is_directory(&backup_dir.join(id.as_str())) {
            return Err(Rejection::BaseNotFound(id));
        }
        let glance = Glance { backup_dir: &backup_dir, flavour };
        let verified = kept::read(&database);
        let is_gone = |member: &&Recorded| {
            let found = BackupId::recorded(&member.row.id).map(|id| stored::look(&backup_dir, &id));
            // What cannot be looked at speaks against nothing.
            found.map_or(true, |found| found.is_ok_and(|found| stored::is_gone(found.as_ref(), member.forwarded)))
        };
        let gone = recorded.iter().filter(is_gone).map(|member| member.row.id.clone()).collect();
        let rows = recorded.into_iter().map(|member| member.row).collect();
        let chains = Chains::new(rows, gone, |base, child| glance.is_base(base, child));
        let doubt = |row: &BackupRow, base: Option<&BackupRow>| {
            known_damage(row, &verified).or_else(|| glance.doubt(row, base))
        };
        chains
            .base(id.as_str(), doubt)
            .map(|_| ())
            .map_err(|why| Rejection::BrokenBase { base: id, why: why.to_string() })
    };
    on_disk(&config.backup_dir, until, look).await??;
    Ok(claim)
}

/// Holds the members of a chain that is to be restored against each other: each must be what the next one was taken from, and not another
/// backup that has its id now.
pub(super) async fn check_bases(
    wanted: &Restore,
    known: &HashMap<String, Known>,
    config: &Config,
    until: Instant,
) -> Result<(), Rejection> {
    let row = |id: &BackupId| {
        let Known { from, start_time, place } = known.get(id.as_str())?.clone();
        Some(BackupRow { id: id.to_string(), from, start_time, place, ..BackupRow::default() })
    };
    let rows: Vec<_> = wanted.chain().filter_map(row).collect();
    let (last, backup_dir, flavour) = (wanted.last().clone(), config.backup_dir.clone(), config.flavour);
    let look = move || {
        let glance = Glance { backup_dir: &backup_dir, flavour };
        let chains = Chains::new(rows, HashSet::new(), |base, child| glance.is_base(base, child));
        let doubt = |row: &BackupRow, base: Option<&BackupRow>| {
            let base = base.filter(|base| glance.is_apart(base, row))?;
            Some(Broken::AnotherBase { child: row.id.clone(), base: base.id.clone() })
        };
        let refused = |why: Broken| Rejection::Malformed(format!("id_list is not a chain: {why}"));
        chains.base(last.as_str(), doubt).map(|_| ()).map_err(refused)
    };
    on_disk(&config.backup_dir, until, look).await?
}
