//! `binlog_archive` and what belongs to it.

use std::time::Duration;

use super::raw::Raw;
use super::{Binlogs, Problem};

const KEY: &str = "binlog_archive";
const INTERVAL: &str = "binlog_interval";
const ENCRYPTION: &str = "encrypt_to";

/// How long between two looks at the server's files, where nothing is set, in seconds.
const UNSET: i64 = 60;
/// The longest that it may be, in seconds: a day.
const LONGEST: i64 = 86_400;

impl Raw<'_> {
    /// Whether and how the binary log is archived. None if it is not.
    pub(super) fn binlogs(&self) -> Result<Option<Binlogs>, Problem> {
        // A key that is spelt wrong would leave transactions out of every backup.
        let known = |name: &str| name == KEY || name == INTERVAL;
        if let Some(name) = self.keys_with("binlog_").find(|name| !known(name)) {
            return Err(self.problem(
                name,
                format!("{} is not known", name.escape_debug()),
                format!("write one of {KEY}, {INTERVAL}"),
            ));
        }
        if !self.boolean(KEY, false)? {
            return match self.get(INTERVAL) {
                None => Ok(None),
                Some(_) => Err(self.problem(
                    INTERVAL,
                    format!("{INTERVAL} needs {KEY}: true"),
                    format!("write '{KEY}: true' too, or remove '{INTERVAL}'"),
                )),
            };
        }
        // What is encrypted on its way to the disk would lie beside the same in plain text.
        if self.is_written(ENCRYPTION) {
            return Err(self.problem(
                KEY,
                format!("{KEY}: true beside {ENCRYPTION}, and archived binary logs are not encrypted yet"),
                format!("remove '{KEY}', or '{ENCRYPTION}'"),
            ));
        }
        let seconds = self.integer(INTERVAL, 1, LONGEST)?.unwrap_or(UNSET);
        Ok(Some(Binlogs { interval: Duration::from_secs(seconds.unsigned_abs()) }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    /// What is encrypted would lie beside the same in plain text.
    #[test]
    fn an_archive_that_is_not_encrypted_is_refused_beside_what_is() {
        let least = "db_type: mariadb\nbackup_dir: /b\nstream: true\n";
        let sealed = format!(
            "{least}encrypt_to: [age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj]\nbinlog_archive: "
        );
        let refused = Config::parse(&format!("{sealed}true\n")).unwrap_err();
        let refused = format!("{refused:?}");
        assert!(refused.contains("binlog_archive: true beside encrypt_to"), "{refused}");
        assert!(Config::parse(&format!("{sealed}false\n")).unwrap().binlogs.is_none());
        assert!(Config::parse(&format!("{least}binlog_archive: true\n")).unwrap().binlogs.is_some());
    }
}
