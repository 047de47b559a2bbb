//! What a predecessor did: the commands and the rows of tests/exchanges/, on a machine of its own. Its tables are those of
//! tests/schemas/, its rows the recorded ones, as it wrote them; its backups are taken by the recorded commands to the letter.

use rusqlite::Connection;
use rusqlite::types::Value as Sqlite;
use serde_json::{Map, Value};

use super::machine::Machine;
use crate::harness::stand::data::{self, Flavour, PASSWORD};

/// A row of a table.
type Row = Map<String, Value>;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Python,
    Go,
}

impl Kind {
    fn schema(self) -> &'static str {
        match self {
            Self::Python => include_str!("../schemas/schema-python.sql"),
            Self::Go => include_str!("../schemas/schema-go.sql"),
        }
    }

    fn socket(self) -> &'static str {
        match self {
            Self::Python => "/run/dbcalm/mariadb-cmd.sock",
            Self::Go => "/run/dbcalm/db-cmd.sock",
        }
    }

    /// As whom it ran: what it made may be anybody's, so the one is tried as the server's user and the other as root.
    fn user(self) -> &'static str {
        match self {
            Self::Python => "mysql",
            Self::Go => "root",
        }
    }
}

/// A machine on which one of them works.
pub(super) struct Predecessor<'a> {
    pub(super) machine: &'a Machine,
    kind: Kind,
}

impl<'a> Predecessor<'a> {
    /// Sets it up: account, settings, directories, tables, and something at its socket.
    pub(super) fn set_up(machine: &'a Machine, kind: Kind) -> Self {
        data::seed(machine, Flavour::MariaDb);
        let (user, socket) = (kind.user(), kind.socket());
        machine.sh(&format!(
            "install -d -m 0755 -o {user} /etc/dbcalm /run/dbcalm
            install -d -m 0750 -o {user} -g $(id -gn {user}) /var/lib/dbcalm /var/backups/dbcalm /var/backups/dbcalm/tmp /var/backups/dbcalm/restores
            printf '[client-dbcalm]\\nuser = dbcalm\\npassword = {PASSWORD}\\nsocket = /run/mysqld/mysqld.sock\\n' >/etc/dbcalm/credentials.cnf
            chmod 0600 /etc/dbcalm/credentials.cnf && chown {user} /etc/dbcalm/credentials.cnf
            printf 'db_type: mariadb\\nbackup_dir: /var/backups/dbcalm\\njwt_secret_key: the-apis\\napi_port: 8335\\n' >/etc/dbcalm/config.yml
            echo {socket} >/stand/old.socket"
        ));
        let predecessor = Self { machine, kind };
        predecessor.database().execute_batch(kind.schema()).unwrap();
        machine.sh(&format!("chown {user} /var/lib/dbcalm/db.sqlite3; systemctl enable --now dbcalm-mariadb-cmd"));
        predecessor
    }

    /// The records.
    pub(super) fn database(&self) -> Connection {
        let database = Connection::open(self.machine.records()).unwrap();
        database.busy_timeout(crate::harness::PATIENCE).unwrap();
        if self.kind == Kind::Go {
            database.pragma_update(None, "journal_mode", "WAL").unwrap();
        }
        database
    }

    /// Runs a command as the daemon did.
    pub(super) fn run(&self, command: &str) {
        let user = self.kind.user();
        self.machine.sh(&format!("setpriv --reuid={user} --regid=$(id -g {user}) --init-groups {command}"));
    }

    /// A recorded exchange once more: its commands are run, and its rows written as this daemon wrote them.
    pub(super) fn repeat(&self, exchange: &str) {
        self.repeat_as(exchange, &[], 0, "");
    }

    /// The same for other backups: names are replaced, rows have other numbers, and something is added to the command.
    pub(super) fn repeat_as(&self, exchange: &str, names: &[(&str, &str)], numbers: i64, more: &str) {
        let rename = |text: &str| names.iter().fold(text.to_owned(), |text, (old, new)| text.replace(old, new));
        let renamed = |mut row: Row| {
            for (column, value) in &mut row {
                if let Value::String(text) = value {
                    *text = rename(text);
                } else if column == "process_id" || (column == "id" && value.is_number()) {
                    *value = (value.as_i64().unwrap() + numbers).into();
                }
            }
            row
        };
        for mut row in rows(exchange, "process").into_iter().map(renamed) {
            let command = format!("{}{more}", row["command"].as_str().unwrap());
            if row["status"] == "success" {
                self.run_recorded(&command);
            }
            row.insert("command".to_owned(), command.into());
            self.record("process", row);
        }
        for table in ["backup", "restore"] {
            for row in rows(exchange, table).into_iter().map(renamed) {
                self.record(table, row);
            }
        }
    }

