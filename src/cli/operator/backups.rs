//! The backups as the operator's subcommands see them: the records, and what of it is on the disk.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::exit::Failure;
use super::output::{Age, age, records, seconds, took, unread};
use crate::chains::retention::{Rule, Verdict};
use crate::chains::{Broken, Chains};
use crate::config::Config;
use crate::disk::{self, tree_size};
use crate::model::{BackupId, Moment, Packed, Stored, stream_name};
use crate::records::reader::{BackupRow, Reader};
use crate::repository::stored;
use crate::verify::Depth;
use crate::verify::glance::{self, Glance};
use crate::verify::kept::{self, Outcome};

/// A file of each backup whose files themselves are stored (mariadb.com, "Files Created by mariadb-backup"): one look at it, and a folder
/// needs no other.
pub(super) const OF_A_DIRECTORY: &str = "backup-my.cnf";

/// What of a backup is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// The files themselves.
    Present,
    /// A stream.
    Stream,
    /// The metadata of a stream that is in the repository alone.
    Repository,
    /// The metadata of a stream that was forwarded.
    Forwarded,
    /// Nothing.
    Missing,
    /// This user may not look.
    Unknown,
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Stream => "stream",
            Self::Repository => "repository",
            Self::Forwarded => "forwarded",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        }
    }
}

/// All backups.
#[derive(Debug)]
pub(super) struct Backups {
    pub(super) chains: Chains,
    states: HashMap<String, State>,
    encrypted: HashSet<String>,
    verified: kept::All,
    forwarded: HashMap<String, bool>,
    broken: HashMap<String, String>,
}

/// A backup as JSON has it; docs/reference.md says what the fields are.
#[derive(Debug, Serialize)]
pub(super) struct Shown<'a> {
    pub(super) id: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) from_backup_id: Option<&'a str>,
    pub(super) schedule_id: Option<i64>,
    pub(super) start_time: Option<&'a str>,
    pub(super) end_time: Option<&'a str>,
    pub(super) age_seconds: Option<f64>,
    pub(super) duration_seconds: Option<f64>,
    pub(super) size: Option<u64>,
    pub(super) state: State,
    /// Whether its stream is encrypted.
    pub(super) encrypted: bool,
    pub(super) restorable: bool,
    pub(super) problem: Option<&'a str>,
    pub(super) verified: Option<Verified<'a>>,
    pub(super) command_id: Option<&'a str>,
}

/// The last verification of a backup.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Verified<'a> {
    pub(super) when: &'a str,
    pub(super) depth: Depth,
    pub(super) outcome: Outcome,
    pub(super) problems: &'a [String],
}

impl Verified<'_> {
    /// For a person: what is wrong, or how long ago all was well.
    pub(super) fn text(&self, now: Moment) -> String {
        let ago = age(Some(self.when), now).map(Age::ago).unwrap_or_default();
        match (self.outcome, self.depth) {
            (Outcome::Ok, Depth::Content) => ago,
            (Outcome::Ok, Depth::Quick) => format!("{ago}, quick"),
            (Outcome::Ok, Depth::Restore) => format!("{ago}, restored"),
            (Outcome::Damaged, _) => "DAMAGED".to_owned(),
            (Outcome::Broken, _) => "BROKEN".to_owned(),
            (Outcome::Elsewhere, _) => "not here".to_owned(),
            (Outcome::Unchecked, _) => "not checked".to_owned(),
        }
    }
}

impl Backups {
    /// Reads the records and looks at `backup_dir`.
    pub(super) fn look(config: &Config) -> Result<Self, Failure> {
        Self::of(&records(config)?, config, false)
    }

