//! The contract of the fakes: the same cases for the fake tools and for the real ones.
//!
//! A case states a fact about a tool that the daemon or a fake relies on, and names where it comes from. It runs on each bench:
//! the fakes as each series of MariaDB, the tools that are installed here, and each series in its container (`ci/images` makes
//! the images). So `contract::backup::a_full_backup_…::fake_10_5` and `…::mariadb_10_5` are one body. Where series differ the
//! case says how. "Seen" below means: seen with the real tool, by the case itself.

/// Makes a test of each case on each bench.
macro_rules! on_every_bench {
    ($($case:ident),* $(,)?) => { $(
        mod $case {
            use crate::contract::{on_the_fake, on_the_real_one_here, on_the_real_one_of};

            #[test]
            fn fake_10_5() {
                on_the_fake("10.5.23-MariaDB", super::$case);
            }

            #[test]
            fn fake_10_11() {
                on_the_fake("10.11.19-MariaDB", super::$case);
            }

            #[test]
            fn fake_11_8() {
                on_the_fake("11.8.6-MariaDB", super::$case);
            }

            #[test]
            fn mariadb_here() {
                on_the_real_one_here(super::$case);
            }

            #[test]
            fn mariadb_10_5() {
                on_the_real_one_of("10.5", super::$case);
            }

            #[test]
            fn mariadb_10_11() {
                on_the_real_one_of("10.11", super::$case);
            }

            #[test]
            fn mariadb_11_8() {
                on_the_real_one_of("11.8", super::$case);
            }
        }
    )* };
}

/// Makes a test of each case on the fake xtrabackup and on the real one, where there is one.
macro_rules! on_both_xtrabackups {
    ($($case:ident),* $(,)?) => { $(
        mod $case {
            #[test]
            fn fake_8_0() {
                crate::contract::on_the_fake_xtrabackup("8.0.35-30", super::$case);
            }

            #[test]
            fn fake_8_4() {
                crate::contract::on_the_fake_xtrabackup("8.4.0-8", super::$case);
            }

            #[test]
            fn xtrabackup_here() {
                crate::contract::on_the_real_xtrabackup(super::$case);
            }
        }
    )* };
}

mod admin;
mod agent;
mod backup;
mod calls;
mod copy_back;
mod damage;
mod fake;
mod move_back;
mod options;
mod prepare;
mod races;
mod real;
mod signals;
mod stand;
mod stock;
mod store;
mod xtrabackup;

pub(crate) use real::Real;
use stand::Bench;

use crate::harness::stand::is_wanted;

/// The series that there are images of.
const CONTAINERS: [&str; 3] = ["10.5", "10.11", "11.8"];

fn on_the_fake(version: &str, case: fn(&Bench<'_>)) {
    if is_wanted("fakes") {
        let fake = fake::Fake::of(version);
        case(&Bench::new(&fake));
    }
}

fn on_the_fake_xtrabackup(version: &str, case: fn(&Bench<'_>)) {
    if is_wanted("fakes") {
        let fake = fake::Fake::of_xtrabackup(version);
        case(&Bench::new(&fake));
    }
}

fn on_the_real_xtrabackup(case: fn(&Bench<'_>)) {
    if !is_wanted("local") {
        return;
    }
    match real::Real::xtrabackup_here() {
        Some(real) => case(&Bench::new(real)),
        None => crate::harness::not_here("xtrabackup and a MySQL server"),
    }
}

fn on_the_real_one_here(case: fn(&Bench<'_>)) {
    if let Some(real) = Real::here() {
        case(&Bench::new(real));
    }
}

fn on_the_real_one_of(series: &'static str, case: fn(&Bench<'_>)) {
    if let Some(real) = the_real_one_of(series) {
        case(&Bench::new(real));
    }
}

/// The tools of this series in its container; a skip where there is none, or it is not wanted.
pub(crate) fn the_real_one_of(series: &'static str) -> Option<&'static Real> {
    is_wanted(&format!("mariadb-{series}")).then(|| Real::in_a_container(series))?
}
