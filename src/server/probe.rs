//! Short questions to the tools: which of them is here, does the server answer, is it surely stopped, which version are you?

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

use super::login::{host, login};
use super::tenant::tenant;
use super::{Server, answer, checkpoint, is_asked_for};
use crate::config::Config;
use crate::exec::{CommandExecutor, Invocation, NotStarted, Outcome, ask, ask_selecting};

/// How long an answer may take: 3 s, since a client waits 5.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What a ping found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ping {
    /// A server answered, if only to say that it does not know us.
    Up,
    /// Nobody listens where the server should.
    Down,
    /// The tool did not get through for another reason, in its words; a server may well run.
    Other(String),
    /// No answer in time, or none that says anything: the server's state is not known.
    Unknown,
}

/// The tool that is set; else the first of the usual places that is there.
pub fn find(set: Option<&Path>, candidates: &[&str]) -> Option<String> {
    set.map(PathBuf::from)
        .or_else(|| candidates.iter().map(PathBuf::from).find(|path| path.exists()))
        .map(|path| path.display().to_string())
}

/// Pings the server.
///
/// # Errors
/// There is no admin tool, or it could not be started; the text names it.
pub async fn ping(executor: &dyn CommandExecutor, config: &Config) -> io::Result<Ping> {
    let bin = admin_bin(config)?;
    let finished = ask(executor, &ping_of(&bin, config), ANSWER_WITHIN).await.map_err(io::Error::other)?;
    let Some(finished) = finished else { return Ok(Ping::Unknown) };
    Ok(match finished.outcome() {
        Outcome::Exited(0) => Ping::Up,
        Outcome::Exited(_) => match answer::reason(&finished.stderr()) {
            reason if answer::is_nobody(&reason) => Ping::Down,
            reason if reason.is_empty() => Ping::Unknown,
            reason => Ping::Other(reason),
        },
        Outcome::Signaled(_) | Outcome::Cancelled(_) | Outcome::Unknown => Ping::Unknown,
    })
}

fn admin_bin(config: &Config) -> io::Result<String> {
    find(config.admin_bin.as_deref(), config.flavour.tool().admin_candidates)
        .ok_or_else(|| io::Error::other("no admin tool is installed, and admin_bin is not set"))
}

/// Asks the server what it is and where it keeps its files; where it does not say so `within` that time, the reason in the tool's words.
///
/// # Errors
/// As [`ping`].
pub async fn server(
    executor: &dyn CommandExecutor,
    config: &Config,
    within: Duration,
) -> io::Result<Result<Server, String>> {
    let question = variables(&admin_bin(config)?, config);
    let said = ask_selecting(executor, &question, within, Some(is_asked_for)).await.map_err(io::Error::other)?;
    Ok(match said {
        None => Err(format!("no answer within {} s", within.as_secs())),
        Some(said) if said.outcome() == Outcome::Exited(0) => {
            Server::parse(&said.stdout.text).map_err(|name| format!("it names no {name}"))
        }
        Some(said) => Err(answer::reason(&said.stderr())),
    })
}

/// Whether the server works on the files here, and not on those of a directory of the same name on another host: the LSN of its last checkpoint
/// is that of the redo log here. None if one of the two is not told `within` that time.
///
/// # Errors
/// As [`ping`].
pub async fn works_here(
    executor: &dyn CommandExecutor,
    config: &Config,
    server: &Server,
    within: Duration,
) -> io::Result<Option<bool>> {
    let question = admin(&admin_bin(config)?, config, "extended-status");
    let until = Instant::now() + within;
    let read = || {
        let dir = server.redo_dir();
        async move { timeout_at(until, spawn_blocking(move || checkpoint::last(&dir))).await.ok()?.ok()? }
    };
    for _try in 0..3 {
        let before = read().await;
        let left = until.saturating_duration_since(Instant::now());
        let said = ask_selecting(executor, &question, left, Some(is_checkpoint)).await.map_err(io::Error::other)?;
        let said = said.and_then(|said| said.stdout.text.lines().find_map(super::checkpoint_of));
        let (Some(before), Some(said), Some(after)) = (before, said, read().await) else { return Ok(None) };
        // The server writes the file first, and may do so meanwhile.
        if (before..=after).contains(&said) {
            return Ok(Some(true));
        }
    }
    Ok(Some(false))
}

fn is_checkpoint(line: &[u8]) -> bool {
    super::checkpoint_of(&String::from_utf8_lossy(line)).is_some()
}

