//! Random statements of every kind that changes what a table is, or its rows, and the sessions that run them.
//!
//! A statement that failed counts for nothing: a session tries others of the same kind until one succeeds, so that no kind is there in name only.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use fastrand::Rng;

use super::harness::mariadb::MariaDb;

/// What statements do.
pub(crate) const KINDS: [&str; 20] = [
    "create",
    "create with rows",
    "create like",
    "replace",
    "rename",
    "swap",
    "rename by alter",
    "drop",
    "change engine",
    "add column",
    "partition",
    "unpartition",
    "exchange partition",
    "truncate",
    "optimize",
    "create database",
    "drop database",
    "insert",
    "update",
    "delete",
];

/// The engines that a server always has, and whose files mariadb-backup copies in ways of their own.
const ENGINES: [&str; 3] = ["InnoDB", "Aria", "MyISAM"];
/// Tables of `shop` that come and go.
const TABLES: u32 = 8;
/// How many of them are there when a storm begins, at the least.
const FILLED: u32 = 6;
/// How often a session tries another statement of a kind before it goes on to the next kind.
const TRIES: u32 = 12;
const COLUMNS: &str = "(a INT, b BIGINT, c VARCHAR(200))";

/// What makes the databases. The tables `big…` give a throttled tool a second's work each; the others of the server's own would too.
pub(super) fn setup() -> String {
    let mut all =
        "DROP DATABASE sys; TRUNCATE mysql.help_topic; TRUNCATE mysql.help_keyword; TRUNCATE mysql.help_relation;
        CREATE DATABASE shop; USE shop;
        CREATE TABLE big1 (a INT, b CHAR(250)) ENGINE=Aria SELECT seq AS a, repeat('x', 250) AS b FROM seq_1_to_4000;
        CREATE TABLE big2 ENGINE=Aria SELECT * FROM big1; CREATE TABLE big3 ENGINE=MyISAM SELECT * FROM big1;"
            .to_owned();
    all.extend(ENGINES.map(|engine| {
        // CREATE … SELECT leaves the partitions of an InnoDB table out (seen with 10.11.19).
        format!(
            "CREATE TABLE parts_{engine} {COLUMNS} ENGINE={engine} PARTITION BY HASH(a) PARTITIONS 3;
             INSERT INTO parts_{engine} SELECT seq, 1, 'in parts' FROM seq_1_to_300;
             CREATE TABLE single_{engine} {COLUMNS} ENGINE={engine};
             INSERT INTO single_{engine} SELECT seq * 3, 2, 'alone' FROM seq_1_to_300;"
        )
    }));
    all
}

/// What sees to it before a storm that most kinds of statements find a table or database, and a free name.
pub(super) fn refill(random: &mut Rng) -> String {
    let mut all = "CREATE DATABASE IF NOT EXISTS extra0; DROP DATABASE IF EXISTS extra1;".to_owned();
    all.extend((0..TABLES).map(|number| match number {
        ..FILLED => format!("CREATE TABLE IF NOT EXISTS shop.t{number} {};", filled(random)),
        _ => format!("DROP TABLE IF EXISTS shop.t{number};"),
    }));
    all
}

/// The rest of a CREATE TABLE, with rows.
fn filled(random: &mut Rng) -> String {
    let (rows, mark) = (random.u32(1..1500), random.u32(..));
    format!("{} SELECT seq AS a, {mark} AS b, repeat('x', 100) AS c FROM shop.seq_1_to_{rows}", empty(random))
}

/// The same, without rows.
fn empty(random: &mut Rng) -> String {
    let parts = random.choice(["", "", " PARTITION BY HASH(a) PARTITIONS 3"]).unwrap();
    format!("{COLUMNS} ENGINE={}{parts}", random.choice(ENGINES).unwrap())
}

/// A table that may be there; a sixth of them in databases that may not.
fn table(random: &mut Rng) -> String {
    if random.u8(0..6) == 0 {
        format!("{}.t{}", database(random), random.u8(0..3))
    } else {
        format!("shop.t{}", random.u32(0..TABLES))
    }
}

