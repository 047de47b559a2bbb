//! A storm of DDL and DML while backups are taken of a real MariaDB: full and incremental ones, as directories and as streams; each success is
//! restored, and has to hold what the server held at the backup's end.
//!
//! What that was is told by another server that began with the same data, and to which the binary log is replayed up to the place that the
//! backup says it was taken at. The place is exact for tables without transactions too: mariadb-backup lets nobody write to them from
//! `BACKUP STAGE FLUSH`, before it copies them, until it has read the place under `BLOCK_COMMIT`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use rustix::process::Signal;

use super::ddl::{self, KINDS};
use super::harness::mariadb::{MariaDb, is_installed};
use super::harness::{TestEnv, program};

/// The longest chain that is taken.
const LONGEST: usize = 4;
/// The pauses between the statements of a session, on average and by turns. In the midst of few statements most backups are whole; of many,
/// most are refused.
const PACES: [Duration; 4] =
    [Duration::from_millis(20), Duration::from_secs(2), Duration::from_millis(500), Duration::from_secs(4)];
/// So many more backups are taken at the most where those asked for did not have each kind of statement, or no success.
const MORE: u32 = 12;

/// What a storm came to. A success with wrong content is none of it: that is a panic.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Backups that were asked for.
    pub(crate) taken: u32,
    /// Successes that were restored, and held what the server had.
    pub(crate) same: u32,
    /// How many of these were taken while a statement succeeded.
    pub(crate) in_storm: u32,
    /// How many of these are incrementals.
    pub(crate) incrementals: u32,
    /// How many of these are streams.
    pub(crate) streams: u32,
    /// What the daemon said of backups whose tool ended with 0.
    pub(crate) refused: Vec<String>,
    /// What was said of those whose tool failed.
    pub(crate) failed: Vec<String>,
    /// Statements of each kind that succeeded while a backup was taken.
    pub(crate) statements: BTreeMap<&'static str, u32>,
}

impl Report {
    /// How many statements of the rarest kind there were.
    pub(crate) fn rarest(&self) -> u32 {
        KINDS.iter().map(|kind| self.statements.get(kind).copied().unwrap_or(0)).min().unwrap_or(0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { taken, same, in_storm, incrementals, streams, refused, failed, statements } = self;
        writeln!(
            f,
            "{taken} backups: {same} restored with all that the server had ({in_storm} of them taken while statements succeeded, \
             {incrementals} incrementals, {streams} streams), 0 with anything else; {} refused by the daemon, {} failed by the tool",
            refused.len(),
            failed.len()
        )?;
        refused.iter().try_for_each(|why| writeln!(f, "  refused: {why}"))?;
        failed.iter().try_for_each(|why| writeln!(f, "  failed: {why}"))?;
        let statements: Vec<_> = statements.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        write!(f, "statements: {}", statements.join(", "))
    }
}

/// All that has happened since the newest full backup was begun; said where a panic comes.
#[derive(Default)]
struct Story(Mutex<Vec<String>>);

impl Drop for Story {
    fn drop(&mut self) {
        if thread::panicking() {
            let told = self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
            eprintln!("---- the storm so far\n{}", told.join("\n"));
        }
    }
}

struct Storm {
    // The daemon ends before its server does.
    env: TestEnv,
    server: MariaDb,
    /// The server that holds what the other did at `position` of the binary log.
    reference: MariaDb,
    log: PathBuf,
    position: u64,
    /// The backups of the chain that may be gone on with.
    chain: Vec<String>,
    story: Story,
}

/// Takes so many backups, or some more. None if there is no server here.
///
/// # Panics
/// A success did not hold what the server had, could not be restored or started; a calm backup was refused; a kind of statement
/// never succeeded; with all that happened since the newest full backup.
pub(crate) fn sweep(backups: u32, seed: u64, progress: &mut dyn FnMut(&Report)) -> Option<Report> {
    if !is_installed() {
        return None;
    }
    let mut random = Rng::with_seed(seed);
    let (mut storm, mut report) = (Storm::begin(), Report::default());
    let least = (backups / 10).max(1);
    while report.taken < backups || report.taken < backups + MORE && (report.rarest() < least || report.in_storm == 0) {
        storm.backup(&mut random, &mut report);
        progress(&report);
    }
    assert!(report.rarest() >= least && report.in_storm > 0, "this was no storm: {report}");
    Some(report)
}

impl Storm {
    fn begin() -> Self {
        let mut log = PathBuf::new();
        let server = MariaDb::with(|root| {
            log = root.join("bin.000001");
            format!("log_bin={}\nserver_id=1\nbinlog_format=row", root.join("bin").display())
        });
        let reference = MariaDb::start();
        let mut env = TestEnv::real(&server);
        env.keep_if_it_fails();
        env.set("backup_options", "[--throttle=150]");
        env.set("parallel", "1");
        env.start_daemon();
        server.sql(&ddl::setup());
        Self { env, server, reference, log, position: 4, chain: Vec::new(), story: Story::default() }
    }

