//! Tables of Aria and `MyISAM` that are renamed, replaced or dropped while they are copied: the tool loses some of them, says `completed OK!`
//! and ends with 0.
//!
//! 10.5 copies them while all DDL waits, and loses none. Later ones have a list of Aria's tables, copy these one after the other while DDL goes
//! on, come to `MyISAM` only then, and to the definitions when all DDL waits. All seen with 10.5.23, 10.11.19 and 11.8.9.

use std::path::Path;

use super::stand::{Bench, Outcome, Race, Series, names_in};

on_every_bench![
    a_table_that_is_renamed_meanwhile_loses_its_rows,
    a_table_that_is_replaced_meanwhile_is_taken_away,
    a_table_that_is_dropped_meanwhile_leaves_nothing,
];

/// So many tables that the tool is still at them when its log of one page is full of what it says of them.
const TABLES: usize = 30;

/// The names of the tables of Aria, long ones for the same reason.
fn logs() -> impl Iterator<Item = String> {
    (0..TABLES).map(|number| format!("log_{number:02}_{}", "x".repeat(40)))
}

/// Takes a backup meanwhile; gives how the tool ended, and the names of the files in the database's directory.
fn race(bench: &Bench<'_>, race: Race) -> (Outcome, Vec<String>) {
    let server = bench.server();
    server.create_database("race");
    for name in logs() {
        server.create_aria_table(&format!("race.{name}"));
    }
    server.create_plain_table("race.plain");
    let (outcome, dir) = bench.race("backup", race);
    server.drop_database("race");
    let mut names = names_in(&dir.join("race"));
    names.retain(|name| name != "db.opt");
    (outcome.complete(), names)
}

/// The files of a table that are there.
fn files_of(names: &[String], table: &str) -> Vec<String> {
    let stem = |name: &&String| Path::new(name).file_stem().is_some_and(|stem| stem == table);
    names.iter().filter(stem).cloned().collect()
}

fn whole(table: &str, endings: [&str; 3]) -> Vec<String> {
    endings.map(|ending| format!("{table}.{ending}")).to_vec()
}

const ARIA: [&str; 3] = ["MAD", "MAI", "frm"];
const MYISAM: [&str; 3] = ["MYD", "MYI", "frm"];

/// Where no table is lost, all are there as they were when DDL began to wait.
fn is_whole(names: &[String]) {
    let mut wanted = logs().flat_map(|name| whole(&name, ARIA)).collect::<Vec<_>>();
    wanted.extend(whole("plain", MYISAM));
    wanted.sort();
    assert_eq!(names, wanted);
}

/// Those that come later on its list: their definitions are there under the new names, and nothing else.
fn a_table_that_is_renamed_meanwhile_loses_its_rows(bench: &Bench<'_>) {
    let (said, names) = race(bench, Race::Rename);
    if bench.series() == Series(10, 5) {
        said.does_not_say("Error on aria");
        return is_whole(&names);
    }
    said.says("Error on aria table file open ./race/");
    assert_eq!(
        files_of(&names, "new_plain"),
        whole("new_plain", MYISAM),
        "what comes later is copied under its new name"
    );
    let mut bare = 0;
    for name in logs() {
        let new = format!("new_{name}");
        let found = files_of(&names, &new);
        bare += usize::from(found == [format!("{new}.frm")]);
        assert!(found == whole(&new, ARIA) || found == [format!("{new}.frm")], "{found:?}");
        assert!(files_of(&names, &name).is_empty(), "{names:?}");
    }
    assert!(bare > 0, "{names:?}");
}

/// Those that come later: copied, definition and all, and then removed without a word.
fn a_table_that_is_replaced_meanwhile_is_taken_away(bench: &Bench<'_>) {
    let (said, names) = race(bench, Race::Replace);
    let said = said.does_not_say("Error on aria").says("Copying ./race/plain.frm to ");
    if bench.series() == Series(10, 5) {
        return is_whole(&names);
    }
    assert_eq!(files_of(&names, "plain"), [""; 0], "{said}");
    let mut gone = 0;
    for name in logs() {
        let found = files_of(&names, &name);
        gone += usize::from(found.is_empty());
        assert!(found == whole(&name, ARIA) || found.is_empty(), "{found:?}");
    }
    assert!(gone > 0, "{names:?}");
}

/// A true backup, with the words of one that is not: those of a rename.
fn a_table_that_is_dropped_meanwhile_leaves_nothing(bench: &Bench<'_>) {
    let (said, names) = race(bench, Race::Drop);
    if bench.series() == Series(10, 5) {
        said.does_not_say("Error on aria");
        return is_whole(&names);
    }
    said.says("Error on aria table file open ./race/");
    assert_eq!(names, [""; 0]);
}
