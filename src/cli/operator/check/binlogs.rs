//! What `check` says of the archive of the binary log.

use std::path::Path;
use std::time::Duration;

use super::Findings;
use crate::binlog::archive::Archive;
use crate::binlog::line;
use crate::binlog::source::Source;
use crate::cli::operator::output::{Age, age, span};
use crate::config::Config;
use crate::model::{Moment, causes};
use crate::server::{BINLOG_CHECKSUM, BINLOG_EXPIRY, Server};

/// How many intervals the archive may be behind before somebody is told.
const BEHIND: u32 = 3;
/// And how much more, for what a pass takes.
const AND: Duration = Duration::from_secs(30);

/// Whether the server's binary log can be archived.
pub(super) fn look_at_the_server(config: &Config, server: &Server, findings: &mut Findings) {
    let Some(binlogs) = config.binlogs else { return };
    let source = match Source::of(server) {
        Ok(source) => source,
        Err((text, hint)) => return findings.problem(text, hint),
    };
    let index = source.index.display();
    if let Err(why) = readable(&source.index) {
        return findings.problem(
            format!("the server's list of its binary logs, '{index}', cannot be read: {why}"),
            "run the daemon as the server's user, on the server's host",
        );
    }
    findings.good(format!("the binary log of '{index}' is archived every {}", span(binlogs.interval)));
    if let Some((name, expiry)) = expiry(server).filter(|(_, expiry)| *expiry < binlogs.interval * BEHIND) {
        findings.warning(
            format!("{name} in the server is {}: a binary log may be gone before it is archived", span(expiry)),
            format!("SET GLOBAL {name} to a day at the least, and in the server's option file"),
        );
    }
    if server.says(BINLOG_CHECKSUM).is_some_and(|said| said.eq_ignore_ascii_case("none")) {
        findings.warning(
            "binlog_checksum is NONE in the server: a damaged event is archived as it is",
            "SET GLOBAL binlog_checksum = CRC32",
        );
    }
}

fn readable(index: &Path) -> std::io::Result<()> {
    std::fs::File::open(index).map(drop)
}

/// When the server removes its files of its own accord. None if it does not.
fn expiry(server: &Server) -> Option<(&'static str, Duration)> {
    let [seconds, days] = BINLOG_EXPIRY;
    [(seconds, 1.0), (days, 86_400.0)].into_iter().find_map(|(name, unit)| {
        let number: f64 = server.says(name)?.parse().ok()?;
        (number > 0.0).then(|| Some((name, Duration::try_from_secs_f64(number * unit).ok()?)))?
    })
}

/// How far the archive is in the repository.
fn look_at_the_repository(config: &Config, archive: &Archive, late: Duration, findings: &mut Findings) {
    let Some(repository) = &config.repository else { return };
    let hint = "it is sent as soon as the store takes it; look at the daemon's log: journalctl -u dbcalm-db-cmd";
    let there = match archive.elsewhere() {
        Ok(there) => there,
        Err(why) => return findings.problem(causes(&why), "move this file aside: the archive is sent anew"),
    };
    let (complete, trouble) = there.map(|there| (there.complete, there.trouble)).unwrap_or_default();
    let why = trouble.map(|why| format!(": {why}")).unwrap_or_default();
    match age(complete.as_deref(), Moment::now()) {
        Some(Age::Ago(age)) if age > late => findings.warning(
            format!("the archive of the binary log in {} is {} behind{why}", repository.remote, span(age)),
            hint,
        ),
        Some(_) => findings.good(format!("the archive of the binary log in {} is up to date", repository.remote)),
        None => {
            findings.warning(format!("the archive of the binary log is not in {} yet{why}", repository.remote), hint);
        }
    }
}

/// How far the archive is, and whether something is missing in it.
pub(super) fn look_at_the_archive(config: &Config, findings: &mut Findings) {
    let Some(binlogs) = config.binlogs else { return };
    let archive = Archive::of(&config.backup_dir);
    let looked = match archive.looked() {
        Ok(looked) => looked,
        Err(why) => {
            return findings
                .problem(causes(&why), "move the archive aside: the daemon begins another, and take a full backup");
        }
    };
    let Some(looked) = looked else {
        return findings.warning("no binary log is archived yet", "start the daemon: systemctl start dbcalm-db-cmd");
    };
    let late = binlogs.interval * BEHIND + AND;
    match age(looked.complete.as_deref(), Moment::now()) {
        Some(Age::Ago(age)) if age > late => findings.warning(
            format!(
                "the archive of the binary log is {} behind{}",
                span(age),
                looked.trouble.map(|why| format!(": {why}")).unwrap_or_default()
            ),
            "look at the daemon's log: journalctl -u dbcalm-db-cmd",
        ),
        Some(_) => findings.good("the archive of the binary log is up to date"),
        None => findings.warning(
            format!("the binary log was never archived as a whole: {}", looked.trouble.unwrap_or_default()),
            "look at the daemon's log: journalctl -u dbcalm-db-cmd",
        ),
    }
    look_at_the_repository(config, &archive, late, findings);
    let Some(known) = line::summary(config) else { return };
    let newest = known.timeline.and_then(|number| archive.timeline(number).ok()?);
    if let Some(timeline) = newest
        && known.recoverable_until != known.archived_until
    {
        findings.warning(
            format!(
                "no backup is on the newest timeline of the binary log, which was begun {} UTC because {}",
                timeline.begun, timeline.because
            ),
            "what was committed since cannot be come back to: dbcalm-db-cmd backup full",
        );
    }
}
