//! An incremental holds what has changed since its base, of one history: whatever became of the server's data meanwhile, a base that they
//! do not descend from is refused, and one that they do descend from is taken.

use std::fs;
use std::path::{Path, PathBuf};

use insta::assert_snapshot;

use crate::cli::run;
use crate::harness::mariadb::{MariaDb, is_installed, template};
use crate::harness::stand::Place;
use crate::harness::{TestEnv, program};

/// A server with a daemon, whose data go through several hands.
pub(crate) struct Site {
    // The daemon ends before its server does.
    pub(crate) env: TestEnv,
    pub(crate) server: MariaDb,
    written: u32,
}

impl Site {
    pub(crate) fn new() -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let server = MariaDb::start();
        let env = TestEnv::real(&server);
        env.start_daemon();
        let site = Self { env, server, written: 0 };
        site.create();
        Some(site)
    }

    fn create(&self) {
        self.server.sql("CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY AUTO_INCREMENT, note VARCHAR(200)) ENGINE=InnoDB");
    }

    /// Writes so much that the server's LSN goes past that of any backup before.
    pub(crate) fn write(&mut self) {
        self.written += 1;
        let note = format!(
            "INSERT INTO shop.orders (note) SELECT concat('{} ', seq, repeat('x', 150)) FROM shop.seq_1_to_3000",
            self.written
        );
        self.server.sql(&note);
    }

    /// Asks for an incremental; gives the reply, and whether it came to a success.
    pub(crate) fn incremental(&self, id: &str, base: &str) -> Result<(), String> {
        let reply = self
            .env
            .send(&format!(r#"{{"cmd":"incremental_backup","args":{{"id":"{id}","from_backup_id":"{base}"}}}}"#));
        if !reply.contains(r#""code": 202"#) {
            return Err(reply);
        }
        self.env.settled();
        if self.env.count("backup", &format!("id = '{id}'")) == 1 { Ok(()) } else { Err(self.env.newest("error")) }
    }

    /// Restores a chain to the data directory, and starts the server.
    pub(crate) fn restore(&mut self, chain: &[&str]) {
        self.server.lose_everything();
        self.env.restore(chain, "database");
        self.server.run();
    }

    /// The same by the tool itself, as an operator does.
    pub(crate) fn restore_by_hand(&mut self, chain: &[&str]) {
        let tool = |args: &[String]| {
            let said = program("mariadb-backup").args(args).output().unwrap();
            assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        };
        let work = tempfile::tempdir().unwrap();
        let own = |id: &str| work.path().join(id);
        for id in chain {
            copy(&self.env.backup(id), &own(id));
        }
        let target = format!("--target-dir={}", own(chain[0]).display());
        tool(&["--prepare".to_owned(), target.clone()]);
        for id in &chain[1..] {
            tool(&["--prepare".to_owned(), target.clone(), format!("--incremental-dir={}", own(id).display())]);
        }
        self.server.lose_everything();
        tool(&["--move-back".to_owned(), target, format!("--datadir={}", self.server.data_dir().display())]);
        self.server.run();
    }

    /// A copy of the data, with the server at rest.
    pub(crate) fn copy_data(&mut self) -> tempfile::TempDir {
        let kept = tempfile::tempdir().unwrap();
        self.server.stop();
        copy(&self.server.data_dir(), &kept.path().join("data"));
        self.server.run();
        kept
    }

    /// Puts a copy in the place of the data.
    pub(crate) fn put_back(&mut self, kept: &Path) {
        self.server.lose_everything();
        fs::remove_dir(self.server.data_dir()).unwrap();
        copy(kept, &self.server.data_dir());
        self.server.run();
    }

    /// Installs the server anew.
    pub(crate) fn install_anew(&mut self) {
        self.put_back(template());
        self.create();
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(program("cp").arg("-a").args([from, to]).status().unwrap().success());
}

const REFUSED: &str = r#"{"code": 400, "status": "cannot create backup, the data in '~db/data' do not descend from backup tue: they were restored, copied or made anew since. Take a full backup"}"#;

fn refusal(site: &Site, base: &str) -> String {
    let said = site.incremental("refused", base).unwrap_err();
    let root = site.server.data_dir().parent().unwrap().display().to_string();
    said.replace(&root, "~db")
}

/// A full backup and an incremental, with a change before, between and after.
fn chain() -> Option<Site> {
    let mut site = Site::new()?;
    site.write();
    site.env.full("mon");
    site.write();
    site.incremental("tue", "mon").unwrap();
    site.write();
    Some(site)
}

#[test]
fn an_incremental_on_an_abandoned_history_is_refused() {
    let Some(mut site) = chain() else { return };
    site.restore(&["mon"]);
    for _ in 0..10 {
        site.write();
    }
    assert_eq!(refusal(&site, "tue"), REFUSED);
    // The command line takes the newest by itself, and says what to do.
    let said = run(&site.env, "backup incremental wed");
    assert_eq!(said.status, 1);
    let hint = "hint: dbcalm-db-cmd backup full";
    assert!(said.stderr.contains("do not descend from backup tue") && said.stderr.contains(hint), "{}", said.stderr);
    assert_eq!(site.env.count("process", "command LIKE '%wed%'"), 0, "nothing has run");
    // What they do descend from goes on being a base.
    site.incremental("wed", "mon").unwrap();
    let content = site.server.content();
    site.restore(&["mon", "wed"]);
    assert_eq!(site.server.content(), content);
}

#[test]
fn a_chain_that_was_restored_is_gone_on_with() {
    let Some(mut site) = chain() else { return };
    site.restore(&["mon", "tue"]);
    site.write();
    site.incremental("wed", "tue").unwrap();
    site.incremental("thu", "mon").unwrap();
    let content = site.server.content();
    site.restore(&["mon", "tue", "wed"]);
    assert_eq!(site.server.content(), content);
}

#[test]
fn a_restore_by_hand_is_known_for_what_it_is() {
    let Some(mut site) = chain() else { return };
    site.restore_by_hand(&["mon"]);
    site.write();
    site.write();
    assert_eq!(refusal(&site, "tue"), REFUSED);
    site.incremental("wed", "mon").unwrap();
    site.restore_by_hand(&["mon", "tue"]);
    site.write();
    site.incremental("thu", "tue").unwrap();
}

#[test]
fn a_copy_that_is_put_back_is_what_it_was_when_it_was_made() {
    let Some(mut site) = Site::new() else { return };
    site.write();
    site.env.full("mon");
    let before = site.copy_data();
    site.write();
    site.incremental("tue", "mon").unwrap();
    let after = site.copy_data();
    site.write();
    site.put_back(&before.path().join("data"));
    site.write();
    site.write();
    assert_eq!(refusal(&site, "tue"), REFUSED);
    site.incremental("wed", "mon").unwrap();
    site.put_back(&after.path().join("data"));
    site.write();
    site.incremental("thu", "tue").unwrap();
}

#[test]
fn a_new_installation_descends_from_nothing() {
    let Some(mut site) = chain() else { return };
    site.install_anew();
    for _ in 0..10 {
        site.write();
    }
    assert_eq!(refusal(&site, "tue"), REFUSED);
}

#[test]
fn crashes_restarts_and_a_new_redo_log_are_no_new_history() {
    let Some(mut site) = chain() else { return };
    site.server.crash();
    site.server.run();
    site.write();
    site.incremental("wed", "tue").unwrap();
    site.server.stop();
    site.server.run();
    site.server.sql("SET GLOBAL innodb_log_file_size = 32 * 1024 * 1024");
    site.incremental("thu", "wed").unwrap();
    site.write();
    site.incremental("fri", "tue").unwrap();
}

/// Backups of before there were cards, and of predecessors: only the records tell.
#[test]
fn a_base_without_a_card_is_held_against_the_records() {
    let Some(mut site) = chain() else { return };
    for id in ["mon", "tue"] {
        for file in ["backup.json", "dbcalm.sha256"] {
            fs::remove_file(site.env.backup(id).join(file)).unwrap();
        }
    }
    site.incremental("wed", "tue").unwrap();
    site.restore(&["mon"]);
    site.write();
    site.write();
    assert_eq!(refusal(&site, "tue"), REFUSED);
    site.incremental("thu", "mon").unwrap();
}

/// Where the data directory takes no mark, a backup is good all the same.
#[test]
fn without_a_mark_a_backup_is_taken_and_said_to_be() {
    let Some(mut site) = Site::new() else { return };
    let marks = site.server.data_dir().join("mysql/dbcalm-history.new");
    fs::create_dir(&marks).unwrap();
    site.env.full("mon");
    site.env.expect_log("the backup's mark cannot be left in the data directory");
    fs::remove_dir(&marks).unwrap();
    site.write();
    site.incremental("tue", "mon").unwrap();
    let card = |id: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(site.env.backup(id).join("backup.json")).unwrap()).unwrap()
    };
    assert_eq!(card("mon")["history"]["marked"], false);
    assert_eq!((&card("tue")["history"]["marked"], &card("tue")["from"]["proven"]), (&true.into(), &false.into()));
}

