//! docs/migrate.md, as it is written: its commands are typed on a machine where a predecessor has worked, then on the way back.
//!
//! The machine is this one's root with its writes kept apart (`migration/machine`): real MariaDB, real mariabackup, real accounts and
//! paths. There is no systemd on it: `migration/systemctl` starts and stops what the page asks for, the daemon as its unit would. Nor is
//! there a predecessor: `migration/old-daemon` has its place at the socket, and its backups and restores are the recorded commands. The
//! package is not installed; its program is there, and its own script after the installation is run.

mod machine;
mod page;
mod predecessor;

use std::collections::BTreeMap;

use machine::Machine;
use predecessor::{Kind, Predecessor};
use serde_json::{Value, json};

use crate::harness::redact;
use crate::harness::stand::Content;
use crate::harness::stand::data::{self, Flavour};
use crate::orm;

/// The page, and who types it.
struct Page<'a> {
    machine: &'a Machine,
    blocks: BTreeMap<&'static str, String>,
}

impl<'a> Page<'a> {
    fn open(machine: &'a Machine) -> Self {
        Self { machine, blocks: page::blocks() }
    }

    /// Types a block, in a shell that knows the old unit's name; it must end well.
    fn type_in(&self, name: &str) -> String {
        self.machine.sh(&format!("{}\n{}", self.blocks["old"], self.blocks[name]))
    }

    /// From the old daemon to this one.
    fn go_over(&self, is_whole: usize, is_go: bool) {
        assert!(self.type_in("units").contains("dbcalm-mariadb-cmd"));
        assert_eq!(self.type_in("layout"), if is_go { "TEXT\n" } else { "VARCHAR(8)\n" });
        assert_eq!(self.type_in("times") != "0\n", is_go);
        assert_eq!(self.type_in("ids"), "", "the ids here may all be new ones");
        // What the package does after its files are in place, for the first time.
        std::fs::write(self.machine.path("/stand/postinst"), include_str!("../packaging/scripts/postinst")).unwrap();
        self.machine.sh("sh /stand/postinst configure");
        let looked = self.type_in("look");
        assert!(looked.contains("backup   running"), "{looked}");
        assert_eq!(looked.matches("\nok       ").count(), is_whole, "{looked}");
        assert_eq!(self.type_in("stop-old"), "nothing is at work\n");
        self.type_in("hand-over");
        // Records that the daemon may only read are told before the start, and by it.
        self.machine.sh("chmod g-w /var/lib/dbcalm/db.sqlite3; chown root /var/lib/dbcalm/db.sqlite3");
        let said = self.machine.fails(&self.blocks["check"]).stdout;
        assert!(said.contains("problem  database '/var/lib/dbcalm/db.sqlite3'"), "{said}");
        let said = self.machine.fails("systemctl start dbcalm-db-cmd").stderr;
        assert!(
            said.contains("hint: '/var/lib/dbcalm/db.sqlite3' and its directory must be writable by this user"),
            "{said}"
        );
        self.machine.sh("chmod g+w /var/lib/dbcalm/db.sqlite3");
        self.type_in("check");
        self.type_in("start");
        assert!(self.type_in("prove").contains("restored, "));
        assert!(self.type_in("first").contains("hashed in"));
        let ghosts = asked(self.machine, "list processes --failed --limit 1");
        assert_eq!(ghosts["processes"][0]["args"]["id"], "ghost-1", "{ghosts:#}");
        self.machine.sh("! test -e /var/backups/dbcalm/ghost-1");
    }

    /// From this one to the old daemon.
    fn go_back(&self) {
        self.type_in("stop-ours");
        self.type_in("copy-first");
        self.type_in("start-old");
    }
}

fn content(machine: &Machine) -> Content {
    data::content(machine, Flavour::MariaDb)
}

fn asked(machine: &Machine, order: &str) -> Value {
    serde_json::from_str(&machine.sh(&format!("dbcalm-db-cmd {order} --json"))).unwrap()
}

