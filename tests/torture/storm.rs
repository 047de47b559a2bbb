//! A storm of DDL while backups are taken over a real MariaDB: each success is restored and compared.
//!
//! Random statements, on tables of `InnoDB`, Aria and `MyISAM`, partitioned ones too, run while the tool copies a table of Aria, and have ended
//! while it still does. So the server holds after the backup what it held when the tool let no more DDL through: that is the reference.
//! Where the tool was through with Aria before the statements were, the backup is not compared, and counts as late.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::{TestEnv, wait_for};

/// The longest chain that is taken.
const LONGEST: usize = 4;
/// Tables that come and go.
const TABLES: u32 = 6;

/// What a storm came to.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Successes that were restored, and held what the server did.
    pub(crate) same: u32,
    /// How many of these were taken while DDL went on.
    pub(crate) in_storm: u32,
    /// Failures that named tables.
    pub(crate) refused: u32,
    /// Backups in which the statements did not end in time.
    pub(crate) late: u32,
    /// Successes that held something else, with what was run.
    pub(crate) wrong: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { same, in_storm, refused, late, wrong } = self;
        write!(
            f,
            "{same} backups restored with all the server held, {in_storm} of them taken during DDL; {refused} refused with their tables \
             named; {late} not compared; {} wrong successes",
            wrong.len()
        )?;
        wrong.iter().try_for_each(|one| write!(f, "\n  {one}"))
    }
}

/// Takes so many backups; none, where no MariaDB is installed.
pub(crate) fn run(backups: u32, seed: u64) -> Option<Report> {
    if !is_installed() {
        return None;
    }
    let server = MariaDb::start();
    let mut random = fastrand::Rng::with_seed(seed);
    server.sql(
        "DROP DATABASE sys; CREATE DATABASE shop; USE shop;
         CREATE TABLE a (a INT, b CHAR(250)) ENGINE=Aria; INSERT INTO a SELECT seq, 'x' FROM seq_1_to_6000;
         CREATE TABLE b LIKE a; INSERT INTO b SELECT * FROM a; CREATE TABLE c LIKE a; INSERT INTO c SELECT * FROM a",
    );
    let mut report = Report::default();
    let half = backups / 2;
    for (form, count) in [("", backups - half), ("true", half)] {
        let mut env = TestEnv::real(&server);
        env.may_log("backup failed");
        for (key, value) in [("stream", form), ("parallel", "1"), ("backup_options", "[--throttle=150]")] {
            env.set(key, value);
        }
        env.start_daemon();
        let mut chain: Vec<String> = Vec::new();
        for number in 0..count {
            run_statements(&server, &statements(&mut random, 12));
            let id = format!("b{number}");
            let base = chain.last().filter(|_| chain.len() < LONGEST && random.bool()).cloned();
            let request = match &base {
                Some(from) => {
                    format!(r#"{{"cmd":"incremental_backup","args":{{"id":"{id}","from_backup_id":"{from}"}}}}"#)
                }
                None => format!(r#"{{"cmd":"full_backup","args":{{"id":"{id}"}}}}"#),
            };
            assert!(env.send(&request).contains("202"), "{request}");
            wait_for("the tool to copy a table of Aria", || server.is_being_copied().then_some(()));
            let count = random.usize(0..5);
            let meanwhile = statements(&mut random, count);
            run_statements(&server, &meanwhile);
            let is_late = !server.is_being_copied();
            env.settled();
            if env.newest("status") == "failed" {
                let error = env.newest("error");
                assert!(error.contains("take the backup again"), "{meanwhile:?}: {error}");
                report.refused += 1;
                continue;
            }
            if base.is_none() {
                chain.clear();
            }
            chain.push(id);
            if is_late {
                report.late += 1;
            } else if restored(&env, &chain) == server.content() {
                report.same += 1;
                report.in_storm += u32::from(!meanwhile.is_empty());
            } else {
                report.wrong.push(format!("seed {seed}, stream '{form}', {chain:?}: {}", meanwhile.join(" ")));
            }
        }
    }
    Some(report)
}

/// What the chain has, restored to a folder.
fn restored(env: &TestEnv, chain: &[String]) -> Vec<String> {
    env.restore(&chain.iter().map(String::as_str).collect::<Vec<_>>(), "folder");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    let row = &env.rows("restore", "id = (SELECT max(id) FROM restore)")[0];
    let folder: PathBuf = env.here(row["target_path"].as_str().unwrap());
    let content = MariaDb::over(&folder.join(row["backup_id"].as_str().unwrap())).content();
    fs::remove_dir_all(folder).unwrap();
    content
}

/// Runs statements, some of which fail: on tables that are not there, or there already.
fn run_statements(server: &MariaDb, statements: &[String]) {
    let said = server.client(&["--force"], &statements.join(" ")).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(said.unwrap().code().is_some());
}

fn statements(random: &mut fastrand::Rng, count: usize) -> Vec<String> {
    (0..count).map(|_| statement(random)).collect()
}

fn statement(random: &mut fastrand::Rng) -> String {
    let table = |random: &mut fastrand::Rng| format!("shop.t{}", random.u32(0..TABLES));
    let (one, other) = (table(random), table(random));
    let engine = ["InnoDB", "Aria", "MyISAM"][random.usize(0..3)];
    let parts = ["", "", " PARTITION BY HASH(a) PARTITIONS 3"][random.usize(0..3)];
    let (rows, mark) = (random.u32(1..300), random.u32(..));
    let made =
        format!("{one} (a INT, b BIGINT) ENGINE={engine}{parts} SELECT seq AS a, {mark} AS b FROM seq_1_to_{rows};");
    match random.u32(0..20) {
        0..=4 => format!("CREATE TABLE {made}"),
        5..=7 => format!("CREATE OR REPLACE TABLE {made}"),
        8..=10 => format!("RENAME TABLE {one} TO {other};"),
        11 => format!("RENAME TABLE {one} TO shop.tmp, {other} TO {one}, shop.tmp TO {other};"),
        12..=13 => format!("DROP TABLE {one};"),
        14..=15 => format!("ALTER TABLE {one} ENGINE={engine};"),
        16 => format!("ALTER TABLE {one} ADD COLUMN x{mark} INT;"),
        17 => format!("TRUNCATE TABLE {one};"),
        18 => format!("ALTER TABLE {one} REMOVE PARTITIONING;"),
        _ => format!("OPTIMIZE TABLE {one};"),
    }
}
