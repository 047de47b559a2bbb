//! Chains made of names, and forests made at random.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;

use super::{Fate, Rule, Verdict};
use crate::chains::{Broken, Chains};
use crate::model::Moment;
use crate::records::reader::BackupRow;

const DAY: Duration = Duration::from_secs(86_400);
const NOW: &str = "2026-11-30 12:00:00.000000";

/// A backup that was begun on this day of the month, which is also its place.
fn row(id: &str, from: Option<&str>, day: i64) -> BackupRow {
    let start_time = Some(format!("2026-11-{day:02} 11:00:00.000000"));
    BackupRow { id: id.to_owned(), from: from.map(str::to_owned), start_time, place: day, ..BackupRow::default() }
}

fn rule(newest: Option<usize>, days: Option<u32>) -> Rule {
    Rule { newest, young: days.map(|days| DAY * days) }
}

/// What becomes of each chain, by its first member; `damaged` is doubted.
fn fates(chains: &Chains, rule: Rule, damaged: &str, in_use: &[&str]) -> String {
    let doubt = |row: &BackupRow, _: Option<&BackupRow>| {
        damaged.split(' ').any(|id| id == row.id).then(|| Broken::Damaged(row.id.clone()))
    };
    let in_use = in_use.iter().map(|&id| id.to_owned()).collect();
    let verdicts = chains.by_rule(rule, Moment::read(NOW).unwrap(), doubt, &in_use);
    let said = |verdict: &Verdict<'_>| {
        let fate = match &verdict.fate {
            Fate::Goes => "goes".to_owned(),
            Fate::InUse(id) => format!("{id} in use"),
            Fate::Broken(why) => format!("broken ({why})"),
            Fate::Newest => "newest".to_owned(),
            Fate::OneOf(number) => format!("number {number}"),
            Fate::Young => "young".to_owned(),
        };
        format!("{}:{fate}", verdict.members[0].id)
    };
    verdicts.iter().map(said).collect::<Vec<_>>().join(" ")
}

#[test]
fn each_rule_alone_and_both_together() {
    let rows = vec![
        row("a", None, 1),
        row("a1", Some("a"), 2),
        row("b", None, 10),
        row("b1", Some("b"), 25),
        row("c", None, 20),
        row("d", None, 29),
    ];
    let all = Chains::new(rows, HashSet::new(), |_, _| true);
    assert_eq!(fates(&all, rule(Some(2), None), "", &[]), "a:goes b:number 2 c:goes d:newest");
    assert_eq!(fates(&all, rule(Some(9), None), "", &[]), "a:number 4 b:number 2 c:number 3 d:newest");
    assert_eq!(fates(&all, rule(None, Some(6)), "", &[]), "a:goes b:young c:goes d:newest");
    assert_eq!(fates(&all, rule(Some(1), Some(11)), "", &[]), "a:goes b:young c:young d:newest");
    assert_eq!(fates(&all, rule(Some(0), Some(1)), "", &[]), "a:goes b:goes c:goes d:newest");
    assert_eq!(fates(&all, rule(Some(1), None), "", &["a1"]), "a:a1 in use b:goes c:goes d:newest");
}

#[test]
fn what_is_broken_counts_for_none_and_stays() {
    let rows = vec![
        row("a", None, 1),
        row("b", None, 10),
        row("b1", Some("b"), 12),
        row("o", Some("gone"), 14),
        row("c", None, 20),
        row("c1", Some("c"), 21),
    ];
    let all = Chains::new(rows, HashSet::new(), |_, _| true);
    let orphan = "o:broken (its base 'gone' is not recorded)";
    let said = |damaged: &str| fates(&all, rule(Some(1), None), damaged, &[]);
    assert_eq!(said(""), format!("a:goes b:goes {orphan} c:newest"));
    // Up to its damaged member a chain can be restored.
    assert_eq!(said("c1"), format!("a:goes b:goes {orphan} c:newest"));
    let damaged = "c:broken (the last verification found 'c' damaged: dbcalm-db-cmd show c says how)";
    assert_eq!(said("c"), format!("a:goes b:newest {orphan} {damaged}"));
    assert_eq!(said("c b1"), format!("a:goes b:newest {orphan} {damaged}"));
}