/// Restores into the data directory by this daemon; gives what the server then holds.
fn restored(machine: &Machine, id: &str) -> Content {
    machine.lose_everything();
    machine.sh(&format!("dbcalm-db-cmd restore {id} --target database --yes"));
    machine.sh("systemctl start mariadb");
    content(machine)
}

/// The same by the old one.
fn restored_by(old: &Predecessor<'_>, chain: &[&str]) -> Content {
    old.machine.lose_everything();
    old.restore(chain);
    // Where the daemon was root, its files are.
    old.machine.sh("chown -R mysql:mysql /var/lib/mysql; systemctl start mariadb");
    content(old.machine)
}

/// What `verify --all` says of each backup.
fn verified(machine: &Machine) -> String {
    let said: Value = serde_json::from_str(&machine.run("dbcalm-db-cmd verify --all --json").stdout).unwrap();
    let one = |backup: &Value| format!("{} {}", backup["id"].as_str().unwrap(), backup["outcome"].as_str().unwrap());
    redact(&said["backups"].as_array().unwrap().iter().map(one).collect::<Vec<_>>().join(", "))
}

/// Every stored byte of some backups.
fn fingerprint(machine: &Machine, files: &str) -> String {
    machine.sh(&format!("cd /var/backups/dbcalm && find {files} -type f -print0 | sort -z | xargs -0 sha256sum"))
}

#[test]
fn from_the_python_daemon_and_back() {
    let Some(machine) = Machine::start() else { return };
    let old = Predecessor::set_up(&machine, Kind::Python);
    for (round, exchange) in (1..).zip(["03-full-backup", "06-incremental-backup", "07-incremental-of-an-incremental"])
    {
        data::change(&machine, round);
        old.repeat(exchange);
    }
    old.repeat("11-folder-restore-of-a-full-backup");
    old.repeat("17-full-backup-with-a-wrong-password");
    old.repeat_as("03-full-backup", &[("full-1", "ghost-1"), ("cad1f48d", "cad1f499")], 98, "");
    old.die_in("ghost-1");
    let theirs = fingerprint(&machine, "full-1 inc-1 inc-2");

    let page = Page::open(&machine);
    page.go_over(3, false);
    // Ours on theirs.
    data::change(&machine, 4);
    machine.sh("dbcalm-db-cmd backup incremental ours-3 --from inc-2");
    let at_ours_3 = content(&machine);
    assert_eq!(asked(&machine, "show ours-3")["chain"], json!(["full-1", "inc-1", "inc-2", "ours-3"]));
    assert_eq!(restored(&machine, "ours-3"), at_ours_3);
    assert_eq!(fingerprint(&machine, "full-1 inc-1 inc-2"), theirs);
    machine.sh("dbcalm-db-cmd backup full ours-full");
    let ours = fingerprint(&machine, "ours-full");

    // What a killed daemon leaves at its socket is in the old one's way.
    machine.sh("kill -KILL $(cat /stand/dbcalm-db-cmd.pid); test -L /run/dbcalm/mariadb-cmd.sock");
    page.go_back();
    // Theirs on ours.
    data::change(&machine, 5);
    old.repeat_as(
        "06-incremental-backup",
        &[("inc-1", "theirs-2"), ("full-1", "ours-full"), ("6ad146b8", "6ad146b9")],
        300,
        "",
    );
    let at_theirs_2 = content(&machine);
    assert_eq!(restored_by(&old, &["full-1", "inc-1", "inc-2", "ours-3"]), at_ours_3);
    machine.sh("! test -e /var/lib/mysql/dbcalm.sha256");
    machine.sh("cp -a /var/backups/dbcalm/theirs-2 /var/backups/dbcalm.copy/");
    assert_eq!(restored_by(&old, &["ours-full", "theirs-2"]), at_theirs_2);
    machine.sh("test -e /var/lib/mysql/dbcalm.sha256");
    page.type_in("remove-manifest");
    machine.sh("! test -e /var/lib/mysql/dbcalm.sha256");
    assert_eq!(fingerprint(&machine, "ours-full"), ours);
    // Their restores have destroyed the incrementals, and none of the full ones.
    let wanted = "full-1 ok, inc-1 damaged, inc-2 damaged, ours-3 damaged, theirs-2 damaged, ours-full ok, [TIME] ok";
    assert_eq!(sorted(&verified(&machine)), sorted(wanted));
    page.type_in("put-back");
    let wanted = "full-1 ok, inc-1 ok, inc-2 ok, ours-3 ok, theirs-2 damaged, ours-full ok, [TIME] ok";
    assert_eq!(sorted(&verified(&machine)), sorted(wanted));
    read_by_the_python_api(&machine);

    // And over once more.
    machine.sh("cp -a /var/backups/dbcalm.copy/theirs-2/. /var/backups/dbcalm/theirs-2/");
    page.type_in("stop-old");
    machine.sh("systemctl enable --now dbcalm-db-cmd");
    assert_eq!(restored(&machine, "theirs-2"), at_theirs_2);
    assert_eq!(restored(&machine, "ours-3"), at_ours_3);
}

