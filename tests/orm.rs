//! The records through SQLAlchemy, as the Python API reads and writes them: every row that the daemon writes is read, and what
//! an API wrote is known to the daemon. In each layout of the tables, and in those from before schedules.

use std::path::{Path, PathBuf};
use std::process::Output;

use rusqlite::Connection;
use serde_json::{Map, Value, json};

use crate::harness::daemon::restore_request;
use crate::harness::{TestEnv, program, skip};

const PYTHON: &str = include_str!("schemas/schema-python.sql");
const GO: &str = include_str!("schemas/schema-go.sql");

/// How the tables were laid out before the daemon came.
struct Layout {
    /// Whose models read them.
    models: &'static str,
    /// The tables that were there.
    schema: String,
}

impl Layout {
    fn ours() -> Self {
        Self { models: "python", schema: String::new() }
    }

    fn python() -> Self {
        Self { models: "python", schema: PYTHON.to_owned() }
    }

    fn go() -> Self {
        let schedule = "INSERT INTO schedule (id, backup_type, frequency, created_at, updated_at)
                        VALUES (7, 'full', 'daily', '2026-11-01 00:00:00.000000', '2026-11-01 00:00:00.000000');";
        Self { models: "go", schema: format!("{GO}\n{schedule}") }
    }

    /// With the `backup` table from before schedules.
    fn old(mut self) -> Self {
        for line in [
            "\tschedule_id INTEGER, \n",
            " schedule_id INTEGER,",
            "  FOREIGN KEY (schedule_id) REFERENCES schedule(id) ON DELETE SET NULL,\n",
        ] {
            self.schema = self.schema.replace(line, "");
        }
        assert!(!self.schema.contains("schedule_id"), "{}", self.schema);
        self
    }

    /// A daemon over such a database.
    fn start(&self) -> TestEnv {
        let env = TestEnv::new();
        let database = Connection::open(env.path("lib/db.sqlite3")).unwrap();
        database.execute_batch(&self.schema).unwrap();
        drop(database);
        env.start_daemon();
        env
    }

    /// Runs the ORM's program; gives what it prints.
    fn orm(&self, python: &Path, env: &TestEnv, more: &[&str]) -> String {
        let said = self.try_orm(python, env, more);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap()
    }

    fn try_orm(&self, python: &Path, env: &TestEnv, more: &[&str]) -> Output {
        ask(python, self.models, &env.path("lib/db.sqlite3"), more)
    }

    /// What a word of the records becomes: in Go's layout, an enum by its value; in Python's, a text.
    fn word(&self, kind: &str, word: &str) -> String {
        if self.models == "go" { format!("{kind}.{}", word.to_uppercase()) } else { word.to_owned() }
    }
}

/// Runs the ORM's program over a database.
pub(crate) fn ask(python: &Path, models: &str, database: &Path, more: &[&str]) -> Output {
    let mut orm = program(python);
    orm.arg("-B").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/orm/records.py"));
    orm.arg(models).arg(database).args(more).output().unwrap()
}

/// The Python that has SQLAlchemy: the one that `DBCALM_TEST_PYTHON` names, or that of `ci/setup python`.
pub(crate) fn python() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("python/bin/python");
    let python = std::env::var_os("DBCALM_TEST_PYTHON").map_or(beside, PathBuf::from);
    let look = "import importlib.util, sys; sys.exit(not importlib.util.find_spec('sqlalchemy'))";
    let has_it = program(&python).args(["-c", look]).output().is_ok_and(|said| said.status.success());
    if !has_it {
        skip(&format!("no SQLAlchemy for '{}' (run ci/setup python, or set DBCALM_TEST_PYTHON)", python.display()));
    }
    has_it.then_some(python)
}

#[test]
fn an_orm_reads_every_row_of_tables_that_the_daemon_made() {
    reads_every_row(&Layout::ours());
}

#[test]
fn an_orm_reads_every_row_of_the_python_apis_tables() {
    reads_every_row(&Layout::python());
}

#[test]
fn an_orm_reads_every_row_of_the_go_apis_tables() {
    reads_every_row(&Layout::go());
}

#[test]
fn an_orm_reads_every_row_of_the_python_apis_tables_from_before_schedules() {
    reads_every_row(&Layout::python().old());
}

#[test]
fn an_orm_reads_every_row_of_the_go_apis_tables_from_before_schedules() {
    reads_every_row(&Layout::go().old());
}

