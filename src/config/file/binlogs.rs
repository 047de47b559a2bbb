//! `binlog_archive` and what belongs to it.

use std::time::Duration;

use super::raw::Raw;
use super::{Binlogs, Problem};

const KEY: &str = "binlog_archive";
const INTERVAL: &str = "binlog_interval";

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
        let seconds = self.integer(INTERVAL, 1, LONGEST)?.unwrap_or(UNSET);
        Ok(Some(Binlogs { interval: Duration::from_secs(seconds.unsigned_abs()) }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn half_of_the_archives_settings_is_told() {
        let said = |text: &str| match Config::parse(&format!("db_type: mariadb\nbackup_dir: /b\n{text}")) {
            Ok(config) => format!("{:?}", config.binlogs.map(|binlogs| binlogs.interval)),
            Err(problem) => format!("line {}: {}; {}", problem.line.unwrap_or_default(), problem.text, problem.hint),
        };
        let sealed = "stream: true\nencrypt_to: age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj\n";
        let told = [
            String::new(),
            "binlog_archive: false\n".to_owned(),
            "binlog_archive: true\n".to_owned(),
            format!("{sealed}binlog_archive: true\nbinlog_interval: 5\n"),
            "binlog_archive: maybe\n".to_owned(),
            "binlog_interval: 5\n".to_owned(),
            "binlog_archive: true\nbinlog_interval: 0\n".to_owned(),
            "binlog_archive: true\nbinlog_interval: 86401\n".to_owned(),
            "binlog_archives: true\n".to_owned(),
        ]
        .map(|text| said(&text));
        insta::assert_snapshot!(told.join("\n"), @r"
        None
        None
        Some(60s)
        Some(5s)
        line 3: binlog_archive must be true or false; write 'binlog_archive: true' or 'binlog_archive: false'
        line 3: binlog_interval needs binlog_archive: true; write 'binlog_archive: true' too, or remove 'binlog_interval'
        line 4: binlog_interval must be a whole number from 1 to 86400; write 'binlog_interval: 1', or leave it out for the default
        line 4: binlog_interval must be a whole number from 1 to 86400; write 'binlog_interval: 1', or leave it out for the default
        line 3: binlog_archives is not known; write one of binlog_archive, binlog_interval
        ");
    }
}
