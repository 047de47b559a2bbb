//! An incremental holds what has changed since its base, of one history: whatever became of the server's data meanwhile, a base that they
//! do not descend from is refused, and one that they do descend from is taken.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use insta::assert_snapshot;

use crate::cli::run;
use crate::harness::TestEnv;
use crate::harness::daemon::restore_request;
use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::stand::Place;
use crate::torture::site::Site;

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
    site.env.expect_log("the backup's mark cannot be written to the data directory");
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
    let form = card["form"].as_object_mut().unwrap();
    for (name, least) in [("data_size", 1 << 20), ("files", 10)] {
        assert!(form.remove(name).unwrap().as_u64().unwrap() > least, "{name}");
    }
    // Which tables are younger than the last checkpoint is the server's own affair.
    let young = card.as_object_mut().unwrap().remove("young");
    assert!(young.is_none_or(|young| young.is_object()));
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
    let mut env = TestEnv::real(&server);
    env.start_daemon();
    env.credentials(&format!("[client-dbcalm]\nuser=root\nsocket={}\n", other.socket().display()));
    let said = env.send(r#"{"cmd":"full_backup","args":{"id":"mon"}}"#);
    let place = |path: PathBuf| path.display().to_string();
    let said = said.replace(&place(server.data_dir()), "~own").replace(&place(other.data_dir()), "~other");
    assert_snapshot!(said, @r#"{"code": 503, "status": "cannot create backup, the server that answers has its data in '~other', but data_dir is '~own': set data_dir to that, or point socket, host or port in the credentials file at the other server"}"#);
    // So does an option that the tool alone is given.
    env.credentials(&format!("[client-dbcalm]\nuser=root\nsocket={}\n", server.socket().display()));
    let script = format!("#!/bin/sh\nexec /usr/bin/mariabackup \"$@\" --socket={}\n", other.socket().display());
    fs::write(env.path("bin/led-astray"), script).unwrap();
    fs::set_permissions(env.path("bin/led-astray"), fs::Permissions::from_mode(0o755)).unwrap();
    env.set("backup_bin", &env.path("bin/led-astray").display().to_string());
    env.signal(rustix::process::Signal::HUP);
    env.expect_log("the settings were read again");
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

/// An id that is used again is another backup, though it ends at the same LSN: the server has written nothing since.
#[test]
fn a_base_is_known_by_more_than_its_id_and_its_lsns() {
    let Some(site) = chain() else { return };
    let kept = site.env.root().join("kept");
    fs::rename(site.env.backup("mon"), &kept).unwrap();
    site.env.database().execute("DELETE FROM backup WHERE id = 'mon'", []).unwrap();
    site.env.full("mon");
    let shown = run(&site.env, "list");
    assert!(shown.stdout.contains("broken"), "{}", shown.stdout);
    let said = site.env.send(&restore_request(&["mon", "tue"], "folder"));
    assert!(said.contains(r#""code": 400, "status": "id_list is not a chain: "#), "{said}");
    let said = site.incremental("wed", "tue").unwrap_err();
    assert!(said.contains("the chain of base tue cannot be restored"), "{said}");
    // The folders alone exchanged: by the records nothing has changed.
    fs::remove_dir_all(site.env.backup("mon")).unwrap();
    fs::rename(&kept, site.env.backup("mon")).unwrap();
    assert!(site.incremental("wed", "mon").is_ok(), "it is what it was");
}