    /// The same, with the records open already; `with_requests` also which request made each.
    pub(super) fn of(reader: &Reader, config: &Config, with_requests: bool) -> Result<Self, Failure> {
        let rows = reader.backups(with_requests).map_err(|why| unread(&why))?;
        // One look at the directory finds what is gone; a folder is looked into once.
        let names = names(&config.backup_dir);
        let state = |row: &BackupRow| match (&names, BackupId::recorded(&row.id)) {
            // A directory that may be passed but not listed.
            (Err(why), Ok(id)) if why.kind() == io::ErrorKind::PermissionDenied => state(&config.backup_dir, &id),
            (Ok(names), Ok(id)) if is_named(names, &id) => state(&config.backup_dir, &id),
            // Nothing is looked for by such an id: its chain says so.
            (_, Err(_)) => (State::Unknown, false),
            (Ok(_) | Err(_), Ok(_)) => (State::Missing, false),
        };
        let (mut states, mut encrypted) = (HashMap::new(), HashSet::new());
        for row in &rows {
            let (state, is_encrypted) = state(row);
            states.insert(row.id.clone(), state);
            if is_encrypted {
                encrypted.insert(row.id.clone());
            }
        }
        let is_streamed =
            states.values().any(|state| matches!(state, State::Stream | State::Repository | State::Forwarded));
        let forwarded = if is_streamed { reader.forwarded().map_err(|why| unread(&why))? } else { HashMap::new() };
        for (id, state) in &mut states {
            // What was stored here and is not here is lost, and not elsewhere.
            if *state == State::Forwarded && forwarded.get(id) == Some(&false) {
                *state = State::Missing;
            }
        }
        let gone = states.iter().filter(|(_, state)| **state == State::Missing).map(|(id, _)| id.clone()).collect();
        let glance = glance(config);
        let chains = Chains::new(rows, gone, |base, child| glance.is_base(base, child));
        let broken = chains.broken().into_iter().map(|(id, why)| (id.to_owned(), why.to_string())).collect();
        Ok(Self { chains, states, encrypted, verified: kept::read(&config.database_path), forwarded, broken })
    }

    /// The backup of this id; by the name of 'latest', should none be called so, the newest whose chain is whole.
    pub(super) fn find(&self, id: &str) -> Option<&BackupRow> {
        self.chains.get(id).or_else(|| self.chains.newest_whole().filter(|_| id == "latest"))
    }

    /// The newest backup that the daemon would take an incremental from.
    pub(super) fn newest_base(&self, config: &Config) -> Option<&BackupRow> {
        let doubt = |row: &BackupRow, base: Option<&BackupRow>| {
            glance::known_damage(row, &self.verified).or_else(|| glance(config).doubt(row, base))
        };
        self.chains.newest_base(doubt)
    }

