//! What the server of a replay is told and asked, by the client program, under an account that is its own.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use uuid::Uuid;

use crate::binlog::scheduled::Status;
use crate::exec::{CommandExecutor, Invocation, NotStarted, Outcome, ask};
use crate::model::Gtid;
use crate::server::throwaway::Scratch;
use crate::witness::manifest::hexadecimal;

/// How long an answer may take: a server that stops its replication finishes a transaction first.
const ANSWER_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum Refused {
    /// The client cannot be started.
    #[error(transparent)]
    NotStarted(#[from] NotStarted),
    /// Its words.
    #[error("{0}")]
    Said(String),
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is at work.
    At {
        /// Which of its relay logs it reads, from 1 on.
        relay: usize,
        /// Up to where all is applied, by the names of the server that wrote it.
        file: String,
        /// The same.
        position: u64,
    },
    /// It could not apply something.
    Stopped {
        /// Up to where all is applied.
        file: String,
        /// The same.
        position: u64,
        /// Its words.
        why: String,
    },
}

/// Speaks to the server.
pub(super) struct Client<'a> {
    executor: &'a dyn CommandExecutor,
    program: String,
    options: PathBuf,
    account: String,
    password: String,
}

impl<'a> Client<'a> {
    /// Makes one that speaks to the server in this directory, whose account that still has to make.
    pub(super) fn make(executor: &'a dyn CommandExecutor, program: String, scratch: &Scratch) -> io::Result<Self> {
        let name = format!("dbcalm-replay-{}", Uuid::new_v4().simple());
        // Of each kind that a plugin of the server may ask for.
        let password = format!("aB3_{}", Uuid::new_v4().simple());
        let options = scratch.path().join("client.cnf");
        let text = format!("[client]\nsocket={}\nuser={name}\npassword={password}\n", scratch.socket().display());
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&options)?.write_all(text.as_bytes())?;
        Ok(Self { executor, program, options, account: format!("'{name}'@'localhost'"), password })
    }

    /// The account.
    pub(super) fn account(&self) -> &str {
        &self.account
    }

    /// The statements that make it, a line each.
    pub(super) fn making(&self) -> String {
        let Self { account, password, .. } = self;
        format!("CREATE USER {account} IDENTIFIED BY '{password}';\nGRANT ALL ON *.* TO {account} WITH GRANT OPTION;\n")
    }

    /// Has statements executed. Gives what they print.
    pub(super) async fn say(&self, statements: &str) -> Result<String, Refused> {
        self.ask("--skip-column-names", statements).await
    }

    async fn ask(&self, form: &str, statements: &str) -> Result<String, Refused> {
        let args = [
            format!("--defaults-file={}", self.options.display()),
            "--batch".to_owned(),
            form.to_owned(),
            "--default-character-set=utf8mb4".to_owned(),
            format!("--execute={statements}"),
        ];
        match ask(self.executor, &Invocation::new(&self.program, args), ANSWER_WITHIN).await? {
            Some(said) if said.outcome() == Outcome::Exited(0) => Ok(said.stdout.text),
            Some(said) => Err(Refused::Said(said.stderr().trim().to_owned())),
            None => Err(Refused::Said("it does not answer".to_owned())),
        }
    }

    /// The last transaction of each domain that it has applied as a replica.
    pub(super) async fn applied(&self) -> Result<String, Refused> {
        Ok(self.say("SELECT @@GLOBAL.gtid_slave_pos").await?.trim().to_owned())
    }

    /// Takes back what it has noted of domains in which the server that was backed up was nobody's replica.
    pub(super) async fn set_applied(&self, before: &str, now: &str) -> Result<(), Refused> {
        let domains = before.split(',').filter_map(domain).collect::<Vec<_>>();
        let kept = now.split(',').filter(|gtid| domain(gtid).is_some_and(|domain| domains.contains(&domain)));
        let kept = kept.collect::<Vec<_>>().join(",");
        self.say(&format!("SET GLOBAL gtid_slave_pos='{kept}'")).await.map(drop)
    }

    /// The scheduled events, each with its database.
    pub(super) async fn events(&self) -> Result<Vec<(String, String, Status)>, Refused> {
        // What has a tab or a line break in its name is printed with a backslash.
        let said = self.say("SELECT hex(db), hex(name), status FROM mysql.event").await?;
        let event = |line: &str| {
            let mut cells = line.split('\t');
            let (database, name, status) = (unhex(cells.next()?)?, unhex(cells.next()?)?, cells.next()?);
            let status = match status {
                "ENABLED" => Status::Enabled,
                "DISABLED" => Status::Disabled,
                _ => Status::DisabledHere,
            };
            Some((database, name, status))
        };
        Ok(said.lines().filter_map(event).collect())
    }

    /// Sets whether an event runs, as it was on the server that was backed up.
    pub(super) async fn set_event(&self, (database, name): (&str, &str), status: &str) -> Result<(), Refused> {
        let (database, name) = (hexadecimal(database.as_bytes()), hexadecimal(name.as_bytes()));
        let set = "UPDATE mysql.event SET status";
        self.say(&format!("{set} = '{status}' WHERE lower(hex(db)) = '{database}' AND lower(hex(name)) = '{name}'"))
            .await
            .map(drop)
    }

    /// How far it is.
    pub(super) async fn progress(&self) -> Result<Progress, Refused> {
        progress(&self.ask("--vertical", "SHOW SLAVE STATUS").await?)
            .ok_or_else(|| Refused::Said("it does not say how far it is".to_owned()))
    }
}

