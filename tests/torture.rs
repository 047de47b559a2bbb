//! Short forms of what `ci/torture` does at length: KILL at any moment, a poller that never rests, jobs by the hundred.
//!
//! What does it is in `tests/torture/`, and `tests/torture/main.rs` is the program.

pub(crate) mod crash;
mod ddl;
mod growth;
mod history;
mod moves;
mod offsite;
mod outcome;
mod processes;
mod promises;
mod report;
mod request;
pub(crate) mod site;
mod status;
mod stored;
mod storm;
mod strike;

use crate::harness;
use crate::harness::stand::Place;

/// What `--on` calls a stand.
fn name_of(place: Place) -> &'static str {
    if place == Place::Fakes { "fakes" } else { "mariadb" }
}

#[test]
fn whatever_is_killed_over_fakes_every_promise_holds() {
    let terms = crash::Terms {
        place: Place::Fakes,
        kills: 25,
        seed: 4,
        jobs_at_once: 2,
        backups: 6,
        streams: false,
        repository: None,
    };
    if let Some(report) = crash::sweep(terms, &mut |_| {}) {
        assert!(report.kills() >= 25 && report.struck > 0 && report.restored_at_the_end > 0, "{report}");
    }
}

#[test]
fn whatever_is_killed_over_streams_every_promise_holds() {
    let terms = crash::Terms {
        place: Place::Fakes,
        kills: 25,
        seed: 4,
        jobs_at_once: 2,
        backups: 6,
        streams: true,
        repository: None,
    };
    if let Some(report) = crash::sweep(terms, &mut |_| {}) {
        assert!(report.kills() >= 25 && report.streams > 0 && report.restored_at_the_end > 0, "{report}");
    }
}

#[test]
fn whatever_is_killed_beside_a_bucket_it_has_what_is_recorded_and_nothing_else() {
    let (place, repository) = (Place::Fakes, Some(offsite::Kind::Fakes));
    let terms = crash::Terms { place, kills: 20, seed: 4, jobs_at_once: 2, backups: 5, streams: false, repository };
    if let Some(report) = crash::sweep(terms, &mut |_| {}) {
        assert!(report.kills() >= 20 && report.elsewhere > 0 && report.adopted > 0 && report.seen > 0, "{report}");
        assert!(report.restored_at_the_end > 0, "{report}");
    }
}

#[test]
fn whatever_is_killed_beside_the_real_store_it_has_what_is_recorded_and_nothing_else() {
    let (place, repository) = (Place::Fakes, Some(offsite::Kind::Radosgw));
    let terms = crash::Terms { place, kills: 6, seed: 4, jobs_at_once: 2, backups: 3, streams: false, repository };
    if let Some(report) = crash::sweep(terms, &mut |_| {}) {
        assert!(report.kills() >= 6 && report.seen > 0 && report.restored_at_the_end > 0, "{report}");
    }
}

#[test]
fn whatever_is_killed_over_real_tools_every_promise_holds() {
    let terms = crash::Terms {
        place: Place::Local,
        kills: 4,
        seed: 4,
        jobs_at_once: 1,
        backups: 2,
        streams: false,
        repository: None,
    };
    if let Some(report) = crash::sweep(terms, &mut |_| {}) {
        assert!(report.kills() >= 4 && report.restored_at_the_end > 0, "{report}");
    }
}

#[test]
fn no_poll_of_fifty_restores_sees_a_status_that_lies() {
    if let Some(report) = status::watch(50, 4) {
        assert!(report.polls > 50, "{report}");
    }
}

#[test]
fn two_hundred_jobs_leave_nothing_in_the_daemon() {
    if let Some(report) = growth::run(200, 4) {
        assert_eq!(report.jobs(), 200, "{report}");
    }
}

#[test]
fn of_four_histories_no_good_incremental_is_refused_and_no_bad_one_taken() {
    if let Some(report) = history::sweep(2, 4, &mut |_| {}) {
        assert!(report.taken > 0 && report.refused > 0, "{report}");
    }
}

#[test]
fn no_success_in_a_storm_of_ddl_lacks_a_table() {
    if let Some(report) = storm::sweep(2, 4, &mut |_| {}) {
        assert!(report.in_storm > 0 && report.rarest() > 0, "{report}");
    }
}
