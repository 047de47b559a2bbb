//! `list --repository`: what the repository holds, whatever the records say.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::backups::{Backups, State};
use super::exit::{Exit, Failure};
use super::output::{Age, IN_THE_FUTURE, Output, age, or_dash, span, table};
use crate::bucket::{Bucket, BucketError, Patience};
use crate::config::{Config, Repository};
use crate::model::{Amount, Moment};
use crate::repository::card::{Card, Form, Kind};
use crate::repository::catalog::{self, Listed};

/// A backup of the repository as JSON has it; docs/reference.md says what the fields are.
#[derive(Debug, Serialize)]
struct Held<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: Option<&'static str>,
    from_backup_id: Option<&'a str>,
    start_time: Option<&'a str>,
    uuid: Option<&'a str>,
    name: Option<&'a str>,
    size: Option<u64>,
    recorded: bool,
    /// Whether its stream, or a directory of its id, is in `backup_dir` too.
    local: bool,
    problem: Option<String>,
}

/// What the store did not do, for a person.
pub(super) fn failure(why: &BucketError) -> Failure {
    Failure::because(why.to_string(), "dbcalm-db-cmd check says what of the repository works")
}

/// The repository of the settings.
pub(super) fn configured(config: &Config) -> Result<&Repository, Failure> {
    config.repository.as_ref().ok_or_else(|| {
        Failure::because(
            "no repository is set",
            "write 'repository: s3://bucket/prefix' into the settings: docs/offsite.md",
        )
        .exit(Exit::Usage)
    })
}

pub(super) fn list(config: &Config, output: Output) -> Result<Exit, Failure> {
    let repository = configured(config)?;
    let bucket = Bucket::open(&repository.remote, Patience::SHORT).map_err(|why| failure(&why))?;
    let listed = catalog::list(&bucket).map_err(|why| failure(&why))?;
    // On a new machine there are no records yet.
    let recorded = if config.database_path.exists() { Some(Backups::look(config)?) } else { None };
    let uuids = listed.iter().filter_map(|listed| Some((listed.id.as_str(), listed.card.as_ref().ok()?.uuid.as_str())));
    let uuids = uuids.collect::<HashMap<_, _>>();
    let held = listed.iter().map(|listed| Held {
        // Whatever else is wrong with it, without its base it cannot be restored from there.
        problem: baseless(listed, &uuids).or_else(|| problem(listed, config)),
        ..held(listed, recorded.as_ref(), config)
    });
    let held = held.collect::<Vec<_>>();
    let now = Moment::now();
    output.say(&BTreeMap::from([("backups", &held)]), || {
        if held.is_empty() {
            return format!("no backups in {}\n", repository.remote);
        }
        let line = |held: &Held<'_>| {
            let age = age(held.start_time, now).map(Age::seconds);
            let age = age.map(|age| if age < 0.0 { IN_THE_FUTURE.to_owned() } else { rounded(age) });
            vec![
                held.id.to_owned(),
                held.kind.unwrap_or("-").to_owned(),
                or_dash(age),
                or_dash(held.size.map(|size| Amount(size).to_string())),
                if held.recorded { "yes" } else { "no" }.to_owned(),
                if held.local { "yes" } else { "no" }.to_owned(),
                held.from_backup_id.unwrap_or_default().to_owned(),
                held.problem.clone().unwrap_or_default(),
            ]
        };
        let rows = held.iter().map(line).collect::<Vec<_>>();
        table(&["BACKUP", "TYPE", "AGE", "SIZE", "RECORDED", "HERE", "FROM", ""], &[2, 3], &rows)
    });
    Ok(Exit::Done)
}

fn rounded(seconds: f64) -> String {
    std::time::Duration::try_from_secs_f64(seconds).map(span).unwrap_or_default()
}

/// What is wrong with an incremental whose base is not there. None if it is.
fn baseless(listed: &Listed, uuids: &HashMap<&str, &str>) -> Option<String> {
    let from = listed.card.as_ref().ok()?.from.as_ref()?;
    match (uuids.get(from.id.as_str()), from.uuid.as_deref()) {
        (None, _) => Some(format!("its base '{}' is not there", from.id.escape_debug())),
        (Some(is), Some(wanted)) if *is != wanted => Some(format!("its base was another '{}'", from.id.escape_debug())),
        (Some(_), _) => None,
    }
}

/// What else is wrong with one.
fn problem(listed: &Listed, config: &Config) -> Option<String> {
    let card = match &listed.card {
        Ok(card) => card,
        Err(why) => return Some(why.clone()),
    };
    let here = Card::read(&config.backup_dir.join(listed.id.as_str())).ok().flatten()?;
    (here.uuid != card.uuid).then(|| format!("here '{}' is another backup", listed.id))
}

fn held<'a>(listed: &'a Listed, recorded: Option<&Backups>, config: &Config) -> Held<'a> {
    let id = listed.id.as_str();
    let folder = config.backup_dir.join(id);
    let card = listed.card.as_ref().ok();
    let here = Card::read(&folder).ok().flatten();
    // A backup of the same id that is another one is not this.
    let is_this = match (card, &here) {
        (Some(card), Some(here)) => card.uuid == here.uuid,
        (Some(_) | None, _) => false,
    };
    let state = recorded.map(|all| (all.chains.get(id).is_some(), all.state(id)));
    let is_recorded = state.is_some_and(|(there, _)| there);
    let has_stream = card.is_some_and(|card| match &card.form {
        Form::Stream { name, .. } => folder.join(name).exists(),
        Form::Directory { .. } => state.is_some_and(|(_, state)| state == State::Present),
    });
    Held {
        id,
        kind: card.map(|card| match card.kind {
            Kind::Full => "full",
            Kind::Incremental => "incremental",
        }),
        from_backup_id: card.and_then(|card| Some(card.from.as_ref()?.id.as_str())),
        start_time: card.map(|card| card.start.as_str()),
        uuid: card.map(|card| card.uuid.as_str()),
        name: card.and_then(|card| match &card.form {
            Form::Stream { name, .. } => Some(name.as_str()),
            Form::Directory { .. } => None,
        }),
        size: card.and_then(|card| match &card.form {
            Form::Stream { stored_size, .. } => *stored_size,
            Form::Directory { .. } => None,
        }),
        recorded: is_recorded && is_this,
        local: is_this && has_stream,
        problem: None,
    }
}