fn unhex(text: &str) -> Option<String> {
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    let bytes = (0..text.len()).step_by(2).map(byte).collect::<Option<Vec<_>>>()?;
    String::from_utf8(bytes).ok()
}

fn domain(gtid: &str) -> Option<u32> {
    match gtid.trim().parse() {
        Ok(Gtid::MariaDb { domain, .. }) => Some(domain),
        Ok(Gtid::MySql { .. }) | Err(_) => None,
    }
}

/// Reads what `SHOW SLAVE STATUS` prints, a column a line, as seen with 10.11.19.
fn progress(text: &str) -> Option<Progress> {
    let get = |name: &str| {
        text.lines().find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    let file = get("Relay_Master_Log_File")?.to_owned();
    let position = get("Exec_Master_Log_Pos")?.parse().ok()?;
    if get("Slave_SQL_Running")? != "Yes" {
        let why = get("Last_SQL_Error").filter(|why| !why.is_empty()).unwrap_or("its SQL thread has ended");
        return Some(Progress::Stopped { file, position, why: why.to_owned() });
    }
    let relay = get("Relay_Log_File")?.rsplit_once('.')?.1.parse().ok()?;
    Some(Progress::At { relay, file, position })
}

#[cfg(test)]
mod tests {
    use super::{Progress, progress};

    #[test]
    fn the_servers_words_say_how_far_it_is() {
        let text = |running: &str, error: &str| {
            format!(
                "*** 1. row ***\n  Relay_Log_File: relay.000003\n  Relay_Log_Pos: 4\n  Relay_Master_Log_File: bin.000002\n  \
                 Slave_SQL_Running: {running}\n  Exec_Master_Log_Pos: 1942\n  Last_SQL_Error: {error}\n"
            )
        };
        let file = || "bin.000002".to_owned();
        assert_eq!(progress(&text("Yes", "")), Some(Progress::At { relay: 3, file: file(), position: 1942 }));
        let why = "Error 'Duplicate entry: 1'".to_owned();
        let stopped = Progress::Stopped { file: file(), position: 1942, why: why.clone() };
        assert_eq!(progress(&text("No", &why)), Some(stopped));
        assert_eq!(progress(""), None);
    }
}
