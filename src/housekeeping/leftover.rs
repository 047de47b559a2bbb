//! At a start: removals that a daemon began and did not end.
//!
//! In: the names in `backup_dir`. Out: no record of a backup that was being removed, and its files under the name of what is being taken
//! away, as the start's sweep takes it. The rest of a removal is done only where nothing of that id is there again.

use std::io;
use std::path::Path;
use std::time::Instant;

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::disk::below::{self, tree};
use crate::disk::is_directory;
use crate::model::{BackupId, Packed, stream_name};
use crate::records::{Records, RecordsError};
use crate::repository::stored;
use crate::verify::kept;

/// What the name of a backup that is being removed ends in, while its record may still be there; no id begins with `.`.
const REMOVING: &str = ".removing";

/// The name of what was called `name` while its record goes.
pub(super) fn removing(name: &str) -> String {
    format!(".{name}{REMOVING}")
}

/// What was called so, if this is the name of a removal.
fn whole_name(name: &str) -> Option<&str> {
    name.strip_prefix('.')?.strip_suffix(REMOVING)
}

/// Does the rest of what a daemon that is gone has begun; the files themselves go with the sweep.
///
/// # Errors
/// The records cannot be read or written by `until`.
pub(crate) async fn finish(records: &Records, config: &Config, until: Instant) -> Result<(), RecordsError> {
    let root = config.backup_dir.clone();
    let found = spawn_blocking(move || look(&root)).await.unwrap_or_else(|why| Err(io::Error::other(why)));
    let found = found.unwrap_or_else(|why| {
        warn!(reason = %why, "backup_dir cannot be searched for removals that were broken off");
        Vec::new()
    });
    for Leftover { name, id, is_there_again } in found {
        if is_there_again {
            warn!(backup_id = %id, "a removal was broken off, and something of that id is there again: its record stays");
        } else if let Some(known) = records.known(vec![id.to_string()], until).await?.remove(id.as_str()) {
            records.remove_backup(id.to_string(), known.start_time, Some(until)).await?;
        }
        info!(backup_id = %id, "finishing a removal that an earlier daemon began");
        let (root, database) = (config.backup_dir.clone(), config.database_path.clone());
        let renamed = spawn_blocking(move || {
            let gone = below::gone(&name);
            tree::erase(&root, &gone, &CancellationToken::new())?;
            tree::rename(&root, &removing(&name), &gone)?;
            // What is kept of a backup that is not there does no harm.
            let _kept_until_the_next_verification = kept::forget(&database, &[id.to_string()]);
            Ok::<_, io::Error>(())
        });
        if let Ok(Err(why)) = renamed.await {
            warn!(reason = %why, "what a removal has left cannot be taken away: the next start tries again");
        }
    }
    Ok(())
}

/// A backup whose removal was begun.
struct Leftover {
    /// What its folder, or its stream, was called.
    name: String,
    id: BackupId,
    is_there_again: bool,
}

fn look(root: &Path) -> io::Result<Vec<Leftover>> {
    let names = tree::names(root, &|name| whole_name(name).is_some())?;
    let of = |hidden: String| {
        let name = whole_name(&hidden)?;
        let id = if is_directory(&root.join(&hidden)) { BackupId::recorded(name).ok()? } else { of_stream(name)? };
        // What cannot be looked at may be there.
        let is_there_again = !matches!(stored::look(root, &id), Ok(None));
        Some(Leftover { name: name.to_owned(), id, is_there_again })
    };
    Ok(names.into_iter().filter_map(of).collect())
}

/// Whose stream is called so.
fn of_stream(name: &str) -> Option<BackupId> {
    let rest = name.strip_prefix("backup-")?;
    let named = |kind: Packed| {
        let id = BackupId::recorded(rest.strip_suffix(&format!(".xbstream{}", kind.ending()))?).ok()?;
        (stream_name(&id, kind) == name).then_some(id)
    };
    Packed::ALL.into_iter().find_map(named)
}

#[cfg(test)]
mod tests {
    use super::{of_stream, removing, whole_name};

    #[test]
    fn the_name_of_a_removal_tells_what_was_called_how() {
        for name in ["a", "backup-a.xbstream.zst", "my backup"] {
            assert_eq!(whole_name(&removing(name)), Some(name));
        }
        for other in [".a.gone", "a.removing", ".tmp"] {
            assert_eq!(whole_name(other), None);
        }
        let id = |name: &str| of_stream(name).map(|id| id.to_string());
        for (name, wanted) in [
            ("backup-a.xbstream", Some("a")),
            ("backup-a.xbstream.gz", Some("a")),
            ("backup-my backup.xbstream.zst", Some("my backup")),
            ("backup-a.xbstream.xz", None),
            ("backup-.xbstream", None),
            ("a", None),
        ] {
            assert_eq!(id(name).as_deref(), wanted, "{name}");
        }
    }
}
