//! What must hold on every stand: each scenario is written once and runs over fakes, over this machine's MariaDB, and in a
//! container of each server that DBCalm is for.

mod backups;
mod damage;
mod failures;
mod kills;
mod removals;
mod restores;
mod streams;

use crate::exchanges;
use crate::harness::TestEnv;
use crate::harness::stand::{Place, Stand};

/// A full backup and four incrementals, each from the one before.
const CHAIN: [&str; 5] = ["full-1", "inc-1", "inc-2", "inc-3", "inc-4"];

/// Makes a test of each scenario on one stand.
macro_rules! on {
    ($stand:ident, $place:expr, $($topic:ident::$scenario:ident),* $(,)?) => {
        mod $stand {
            use crate::harness::stand::Place;
            use crate::scenarios::*;

            $(#[test]
            fn $scenario() {
                run($place, $topic::$scenario);
            })*
        }
    };
}

/// What must hold wherever the daemon runs.
macro_rules! on_every_stand {
    ($($scenarios:tt)*) => {
        on!(fakes, Place::Fakes, $($scenarios)*);
        on!(local, Place::Local, $($scenarios)*);
        on!(mariadb_10_5, Place::Container("mariadb-10.5"), $($scenarios)*);
        on!(mariadb_10_11, Place::Container("mariadb-10.11"), $($scenarios)*);
        on!(mariadb_11_8, Place::Container("mariadb-11.8"), $($scenarios)*);
        on!(mysql_9, Place::Container("mysql-9"), $($scenarios)*);
    };
}

/// What only the real mariadb-backup can show.
macro_rules! on_every_mariadb {
    ($($scenarios:tt)*) => {
        mod real {
            on!(local, Place::Local, $($scenarios)*);
            on!(mariadb_10_5, Place::Container("mariadb-10.5"), $($scenarios)*);
            on!(mariadb_10_11, Place::Container("mariadb-10.11"), $($scenarios)*);
            on!(mariadb_11_8, Place::Container("mariadb-11.8"), $($scenarios)*);
        }
    };
}

on_every_stand!(
    backups::a_full_backup_is_recorded_and_restores,
    backups::an_incremental_holds_what_changed_and_restores,
    backups::ids_of_all_shapes,
    backups::what_cannot_be_is_refused_and_leaves_nothing,
    restores::every_member_of_a_chain_of_five_restores_to_a_folder_and_to_the_data_directory,
    restores::the_same_chain_restores_three_times,
    restores::an_incremental_is_taken_of_the_history_that_the_server_is_on,
    failures::a_backup_that_fails_leaves_nothing_and_the_next_one_works,
    failures::a_restore_that_fails_at_any_step_leaves_everything_as_it_was,
    kills::a_backup_is_taken_back_when_the_daemon_was_killed,
    kills::a_restore_is_taken_back_whichever_step_the_daemon_was_killed_at,
    streams::a_chain_of_directories_and_streams_restores,
    streams::a_stream_that_was_damaged_is_not_restored,
);

on_every_mariadb!(
    exchanges::the_recorded_exchanges,
    damage::left_overs_in_the_data_directory_make_room_or_stay,
    damage::a_stored_backup_that_was_damaged_is_not_restored,
    damage::a_redo_log_that_was_cut_is_not_restored,
    damage::an_incremental_that_a_predecessor_consumed_is_not_restored,
    damage::a_predecessors_chain_without_a_manifest_is_restored,
    damage::a_wrong_password_and_a_missing_privilege_fail_without_a_trace,
    damage::a_server_on_the_data_directory_is_seen_though_no_socket_answers,
    kills::a_daemon_that_is_killed_in_the_midst_of_real_work_leaves_nothing,
);

/// Makes a test of each scenario on one stand, where backups are compressed streams.
macro_rules! streamed {
    ($stand:ident, $place:expr, $($topic:ident::$scenario:ident),* $(,)?) => {
        mod $stand {
            use crate::harness::stand::Place;
            use crate::scenarios::*;

            $(#[test]
            fn $scenario() {
                run_streamed($place, $topic::$scenario);
            })*
        }
    };
}

/// The scenarios of directories, over streams.
macro_rules! on_stands_here {
    ($($scenarios:tt)*) => {
        mod streamed {
            streamed!(fakes, Place::Fakes, $($scenarios)*);
            streamed!(local, Place::Local, $($scenarios)*);
        }
    };
}

on_stands_here!(
    backups::an_incremental_holds_what_changed_and_restores,
    restores::every_member_of_a_chain_of_five_restores_to_a_folder_and_to_the_data_directory,
    restores::the_same_chain_restores_three_times,
    failures::a_backup_that_fails_leaves_nothing_and_the_next_one_works,
    failures::a_restore_that_fails_at_any_step_leaves_everything_as_it_was,
    kills::a_backup_is_taken_back_when_the_daemon_was_killed,
    kills::a_restore_is_taken_back_whichever_step_the_daemon_was_killed_at,
);

/// By the command line, which the containers' daemons have out of reach.
mod removed {
    on!(fakes, Place::Fakes, removals::by_rule_the_older_chain_goes_and_the_newest_restores);
    on!(local, Place::Local, removals::by_rule_the_older_chain_goes_and_the_newest_restores);
}

mod forwarded {
    on!(fakes, Place::Fakes, streams::what_is_forwarded_is_fetched, streams::a_forward_that_fails_is_a_failed_backup);
    on!(local, Place::Local, streams::what_is_forwarded_is_fetched, streams::a_forward_that_fails_is_a_failed_backup);
}

#[test]
fn the_recorded_exchanges_over_fakes() {
    run(Place::Fakes, exchanges::the_recorded_exchanges);
}

fn run(place: Place, scenario: fn(&mut dyn Stand)) {
    if let Some(mut stand) = place.set_up() {
        // The same snapshots on every stand.
        insta::allow_duplicates!(scenario(stand.as_mut()));
    }
}

fn run_streamed(place: Place, scenario: fn(&mut dyn Stand)) {
    if let Some(mut stand) = place.set_up() {
        stand.env_mut().set("stream", "true");
        stand.env_mut().set("compression", "zstd");
        insta::allow_duplicates!(scenario(stand.as_mut()));
    }
}

/// Takes a chain of so many members; gives what the server held at each.
fn chain(stand: &mut dyn Stand, length: u32) -> Vec<Vec<String>> {
    let mut contents = Vec::new();
    for (round, id) in (0..length).zip(CHAIN) {
        if round == 0 {
            contents.push(stand.content());
            stand.full(id);
        } else {
            stand.change(round);
            contents.push(stand.content());
            stand.incremental(id, CHAIN[round as usize - 1]);
        }
        assert_eq!(stand.env().count("backup", &format!("id = '{id}'")), 1, "{id}: {:?}", stand.env().newest("error"));
    }
    contents
}

/// Fails where two contents differ, and shows where.
fn same(what: &str, found: &[String], wanted: &[String]) {
    let differing: Vec<_> = found.iter().filter(|line| !wanted.contains(line)).collect();
    let missing: Vec<_> = wanted.iter().filter(|line| !found.contains(line)).collect();
    assert!(found == wanted, "{what}: restored was {differing:?} instead of {missing:?}");
}

/// The folder that the newest restore filled: the prepared full backup in its `tmp_dir`.
fn newest_folder(env: &TestEnv) -> std::path::PathBuf {
    let row = &env.rows("restore", "id = (SELECT max(id) FROM restore)")[0];
    env.here(row["target_path"].as_str().unwrap()).join(row["backup_id"].as_str().unwrap())
}
