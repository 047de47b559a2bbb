//! Bases and orders, over candidates that are nothing but values.

use insta::assert_snapshot;

use super::{Adoption, base, order};
use crate::adopt::{Candidate, Described, Form, Proof, Refused};
use crate::model::{BackupId, Moment};
use crate::repository::card::{Base, Kind, Lsns};

/// A candidate with these LSNs, begun in this minute; it names its base, where it does, by id and uuid.
fn candidate(id: &str, minute: u8, (from, to, last): (u64, u64, u64), named: Option<(&str, &str)>) -> Candidate {
    let start = Moment::read(&format!("2026-11-28 12:{minute:02}:00")).unwrap();
    Candidate {
        id: id.parse().unwrap(),
        kind: if from == 0 { Kind::Full } else { Kind::Incremental },
        uuid: named.map(|_| format!("uuid-{id}")),
        from: named.filter(|_| from > 0).map(|(id, uuid)| Base {
            id: id.to_owned(),
            uuid: Some(uuid.to_owned()),
            proven: true,
        }),
        lsn: Some(Lsns { from, to, last }),
        start,
        end: start,
        schedule_id: None,
        form: Form::Directory,
        size: 0,
        proof: if named.is_some() { Proof::Card } else { Proof::Metadata },
        notes: Vec::new(),
    }
}

fn said((adoptions, refused): (Vec<Adoption>, Vec<Refused>)) -> String {
    let adopted = adoptions.iter().map(|one| match &one.from {
        Some(from) => format!("{} from {from}", one.candidate.id),
        None => one.candidate.id.to_string(),
    });
    let refused = refused.iter().map(|one| format!("{}: {}", one.id, one.why));
    adopted.chain(refused).collect::<Vec<_>>().join("\n")
}

#[test]
fn bases_come_before_what_was_taken_from_them_and_the_older_before_the_newer() {
    let all = vec![
        candidate("inc-2", 1, (200, 300, 340), Some(("inc-1", "uuid-inc-1"))),
        candidate("inc-1", 2, (100, 200, 240), Some(("full-1", "uuid-full-1"))),
        candidate("full-2", 9, (0, 900, 940), None),
        candidate("full-1", 3, (0, 100, 140), Some(("", ""))),
        candidate("by-lsn", 10, (900, 950, 960), None),
    ];
    assert_snapshot!(said(order(all, &[], None)), @r"
    full-1
    inc-1 from full-1
    inc-2 from inc-1
    full-2
    by-lsn from full-2
    ");
}

#[test]
fn what_has_no_base_is_refused_with_all_that_was_taken_from_it() {
    let all = vec![
        candidate("gone-1", 1, (100, 200, 240), Some(("gone", "uuid-gone"))),
        candidate("gone-2", 2, (200, 300, 340), Some(("gone-1", "uuid-gone-1"))),
        candidate("other", 3, (0, 500, 540), Some(("", ""))),
        candidate("of-other", 4, (500, 600, 640), Some(("other", "uuid-of-before"))),
        candidate("apart", 5, (555, 600, 640), Some(("other", "uuid-other"))),
        candidate("lost", 6, (777, 800, 840), None),
        candidate("loop-1", 7, (10, 20, 30), Some(("loop-2", "uuid-loop-2"))),
        candidate("loop-2", 8, (20, 10, 30), Some(("loop-1", "uuid-loop-1"))),
    ];
    assert_snapshot!(said(order(all, &[], None)), @r"
    other
    apart: it was taken from another backup than the 'other' that is here
    gone-1: its base 'gone' is neither recorded nor to be adopted before it
    gone-2: its base 'gone-1' cannot be adopted: its base 'gone' is neither recorded nor to be adopted before it
    loop-1: it descends from itself
    loop-2: its base 'loop-1' cannot be adopted: it descends from itself
    lost: no backup here ends at LSN 777, where it begins: its base is not here
    of-other: it was taken from another backup than the 'other' that is here
    ");
}

/// A server that writes nothing ends all its backups at one LSN.
#[test]
fn where_several_end_at_the_lsn_the_operator_says_which() {
    let recorded =
        |id: &str, last| Described { id: id.parse().unwrap(), uuid: None, lsn: Some(Lsns { from: 0, to: 100, last }) };
    let known = [recorded("full-1", 120), recorded("full-2", 130), recorded("later", 200)];
    let idle = candidate("idle", 1, (100, 100, 140), None);
    let id = |text: &str| -> BackupId { text.parse().unwrap() };
    assert_snapshot!(base(&idle, None, &known).unwrap_err(), @"several backups end at LSN 100, where it begins: 'full-1', 'full-2'; say which is its base with --from");
    assert_eq!(base(&idle, Some(&id("full-2")), &known), Ok(Some(id("full-2"))));
    assert_eq!(base(&idle, None, &known[..1]), Ok(Some(id("full-1"))), "what has read more redo log is newer");
    assert_eq!(
        base(&idle, None, &known[2..]).unwrap_err(),
        "no backup here ends at LSN 100, where it begins: its base is not here"
    );

    let full = candidate("full", 1, (0, 100, 140), None);
    assert_snapshot!(base(&full, Some(&id("full-1")), &known).unwrap_err(), @"it is a full backup, and was not taken from 'full-1'");
    let named = candidate("named", 1, (100, 200, 240), Some(("full-1", "uuid")));
    assert_eq!(base(&named, None, &known), Ok(Some(id("full-1"))), "a base without a card is known by its LSN");
    assert_snapshot!(base(&named, Some(&id("full-2")), &known).unwrap_err(), @"it says itself that it was taken from 'full-1', not from 'full-2'");
    let streamed = Candidate { lsn: None, ..idle };
    assert_snapshot!(base(&streamed, None, &known).unwrap_err(), @"it is an incremental, and what it was taken from is inside its stream: say it with --from");
    assert_eq!(base(&streamed, Some(&id("full-1")), &known), Ok(Some(id("full-1"))));
}