/// Why the server is not surely stopped: one answers, or works in `data_dir` behind another socket, or may. None if it surely is. What cannot be
/// found out is a reason too.
///
/// # Errors
/// As [`ping`].
pub async fn not_stopped(
    executor: &dyn CommandExecutor,
    config: &Config,
    data_dir: &Path,
) -> io::Result<Option<String>> {
    Ok(match ping(executor, config).await? {
        Ping::Down => held(config, data_dir).await,
        Ping::Up => Some("it answers".to_owned()),
        Ping::Other(reason) => Some(format!("the admin tool says '{reason}'")),
        Ping::Unknown => Some(format!("no answer within {} s, or none that says anything", ANSWER_WITHIN.as_secs())),
    })
}

/// Why a half filled data directory is not to be emptied again: a server answers, or a process works there, or may. None if surely none does.
/// What else the admin tool says, or does not say in time, tells nothing here: at a start the network may not be up yet, after a failure the
/// machine may be busy, and a directory that stays half filled is a harm of its own.
///
/// # Errors
/// As [`ping`].
pub async fn in_use(executor: &dyn CommandExecutor, config: &Config, data_dir: &Path) -> io::Result<Option<String>> {
    Ok(match ping(executor, config).await? {
        Ping::Up => Some("it answers".to_owned()),
        Ping::Down | Ping::Other(_) | Ping::Unknown => held(config, data_dir).await,
    })
}

/// Which process works in the data directory, or may. None if surely none does.
async fn held(config: &Config, data_dir: &Path) -> Option<String> {
    let (dir, servers) = (data_dir.to_owned(), config.flavour.tool().servers);
    let look = spawn_blocking(move || tenant(&dir, servers));
    match timeout(ANSWER_WITHIN, look).await {
        Ok(Ok(tenant)) => tenant.map(|tenant| tenant.to_string()),
        // A directory on a disk that does not answer may be anybody's.
        Ok(Err(_)) | Err(_) => Some(format!("'{}' does not answer", data_dir.display())),
    }
}

/// Asks the tool at `bin` for its version: what it says, which is empty if it says nothing `within` that time.
///
/// # Errors
/// The tool could not be started.
pub async fn version(executor: &dyn CommandExecutor, bin: &str, within: Duration) -> Result<String, NotStarted> {
    let finished = ask(executor, &Invocation::new(bin, ["--version".to_owned()]), within).await?;
    // mariadb-backup says it on stderr (10.5.23, 10.11.19, 11.8.6), the admin tools on stdout.
    Ok(finished.map(|said| format!("{}{}", said.stderr(), said.stdout.text)).unwrap_or_default())
}

/// The question whether the server answers; its exit status 0 says so even where the password is wrong.
fn ping_of(bin: &str, config: &Config) -> Invocation {
    admin(bin, config, "ping")
}

/// A question that only a login answers.
pub fn status(bin: &str, config: &Config) -> Invocation {
    admin(bin, config, "status")
}

/// The question what the server's settings are, all of them.
fn variables(bin: &str, config: &Config) -> Invocation {
    admin(bin, config, "variables")
}

fn admin(bin: &str, config: &Config, question: &str) -> Invocation {
    let mut args = login(&config.credentials).to_vec();
    args.extend(host(config));
    // What leads the backup tool to the server leads every tool there.
    args.extend(config.server_options().map(str::to_owned));
    args.push(question.to_owned());
    Invocation::new(bin, args)
}

#[cfg(test)]
mod tests {
    use super::{ping_of, variables};
    use crate::config::Config;

    #[test]
    fn every_tool_is_led_to_the_same_server() {
        let config = |lines: &str| Config::parse(&format!("db_type: mariadb\nbackup_dir: /b\n{lines}")).unwrap();
        let login = "--defaults-file=/etc/dbcalm/credentials.cnf --defaults-group-suffix=-dbcalm";
        let said = |lines: &str| ping_of("admin", &config(lines)).args.join(" ");
        assert_eq!(said(""), format!("{login} ping"));
        assert_eq!(said("host: db.example\n"), format!("{login} --host=db.example ping"));
        let options = "backup_options: [--throttle=9, --port=3317, --socket=/run/two.sock]\n";
        assert_eq!(said(options), format!("{login} --port=3317 --socket=/run/two.sock ping"));
        let asked = variables("admin", &config(options)).args.join(" ");
        assert_eq!(asked, format!("{login} --port=3317 --socket=/run/two.sock variables"));
    }
}