    /// Makes a backup one in whose midst the daemon was killed.
    pub(super) fn die_in(&self, id: &str) {
        let database = self.database();
        database.pragma_update(None, "foreign_keys", false).unwrap();
        let is_its = format!("id = (SELECT process_id FROM backup WHERE id = '{id}')");
        let left = format!(
            "UPDATE process SET status = 'running', end_time = NULL, return_code = NULL, output = NULL WHERE {is_its};
            DELETE FROM backup WHERE id = '{id}'"
        );
        database.execute_batch(&left).unwrap();
    }

    /// The commands of the recorded database restore of a chain, for this one: full backup first.
    pub(super) fn restore(&self, chain: &[&str]) {
        const RECORDED: [&str; 3] = ["full-1", "inc-1", "inc-2"];
        let commands = rows("21-database-restore-of-a-chain", "process");
        let commands: Vec<_> = commands.iter().map(|row| row["command"].as_str().unwrap()).collect();
        let [copy, prepare, apply, _, copy_back] = commands[..] else { panic!("{commands:?}") };
        let full = |command: &str| command.replace(RECORDED[0], chain[0]);
        for command in [copy, prepare] {
            self.run_recorded(&full(command));
        }
        for incremental in &chain[1..] {
            self.run_recorded(&full(apply).replace(RECORDED[1], incremental));
        }
        self.run_recorded(&full(copy_back));
        self.run("rm -r /var/backups/dbcalm/tmp/2026-11-22-09-04-02");
    }

    /// The same up to the prepare, of something that its commands cannot restore.
    pub(super) fn cannot_prepare(&self, id: &str) {
        self.machine.fails(&format!(
            "cp -r /var/backups/dbcalm/{id} /var/backups/dbcalm/tmp/ && mariabackup --prepare --target-dir /var/backups/dbcalm/tmp/{id}"
        ));
        self.run(&format!("rm -r /var/backups/dbcalm/tmp/{id}"));
    }

    fn run_recorded(&self, command: &str) {
        if command.starts_with("/usr/bin/cp ") {
            // The daemon made the directory itself.
            self.run(&format!("mkdir -p {}", command.rsplit(' ').next().unwrap()));
        }
        // A pipeline and a file behind it, as the Go daemon had them.
        self.run(&if command.contains('|') { format!("sh -c '{command}'") } else { command.to_owned() });
    }

    /// Writes a row.
    fn record(&self, table: &str, mut row: Row) {
        if self.kind == Kind::Go {
            as_go_wrote_it(&mut row);
        }
        let (columns, marks): (Vec<_>, Vec<_>) = row.keys().map(|column| (column.as_str(), "?")).unzip();
        let query = format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), marks.join(", "));
        let values = row.values().map(|value| match value {
            Value::Null => Sqlite::Null,
            Value::Number(number) => Sqlite::Integer(number.as_i64().unwrap()),
            Value::String(text) => Sqlite::Text(text.clone()),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => panic!("{value} in a row"),
        });
        self.database().execute(&query, rusqlite::params_from_iter(values)).unwrap();
    }
}

/// The rows that an exchange left in a table.
fn rows(exchange: &str, table: &str) -> Vec<Row> {
    let path = format!("{}/tests/exchanges/{exchange}.json", env!("CARGO_MANIFEST_DIR"));
    let exchange: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    serde_json::from_value(exchange["rows"][table].clone()).unwrap()
}

/// Times without zeros at their ends and with a zone, a restore's target in lower case, and never a schedule.
fn as_go_wrote_it(row: &mut Row) {
    for (column, value) in row.iter_mut() {
        let Value::String(text) = value else { continue };
        if column.ends_with("_time") || column == "backup_timestamp" {
            *text = format!("{}+00:00", text.trim_end_matches('0').trim_end_matches('.'));
        } else if column == "target" {
            *text = text.to_lowercase();
        }
    }
    if let Some(schedule) = row.get_mut("schedule_id") {
        *schedule = Value::Null;
    }
}
