//! What `check` asks the server: whether it lets the daemon in, whether it is the one of the settings, and what of it no backup can do with.

use super::Findings;
use super::data_dir::look_at_data_dir;
use crate::cli::operator::backups::Backups;
use crate::config::Config;
use crate::disk;
use crate::exec::{LocalExecutor, Outcome, ask};
use crate::model::{Flavour, Version};
use crate::repository::card::Card;
use crate::repository::history;
use crate::server::probe::{self, ANSWER_WITHIN, Ping};
use crate::server::{BINLOG_ENGINE, LOG_ARCHIVE, Server, answer};

/// `tool` is the series of the backup tool, if it is known.
pub(super) async fn look_at_server(config: &Config, bin: &str, tool: Option<Version>, findings: &mut Findings) {
    match probe::ping(&LocalExecutor, config).await {
        Err(_already_said) => return,
        Ok(Ping::Up) => findings.good("the server answers"),
        Ok(Ping::Down) => {
            return findings
                .problem("no server answers", "start the server, or set socket or host in the credentials file");
        }
        Ok(Ping::Other(reason)) => {
            let hint = answer::hint(&reason);
            return findings
                .problem(format!("whether a server runs is not known: the admin tool says '{reason}'"), hint);
        }
        Ok(Ping::Unknown) => {
            return findings.problem(
                "the server does not answer within 3 s, or the admin tool does not say why not",
                "look at the server's own log",
            );
        }
    }
    // A ping is content with a wrong password; a backup is not. An account whose password has expired is told so on stdout, with status 0
    // (seen with 10.11.19).
    match ask(&LocalExecutor, &probe::status(bin, config), ANSWER_WITHIN).await {
        Ok(Some(said)) if said.outcome() == Outcome::Exited(0) && said.stdout.text.contains("Uptime:") => {
            findings.good("the server accepts the credentials");
            look_at_its_places(config, tool, findings).await;
        }
        Ok(Some(said)) => {
            let told = [said.stderr(), said.stdout.text.clone()].map(|text| answer::reason(&text));
            let reason = told.into_iter().find(|reason| !reason.is_empty());
            let reason = reason.unwrap_or_else(|| "it does not say why".to_owned());
            findings.problem(format!("the server does not accept the credentials: {reason}"), answer::hint(&reason));
        }
        Ok(None) | Err(_) => findings.problem("the server does not answer within 3 s", "look at the server's own log"),
    }
}

/// Whether it is the server of the settings, and where it keeps what is not in its data directory.
async fn look_at_its_places(config: &Config, tool: Option<Version>, findings: &mut Findings) {
    let server = match probe::server(&LocalExecutor, config, ANSWER_WITHIN).await {
        Ok(Ok(server)) => server,
        Ok(Err(why)) => {
            let hint = "every backup asks it for its variables: look at the server's own log";
            return findings.problem(format!("the server does not name its data directory: {why}"), hint);
        }
        Err(_already_said) => return,
    };
    let (its, own) = (server.data_dir.display(), config.data_dir.display());
    if !disk::is_same(&server.data_dir, &config.data_dir) {
        return findings.problem(
            format!("the server that answers has its data in '{its}', but data_dir is '{own}'"),
            format!(
                "set data_dir to '{its}', or point socket, host or port in the credentials file at the other server"
            ),
        );
    }
    findings.good(format!("the server has its data in '{own}'"));
    look_at_its_host(config, &server, findings).await;
    look_at_its_version(config, &server, tool, findings);
    look_at_what_is_new(&server, findings);
    super::binlogs::look_at_the_server(config, &server, findings);
    look_at_data_dir(&config.data_dir, &server, findings);
    for place in server.outside() {
        findings.good(format!(
            "{} points to '{}': a database restore puts files there too",
            place.option,
            place.dir.display()
        ));
    }
    let marks = config.data_dir.join(history::PLACE);
    if let Err(why) = disk::is_writable(&marks)
        && why.kind() != std::io::ErrorKind::NotFound
    {
        findings.warning(
            format!("no mark can be written to '{}': {why}", marks.display()),
            "run the daemon as the server's user: without marks it cannot check an incremental against the server's history",
        );
    }
}

/// The backup tool copies what lies in that directory here, whichever host the server is on: from one on another host, whose directory has the
/// same name, it gets locks and LSNs, and may say success of a copy of this host's files (seen with mariadb-backup 10.11.19).
async fn look_at_its_host(config: &Config, server: &Server, findings: &mut Findings) {
    let Some(host) = server.other_host() else { return };
    let hint = "point host, in the settings or the credentials file, at the server on this host";
    let text = format!("the server that answers runs on host '{host}'");
    match probe::works_here(&LocalExecutor, config, server, ANSWER_WITHIN).await {
        Ok(Some(true)) => findings.good(format!("{text}, with the files here")),
        Ok(Some(false)) => findings.problem(format!("{text}, with other files than those here"), hint),
        Ok(None) | Err(_) => {
            findings.warning(format!("{text}: the tool copies the files here, which may be another server's"), hint);
        }
    }
}

/// Whether the backup tool is of the server's series; see [`Flavour::fits`].
fn look_at_its_version(config: &Config, server: &Server, tool: Option<Version>, findings: &mut Findings) {
    let (Some(tool), Some(version)) = (tool, Version::parse(&server.version)) else { return };
    if config.flavour.fits(tool, version) {
        return;
    }
    let text = format!("the backup tool is of series {tool} and the server of {version}");
    let hint = format!("install {} of the server's series, or set backup_bin", config.flavour.tool().package);
    match config.flavour {
        Flavour::MySql => findings.problem(text, hint),
        // Neighbours often fit, and it is the vendor that asks for the same.
        Flavour::MariaDb => findings.warning(text, format!("{hint}; then take a full backup")),
    }
}

/// Whether the newest backup that can be a base was taken with a tool of another series: an incremental on it fails with a last line that says
/// nothing of that (seen with a base of mariadb-backup 10.11 and 11.8's tool).
pub(super) fn look_at_the_base(config: &Config, tool: Version, findings: &mut Findings) {
    let Ok(all) = Backups::look(config) else { return };
    let Some(base) = all.newest_base(config) else { return };
    let card = Card::read(&config.backup_dir.join(&base.id)).ok().flatten();
    if let Some(series) = card.and_then(|card| Version::parse(&card.tool_version)).filter(|series| *series != tool) {
        findings.warning(
            format!("backup '{}' was taken with the tool of series {series}, and the tool is now of {tool}: an incremental on it may fail", base.id),
            "begin a new chain: dbcalm-db-cmd backup full",
        );
    }
}

/// What newer servers can be told that no backup here was tried with: by MariaDB's documentation.
fn look_at_what_is_new(server: &Server, findings: &mut Findings) {
    let says = |name: &str, value: &str| server.says(name).is_some_and(|said| said.eq_ignore_ascii_case(value));
    if says(LOG_ARCHIVE, "on") {
        findings.problem(
            "innodb_log_archive is ON in the server (from MariaDB 13.0), and mariadb-backup fails with it",
            "SET GLOBAL innodb_log_archive = OFF, and take it out of the server's option file",
        );
    }
    if says(BINLOG_ENGINE, "innodb") {
        findings.warning(
            "binlog_storage_engine is innodb in the server (from MariaDB 12.3): its binary log is part of InnoDB, and backups of such a server are untested",
            "verify one with dbcalm-db-cmd verify latest --restore before you rely on it",
        );
    }
}