fn sorted(text: &str) -> Vec<&str> {
    let mut words: Vec<_> = text.split(", ").collect();
    words.sort_unstable();
    words
}

/// Every row, theirs and ours.
fn read_by_the_python_api(machine: &Machine) {
    let Some(python) = orm::python() else { return };
    let said = orm::ask(&python, "python", &machine.records(), &["read"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let read: Value = serde_json::from_slice(&said.stdout).unwrap();
    let ids: Vec<_> = read["backup"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    for id in ["full-1", "inc-1", "inc-2", "theirs-2", "ours-3", "ours-full"] {
        assert!(ids.contains(&id), "{ids:?}");
    }
    let targets: Vec<_> = read["restore"].as_array().unwrap().iter().map(|row| &row["target"]).collect();
    assert_eq!(targets, ["Target.DATABASE", "Target.FOLDER", "Target.FOLDER"]);
}

#[test]
fn from_the_go_daemon_and_back() {
    let Some(machine) = Machine::start() else { return };
    let old = Predecessor::set_up(&machine, Kind::Go);
    data::change(&machine, 1);
    old.repeat("03-full-backup");
    data::change(&machine, 2);
    old.repeat("06-incremental-backup");
    old.repeat("11-folder-restore-of-a-full-backup");
    let mut at = BTreeMap::new();
    let streams = [("stream-gz", "gzip", ".gz"), ("stream-zst", "zstd - -c -T0", ".zst"), ("ghost-1", "gzip", ".gz")];
    for (round, (id, compressor, ending)) in (3..).zip(streams) {
        data::change(&machine, round);
        at.insert(id, content(&machine));
        let more = format!(" --stream=xbstream | {compressor} > /var/backups/dbcalm/backup-{id}.xbstream{ending}");
        let names =
            [("full-1", id), ("cad1f48d", &format!("cad1f48{round}")), ("09:03:21", &format!("09:05:0{round}"))];
        old.repeat_as("03-full-backup", &names, 20 + i64::from(round), &more);
    }
    old.die_in("ghost-1");
    let theirs = fingerprint(&machine, "full-1 inc-1 *.xbstream.*");
    assert_eq!(theirs.matches(".xbstream").count(), 3);

    let page = Page::open(&machine);
    // No schedule has a retention, and whoever asks leaves nothing of his own.
    assert_eq!((page.type_in("retention"), page.type_in("next")), (String::new(), String::new()));
    assert!(page.type_in("base").contains("none      stream-zst"), "{}", page.type_in("base"));
    assert_eq!(machine.sh("stat -c %U /var/lib/dbcalm/* | sort -u"), "root\n");
    page.go_over(4, true);
    // Of a stream in that place it cannot be told whose it is; the row says that it stayed, and `check` what to do about it.
    let ghost = &asked(&machine, "list processes --failed")["processes"][0];
    assert!(ghost["error"].as_str().unwrap().ends_with("backup-ghost-1.xbstream.gz' was left as it is"), "{ghost:#}");
    assert!(
        machine
            .sh("dbcalm-db-cmd check")
            .contains("backup-ghost-1.xbstream.gz' is in backup_dir, but no record names it")
    );
    for id in ["stream-gz", "stream-zst"] {
        assert_eq!(restored(&machine, id), at[id], "{id}");
    }
    let full = asked(&machine, "show full-1");
    assert!(
        (full["duration_seconds"].as_f64().unwrap() - 0.347).abs() < 0.001 && full["age_seconds"].is_number(),
        "{full:#}"
    );
    let restores = asked(&machine, "list restores")["restores"].clone();
    let targets: Vec<_> = restores.as_array().unwrap().iter().map(|row| row["target"].as_str().unwrap()).collect();
    assert_eq!(targets, ["database", "database", "folder", "folder"], "{restores:#}");
    let refused = machine.fails("dbcalm-db-cmd backup incremental of-stream --from stream-gz");
    assert!(refused.stderr.contains("a stream of the Go daemon cannot be a base"), "{}", refused.stderr);

    // Ours on theirs, and a stream. The server was restored from another chain, of which that is no continuation.
    let refused = machine.fails("dbcalm-db-cmd backup incremental ours-2 --from inc-1");
    assert!(refused.stderr.contains("do not descend from backup inc-1"), "{}", refused.stderr);
    restored(&machine, "inc-1");
    data::change(&machine, 6);
    machine.sh("dbcalm-db-cmd backup incremental ours-2 --from inc-1");
    let at_ours_2 = content(&machine);
    assert_eq!(restored(&machine, "ours-2"), at_ours_2);
    machine
        .sh("printf 'stream: true\\ncompression: zstd\\n' >>/etc/dbcalm/config.yml; systemctl restart dbcalm-db-cmd");
    machine.sh("dbcalm-db-cmd backup full 2026-11-25-02-00-00");
    assert_eq!(fingerprint(&machine, "full-1 inc-1 *.xbstream.*"), theirs);

    page.go_back();
    assert_eq!(restored_by(&old, &["full-1", "inc-1", "ours-2"]), at_ours_2);
    // Theirs on our stream, which their commands do not restore as it lies there.
    data::change(&machine, 7);
    let names = [("inc-1", "theirs-2"), ("full-1", "2026-11-25-02-00-00"), ("6ad146b8", "6ad146b9")];
    old.repeat_as("06-incremental-backup", &names, 300, "");
    let at_theirs_2 = content(&machine);
    old.cannot_prepare("2026-11-25-02-00-00");
    page.type_in("unpack");
    assert_eq!(restored_by(&old, &["2026-11-25-02-00-00", "theirs-2"]), at_theirs_2);
}

/// The fixture's schedules: 1 keeps a week, 2 keeps two months, 3 keeps all. Each line is a backup: its id, base, schedule and age in days.
#[test]
fn the_page_shows_what_retention_will_remove() {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    database.execute_batch(include_str!("schemas/schema-go.sql")).unwrap();
    database
        .execute_batch(
            "INSERT INTO schedule (id, backup_type, frequency, retention_value, retention_unit, created_at, updated_at)
             VALUES (1, 'full', 'daily', 1, 'weeks', '', ''), (2, 'full', 'weekly', 2, 'months', '', ''), (3, 'incremental', 'hourly', NULL, NULL, '', '')",
        )
        .unwrap();
    let backup = |id: &str, base: Option<&str>, schedule: Option<i64>, days: i64| {
        database
            .execute(
                "INSERT INTO backup (id, from_backup_id, schedule_id, start_time, end_time, process_id)
                 VALUES (?1, ?2, ?3, datetime('now', ?4) || '.123456', datetime('now', ?4) || '.223456', 1)",
                rusqlite::params![id, base, schedule, format!("-{days} days")],
            )
            .unwrap();
    };
    database.pragma_update(None, "foreign_keys", false).unwrap();
    // As the shell gives them to sqlite3.
    let query = |sql: &str| -> Vec<String> {
        let mut statement = database.prepare(sql).unwrap();
        let columns = statement.column_count();
        let text = |row: &rusqlite::Row<'_>| {
            let word = |at| {
                let value = row.get_ref_unwrap(at);
                value.as_str().map_or_else(|_| format!("{value:?}"), str::to_owned)
            };
            Ok((0..columns).map(word).collect::<Vec<_>>().join(" | "))
        };
        statement.query_map([], text).unwrap().map(Result::unwrap).collect()
    };
    let blocks = page::blocks();
    let asked = |name: &str| query(blocks[name].split("<<'SQL'\n").nth(1).unwrap().strip_suffix("\nSQL").unwrap());
    let cleaned = |is_asked: bool| {
        let (sql, calls) = blocks["next"].split_once("<<SQL\n").unwrap().1.split_once("\nSQL\n}\n").unwrap();
        let schedules: Vec<_> = calls.lines().map(|call| call.strip_prefix("clean_up ").unwrap()).collect();
        let [recorded, of_args] = schedules[..] else { panic!("{calls}") };
        let schedule = if is_asked { of_args.trim_matches('"').replace("\\$", "$") } else { recorded.to_owned() };
        let mut rows = query(&sql.replace("$1", &schedule));
        rows.sort();
        rows
    };
    // What the Go daemon recorded: no schedule.
    backup("go-full", None, None, 400);
    backup("go-inc", Some("go-full"), None, 399);
    assert_eq!((cleaned(false), cleaned(true)), (Vec::new(), Vec::new()));
    // But what it was asked for is in the arguments.
    database
        .execute_batch(
            r#"INSERT INTO process (id, command_id, command, status, start_time, type, args)
               VALUES (2, 'c', '', 'success', '', 'backup', '{"id":"go-full","schedule_id":1}'), (3, 'd', '', 'success', '', 'backup', 'no JSON');
               UPDATE backup SET process_id = 2 WHERE id = 'go-full'; UPDATE backup SET process_id = 3 WHERE id = 'go-inc'"#,
        )
        .unwrap();
    assert_eq!(cleaned(false), [""; 0]);
    assert_eq!(cleaned(true), ["go-full | removed by schedule 1", "go-inc | LOST: taken from go-full"]);
    let keeps =
        ["Integer(1) | full | daily | 1 weeks | Integer(0)", "Integer(2) | full | weekly | 2 months | Integer(0)"];
    assert_eq!(asked("retention"), keeps);
    // What ours records: a chain within one schedule, of which one is young; one that is old as a whole.
    backup("young", None, Some(1), 30);
    backup("young-inc", Some("young"), Some(1), 6);
    backup("old", None, Some(1), 30);
    backup("old-inc", Some("old"), Some(1), 8);
    // A full backup from under incrementals of another schedule and of none, and what was taken from those.
    backup("under", None, Some(1), 9);
    backup("of-3", Some("under"), Some(3), 1);
    backup("of-none", Some("of-3"), None, 0);
    // Another retention, on either side; one that keeps all.
    backup("months", None, Some(2), 50);
    backup("more-months", None, Some(2), 70);
    backup("kept", None, Some(3), 900);
    insta::assert_snapshot!(cleaned(false).join("\n"), @"
    more-months | removed by schedule 2
    of-3 | LOST: taken from under
    of-none | LOST: taken from of-3
    old | removed by schedule 1
    old-inc | removed by schedule 1
    under | removed by schedule 1
    ");
    let base: Vec<_> = asked("base").iter().map(|row| row.rsplit_once(" | ").unwrap().0.to_owned()).collect();
    assert_eq!(base, ["none | go-full", "Integer(1) | under", "Integer(2) | months", "Integer(3) | kept"]);
}

#[test]
fn every_block_of_the_page_is_typed() {
    let source = include_str!("migration.rs");
    for name in page::blocks().into_keys().filter(|name| *name != "old") {
        assert!(source.contains(&format!("type_in(\"{name}\")")), "no test types the block {name}");
    }
}