#[test]
fn an_age_that_nobody_knows_is_young() {
    let mut rows = vec![row("a", None, 1), row("b", None, 2), row("c", None, 3)];
    rows[0].start_time = None;
    rows[1].start_time = Some("2027-01-01 00:00:00.000000".to_owned());
    let all = Chains::new(rows, HashSet::new(), |_, _| true);
    assert_eq!(fates(&all, rule(None, Some(1)), "", &[]), "a:young b:young c:newest");
}

prop_compose! {
    /// Backups, each a full one or from any other or from none that is there; some damaged, some gone, some in use.
    fn forests()(rows in prop::collection::vec((0..4_u8, 0..40_usize, 1..30_i64, 0..8_u8), 1..40))
        -> (Vec<BackupRow>, HashSet<String>, HashSet<String>, HashSet<String>) {
        let (mut gone, mut damaged, mut in_use) = (HashSet::new(), HashSet::new(), HashSet::new());
        let mut made = Vec::new();
        for (index, (kind, base, day, trouble)) in rows.into_iter().enumerate() {
            let id = format!("b{index}");
            let from = (kind > 0).then(|| format!("b{base}"));
            match trouble {
                0 => drop(gone.insert(id.clone())),
                1 => drop(damaged.insert(id.clone())),
                2 => drop(in_use.insert(id.clone())),
                _ => {}
            }
            let place = i64::try_from(index).unwrap();
            made.push(BackupRow { place, ..row(&id, from.as_deref(), day) });
        }
        (made, gone, damaged, in_use)
    }
}

proptest! {
    #[test]
    fn nothing_goes_that_the_rule_keeps_or_that_something_needs(
        (rows, gone, damaged, in_use) in forests(),
        newest in prop::option::of(0..6_usize),
        days in prop::option::of(0..31_u32),
    ) {
        let all = Chains::new(rows.clone(), gone, |_, _| true);
        let doubt = |row: &BackupRow, _: Option<&BackupRow>| {
            damaged.contains(&row.id).then(|| Broken::Damaged(row.id.clone()))
        };
        let now = Moment::read(NOW).unwrap();
        let verdicts = all.by_rule(rule(newest, days), now, doubt, &in_use);

        let mut listed: Vec<_> =
            verdicts.iter().flat_map(|verdict| &verdict.members).map(|row| row.id.clone()).collect();
        listed.sort();
        let mut ids: Vec<_> = rows.iter().map(|row| row.id.clone()).collect();
        ids.sort();
        prop_assert_eq!(listed, ids, "each has one verdict");

        let fates: HashMap<&str, &Fate> =
            verdicts.iter().flat_map(|verdict| verdict.members.iter().map(|row| (row.id.as_str(), &verdict.fate))).collect();
        let goes = |id: &str| fates[id] == &Fate::Goes;
        // Said anew, by the walk that a restore does.
        let restorable = |row: &&BackupRow| all.base(&row.id, doubt).is_ok();
        for row in &rows {
            let needing = all.needed_by(&row.id);
            prop_assert!(!goes(&row.id) || needing.iter().all(|needing| goes(&needing.id)), "{} is needed", row.id);
        }
        let mut whole: Vec<_> = rows.iter().filter(restorable).collect();
        whole.sort_by_key(|row| std::cmp::Reverse(row.place));
        if let Some(newest) = whole.first() {
            prop_assert!(!goes(&newest.id), "the newest");
        }
        // All of the chains of the N newest that can be restored.
        let mut kept: Vec<&str> = Vec::new();
        for row in &whole {
            let root = all.chain(&row.id).unwrap()[0].id.as_str();
            if !kept.contains(&root) {
                kept.push(rows.iter().find(|row| row.id == root).map(|row| row.id.as_str()).unwrap());
            }
        }
        for root in kept.iter().take(newest.unwrap_or(0)) {
            prop_assert!(!goes(root), "{root} is one of the newest");
        }
        for verdict in verdicts.iter().filter(|verdict| verdict.fate == Fate::Goes) {
            prop_assert!(verdict.members.iter().all(|row| !in_use.contains(&row.id)));
            prop_assert!(verdict.members.iter().any(restorable), "what is broken goes by its id");
            let limit = days.map_or(0, i64::from);
            let day = |row: &BackupRow| row.start_time.as_deref().unwrap()[8..10].parse::<i64>().unwrap();
            prop_assert!(verdict.members.iter().all(|row| 30 - day(row) >= limit), "young");
        }
    }
}
