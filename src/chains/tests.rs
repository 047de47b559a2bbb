//! Chains made of names.

use super::{Broken, Chains, Node};
use crate::records::reader::BackupRow;

/// Backups as `id<base`, in the order of the records, and which of them are gone. Who is whose base nobody knows but by that.
fn chains(backups: &str, gone: &str) -> Chains {
    known(backups, gone, |_, _| false)
}

fn known(backups: &str, gone: &str, is_base: impl Fn(&BackupRow, &BackupRow) -> bool) -> Chains {
    let row = |(place, text): (i64, &str)| {
        let (id, from) = text.split_once('<').map_or((text, None), |(id, from)| (id, Some(from.to_owned())));
        BackupRow { id: id.to_owned(), from, place, ..BackupRow::default() }
    };
    let rows = (1..).zip(backups.split_whitespace()).map(row).collect();
    Chains::new(rows, gone.split_whitespace().map(str::to_owned).collect(), is_base)
}

fn another(child: &str, base: &str) -> Broken {
    Broken::AnotherBase { child: child.to_owned(), base: base.to_owned() }
}

fn ids(rows: &[&BackupRow]) -> String {
    rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>().join(" ")
}

fn tree(chains: &Chains) -> String {
    let nodes = chains.tree();
    nodes
        .iter()
        .map(|node| format!("{}{}", if node.is_root { "" } else { "+" }, node.row.id))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn a_tree_has_each_backup_once_and_under_its_base() {
    assert_eq!(tree(&chains("a b<a c d<b e<a f<c", "")), "a +b +d +e c +f");
    assert_eq!(tree(&chains("x<gone y<x a", "")), "x +y a");
    assert_eq!(tree(&known("a p<q q<p", "", |_, _| true)), "a p +q");
}

#[test]
fn a_chain_is_whole_or_says_what_it_lacks() {
    let all = known("a b<a c<b x<gone y<x p<q q<p", "", |_, _| true);
    assert_eq!(ids(&all.chain("c").unwrap()), "a b c");
    assert_eq!(all.chain("y"), Err(Broken::BaseUnknown("gone".to_owned())));
    assert_eq!(all.chain("p"), Err(Broken::Loop("p".to_owned())));
    assert_eq!(all.chain("none"), Err(Broken::Unknown("none".to_owned())));
    assert_eq!(chains("a b<a c<b", "b").chain("c"), Err(Broken::Missing("b".to_owned())));
}

#[test]
fn all_that_is_broken_is_what_each_chain_says() {
    for (backups, gone) in [
        ("a b<a c<b x<gone y<x p<q q<p r<q d<a", ""),
        ("a b<a c<b d<c e<a", "b d"),
        ("p<q q<p r<q s<r", "q"),
        ("a<a", ""),
        ("b<a c<b a d<a", ""),
    ] {
        for is_base in [false, true] {
            let all = known(backups, gone, |_, _| is_base);
            let broken = all.broken();
            for Node { row, .. } in all.tree() {
                let why = all.chain(&row.id).err();
                assert_eq!(broken.get(row.id.as_str()), why.as_ref(), "{} of {backups}", row.id);
            }
        }
    }
}

#[test]
fn a_removal_breaks_what_descends_from_it() {
    let all = known("a b<a c<b d<a p<q q<p", "", |_, _| true);
    assert_eq!(ids(&all.needed_by("a")), "b c d");
    assert_eq!(ids(&all.needed_by("b")), "c");
    assert_eq!(ids(&all.needed_by("c")), "");
    assert_eq!(ids(&all.needed_by("p")), "q");
}

#[test]
fn the_newest_whole_one_is_not_simply_the_newest() {
    assert_eq!(chains("a b<a c<gone", "").newest_whole().unwrap().id, "b");
    assert_eq!(chains("a b<a", "a").newest_whole(), None);
    assert_eq!(chains("a b<a c d<c", "c").newest_whole().unwrap().id, "b");
    assert_eq!(chains("a b<a", "").newest_full().unwrap().id, "a");
}

#[test]
fn what_is_recorded_later_is_no_base_but_where_that_is_known_otherwise() {
    let all = chains("b<a c<b a d<a", "");
    assert_eq!(tree(&all), "b +c a +d");
    assert_eq!(all.chain("c"), Err(another("b", "a")));
    assert_eq!(ids(&all.chain("d").unwrap()), "a d");
    assert_eq!(ids(&all.needed_by("a")), "d", "what was taken from another of its name does not need it");
    assert_eq!(all.newest_whole().unwrap().id, "d");
    assert_eq!(
        all.broken().get("c").unwrap().to_string(),
        "'b' was taken from another backup than the 'a' that is here: an id was used again, or a folder exchanged"
    );

    let asked = std::cell::RefCell::new(Vec::new());
    let written_anew = known("b<a c<b a d<a", "", |base, child| {
        asked.borrow_mut().push(format!("{}<{}", child.id, base.id));
        true
    });
    assert_eq!(ids(&written_anew.chain("c").unwrap()), "a b c");
    assert_eq!(*asked.borrow(), ["b<a"], "what the records leave no doubt of is not looked at");
}

#[test]
fn a_base_has_a_chain_that_nothing_speaks_against() {
    let all = chains("a b<a c<b d e<d", "");
    let doubted = std::cell::RefCell::new(Vec::new());
    let doubt = |bad: &'static str| {
        let doubted = &doubted;
        move |row: &BackupRow, base: Option<&BackupRow>| {
            doubted.borrow_mut().push(format!("{}<{}", row.id, base.map_or("", |base| &base.id)));
            (row.id == bad).then(|| Broken::Damaged(bad.to_owned()))
        }
    };
    assert_eq!(ids(&all.base("c", doubt("d")).unwrap()), "a b c");
    assert_eq!(doubted.take(), ["a<", "b<a", "c<b"]);
    assert_eq!(all.base("c", doubt("b")), Err(Broken::Damaged("b".to_owned())));
    assert_eq!(all.base("x", doubt("")), Err(Broken::Unknown("x".to_owned())));
    doubted.take();
    for (bad, newest) in [("", Some("e")), ("e", Some("d")), ("d", Some("c"))] {
        assert_eq!(all.newest_base(doubt(bad)).map(|row| row.id.as_str()), newest, "{bad}");
    }
    doubted.take();
    assert_eq!(chains("a b<a c<b", "").newest_base(doubt("a")), None);
    assert_eq!(doubted.take(), ["a<"], "one look at each");
}
