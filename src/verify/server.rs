//! A throw-away server over what was restored: whether each table can be read to its end.
//!
//! In: a prepared data directory that nobody needs any more. Out: how many tables there are, and what is wrong with which. The server has no
//! network, no grants, no events and no replication, and its socket and temporary files are in a directory of its own.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::command::CommandId;
use crate::exec::probe::{self, ANSWER_WITHIN};
use crate::exec::{CommandExecutor, Finished, Invocation, Outcome, Running, Terms};
use crate::plan::tool::Flavour;

/// How long a server may take until it answers: it may have a redo log to apply yet.
const START_WITHIN: Duration = Duration::from_secs(10 * 60);
/// How often it is asked.
const ASK: Duration = Duration::from_millis(200);
/// How long it may take to end.
const END_WITHIN: Duration = Duration::from_secs(30);
/// How long the check of one lot of tables may take.
const CHECK_WITHIN: Duration = Duration::from_secs(24 * 3600);
/// How many tables are checked at once: their names and results fit in what is kept of a program's output.
const LOT: usize = 100;

/// Options of the server that what was restored depends on, as the backup tool wrote them down.
const DEPENDED_ON: [&str; 3] = ["innodb_page_size", "innodb_data_file_path", "innodb_undo_tablespaces"];

/// Why nothing can be said of the tables.
#[derive(Debug, Error)]
pub enum NotChecked {
    /// No server or client is installed.
    #[error("no {0} is installed here")]
    NoProgram(&'static str),
    /// The server's own directory cannot be made.
    #[error("'{}' cannot be made", .0.display())]
    Scratch(PathBuf, #[source] io::Error),
    /// A program cannot be started.
    #[error(transparent)]
    NotStarted(#[from] crate::exec::NotStarted),
    /// The server ended, or never answered.
    #[error("no server runs on what was restored: {0}")]
    NoServer(String),
    /// It was told to stop.
    #[error("interrupted: nothing can be said of it")]
    Interrupted,
    /// A question was not answered.
    #[error("the server does not say which tables it has: {0}")]
    NoTables(String),
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many tables there are.
    pub tables: usize,
    /// What is wrong, in words.
    pub problems: Vec<String>,
}

fn programs(flavour: Flavour) -> (&'static [&'static str], &'static [&'static str]) {
    match flavour {
        Flavour::MariaDb => (
            &["/usr/sbin/mariadbd", "/usr/libexec/mariadbd", "/usr/sbin/mysqld"],
            &["/usr/bin/mariadb", "/usr/bin/mysql"],
        ),
        Flavour::MySql => (&["/usr/sbin/mysqld", "/usr/libexec/mysqld"], &["/usr/bin/mysql"]),
    }
}

/// A directory that goes when it is done with.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

impl Scratch {
    /// A new one, for this user alone.
    fn make(id: CommandId, uid: u32, gid: u32) -> io::Result<Self> {
        let path = scratch(id);
        DirBuilder::new().mode(0o700).create(&path)?;
        let scratch = Self(path);
        if rustix::process::getuid().is_root() {
            chown(&scratch.0, Some(uid), Some(gid))?;
        }
        Ok(scratch)
    }
}

/// The directory of the server that is started as `id`.
pub fn scratch(id: CommandId) -> PathBuf {
    std::env::temp_dir().join(format!("dbcalm-verify-{id}"))
}

/// Starts a server on `data`, checks all its tables, and stops it; at `stop` it does so at once. It is known by `id`, in its
/// environment too. Dropped before that, it kills the server.
pub async fn check(
    data: &Path,
    flavour: Flavour,
    executor: &dyn CommandExecutor,
    id: CommandId,
    stop: &CancellationToken,
) -> Result<Checked, NotChecked> {
    let (servers, clients) = programs(flavour);
    let server = probe::find(None, servers).ok_or(NotChecked::NoProgram("server"))?;
    let client = probe::find(None, clients).ok_or(NotChecked::NoProgram("client"))?;
    let temporary = |why| NotChecked::Scratch(std::env::temp_dir(), why);
    let owner = fs::metadata(data).map_err(temporary)?;
    let scratch = Scratch::make(id, owner.uid(), owner.gid()).map_err(temporary)?;
    let terms = Terms {
        command_id: Some(id),
        cancel: CancellationToken::new(),
        grace: END_WITHIN,
        watch: None,
        heard: None,
        select: None,
    };
    let invocation = Invocation::new(server, options(data, &scratch.0, owner.uid(), flavour));
    let mut running = executor.start(&invocation.into(), terms)?;
    let asking = Asking { client, socket: scratch.0.join("sock"), executor };
    let checked = tokio::select! {
        checked = asking.all(&mut running) => checked,
        () = stop.cancelled() => Err(NotChecked::Interrupted),
    };
    // It takes TERM as the word to end well; should it not, it is killed when it is dropped. While it starts it may not hear it, and
    // whoever interrupts does not wait: nobody needs its files.
    let word = if matches!(checked, Err(NotChecked::Interrupted)) { Signal::KILL } else { Signal::TERM };
    if let Some(pid) = i32::try_from(running.pid).ok().and_then(Pid::from_raw) {
        let _ended_already = kill_process(pid, word);
    }
    let _ended = timeout(END_WITHIN, running.finished).await;
    checked
}

fn options(data: &Path, scratch: &Path, uid: u32, flavour: Flavour) -> Vec<String> {
    let mut args = vec!["--no-defaults".to_owned(), format!("--datadir={}", data.display())];
    for (name, file) in [("socket", "sock"), ("pid-file", "pid"), ("tmpdir", "")] {
        args.push(format!("--{name}={}", scratch.join(file).display()));
    }
    args.extend(
        ["--skip-networking", "--skip-grant-tables", "--skip-slave-start", "--skip-log-bin"].map(str::to_owned),
    );
    if flavour == Flavour::MySql {
        args.push("--loose-mysqlx=OFF".to_owned());
    }
    // As root it would refuse; what was restored is its owner's.
    if rustix::process::getuid().is_root() {
        args.push(if uid == 0 { "--user=root".to_owned() } else { format!("--user={uid}") });
    }
    let written = fs::read_to_string(data.join("backup-my.cnf")).unwrap_or_default();
    for line in written.lines() {
        if let Some((name, value)) = line.split_once('=')
            && DEPENDED_ON.contains(&name.trim())
        {
            args.push(format!("--loose-{}={}", name.trim(), value.trim()));
        }
    }
    args
}

/// Asks the server through its client.
struct Asking<'a> {
    client: String,
    socket: PathBuf,
    executor: &'a dyn CommandExecutor,
}

