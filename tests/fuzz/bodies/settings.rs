//! A settings file of any text.
//!
//! Holds that it gives settings that can be used, or says what is wrong and what to write, in one line; and that what the API
//! keeps in the same file for itself is in no such line.

use std::path::Path;

use dbcalm_db_cmd::config::{Config, ConfigError};
use dbcalm_db_cmd::fuzzing;

/// A value of one of the API's keys.
const SECRET: &str = "qVx7Secret7xVq";

pub(crate) fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if text.contains(SECRET) {
        return;
    }
    let line = format!("jwt_secret_key: {SECRET}\n");
    judge(&fuzzing::settings(&match input.len() % 3 {
        0 => text.into_owned(),
        1 => format!("{line}{text}"),
        _ => format!("{text}\n{line}"),
    }));
}

fn judge(settings: &Result<Config, ConfigError>) {
    match settings {
        Ok(config) => {
            let Config { backup_dir, credentials, backup_bin, admin_bin, data_dir, database_path, log_file, .. } =
                &config;
            let all = [backup_dir, credentials, data_dir, database_path, log_file];
            for path in all.into_iter().chain(backup_bin).chain(admin_bin) {
                usable(path);
            }
            assert!(
                config.host.as_ref().is_none_or(
                    |host| !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control())
                )
            );
            assert!(!format!("{config:?}").contains(SECRET), "{config:?}");
        }
        Err(why) => {
            for text in [dbcalm_db_cmd::model::causes(why), why.hint().to_owned(), format!("{why:?}")] {
                assert!(!text.is_empty() && !text.contains(SECRET), "{text}");
                assert!(!text.contains(char::is_control), "more than a line: {text:?}");
            }
        }
    }
}

fn usable(path: &Path) {
    let text = path.to_str().unwrap();
    assert!(path.is_absolute() && !text.contains(char::is_control), "{text:?}");
    assert!(text == "/" || !text.ends_with('/'), "{text:?}");
}
