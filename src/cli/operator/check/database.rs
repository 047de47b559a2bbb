//! Whether the database can be used, and for which API its records are written.

use std::path::Path;

use super::Findings;
use crate::cli::operator::unreadable::database_hint;
use crate::config::Config;
use crate::disk;
use crate::model::{Api, word};
use crate::records::reader::Reader;

/// The two APIs read one word of the records differently, and the layout of the tables cannot please both.
fn look_at_the_reader(config: &Config, findings: &mut Findings) {
    let told = Reader::open(&config.database_path).and_then(|reader| reader.reader_of(config.records_for));
    let (told, misspelt) = match told {
        Ok(told) => told,
        Err(why) => {
            return findings.warning(
                format!("for which API the records are cannot be told: {}", crate::model::causes(&why)),
                "set records_for to python or go",
            );
        }
    };
    let (api, name) = (told.api.title(), told.api.name());
    findings.good(format!("the records are written for the {api} API: {}", told.by));
    if misspelt > 0 {
        let spelt = if told.api == Api::Go { "lower" } else { "upper" };
        findings.warning(
            format!("{misspelt} restores are recorded in the words of the other API, which the {api} API does not know"),
            format!(
                "is it the {api} API that reads them (else set records_for)? sqlite3 {} \"UPDATE restore SET target = {spelt}(target)\"; set \
                 records_for: {name} before a database is made anew",
                word(&config.database_path.display().to_string())
            ),
        );
    }
}

/// Looks, and makes nothing: the check may run as another user than the daemon.
pub(super) fn look_at_database(config: &Config, findings: &mut Findings) {
    let path = &config.database_path;
    if !path.exists() {
        let parent = path.parent().unwrap_or(Path::new("/"));
        return match disk::is_writable(parent) {
            Ok(()) => {
                let api = config.records_for.unwrap_or(Api::Python).title();
                findings.good(format!(
                    "database '{}' will be created, as the {api} API creates it (set records_for if the other API reads it)",
                    path.display()
                ));
            }
            Err(why) => findings.problem(
                format!("database '{}' cannot be created: {why}", path.display()),
                if parent.is_dir() {
                    database_hint(path)
                } else {
                    format!("create '{}', writable by the daemon's user", parent.display())
                },
            ),
        };
    }
    match crate::records::try_write(path) {
        Ok(()) => {
            findings.good(format!("database '{}' can be written", path.display()));
            look_at_the_reader(config, findings);
        }
        Err(why) => findings
            .problem(format!("database '{}': {}", path.display(), crate::model::causes(&why)), database_hint(path)),
    }
}
