//! A restore to a moment: whether the archived binary log leads there from the chain, told before anything is done.

use std::path::Path;
use std::time::Instant;

use super::in_time::within;
use super::on_disk;
use crate::binlog::archive::Archive;
use crate::binlog::replay::{NoReplay, Replay, Standing, find};
use crate::command::Restore;
use crate::config::Config;
use crate::disk::space;
use crate::model::{Flavour, Rejection, Shortage, causes};
use crate::repository::card::Card;
use crate::server::{probe, throwaway};

/// What has to be replayed on a chain, whose backups say this of themselves. None if it is to be as it was backed up.
pub(super) async fn replay(
    wanted: &Restore,
    cards: &[Option<(Card, bool)>],
    config: &Config,
    until: Instant,
) -> Result<Option<Replay>, Rejection> {
    let Some(moment) = wanted.until.clone() else { return Ok(None) };
    if config.flavour == Flavour::MySql {
        return Err(Rejection::NoReplay("the binary log of MySQL is archived, but not replayed".to_owned()));
    }
    let (servers, clients) = throwaway::programs(config.flavour);
    for (what, places) in [("server", servers), ("client", clients)] {
        if probe::find(None, places).is_none() {
            let places = places.join("', '");
            return Err(Rejection::NoReplay(format!(
                "no {what} is installed here to replay the binary log: there is no '{places}'"
            )));
        }
    }
    // What is in the repository alone is looked into by no daemon: the operator's command line has found the place there.
    let archive = Archive::of(&config.backup_dir).with_identity(config.identity_file.clone());
    let id = wanted.last().to_string();
    let card = cards.last().and_then(Option::as_ref).map(|(card, _)| card.clone());
    let look = move || {
        let standing = Standing::of(&archive, &id, card.as_ref())?;
        find(&standing, &moment)
    };
    let found: Result<Replay, NoReplay> = on_disk(&config.backup_dir, until, look).await?;
    found.map(Some).map_err(|why| Rejection::NoReplay(causes(&why)))
}

/// What the binary logs lack where they are put, beside a working copy of this size.
pub(super) async fn shortage(work: &Path, replay: &Replay, copy: u64, until: Instant) -> Option<Shortage> {
    let (work, logs) = (work.to_owned(), replay.room);
    within(until, move || space::for_replay(&work, logs, copy)).await.flatten()
}
