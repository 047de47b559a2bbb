//! xtrabackup, as far as the fake of it is relied on. No package of it could be had where this was written, so each case names the
//! page of Percona's documentation of XtraBackup 8.0 that it comes from, and runs against the real tool wherever that and a MySQL
//! server are installed.

use std::fs;
use std::path::Path;

use super::stand::{Bench, Fields, Outcome, Series, Tool, names_in, target};
use super::stock;

on_both_xtrabackups![
    a_full_backup_has_metadata_of_these_names,
    an_incremental_begins_where_its_base_ends,
    a_chain_is_prepared_with_apply_log_only_on_all_but_the_last,
    a_base_that_is_prepared_to_the_end_takes_no_incremental,
    a_data_directory_that_is_not_empty_is_refused,
    an_unknown_option_is_refused,
    an_option_has_its_old_name_or_its_new_one,
    the_version_is_told_on_stderr,
];

fn checkpoints(dir: &Path) -> Fields {
    Fields::of(&dir.join("xtrabackup_checkpoints"))
}

fn prepare(bench: &Bench<'_>, dir: &Path, options: &[&str]) -> Outcome {
    bench.run(Tool::Backup, &[&["--prepare", &target(dir)], options].concat())
}

/// "Index of files created by Percona XtraBackup"; "Create a full backup": the fields of `xtrabackup_checkpoints`.
fn a_full_backup_has_metadata_of_these_names(bench: &Bench<'_>) {
    let full = bench.stored("full");
    let names = names_in(&full);
    for name in ["backup-my.cnf", "xtrabackup_checkpoints", "xtrabackup_info", "xtrabackup_logfile"] {
        assert!(names.iter().any(|found| found == name), "{name} is not in {names:?}");
    }
    let checkpoints = checkpoints(&full);
    assert_eq!((checkpoints.text("backup_type"), checkpoints.number("from_lsn")), ("full-backuped", 0));
    assert!(checkpoints.number("to_lsn") <= checkpoints.number("last_lsn"), "{checkpoints:?}");
}

/// "Create an incremental backup".
fn an_incremental_begins_where_its_base_ends(bench: &Bench<'_>) {
    let [full, first, second] = ["full", "inc-1", "inc-2"].map(|member| checkpoints(&bench.stored(member)));
    assert_eq!(first.text("backup_type"), "incremental");
    assert_eq!(first.text("from_lsn"), full.text("to_lsn"));
    assert_eq!(second.text("from_lsn"), first.text("to_lsn"));
}

/// "Prepare an incremental backup"; the types of a backup: "Create a full backup" and the same page.
fn a_chain_is_prepared_with_apply_log_only_on_all_but_the_last(bench: &Bench<'_>) {
    let [full, first, second] = ["full", "inc-1", "inc-2"].map(|member| bench.stored(member));
    let incremental = |dir: &Path| format!("--incremental-dir={}", dir.display());
    prepare(bench, &full, &["--apply-log-only"]).complete();
    assert_eq!(checkpoints(&full).text("backup_type"), "log-applied");
    prepare(bench, &full, &["--apply-log-only", &incremental(&first)]).complete();
    assert_eq!(checkpoints(&full).text("backup_type"), "log-applied");
    let last = checkpoints(&second);
    prepare(bench, &full, &[&incremental(&second)]).complete();
    let after = checkpoints(&full);
    assert_eq!((after.text("backup_type"), after.text("to_lsn")), ("full-prepared", last.text("to_lsn")));
    let data = bench.path("data");
    bench.copy_back(&full, &data).complete();
    assert_eq!(bench.content_of(&data), stock::content(2));
}

/// "Prepare an incremental backup": "If you do not use the --apply-log-only option to prevent the rollback phase, then your
/// incremental backups will be useless".
fn a_base_that_is_prepared_to_the_end_takes_no_incremental(bench: &Bench<'_>) {
    let (full, incremental) = (bench.stored("full"), bench.stored("inc-1"));
    prepare(bench, &full, &[]).complete();
    let outcome = prepare(bench, &full, &[&format!("--incremental-dir={}", incremental.display())]);
    outcome.failed_with(1).says("applying incremental backup needs");
}

/// "Restore full, incremental, compressed backups": "The datadir must be empty before restoring the backup".
fn a_data_directory_that_is_not_empty_is_refused(bench: &Bench<'_>) {
    let (full, data) = (bench.stored("full"), bench.path("data"));
    prepare(bench, &full, &[]).complete();
    fs::create_dir(&data).unwrap();
    fs::write(data.join("other"), "here before").unwrap();
    bench.copy_back(&full, &data).failed_with(1).says("is not empty!");
    assert_eq!(names_in(&data), ["other"]);
}

/// "xtrabackup exit codes" knows 0 and 1; 255 is what its option parser gives (tools.md, "Behaviour").
fn an_unknown_option_is_refused(bench: &Bench<'_>) {
    let outcome = bench.run(Tool::Backup, &["--backup", "--nonsense", &target(&bench.path("full"))]);
    outcome.failed_with(255).says("unknown option '--nonsense'");
    assert!(!bench.path("full").exists());
}

/// Release notes of 8.4.0-8 and 9.7.2-2: an old name and its new one "in the same command" are an error; before that the new one is none.
fn an_option_has_its_old_name_or_its_new_one(bench: &Bench<'_>) {
    let [full, first] = ["full", "inc-1"].map(|member| bench.stored(member));
    let new = format!("--prepare-incremental-from-dir={}", first.display());
    if bench.series() == Series(8, 0) {
        prepare(bench, &full, &["--apply-redo-only"]).failed_with(255).says("unknown option '--apply-redo-only'");
        return;
    }
    prepare(bench, &full, &["--apply-redo-only", "--apply-log-only"]).failed_with(1);
    prepare(bench, &full, &["--apply-redo-only"]).complete();
    assert_eq!(checkpoints(&full).text("backup_type"), "log-applied");
    prepare(bench, &full, &[&new]).complete();
    assert_eq!(checkpoints(&full).text("backup_type"), "full-prepared");
}

/// "Verify packages and installation": `xtrabackup version 8.0.… based on MySQL server 8.0.…`.
fn the_version_is_told_on_stderr(bench: &Bench<'_>) {
    let said = bench.run(Tool::Backup, &["--version"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""), "{said}");
    said.says("xtrabackup version ").says(&format!("based on MySQL server {}.", bench.series()));
}
