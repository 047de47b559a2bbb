//! Whether the repository can be used: reached, written, read, listed, and what may be removed there.

use std::os::unix::fs::PermissionsExt;

use super::super::backups::{Backups, State};
use super::Findings;
use crate::bucket::{Bucket, BucketError, Class, Patience};
use crate::config::{Config, Repository};
use crate::records::reader::BackupRow;
use crate::repository::note::Note;

/// The object that is written, read and removed to see whether that may be: beside the backups, under a name that none of them has.
const PROBE: &str = ".check";

/// Tries what a backup, a restore and a removal do there.
pub(super) fn look(config: &Config, findings: &mut Findings) {
    let Some(repository) = &config.repository else { return };
    look_at_settings(repository, findings);
    look_at_what_is_unsent(config, findings);
    let bucket = match Bucket::open(&repository.remote, Patience::SHORT) {
        Ok(bucket) => bucket,
        Err(why) => {
            return findings
                .problem(format!("the repository {}: {why}", repository.remote), "mend the settings: docs/offsite.md");
        }
    };
    match attempts(&bucket) {
        Ok(Tried { heeded, removed }) => {
            findings.good(format!("the repository {} can be reached, written, listed and read", repository.remote));
            if !heeded {
                findings.warning(
                    "the store does not heed If-None-Match, as Ceph's gateway does not in a bucket with versions: two hosts that take one id in the same moment are not told",
                    "give each host a prefix of its own: repository: s3://bucket/host",
                );
            }
            match removed {
                Ok(()) => findings.good("what is in the repository may be removed by this key, as remove needs it"),
                Err(why) if why.class == Class::Denied => findings.good(
                    "what is in the repository may not be removed by this key: whoever has it destroys nothing, and remove only says what it leaves",
                ),
                Err(why) => findings.warning(format!("the repository {}: {why}", repository.remote), "remove may fail as long as that is so"),
            }
        }
        Err(why) => findings.problem(
            format!("the repository {}: {why}", repository.remote),
            if repository.keep_local {
                "backups stay here alone until this is mended: docs/offsite.md"
            } else {
                "no backup can be taken until this is mended: docs/offsite.md"
            },
        ),
    }
}

/// What came of it.
struct Tried {
    /// Whether a key is taken once.
    heeded: bool,
    /// Whether this key may remove.
    removed: Result<(), BucketError>,
}

/// Does each.
fn attempts(bucket: &Bucket) -> Result<Tried, BucketError> {
    let key = format!("{}{PROBE}/object", bucket.remote().root());
    let text = uuid::Uuid::new_v4().to_string();
    bucket.put(&key, text.as_bytes())?;
    if bucket.read(&key, 1024)?.as_deref() != Some(text.as_bytes()) {
        return Err(BucketError::new(Class::Broken, format!("'{key}' was written, and is read as something else")));
    }
    let heeded = match bucket.put_new(&key, b"another") {
        Ok(()) => false,
        Err(why) if why.class == Class::Taken => true,
        Err(why) => return Err(why),
    };
    bucket.names(&bucket.remote().root())?;
    bucket.uploads(&bucket.remote().root())?;
    Ok(Tried { heeded, removed: bucket.remove(&key) })
}

/// What is here and should be there too.
fn look_at_what_is_unsent(config: &Config, findings: &mut Findings) {
    // That the records cannot be read is said elsewhere.
    if !config.database_path.exists() {
        return;
    }
    let Ok(all) = Backups::look(config) else { return };
    let is_unsent = |row: &&BackupRow| {
        all.state(&row.id) == State::Stream && Note::read(&config.backup_dir.join(&row.id)).is_none()
    };
    let tree = all.chains.tree();
    let unsent = tree.iter().map(|node| node.row).filter(is_unsent).map(|row| row.id.as_str()).collect::<Vec<_>>();
    let Some(first) = unsent.first() else { return };
    let named = if unsent.len() == 1 {
        format!("'{first}' is")
    } else {
        format!("{} backups are, '{first}' among them,", unsent.len())
    };
    findings.warning(
        format!("{named} not in the repository yet"),
        "the daemon sends them as soon as that works: its log says why it did not",
    );
}

fn look_at_settings(repository: &Repository, findings: &mut Findings) {
    let remote = &repository.remote;
    let is_near = |endpoint: &str| {
        ["http://localhost", "http://127.", "http://[::1]"].iter().any(|near| endpoint.starts_with(near))
    };
    if let Some(endpoint) =
        remote.endpoint.as_deref().filter(|endpoint| endpoint.starts_with("http://") && !is_near(endpoint))
    {
        findings.warning(
            format!("repository_endpoint '{endpoint}' is not encrypted: whoever is on the way reads the backups"),
            "write https:// and, for a certificate of your own, repository_ca",
        );
    }
    let Some(file) = &remote.credentials else { return };
    let mode = std::fs::metadata(file).map(|there| there.permissions().mode()).unwrap_or_default();
    if mode & 0o077 != 0 {
        findings.warning(
            format!(
                "repository_credentials_file '{}' may be read by others than its owner (mode {:04o})",
                file.display(),
                mode & 0o7777
            ),
            format!("chmod 600 {}", crate::model::quoted(&file.display().to_string())),
        );
    }
}