#[test]
fn a_backup_says_what_it_is() {
    let Some(site) = chain() else { return };
    let text = fs::read_to_string(site.env.backup("tue").join("backup.json")).unwrap();
    let mut card: serde_json::Value = serde_json::from_str(&text).unwrap();
    let of_mon: serde_json::Value =
        serde_json::from_slice(&fs::read(site.env.backup("mon").join("backup.json")).unwrap()).unwrap();
    assert_eq!(card["from"]["uuid"], of_mon["uuid"]);
    assert_eq!(card["lsn"]["from"], of_mon["lsn"]["to"]);
    assert!(card["server"]["version"].as_str().unwrap().contains("MariaDB"));
    for name in ["start", "end", "lsn", "server", "tool_version", "history"] {
        assert!(!card.as_object_mut().unwrap().remove(name).unwrap().is_null(), "{name}");
    }
    let shown = site.env.redact(&serde_json::to_string_pretty(&card).unwrap());
    assert_snapshot!(shown, @r#"
    {
      "db_type": "mariadb",
      "form": {
        "type": "directory"
      },
      "format": 1,
      "from": {
        "id": "mon",
        "proven": true,
        "uuid": "[ID]"
      },
      "id": "tue",
      "tool_uuid": "[ID]",
      "type": "incremental",
      "uuid": "[ID]"
    }
    "#);
}

/// Two servers on one machine, with the same account: the ping reached one and the tool the other.
#[test]
fn another_server_than_that_of_the_settings_is_not_backed_up() {
    if !is_installed() {
        return;
    }
    let (server, other) = (MariaDb::start(), MariaDb::start());
    let env = TestEnv::real(&server);
    env.start_daemon();
    env.credentials(&format!("[client-dbcalm]\nuser=root\nsocket={}\n", other.socket().display()));
    let said = env.send(r#"{"cmd":"full_backup","args":{"id":"mon"}}"#);
    let place = |path: PathBuf| path.display().to_string();
    let said = said.replace(&place(server.data_dir()), "~own").replace(&place(other.data_dir()), "~other");
    assert_snapshot!(said, @r#"{"code": 503, "status": "cannot create backup, the server that answers has its data in '~other' and data_dir is '~own': set data_dir to that, or let socket, host or port in the credentials file lead to the other server"}"#);
    // An option that the tool alone reads leads it to the other one.
    env.credentials(&format!(
        "[client-dbcalm]\nuser=root\nsocket={}\n[mariabackup-dbcalm]\nsocket={}\n",
        server.socket().display(),
        other.socket().display()
    ));
    env.done(r#"{"cmd":"full_backup","args":{"id":"mon"}}"#);
    env.expect_log("another server was backed up");
    assert_eq!(env.count("backup", "1"), 0);
    assert_eq!(env.listing("backups"), "(empty)");
}

/// The card is no file of the server's: a restore leaves it where it is.
#[test]
fn a_card_stays_with_its_backup() {
    let Some(mut stand) = Place::Fakes.set_up() else { return };
    stand.env().start_daemon();
    stand.full("full-1");
    assert!(stand.env().backup("full-1").join("backup.json").exists());
    stand.lose_everything();
    stand.env().restore(&["full-1"], "database");
    assert!(!stand.env().path("data/backup.json").exists());
}
