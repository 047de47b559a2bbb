//! What ends the backup tool, and what does not: the daemon stops it with INT, then KILL.

use std::fs;

use super::stand::{Bench, Login, Outcome, target};

on_every_bench![
    a_backup_goes_on_after_term_hup_and_quit,
    a_backup_is_ended_by_int_and_kill,
    an_apply_goes_on_after_term_hup_and_quit,
    an_apply_is_ended_by_int_and_kill,
    a_copy_back_goes_on_after_term_hup_and_quit,
    a_copy_back_is_ended_by_int_and_kill,
];

/// Those that the tool blocks.
const BLOCKED: &[&str] = &["TERM", "HUP", "QUIT"];
/// Those that end it, and their numbers.
const DEADLY: [(&str, i32); 2] = [("INT", 2), ("KILL", 9)];

/// Sends signals to a call in its middle, and then lets it go on. Every log of the tool is long enough to stop it there.
fn signalled(bench: &Bench<'_>, args: &[&str], signals: &[&str]) -> Outcome {
    let job = bench.start_half_way(args);
    for name in signals {
        job.signal(name);
    }
    bench.ended(job)
}

fn signalled_backup(bench: &Bench<'_>, signals: &[&str]) -> Outcome {
    let _server = bench.server();
    let file = format!("--defaults-file={}", bench.credentials(Login::Good));
    let target = target(&bench.path("full"));
    signalled(bench, &[&file, "--defaults-group-suffix=-dbcalm", "--backup", &target], signals)
}

/// tools.md, "Behaviour": it blocks them.
fn a_backup_goes_on_after_term_hup_and_quit(bench: &Bench<'_>) {
    signalled_backup(bench, BLOCKED).complete();
}

/// tools.md, "Behaviour": at once. What it has written stays.
fn a_backup_is_ended_by_int_and_kill(bench: &Bench<'_>) {
    for (name, number) in DEADLY {
        signalled_backup(bench, &[name]).ended_by(number);
        fs::remove_dir_all(bench.path("full")).expect("what was written stays");
    }
}

fn signalled_apply(bench: &Bench<'_>, signals: &[&str]) -> Outcome {
    let (full, incremental) = (bench.prepared(&[]), bench.stored("inc-1"));
    let dir = format!("--incremental-dir={}", incremental.display());
    let outcome = signalled(bench, &["--prepare", &target(&full), &dir], signals);
    fs::remove_dir_all(full).unwrap();
    fs::remove_dir_all(incremental).unwrap();
    outcome
}

fn signalled_copy_back(bench: &Bench<'_>, signals: &[&str]) -> Outcome {
    let (full, data) = (bench.prepared(&[]), bench.path("data"));
    let dir = format!("--datadir={}", data.display());
    let outcome = signalled(bench, &["--copy-back", &target(&full), &dir], signals);
    assert!(data.join("ibdata1").exists(), "it was half-way");
    fs::remove_dir_all(full).unwrap();
    fs::remove_dir_all(data).unwrap();
    outcome
}

/// tools.md has it of a backup alone; they are blocked in every mode. Seen.
fn an_apply_goes_on_after_term_hup_and_quit(bench: &Bench<'_>) {
    signalled_apply(bench, BLOCKED).complete();
}

/// Seen.
fn an_apply_is_ended_by_int_and_kill(bench: &Bench<'_>) {
    for (name, number) in DEADLY {
        signalled_apply(bench, &[name]).ended_by(number);
    }
}

/// Seen.
fn a_copy_back_goes_on_after_term_hup_and_quit(bench: &Bench<'_>) {
    signalled_copy_back(bench, BLOCKED).complete();
}

/// Seen.
fn a_copy_back_is_ended_by_int_and_kill(bench: &Bench<'_>) {
    for (name, number) in DEADLY {
        signalled_copy_back(bench, &[name]).ended_by(number);
    }
}
