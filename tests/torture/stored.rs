//! A stored backup, looked at as an operator would who has no daemon: `sha256sum`, and the checkpoints as text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::harness::{program, world};

/// The manifest of a backup.
pub(super) const MANIFEST: &str = "dbcalm.sha256";

/// Looks whether the backup in `dir`, taken from the one in `base`, is whole. Gives its manifest: as long as that stays the same
/// and fits, the backup is byte-identical. Where there is a bucket, the stream may be there alone.
pub(crate) fn examine(dir: &Path, base: Option<&Path>, has_bucket: bool) -> Result<Vec<u8>, String> {
    let manifest = fs::read(dir.join(MANIFEST)).map_err(|why| format!("its manifest: {why}"))?;
    let mut check = program("sha256sum");
    check.args(["--check", "--quiet", "--strict", MANIFEST]).args(has_bucket.then_some("--ignore-missing"));
    let said = check.current_dir(dir).output().unwrap();
    if !said.status.success() {
        let text = [said.stdout, said.stderr].concat();
        return Err(format!("sha256sum --check says {}", String::from_utf8_lossy(&text).trim()));
    }
    let text = String::from_utf8_lossy(&manifest);
    let mut named: BTreeSet<&str> = text.lines().filter_map(|line| Some(line.split_once("  ")?.1)).collect();
    let found = world::files(dir).map_err(|why| why.to_string())?;
    let is_of_it = |name: &&str| *name != MANIFEST && !(has_bucket && *name == "repository.json");
    let found: BTreeSet<&str> = found.iter().map(String::as_str).filter(is_of_it).collect();
    if has_bucket {
        named.retain(|name| !name.contains(".xbstream") || found.contains(name));
    }
    if named != found {
        return Err(format!("its manifest names {named:?} where there is {found:?}"));
    }
    let (own, earlier) = (checkpoints(dir)?, base.map(checkpoints).transpose()?);
    let wanted = match &earlier {
        None => ("full-backuped", 0),
        Some(base) => ("incremental", base.number("to_lsn")?),
    };
    let is = (own.word("backup_type")?, own.number("from_lsn")?);
    if is != wanted {
        return Err(format!("its checkpoints say {is:?} where {wanted:?} was expected"));
    }
    if own.number("last_lsn")? < own.number("to_lsn")? {
        return Err("its last_lsn is before its to_lsn".to_owned());
    }
    Ok(manifest)
}

/// The lines of a checkpoints file.
struct Checkpoints(BTreeMap<String, String>);

fn checkpoints(dir: &Path) -> Result<Checkpoints, String> {
    let names = ["xtrabackup_checkpoints", "mariadb_backup_checkpoints"];
    let text = names.iter().find_map(|name| fs::read_to_string(dir.join(name)).ok());
    let text = text.ok_or_else(|| format!("'{}' has no checkpoints", dir.display()))?;
    let pairs = text.lines().filter_map(|line| line.split_once(" = "));
    Ok(Checkpoints(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()))
}

impl Checkpoints {
    fn word(&self, key: &str) -> Result<&str, String> {
        self.0.get(key).map(String::as_str).ok_or_else(|| format!("its checkpoints have no {key}"))
    }

    fn number(&self, key: &str) -> Result<u64, String> {
        self.word(key)?.parse().map_err(|_no_number| format!("its checkpoints have no number as {key}"))
    }
}
