//! The key of a store and its secret: from a file, the environment, or the role that the machine has.

use std::env;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

use super::{BucketError, Class};
use crate::model::Remote;

/// The section of a file that is taken before `[default]`.
const OWN_SECTION: &str = "dbcalm";

/// What of the environment says who we are. With none of them the machine is asked for its role.
const VARIABLES: [&str; 8] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// A key and its secret.
#[derive(PartialEq, Eq)]
struct Key {
    id: String,
    secret: String,
    token: Option<String>,
}

/// Gives a client the secret that it signs with.
pub(super) fn into(builder: AmazonS3Builder, remote: &Remote) -> Result<AmazonS3Builder, BucketError> {
    let Some(file) = &remote.credentials else {
        let set = VARIABLES.into_iter().filter_map(|name| Some((name, env::var(name).ok()?)));
        return Ok(set.fold(builder, |builder, (name, value)| {
            match AmazonS3ConfigKey::from_str(&name.to_ascii_lowercase()) {
                Ok(key) => builder.with_config(key, value),
                Err(_unknown) => builder,
            }
        }));
    };
    let Key { id, secret, token } = read(file)?;
    let builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    Ok(token.into_iter().fold(builder, AmazonS3Builder::with_token))
}

fn read(file: &Path) -> Result<Key, BucketError> {
    let settings = |text: String| BucketError::new(Class::Settings, text);
    let text = fs::read_to_string(file)
        .map_err(|why| settings(format!("repository_credentials_file '{}' cannot be read: {why}", file.display())))?;
    parse(&text)
        .map_err(|missing| settings(format!("repository_credentials_file '{}' has no {missing}", file.display())))
}

/// Reads the file of the command line of AWS: its key and secret, or what is missing (AWS CLI User Guide, "Configuration and credential file
/// settings").
fn parse(text: &str) -> Result<Key, &'static str> {
    let mut sections = vec![(String::new(), Vec::new())];
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            sections.push((name.trim().to_ascii_lowercase(), Vec::new()));
        } else if let (Some((key, value)), Some((_, entries))) = (line.split_once('='), sections.last_mut()) {
            entries.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let named = |wanted: &str| sections.iter().find(|(name, _)| name == wanted).map(|(_, entries)| entries);
    let entries = named(OWN_SECTION).or_else(|| named("default")).ok_or("section [dbcalm] or [default]")?;
    let value = |key: &str| {
        entries.iter().find(|(name, value)| name == key && !value.is_empty()).map(|(_, value)| value.clone())
    };
    Ok(Key {
        id: value("aws_access_key_id").ok_or("aws_access_key_id in its section")?,
        secret: value("aws_secret_access_key").ok_or("aws_secret_access_key in its section")?,
        token: value("aws_session_token"),
    })
}

#[cfg(test)]
mod tests {
    use super::{Key, parse};

    fn read(text: &str) -> Result<(String, String, Option<String>), &'static str> {
        parse(text).map(|Key { id, secret, token }| (id, secret, token))
    }

    #[test]
    fn a_file_has_a_key_and_its_secret() {
        let default = "[default]\naws_access_key_id = A\naws_secret_access_key=b/c=d\n";
        assert_eq!(read(default), Ok(("A".to_owned(), "b/c=d".to_owned(), None)));
        let both = format!(
            "# ours\n{default}[DBCalm]\n; x\nAWS_ACCESS_KEY_ID = B\naws_secret_access_key = s\naws_session_token = t\n"
        );
        assert_eq!(read(&both), Ok(("B".to_owned(), "s".to_owned(), Some("t".to_owned()))));
    }

    #[test]
    fn what_a_file_lacks_is_said() {
        assert_eq!(read("aws_access_key_id = A\n"), Err("section [dbcalm] or [default]"));
        assert_eq!(read("[default]\naws_secret_access_key = s\n"), Err("aws_access_key_id in its section"));
        assert_eq!(
            read("[default]\naws_access_key_id = A\naws_secret_access_key =\n"),
            Err("aws_secret_access_key in its section")
        );
    }
}