impl Asking<'_> {
    async fn ask(&self, statement: &str, within: Duration) -> Result<Result<String, String>, NotChecked> {
        let args = ["--no-defaults", "--user=root", "--batch", "--raw", "--skip-column-names"].map(str::to_owned);
        let mut args = args.to_vec();
        args.push("--default-character-set=utf8mb4".to_owned());
        args.push(format!("--socket={}", self.socket.display()));
        args.push(format!("--execute={statement}"));
        let said = probe::run(self.executor, &Invocation::new(&self.client, args), within).await?;
        Ok(match said {
            Some(said) if said.outcome() == Outcome::Exited(0) => Ok(said.stdout.text),
            Some(said) => Err(said.stderr()),
            None => Err(format!("no answer within {} s", within.as_secs())),
        })
    }

    async fn all(&self, running: &mut Running) -> Result<Checked, NotChecked> {
        self.until_it_answers(running).await?;
        self.tables().await
    }

    async fn until_it_answers(&self, running: &mut Running) -> Result<(), NotChecked> {
        let answers = async {
            loop {
                if self.ask("SELECT 1", ANSWER_WITHIN).await?.is_ok() {
                    return Ok(());
                }
                sleep(ASK).await;
            }
        };
        tokio::select! {
            ended = &mut running.finished => Err(NotChecked::NoServer(last_words(&ended))),
            answers = timeout(START_WITHIN, answers) => {
                answers.unwrap_or_else(|_late| Err(NotChecked::NoServer("it does not answer".to_owned())))
            }
        }
    }

    async fn tables(&self) -> Result<Checked, NotChecked> {
        let mut checked = Checked::default();
        loop {
            let question = format!(
                "SELECT concat('`', replace(table_schema, '`', '``'), '`.`', replace(table_name, '`', '``'), '`')
                 FROM information_schema.tables WHERE table_type = 'BASE TABLE'
                 AND table_schema NOT IN ('information_schema', 'performance_schema', 'sys')
                 ORDER BY table_schema, table_name LIMIT {LOT} OFFSET {}",
                checked.tables
            );
            let said = self.ask(&question, CHECK_WITHIN).await?.map_err(NotChecked::NoTables)?;
            let names: Vec<_> = said.lines().collect();
            if names.is_empty() {
                return Ok(checked);
            }
            checked.tables += names.len();
            match self.ask(&format!("CHECK TABLE {}", names.join(", ")), CHECK_WITHIN).await? {
                Ok(said) => checked.problems.extend(said.lines().filter_map(problem)),
                Err(why) => {
                    let why = why.trim().to_owned();
                    checked.problems.push(format!("the check broke off between {}: {why}", ends(&names)));
                    return Ok(checked);
                }
            }
        }
    }
}

fn ends(names: &[&str]) -> String {
    [names.first(), names.last()].into_iter().flatten().copied().collect::<Vec<_>>().join(" and ")
}

/// What a row of `CHECK TABLE` says that is wrong: table, `check`, kind of message, text.
fn problem(row: &str) -> Option<String> {
    let mut cells = row.splitn(4, '\t');
    let (table, _check, kind, text) = (cells.next()?, cells.next()?, cells.next()?, cells.next()?);
    let is_well = match kind.to_ascii_lowercase().as_str() {
        "error" => false,
        "status" => matches!(text, "OK" | "Table is already up to date"),
        // Notes of engines that cannot check, and warnings of tables that were open when they were copied: a status follows.
        _ => true,
    };
    (!is_well).then(|| format!("table {table}: {text}"))
}

fn last_words(ended: &Finished) -> String {
    let said = ended.stderr();
    let line = said.lines().rev().find(|line| line.contains("[ERROR]")).or_else(|| said.lines().next_back());
    line.map_or_else(|| ended.outcome().to_string(), |line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn what_a_check_says_is_told_apart() {
        assert_eq!(problem("shop.orders\tcheck\tstatus\tOK"), None);
        assert_eq!(problem("shop.log\tcheck\tnote\tThe storage engine for the table doesn't support check"), None);
        assert_eq!(problem("shop.a\tcheck\tError\tgone").unwrap(), "table shop.a: gone");
        assert_eq!(problem("shop.a\tcheck\tstatus\tOperation failed").unwrap(), "table shop.a: Operation failed");
        assert_eq!(problem(""), None);
    }
}
