//! The data directory as the target of a restore: nobody works in it, and nothing lies in the way.

use std::path::Path;
use std::time::Instant;

use tracing::info;

use super::{broken, credentials, on_disk};
use crate::command::Restore;
use crate::config::Config;
use crate::config::credentials::Secrets;
use crate::disk::{data_dir as data, links, places};
use crate::model::{BackupId, Rejection, Stored};
use crate::plan::Member;
use crate::repository::card::{self, Card};
use crate::server::probe::{self, Ping};
use crate::server::tenant::tenant;
use crate::server::{Server, answer};
use crate::world::{Claim, World};

/// Claims the data directory for a restore of this chain, whose last backup says this of itself, and whether that is surely the daemon's own word.
///
/// # Errors
/// Why it cannot be restored to: a server may work there, it is not empty, or another place that the server has is not free.
pub(super) async fn data_dir(
    wanted: &Restore,
    chain: &[Member],
    last: Option<&(Card, bool)>,
    (world, config): (&World, &Config),
    until: Instant,
) -> Result<(Claim, Secrets), Rejection> {
    let server = last.map(|(card, _)| &card.server);
    let secrets = credentials(config, until).await?;
    match probe::ping(world.executor.as_ref(), config).await.map_err(|why| broken(&why))? {
        Ping::Down => {}
        Ping::Up | Ping::Unknown => return Err(Rejection::ServerNotStopped),
        Ping::Other(reason) => {
            return Err(Rejection::NotKnownToBeStopped { hint: answer::hint(&reason), reason });
        }
    }
    // One may work there behind another socket.
    let (dir, servers) = (config.data_dir.clone(), config.flavour.tool().servers);
    if let Some(tenant) = on_disk(&config.data_dir, until, move || tenant(&dir, servers)).await? {
        return Err(Rejection::DataDirUsed(tenant.to_string()));
    }
    let claim = world.claims.claim_data_dir(&config.data_dir, until).await.ok_or(Rejection::DataDirBusy)?;
    let dir = config.data_dir.clone();
    on_disk(&config.data_dir, until, move || data::check_empty(&dir)).await?.map_err(|why| {
        info!(reason = %crate::model::causes(&why), "the data directory does not count as empty");
        Rejection::DataDirNotEmpty
    })?;
    let outside = server.map(Server::outside).unwrap_or_default();
    if let (Some(place), Some((_, false))) = (outside.first(), last) {
        return Err(Rejection::PlaceTaken(not_vouched(wanted.last(), &place.dir, config)));
    }
    let places = server.map(|server| server.places_in(&config.data_dir)).unwrap_or_default();
    on_disk(&config.data_dir, until, move || places::check_free(&places))
        .await?
        .map_err(|why| Rejection::PlaceTaken(crate::model::causes(&why)))?;
    let folders = chain.iter().map(|member| match &member.stored {
        Stored::Directory(dir) => Some(dir.clone()),
        Stored::Stream(_) | Stored::Remote(..) | Stored::Forwarded(_) => None,
    });
    let folders = folders.collect::<Vec<_>>();
    on_disk(&config.backup_dir, until, move || links::check(&folders))
        .await?
        .map_err(|why| Rejection::PlaceTaken(crate::model::causes(&why)))?;
    Ok((claim, secrets))
}

/// Why nothing is put where a card leads that somebody else may have written.
fn not_vouched(id: &BackupId, place: &Path, config: &Config) -> String {
    format!(
        "{card} names '{place}' as a directory of the server, but others than the daemon's user may have written it: if you trust it, \
         chown '{folder}' and {card} to that user and chmod go-w both; or restore to a folder",
        card = card::NAME,
        place = place.display(),
        folder = config.backup_dir.join(id.as_str()).display()
    )
}