    /// What becomes of each chain by a rule; `in_use` are those that something works with. What this user may not look at counts for none that
    /// can be restored.
    pub(super) fn by_rule(
        &self,
        rule: Rule,
        now: Moment,
        in_use: &HashSet<String>,
        config: &Config,
    ) -> Vec<Verdict<'_>> {
        self.chains.by_rule(rule, now, |row, base| self.unfit(row, base, config), in_use)
    }

    /// The newest backup that can be restored without any of these.
    pub(super) fn newest_without(&self, gone: &HashSet<&str>, config: &Config) -> Option<&BackupRow> {
        let mut rows: Vec<_> = self.chains.tree().into_iter().map(|node| node.row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.place));
        let is_whole = |row: &&BackupRow| {
            let chain = self.chains.base(&row.id, |row, base| self.unfit(row, base, config));
            chain.is_ok_and(|chain| chain.iter().all(|member| !gone.contains(member.id.as_str())))
        };
        rows.into_iter().find(is_whole)
    }

    /// Why a member of a chain cannot be restored, as far as that can be seen without reading its content.
    fn unfit(&self, row: &BackupRow, base: Option<&BackupRow>, config: &Config) -> Option<Broken> {
        if self.state(&row.id) == State::Unknown {
            return Some(Broken::Unfit { id: row.id.clone(), why: "this user may not look at it".to_owned() });
        }
        glance::known_damage(row, &self.verified).or_else(|| glance(config).doubt(row, base))
    }

    /// What a glance at each member of its chain has against it, beside what all of a list are held against.
    pub(super) fn doubt(&self, row: &BackupRow, config: &Config) -> Option<Broken> {
        self.chains.base(&row.id, |row, base| glance(config).doubt(row, base)).err()
    }

    pub(super) fn state(&self, id: &str) -> State {
        self.states.get(id).copied().unwrap_or(State::Missing)
    }

    /// Whether it was given to `forward`; None if the records do not say.
    pub(super) fn was_forwarded(&self, id: &str) -> Option<bool> {
        self.forwarded.get(id).copied()
    }

    /// Whether it must have a manifest: a stream of ours, or one that had it when it was verified.
    pub(super) fn must_be_sealed(&self, row: &BackupRow) -> bool {
        let kept = self.verified.get(&row.id).filter(|kept| kept.begun == row.start_time);
        self.forwarded.contains_key(&row.id) || kept.is_some_and(|kept| kept.sealed)
    }

    /// All that is known of a backup but what has to be measured.
    pub(super) fn shown<'a>(&'a self, row: &'a BackupRow, now: Moment) -> Shown<'a> {
        let problem = self.broken.get(&row.id);
        Shown {
            id: &row.id,
            kind: if row.from.is_some() { "incremental" } else { "full" },
            from_backup_id: row.from.as_deref(),
            schedule_id: row.schedule_id,
            start_time: row.start_time.as_deref(),
            end_time: row.end_time.as_deref(),
            age_seconds: age(row.start_time.as_deref(), now).map(Age::seconds),
            duration_seconds: took(row.start_time.as_deref(), row.end_time.as_deref()).map(seconds),
            size: row.size,
            encrypted: self.encrypted.contains(&row.id),
            state: self.state(&row.id),
            restorable: problem.is_none(),
            problem: problem.map(String::as_str),
            verified: self.verified(row),
            command_id: row.command_id.as_deref(),
        }
    }

    /// What its last verification came to; one of another backup of the same id counts nothing.
    fn verified(&self, row: &BackupRow) -> Option<Verified<'_>> {
        let kept = self.verified.get(&row.id).filter(|kept| kept.begun == row.start_time)?;
        Some(Verified { when: &kept.when, depth: kept.depth, outcome: kept.outcome, problems: &kept.problems })
    }

    /// How much a backup takes: by the records, or by its files.
    pub(super) fn size(&self, row: &BackupRow, config: &Config) -> Option<u64> {
        let state = self.state(&row.id);
        if state == State::Missing || (row.size.is_some() && state != State::Repository) {
            return row.size;
        }
        let stored = stored::look(&config.backup_dir, &BackupId::recorded(&row.id).ok()?).ok()??;
        match stored {
            Stored::Directory(dir) => tree_size(&dir),
            Stored::Stream(stream) => fs::symlink_metadata(stream.path).ok().map(|file| file.len()),
            Stored::Remote(_, remote) => Some(remote.size),
            Stored::Forwarded(_) => None,
        }
    }
}

fn glance(config: &Config) -> Glance<'_> {
    Glance { backup_dir: &config.backup_dir, flavour: config.flavour }
}

fn names(dir: &Path) -> io::Result<HashSet<String>> {
    let entries = fs::read_dir(dir)?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
}

fn is_named(names: &HashSet<String>, id: &BackupId) -> bool {
    // Where the Go daemon put its streams.
    names.contains(id.as_str()) || Packed::ALL.iter().any(|kind| names.contains(&stream_name(id, *kind)))
}

/// What is there of a backup, and whether its stream is encrypted.
fn state(backup_dir: &Path, id: &BackupId) -> (State, bool) {
    match fs::symlink_metadata(backup_dir.join(id.as_str()).join(OF_A_DIRECTORY)) {
        Ok(_) => return (State::Present, false),
        Err(why) if why.kind() == io::ErrorKind::PermissionDenied => return (State::Unknown, false),
        Err(_) => {}
    }
    match stored::look(backup_dir, id) {
        Ok(Some(Stored::Directory(_))) => (State::Present, false),
        Ok(Some(Stored::Stream(stream))) => (State::Stream, stream.is_encrypted()),
        Ok(Some(Stored::Remote(stream, _))) => (State::Repository, stream.is_encrypted()),
        Ok(Some(Stored::Forwarded(stream))) => (State::Forwarded, stream.is_encrypted()),
        Ok(None) => (State::Missing, false),
        Err(_) => (State::Unknown, false),
    }
}

/// Whether `dir` is there, for those who follow it growing.
pub(super) fn grown(dir: &Path) -> u64 {
    if disk::is_directory(dir) { tree_size(dir).unwrap_or(0) } else { 0 }
}
