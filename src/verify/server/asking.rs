//! What a throw-away server is asked, by the client program: whether it answers, which tables it has, and to check each.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::tables::{self, Found};
use super::{CHECK_WITHIN, NotChecked, last_words};
use crate::exec::{CommandExecutor, Invocation, Outcome, Running, ask};
use crate::server::probe::ANSWER_WITHIN;

/// How long a server may take until it answers: it may have a redo log to apply yet.
const START_WITHIN: Duration = Duration::from_secs(10 * 60);
/// How often it is asked.
const ASK: Duration = Duration::from_millis(200);
/// How many tables are checked at once: their names and results fit in what is kept of a program's output.
const LOT: usize = 100;

/// What the server said of its tables.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) found: Vec<Found>,
    /// Why it did not come to its end.
    pub(super) broke_off: Option<String>,
}

/// Asks the server through its client.
pub(super) struct Asking<'a> {
    pub(super) client: String,
    pub(super) socket: PathBuf,
    pub(super) executor: &'a dyn CommandExecutor,
}

impl Asking<'_> {
    async fn ask(&self, statement: &str, within: Duration) -> Result<Result<String, String>, NotChecked> {
        let args = ["--no-defaults", "--user=root", "--batch", "--skip-column-names"].map(str::to_owned);
        let mut args = args.to_vec();
        args.push("--default-character-set=utf8mb4".to_owned());
        args.push(format!("--socket={}", self.socket.display()));
        args.push(format!("--execute={statement}"));
        let said = ask(self.executor, &Invocation::new(&self.client, args), within).await?;
        Ok(match said {
            Some(said) if said.outcome() == Outcome::Exited(0) => Ok(said.stdout.text),
            Some(said) => Err(said.stderr()),
            None => Err(format!("no answer within {} s", within.as_secs())),
        })
    }

    /// Waits until the server answers, and has it check all its tables.
    pub(super) async fn all(&self, running: &mut Running) -> Result<Said, NotChecked> {
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
            ended = running.finished() => Err(NotChecked::NoServer(last_words(&ended))),
            answers = timeout(START_WITHIN, answers) => {
                answers.unwrap_or_else(|_late| Err(NotChecked::NoServer("it does not answer".to_owned())))
            }
        }
    }

    async fn tables(&self) -> Result<Said, NotChecked> {
        let (mut said, mut asked) = (Said::default(), 0);
        loop {
            let question = format!(
                "SELECT concat('`', replace(table_schema, '`', '``'), '`.`', replace(table_name, '`', '``'), '`')
                 FROM information_schema.tables WHERE table_type NOT IN ('VIEW', 'SYSTEM VIEW')
                 AND table_schema NOT IN ('information_schema', 'performance_schema', 'sys')
                 ORDER BY table_schema, table_name LIMIT {LOT} OFFSET {asked}"
            );
            let names = self.ask(&question, CHECK_WITHIN).await?.map_err(NotChecked::NoTables)?;
            let names: Vec<_> = names.lines().map(tables::cell).collect();
            if names.is_empty() {
                return Ok(said);
            }
            asked += names.len();
            match self.ask(&format!("CHECK TABLE {}", names.join(", ")), CHECK_WITHIN).await? {
                Ok(rows) => said.found.extend(tables::verdicts(&rows)),
                Err(why) => {
                    said.broke_off = Some(format!("the check broke off between {}: {}", ends(&names), why.trim()));
                    return Ok(said);
                }
            }
        }
    }
}

fn ends(names: &[String]) -> String {
    [names.first(), names.last()]
        .into_iter()
        .flatten()
        .map(|name| name.replace('\n', " "))
        .collect::<Vec<_>>()
        .join(" and ")
}