/// A database that comes and goes.
fn database(random: &mut Rng) -> String {
    format!("extra{}", random.u8(0..2))
}

/// A statement of a kind.
fn statement(kind: &str, random: &mut Rng) -> String {
    let (one, other) = (table(random), table(random));
    let (engine, mark, row) = (random.choice(ENGINES).unwrap(), random.u32(..), random.u32(1..200));
    match kind {
        "create" => format!("CREATE TABLE {one} {}", empty(random)),
        "create with rows" => format!("CREATE TABLE {one} {}", filled(random)),
        "create like" => format!("CREATE TABLE {one} LIKE {other}"),
        "replace" => format!("CREATE OR REPLACE TABLE {one} {}", filled(random)),
        "rename" => format!("RENAME TABLE {one} TO {other}"),
        "swap" => format!("RENAME TABLE {one} TO shop.tmp, {other} TO {one}, shop.tmp TO {other}"),
        "rename by alter" => format!("ALTER TABLE {one} RENAME TO {other}"),
        "drop" => format!("DROP TABLE {one}"),
        "change engine" => format!("ALTER TABLE {one} ENGINE={engine}"),
        "add column" => format!("ALTER TABLE {one} ADD COLUMN x{mark} INT"),
        "partition" => format!("ALTER TABLE {one} PARTITION BY HASH(a) PARTITIONS {}", random.u8(2..5)),
        "unpartition" => format!("ALTER TABLE {one} REMOVE PARTITIONING"),
        "exchange partition" => {
            format!("ALTER TABLE shop.parts_{engine} EXCHANGE PARTITION p0 WITH TABLE shop.single_{engine}")
        }
        "truncate" => format!("TRUNCATE TABLE {one}"),
        "optimize" => format!("OPTIMIZE TABLE {one}"),
        "create database" => {
            let name = database(random);
            format!("CREATE DATABASE {name}; CREATE TABLE {name}.t{} {}", random.u8(0..3), filled(random))
        }
        "drop database" => format!("DROP DATABASE {}", database(random)),
        "insert" => format!("INSERT INTO {one} (a, b, c) SELECT seq, {mark}, 'new' FROM shop.seq_1_to_{row}"),
        "update" => format!("UPDATE {one} SET b = {mark} WHERE a BETWEEN {row} AND {}", row + 9),
        "delete" => format!("DELETE FROM {one} WHERE a BETWEEN {row} AND {}", row + 9),
        other => unreachable!("{other}"),
    }
}

/// Whether a statement did what it says; else what the server said.
fn run(server: &MariaDb, kind: &str, statement: &str) -> Result<(), String> {
    let said = server.ask(&[], statement)?;
    // What OPTIMIZE could not do is in its rows alone.
    if kind == "optimize" && !said.contains("status\tOK") { Err(said) } else { Ok(()) }
}

/// Runs statements of all kinds by turns, with a pause of up to twice `pace` before each, until `end` is closed. Tells each that was tried;
/// gives how many of each kind succeeded.
pub(super) fn session(
    server: &MariaDb,
    random: &mut Rng,
    pace: Duration,
    end: &Receiver<()>,
    told: &Mutex<Vec<String>>,
) -> BTreeMap<&'static str, u32> {
    let (mut succeeded, mut deck) = (BTreeMap::new(), Vec::new());
    while end.recv_timeout(pace.mul_f64(random.f64() * 2.0)) == Err(RecvTimeoutError::Timeout) {
        if deck.is_empty() {
            deck = KINDS.to_vec();
            random.shuffle(&mut deck);
        }
        let kind = deck.pop().unwrap();
        for _ in 0..TRIES {
            let text = statement(kind, random);
            let came = run(server, kind, &text);
            let said = came.as_ref().err().map_or("ok", |why| why.trim().lines().next_back().unwrap_or_default());
            told.lock().unwrap().push(format!("  {text} -- {said}"));
            if came.is_ok() {
                *succeeded.entry(kind).or_insert(0) += 1;
                break;
            }
        }
    }
    succeeded
}
