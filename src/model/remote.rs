//! A repository in an object store: where it is and how it is reached. No secret is in it, only where one is found.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::BackupId;

/// What an address begins with.
const SCHEME: &str = "s3://";

/// The layout of keys, the first part behind the prefix: what comes later under another number disturbs no reader of this one.
const LAYOUT: &str = "v1";

/// The longest prefix, in bytes: a key has at most 1,024 (Amazon S3 User Guide, "Naming Amazon S3 objects"), and an id and a name come after it.
const MAX_PREFIX: usize = 512;

/// A repository in a store of S3's kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// The bucket's name.
    pub bucket: String,
    /// What all keys begin with, without a `/` at its ends. Empty if there is none.
    pub prefix: String,
    /// The store's address, as `https://host:port`. None for Amazon's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region that requests are signed for. None for `us-east-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether the bucket stands in the path (`https://host/bucket`) and not in the host's name (`https://bucket.host`).
    pub path_style: bool,
    /// A file of certificates that are trusted beside the system's: a setting, in no note of where a backup lies.
    #[serde(skip)]
    pub ca: Option<PathBuf>,
    /// The file that has the key and its secret: a setting too. None if the environment has them, or the machine's role.
    #[serde(skip)]
    pub credentials: Option<PathBuf>,
}

/// Why a text is no address of a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// It does not begin with `s3://`.
    #[error("does not begin with {SCHEME}")]
    Scheme,
    /// No bucket can have this name.
    #[error("has no name of a bucket behind {SCHEME}: 3 to 63 of a-z, 0-9, '.' and '-'")]
    Bucket,
    /// Keys should not begin like this.
    #[error(
        "has a prefix that cannot be used: at most {MAX_PREFIX} of A-Z a-z 0-9 . _ - in parts between '/', none of them '.' or '..'"
    )]
    Prefix,
}

/// Reads `s3://bucket/prefix`: the bucket and the prefix.
///
/// # Errors
/// It is none.
pub fn parse_address(text: &str) -> Result<(String, String), BadAddress> {
    let rest = text.strip_prefix(SCHEME).ok_or(BadAddress::Scheme)?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_bucket = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(is_bucket) {
        return Err(BadAddress::Bucket);
    }
    let prefix = prefix.trim_matches('/');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(is_plain);
    if prefix.len() > MAX_PREFIX || !(prefix.is_empty() || prefix.split('/').all(is_part)) {
        return Err(BadAddress::Prefix);
    }
    Ok((bucket.to_owned(), prefix.to_owned()))
}

impl Remote {
    /// It as the arguments of a hidden step.
    pub fn args(&self) -> Vec<String> {
        let mut args = vec![format!("--repository={self}")];
        args.extend(self.endpoint.iter().map(|endpoint| format!("--endpoint={endpoint}")));
        args.extend(self.region.iter().map(|region| format!("--region={region}")));
        args.extend(self.path_style.then(|| "--path-style".to_owned()));
        args.extend(self.ca.iter().map(|ca| format!("--ca={}", ca.display())));
        args.extend(self.credentials.iter().map(|file| format!("--credentials-file={}", file.display())));
        args
    }

    /// The key below which all backups are, with a `/` at its end.
    pub fn root(&self) -> String {
        if self.prefix.is_empty() { format!("{LAYOUT}/") } else { format!("{}/{LAYOUT}/", self.prefix) }
    }

    /// The key below which archived binary logs are, with a `/` at its end; no backup's id begins with `.`.
    pub fn binlogs(&self) -> String {
        format!("{}.binlogs/", self.root())
    }

    /// The key below which everything of a backup is, with a `/` at its end.
    pub fn of(&self, id: &BackupId) -> String {
        format!("{}{id}/", self.root())
    }

    /// The key of what a backup says of itself, without which there is none.
    pub fn card(&self, id: &BackupId) -> String {
        format!("{}backup.json", self.of(id))
    }

    /// The key of a file of the backup whose own uuid this is.
    pub fn file(&self, id: &BackupId, uuid: &str, name: &str) -> String {
        format!("{}{uuid}/{name}", self.of(id))
    }

    /// How a backup is reached that was sent to `place`: as the settings say, with the place that was noted.
    #[must_use]
    pub fn reaching(&self, place: &Self) -> Self {
        if self.is_same_place(place) {
            return self.clone();
        }
        Self { ca: self.ca.clone(), credentials: self.credentials.clone(), ..place.clone() }
    }

    /// Whether both are the same place, however it is reached.
    pub fn is_same_place(&self, other: &Self) -> bool {
        (&self.bucket, &self.prefix, &self.endpoint) == (&other.bucket, &other.prefix, &other.endpoint)
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Remote, parse_address};

    fn remote(text: &str) -> Remote {
        let (bucket, prefix) = parse_address(text).unwrap();
        Remote { bucket, prefix, endpoint: None, region: None, path_style: false, ca: None, credentials: None }
    }

    #[test]
    fn an_address_is_a_bucket_and_a_prefix() {
        for (text, same) in [
            ("s3://backups", "s3://backups"),
            ("s3://backups/", "s3://backups"),
            ("s3://my.backups-1/a/b_c/", "s3://my.backups-1/a/b_c"),
        ] {
            assert_eq!(remote(text).to_string(), same);
        }
    }

    #[test]
    fn what_is_no_address_is_said() {
        let said = |text: &str| parse_address(text).unwrap_err().to_string();
        insta::assert_snapshot!(
            ["backups", "S3://backups", "s3://", "s3://ab", "s3://Backups", "s3://b_c", "s3://key:secret@b", "s3://abc/a//b", "s3://abc/../x", "s3://abc/a b"]
                .map(|text| format!("{text}: {}", said(text)))
                .join("\n"),
            @r"
        backups: does not begin with s3://
        S3://backups: does not begin with s3://
        s3://: has no name of a bucket behind s3://: 3 to 63 of a-z, 0-9, '.' and '-'
        s3://ab: has no name of a bucket behind s3://: 3 to 63 of a-z, 0-9, '.' and '-'
        s3://Backups: has no name of a bucket behind s3://: 3 to 63 of a-z, 0-9, '.' and '-'
        s3://b_c: has no name of a bucket behind s3://: 3 to 63 of a-z, 0-9, '.' and '-'
        s3://key:secret@b: has no name of a bucket behind s3://: 3 to 63 of a-z, 0-9, '.' and '-'
        s3://abc/a//b: has a prefix that cannot be used: at most 512 of A-Z a-z 0-9 . _ - in parts between '/', none of them '.' or '..'
        s3://abc/../x: has a prefix that cannot be used: at most 512 of A-Z a-z 0-9 . _ - in parts between '/', none of them '.' or '..'
        s3://abc/a b: has a prefix that cannot be used: at most 512 of A-Z a-z 0-9 . _ - in parts between '/', none of them '.' or '..'
        "
        );
    }

    #[test]
    fn keys_lie_below_the_prefix_and_the_backups_own_uuid() {
        let id = "monday".parse().unwrap();
        let remote = remote("s3://backups/db1");
        assert_eq!(remote.card(&id), "db1/v1/monday/backup.json");
        assert_eq!(remote.file(&id, "u", "x"), "db1/v1/monday/u/x");
        assert_eq!(self::remote("s3://backups").root(), "v1/");
    }
}
