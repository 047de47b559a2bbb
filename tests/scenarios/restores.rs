//! Restores that must bring back what the server held.

use super::{CHAIN, chain, newest_folder, same};
use crate::harness::stand::Stand;

pub(crate) fn every_member_of_a_chain_of_five_restores_to_a_folder_and_to_the_data_directory(stand: &mut dyn Stand) {
    stand.env().start_daemon();
    let contents = chain(stand, 5);
    let stored = stand.env().fingerprint("backups");
    let restored = |stand: &dyn Stand, ids: &[&str], target: &str| {
        let before = stand.env().count("restore", "1");
        stand.env().restore(ids, target);
        assert_eq!(stand.env().count("restore", "1"), before + 1, "{}", stand.env().newest("error"));
    };
    for (member, content) in contents.iter().enumerate() {
        let ids = &CHAIN[..=member];
        restored(stand, ids, "folder");
        let folder = newest_folder(stand.env());
        same(&format!("folder restore of {ids:?}"), &stand.restored_folder(&folder), content);
        stand.lose_everything();
        restored(stand, ids, "database");
        same(&format!("database restore of {ids:?}"), &stand.restored(), content);
    }
    let now = stand.env().fingerprint("backups");
    assert!(stored.iter().all(|(path, bytes)| now.get(path) == Some(bytes)), "every stored backup is byte-identical");
}

pub(crate) fn the_same_chain_restores_three_times(stand: &mut dyn Stand) {
    stand.env().start_daemon();
    let contents = chain(stand, 3);
    let stored = stand.env().fingerprint("backups");
    for round in 0..3 {
        stand.lose_everything();
        stand.env().restore(&CHAIN[..3], "database");
        same(&format!("restore {round} of the chain"), &stand.restored(), &contents[2]);
        assert!(
            stand.env().fingerprint("backups") == stored,
            "the stored backups are byte-identical after restore {round}"
        );
    }
    assert_eq!(stand.env().count("restore", "1"), 3);
    assert_eq!(stand.env().listing("backups"), "full-1/ inc-1/ inc-2/ tmp/");
    assert_eq!(stand.env().listing("backups/tmp"), "(empty)");
}

pub(crate) fn an_incremental_is_taken_of_the_history_that_the_server_is_on(stand: &mut dyn Stand) {
    stand.env().start_daemon();
    chain(stand, 2);
    stand.lose_everything();
    stand.env().restore(&CHAIN[..1], "database");
    stand.start_server();
    // Beyond the end of the abandoned incremental.
    for round in 1..4 {
        stand.change(round);
    }
    let of = |id: &str, base: &str| {
        format!(r#"{{"cmd":"incremental_backup","args":{{"id":"{id}","from_backup_id":"{base}"}}}}"#)
    };
    let said = stand.env().send(&of("inc-2", CHAIN[1]));
    assert!(said.contains(r#""code": 400"#) && said.contains("do not descend from backup inc-1"), "{said}");
    let wanted = stand.content();
    stand.incremental("inc-3", CHAIN[0]);
    let card = std::fs::read(stand.env().backup("inc-3").join("backup.json")).unwrap();
    let card: serde_json::Value = serde_json::from_slice(&card).unwrap();
    // The daemon of the fakes has a data directory without a schema to leave marks in; what was restored is told by the tool's own file.
    let has_marks = stand.data_dir().join("mysql").is_dir();
    assert_eq!((&card["from"]["proven"], &card["history"]["marked"]), (&true.into(), &has_marks.into()));
    stand.lose_everything();
    stand.env().restore(&[CHAIN[0], "inc-3"], "database");
    same("the history that the server is on", &stand.restored(), &wanted);
}