    /// One more backup, and what comes of it.
    fn backup(&mut self, random: &mut Rng, report: &mut Report) {
        let id = format!("b{}", report.taken);
        let is_stream = random.bool();
        let goes_on = !self.chain.is_empty() && self.chain.len() < LONGEST && random.bool();
        let base = self.chain.last().filter(|_| goes_on).cloned();
        let (request, what) = if let Some(base) = &base {
            let args = format!(r#"{{"id":"{id}","from_backup_id":"{base}"}}"#);
            (format!(r#"{{"cmd":"incremental_backup","args":{args}}}"#), format!("{id} from {base}"))
        } else {
            self.story.0.lock().unwrap().clear();
            (format!(r#"{{"cmd":"full_backup","args":{{"id":"{id}"}}}}"#), id.clone())
        };
        let (pace, sessions) = (PACES[report.taken as usize % PACES.len()], random.usize(1..3));
        let form = if is_stream { "stream" } else { "directory" };
        self.tell(format!("{what}, {form}, {sessions} sessions with pauses of {pace:?}"));
        self.take_the_form(is_stream);
        self.server.sql(&ddl::refill(random));
        let statements = self.storm(&request, random, pace, sessions);
        report.taken += 1;
        for (kind, count) in &statements {
            *report.statements.entry(kind).or_insert(0) += count;
        }
        if self.env.newest("status") != "success" {
            let error = self.env.newest("error");
            let why = format!("{what}, {form}, pauses of {pace:?}: {}", error.lines().next().unwrap_or_default());
            self.tell(why.clone());
            self.env.expect_log("backup failed");
            let code = self.env.rows("process", "id = (SELECT max(id) FROM process)")[0]["return_code"].as_i64();
            if code == Some(0) {
                assert!(!statements.is_empty(), "nothing happened, and yet: {error}");
                report.refused.push(why);
            } else {
                report.failed.push(why);
            }
            return;
        }
        if base.is_none() {
            self.forget_the_chain();
        }
        self.chain.push(id.clone());
        self.compare(&id);
        report.same += 1;
        report.in_storm += u32::from(!statements.is_empty());
        report.incrementals += u32::from(base.is_some());
        report.streams += u32::from(is_stream);
    }

    fn tell(&self, text: String) {
        self.story.0.lock().unwrap().push(text);
    }

    /// The daemon reads its settings when it starts.
    fn take_the_form(&mut self, is_stream: bool) {
        self.env.signal(Signal::TERM);
        assert_eq!(self.env.wait_for_end(), Some(0));
        self.env.set("stream", if is_stream { "true" } else { "" });
        self.env.start_daemon();
    }

    /// Takes a backup while the sessions run; gives how many statements of each kind succeeded.
    fn storm(&self, request: &str, random: &mut Rng, pace: Duration, sessions: usize) -> BTreeMap<&'static str, u32> {
        let (server, told) = (&self.server, &self.story.0);
        let mut all = BTreeMap::new();
        thread::scope(|scope| {
            let begin = || {
                let (end, is_over) = mpsc::channel::<()>();
                let mut random = random.fork();
                (end, scope.spawn(move || ddl::session(server, &mut random, pace, &is_over, told)))
            };
            let (ends, threads): (Vec<_>, Vec<_>) = std::iter::repeat_with(begin).take(sessions).unzip();
            self.env.accepted(request);
            self.env.settled();
            drop(ends);
            for one in threads {
                for (kind, count) in one.join().unwrap() {
                    *all.entry(kind).or_insert(0) += count;
                }
            }
        });
        all
    }

    /// What the backup brings back is what the server had at its end.
    fn compare(&mut self, id: &str) {
        let card = fs::read_to_string(self.env.backup(id).join("backup.json")).unwrap();
        let card: serde_json::Value = serde_json::from_str(&card).unwrap();
        let (file, position) = (&card["binlog"]["file"], card["binlog"]["position"].as_u64().unwrap());
        assert_eq!(file.as_str(), self.log.file_name().unwrap().to_str(), "{card}");
        self.replay(position);
        let wanted = content(&self.reference).unwrap();
        let chain: Vec<_> = self.chain.iter().map(String::as_str).collect();
        self.env.restore(&chain, "folder");
        assert_eq!(self.env.newest("status"), "success", "{chain:?}: {}", self.env.newest("error"));
        let row = &self.env.rows("restore", "id = (SELECT max(id) FROM restore)")[0];
        let folder = self.env.here(row["target_path"].as_str().unwrap());
        let found = content(&MariaDb::over(&folder.join(chain[0])));
        let is_same = found.as_ref() == Ok(&wanted);
        assert!(is_same, "{chain:?} to {position} has {found:#?}\nand not {wanted:#?}");
        fs::remove_dir_all(folder).unwrap();
    }

    /// Takes the reference to a place in the binary log.
    fn replay(&mut self, position: u64) {
        assert!(position >= self.position, "the backup's place in the log is {position}, before {}", self.position);
        let part = self.env.path("replayed.sql");
        let said = program("mariadb-binlog")
            .args(["--no-defaults", &format!("--start-position={}", self.position)])
            .args([&format!("--stop-position={position}"), &format!("--result-file={}", part.display())])
            .arg(&self.log)
            .output()
            .unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        self.reference.sql(&format!("source {}", part.display()));
        self.position = position;
    }

    /// The chain before goes as the API removes it.
    fn forget_the_chain(&mut self) {
        for id in self.chain.drain(..).rev() {
            assert_eq!(self.env.database().execute("DELETE FROM backup WHERE id = ?1", [&id]).unwrap(), 1);
            fs::remove_dir_all(self.env.backup(&id)).unwrap();
        }
    }
}

/// All databases and tables of a server but its own, with their definitions and checksums; or why a table cannot be read.
fn content(server: &MariaDb) -> Result<Vec<String>, String> {
    let own = "('mysql', 'sys', 'information_schema', 'performance_schema')";
    let mut all = server.ask(
        &[],
        &format!("SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN {own} ORDER BY 1"),
    )?;
    let tables = server.ask(
        &[],
        &format!(
            "SELECT concat('`', table_schema, '`.`', table_name, '`') FROM information_schema.tables
             WHERE table_schema NOT IN {own} ORDER BY 1"
        ),
    )?;
    let tables: Vec<_> = tables.lines().collect();
    let looks: Vec<_> = tables.iter().map(|table| format!("SHOW CREATE TABLE {table};")).collect();
    all += &server.ask(&[], &format!("{} CHECKSUM TABLE {} EXTENDED", looks.join(" "), tables.join(", ")))?;
    Ok(all.lines().map(str::to_owned).collect())
}
