//! What leads every tool to one server: the backup tool and the admin tool must reach the same.

use std::path::Path;

use crate::config::Config;

/// Arguments that every call to a server begins with.
pub fn login(credentials: &Path) -> [String; 2] {
    [format!("--defaults-file={}", credentials.display()), "--defaults-group-suffix=-dbcalm".to_owned()]
}

/// Where every tool finds the server, if the settings say so: a ping of one server proves nothing of another.
pub fn host(config: &Config) -> Option<String> {
    config.host.as_ref().map(|host| format!("--host={host}"))
}
