//! Damaged backups, and what the tool says of them: mostly nothing.

use std::fs::{self, OpenOptions};
use std::path::Path;

use super::prepare::{copy, end_of_log};
use super::stand::{Bench, Series};

on_every_bench![
    a_prepare_without_checkpoints_is_refused,
    a_prepare_with_empty_checkpoints_is_refused,
    a_prepare_without_the_options_file_is_refused,
    a_prepare_with_an_empty_options_file,
    a_prepare_does_not_miss_the_info_file,
    a_prepare_without_a_redo_log_is_refused,
    a_redo_log_that_was_cut_is_prepared_without_a_word_but_ends_lower,
    a_table_that_is_missing_is_prepared_without_a_word,
    an_apply_without_checkpoints_is_refused,
    an_apply_does_not_miss_a_difference,
];

fn empty(path: &Path) {
    OpenOptions::new().write(true).truncate(true).open(path).unwrap();
}

/// Seen.
fn a_prepare_without_checkpoints_is_refused(bench: &Bench<'_>) {
    let full = bench.stored("full");
    fs::remove_file(full.join(bench.checkpoints_name())).unwrap();
    let said = bench.prepare(&full).failed_with(1);
    said.says("Error: cannot open ").says("rror: failed to read metadata from ");
}

/// Seen.
fn a_prepare_with_empty_checkpoints_is_refused(bench: &Bench<'_>) {
    let full = bench.stored("full");
    empty(&full.join(bench.checkpoints_name()));
    let said = bench.prepare(&full).failed_with(1);
    said.says("rror: failed to read metadata from ")
        .does_not_say(&format!("cannot open ./{}", bench.checkpoints_name()));
}

/// Seen.
fn a_prepare_without_the_options_file_is_refused(bench: &Bench<'_>) {
    let full = bench.stored("full");
    fs::remove_file(full.join("backup-my.cnf")).unwrap();
    bench.prepare(&full).failed_with(1).says("Can't open backup-my.cnf for reading");
}

/// tools.md, 2: a full disk leaves it so. Seen.
fn a_prepare_with_an_empty_options_file(bench: &Bench<'_>) {
    let full = bench.stored("full");
    empty(&full.join("backup-my.cnf"));
    bench.prepare(&full).complete();
}

/// Nor an apply. Seen.
fn a_prepare_does_not_miss_the_info_file(bench: &Bench<'_>) {
    let (full, incremental) = (bench.stored("full"), bench.stored("inc-1"));
    for dir in [&full, &incremental] {
        fs::remove_file(dir.join(bench.info_name())).unwrap();
    }
    bench.prepare(&full).complete();
    bench.apply(&full, &incremental).complete();
}

/// But not by 10.5, which prepares it without a word. Seen.
fn a_prepare_without_a_redo_log_is_refused(bench: &Bench<'_>) {
    let full = bench.stored("full");
    fs::remove_file(full.join("ib_logfile0")).unwrap();
    if bench.series() > Series(10, 5) {
        bench.prepare(&full).failed_with(1).says("ib_logfile0");
    } else {
        bench.prepare(&full).complete();
    }
}

/// tools.md, 3. 10.5 notices where it was not cut between blocks of 512 bytes: seen.
fn a_redo_log_that_was_cut_is_prepared_without_a_word_but_ends_lower(bench: &Bench<'_>) {
    let full = bench.stored("busy");
    let last = bench.checkpoints(&full).number("last_lsn");
    let log = OpenOptions::new().write(true).open(full.join("ib_logfile0")).unwrap();
    let length = log.metadata().unwrap().len();
    if bench.series() > Series(10, 5) {
        log.set_len(length - 20).unwrap();
    } else {
        let odd = bench.path("odd");
        copy(&full, &odd);
        OpenOptions::new().write(true).open(odd.join("ib_logfile0")).unwrap().set_len(length - 20).unwrap();
        bench.prepare(&odd).failed_with(1).says("is not a multiple of 512 bytes");
        log.set_len(length - 1024).unwrap();
    }
    let prepared = bench.prepare(&full).complete();
    assert!(end_of_log(bench, &prepared, &full) < last, "{prepared}");
    assert_eq!(bench.checkpoints(&full).number("last_lsn"), last, "the checkpoints do not tell");
}

/// tools.md, 3.
fn a_table_that_is_missing_is_prepared_without_a_word(bench: &Bench<'_>) {
    let full = bench.stored("full");
    fs::remove_file(full.join("shop/orders.ibd")).unwrap();
    bench.prepare(&full).complete();
    let data = bench.path("data");
    bench.copy_back(&full, &data).complete();
    assert_eq!(bench.content_of(&data)["shop.orders"], ["(unreadable)"]);
}

/// Seen.
fn an_apply_without_checkpoints_is_refused(bench: &Bench<'_>) {
    let (full, incremental) = (bench.prepared(&[]), bench.stored("inc-1"));
    let text = "error: failed to read metadata from ";
    empty(&incremental.join(bench.checkpoints_name()));
    bench.apply(&full, &incremental).failed_with(1).says(text);
    fs::remove_file(incremental.join(bench.checkpoints_name())).unwrap();
    bench.apply(&full, &incremental).failed_with(1).says(text).says("Error: cannot open ");
    assert!(incremental.join("shop/orders.ibd.delta").exists());
}

/// The table is taken for dropped: tools.md, 1.
fn an_apply_does_not_miss_a_difference(bench: &Bench<'_>) {
    let (full, incremental) = (bench.prepared(&[]), bench.stored("inc-1"));
    fs::remove_file(incremental.join("shop/orders.ibd.delta")).unwrap();
    bench.apply(&full, &incremental).complete();
    let data = bench.path("data");
    bench.copy_back(&full, &data).complete();
    assert_eq!(bench.content_of(&data)["shop.orders"], ["(unreadable)"]);
}