/// Everything that leaves rows, then each value of each row as the ORM reads it beside the one that the file holds.
fn reads_every_row(layout: &Layout) {
    let Some(python) = python() else { return };
    let env = layout.start();
    env.full("full-1");
    env.world.put("shop/orders.ibd", b"order 1\norder 2\n").unwrap();
    env.done(r#"{"cmd":"incremental_backup","args":{"id":"inc-1","from_backup_id":"full-1","schedule_id":7}}"#);
    env.restore(&["full-1", "inc-1"], "folder");
    env.script("mariabackup", r#"{"fault":{"dies_by":"KILL"}}"#);
    env.full("never-1");
    env.expect_log("backup failed");
    env.world.stop().unwrap();
    env.restore(&["full-1", "inc-1"], "database");
    assert_eq!(env.count("process", "1"), 12);
    assert_eq!(env.count("process", "status = 'failed' AND return_code = -9 AND output IS NULL"), 1);

    let read = read_as_it_is(layout, &python, &env);
    let newest = |table: &str, column: &str| read[table][0][column].clone();
    assert_eq!(newest("process", "args")["id_list"], json!(["full-1", "inc-1"]));
    assert_eq!(newest("restore", "target"), "Target.DATABASE");
    assert_eq!(read["restore"][1]["target"], "Target.FOLDER");
    assert_eq!(newest("backup", "schedule_id"), 7);
    assert_eq!(read["backup"][1]["schedule_id"], Value::Null);

    // What is adopted is read as what was taken.
    for table in ["backup", "process", "restore"] {
        env.database().execute(&format!("DELETE FROM {table}"), []).unwrap();
    }
    let done = crate::cli::run(&env, "adopt --all --yes");
    assert_eq!(done.status, 0, "{}{}", done.stdout, done.stderr);
    let adopted = read_as_it_is(layout, &python, &env);
    for column in ["id", "from_backup_id", "schedule_id", "start_time"] {
        let of =
            |read: &Value| read["backup"].as_array().unwrap().iter().map(|row| row[column].clone()).collect::<Vec<_>>();
        assert_eq!(of(&adopted), of(&read), "{column}");
    }
    assert_eq!(adopted["process"][0]["args"], json!({"id": "inc-1", "from_backup_id": "full-1", "schedule_id": 7}));
    assert_eq!(adopted["backup"][0]["process_id"], adopted["process"][0]["id"]);
}

/// What the ORM reads, which must be what the file holds.
fn read_as_it_is(layout: &Layout, python: &Path, env: &TestEnv) -> Value {
    let read: Value = serde_json::from_str(&layout.orm(python, env, &["read"])).unwrap();
    for (table, newest_first) in [("process", "id"), ("backup", "start_time"), ("restore", "id")] {
        let mut wanted = env.rows(table, "1");
        wanted.reverse();
        let moments: Vec<_> = wanted.iter().map(|row| row[newest_first].clone()).collect();
        assert!(
            moments.windows(2).all(|pair| pair[0].as_i64() > pair[1].as_i64() || pair[0].as_str() > pair[1].as_str()),
            "{table}: {moments:?}"
        );
        for row in &mut wanted {
            as_the_orm_has_it(layout, row);
        }
        assert_eq!(read[table], json!(wanted), "{table}");
    }
    read
}

/// A row of the file with its enums and its JSON as the models read them. Numbers, times and all other texts stay as they are.
fn as_the_orm_has_it(layout: &Layout, row: &mut Map<String, Value>) {
    for (column, kind) in [("status", "Status"), ("type", "Kind")] {
        if let Some(Value::String(word)) = row.get_mut(column) {
            *word = layout.word(kind, word);
        }
    }
    if let Some(Value::String(target)) = row.get_mut("target") {
        *target = format!("Target.{}", target.to_uppercase());
    }
    if let Some(args) = row.get_mut("args") {
        *args = serde_json::from_str(args.as_str().unwrap()).unwrap();
    }
}

/// What the predecessors wrote, and a column too many: that the ORM reads a row says something only because it fails on these.
#[test]
fn an_orm_fails_on_what_the_predecessors_wrote() {
    let Some(python) = python() else { return };
    let layout = Layout::ours();
    let env = layout.start();
    env.full("full-1");
    env.restore(&["full-1"], "folder");
    layout.orm(&python, &env, &["read"]);
    for (wrong, why) in [
        ("UPDATE restore SET target = 'folder'", "'folder' is not among the defined"),
        // From Python 3.11 on SQLAlchemy reads the zone, too, and gives another kind of time than of all others.
        (
            "UPDATE restore SET target = 'FOLDER'; UPDATE backup SET start_time = '2026-11-22 08:48:53.4+00:00'",
            "is read as datetime|Invalid isoformat string|Couldn't parse datetime",
        ),
        ("ALTER TABLE backup ADD COLUMN size INTEGER", "backup has the columns"),
    ] {
        env.database().execute_batch(wrong).unwrap();
        let said = layout.try_orm(&python, &env, &["read"]);
        let told = String::from_utf8_lossy(&said.stderr);
        assert!(!said.status.success() && why.split('|').any(|why| told.contains(why)), "{wrong}: {told}");
    }
}

#[test]
fn the_daemon_knows_what_an_orm_wrote_into_its_own_tables() {
    knows_what_an_orm_wrote(&Layout::ours());
}

#[test]
fn the_daemon_knows_what_an_orm_wrote_into_the_go_apis_tables() {
    knows_what_an_orm_wrote(&Layout::go());
}

#[test]
fn the_daemon_knows_what_an_orm_wrote_into_tables_from_before_schedules() {
    knows_what_an_orm_wrote(&Layout::python().old());
}

/// A backup that the ORM recorded is a used id, the base of an incremental, and a member of a chain.
fn knows_what_an_orm_wrote(layout: &Layout) {
    let Some(python) = python() else { return };
    let env = layout.start();
    let backup = |id: &str, from: Option<&str>, schedule: Option<i64>, start: &str| {
        json!({"id": id, "from_backup_id": from, "schedule_id": schedule, "start_time": start}).to_string()
    };
    let refused = |request: &str, reply: &str| assert_eq!(env.send(request), reply);
    // What is in its folder is whole; all that the records say of it is the ORM's.
    env.full("full-1");
    let backups = [
        backup("full-1", None, Some(7), "2026-11-01 02:03:04.000005"),
        backup("other-1", None, None, "2026-11-02 02:03:04"),
        backup("inc-of-other", Some("other-1"), None, "2026-11-03 02:03:04.500000"),
    ];
    layout.orm(&python, &env, &["record", &backups[0], &backups[1], &backups[2]]);
    let rows = env
        .rows("backup", "1")
        .into_iter()
        .map(|row| format!("{} {} {} {}", row["id"], row["from_backup_id"], row["schedule_id"], row["start_time"]));
    let wanted = [
        r#""full-1" null 7 "2026-11-01 02:03:04.000005""#,
        r#""other-1" null null "2026-11-02 02:03:04.000000""#,
        r#""inc-of-other" "other-1" null "2026-11-03 02:03:04.500000""#,
    ];
    assert_eq!(rows.collect::<Vec<_>>(), wanted);

    refused(
        r#"{"cmd":"full_backup","args":{"id":"full-1"}}"#,
        r#"{"code": 409, "status": "Backup with id full-1 already exists"}"#,
    );
    refused(
        r#"{"cmd":"full_backup","args":{"id":"inc-of-other"}}"#,
        r#"{"code": 409, "status": "Backup with id inc-of-other already exists"}"#,
    );
    env.incremental("inc-1", "full-1");
    assert_eq!(env.count("backup", "id = 'inc-1' AND from_backup_id = 'full-1'"), 1);
    refused(
        &restore_request(&["full-1", "inc-of-other"], "folder"),
        r#"{"code": 400, "status": "id_list is not a chain: inc-of-other was taken from other-1, not from full-1"}"#,
    );
    refused(
        &restore_request(&["inc-of-other"], "folder"),
        r#"{"code": 400, "status": "id_list is not a chain: it begins with inc-of-other, an incremental from other-1"}"#,
    );
    env.restore(&["full-1"], "folder");
    let restored = &env.rows("restore", "1")[0];
    assert_eq!(restored["backup_timestamp"], "2026-11-01 02:03:04.000005");
    let read: Value = serde_json::from_str(&layout.orm(&python, &env, &["read"])).unwrap();
    assert_eq!(read["restore"][0]["backup_timestamp"], "2026-11-01 02:03:04.000005");
    env.restore(&["full-1", "inc-1"], "folder");
    assert_eq!(env.count("restore", "1"), 2);
}
