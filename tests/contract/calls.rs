//! Calls that are wrong, and what each of the tools gets for them; versions; logins; target directories.

use std::fs;
use std::path::Path;

use super::stand::{Bench, Login, Series, Tool, names_in, target};

on_every_bench![
    the_version_is_told_on_stderr,
    an_unknown_option_is_refused,
    a_missing_value_is_refused,
    a_word_that_is_no_option_is_refused,
    the_defaults_file_must_come_first,
    a_defaults_file_that_cannot_be_used_is_refused,
    there_is_no_apply_log_only,
    there_must_be_one_mode,
    a_failed_connection_leaves_no_directory,
    a_wrong_password_leaves_no_directory,
    a_missing_privilege_is_told_with_the_hash_of_the_password,
    an_empty_target_directory_is_fine,
    a_target_that_is_no_directory_or_has_no_parent_is_refused,
    a_target_that_is_not_empty_is_filled_until_the_first_clash,
    metadata_that_is_there_already_stays_as_it_is_with_exit_0,
    a_base_without_checkpoints_leaves_no_directory,
];

/// tools.md, "Behaviour" has it on stdout; it is stderr. By the name as called.
fn the_version_is_told_on_stderr(bench: &Bench<'_>) {
    for (tool, name) in [(Tool::Backup, "mariadb-backup"), (Tool::OldName, "mariabackup")] {
        let said = bench.run(tool, &["--version"]);
        assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""), "{said}");
        let line = said.stderr.lines().last().unwrap();
        assert!(line.contains(&format!("{name} based on MariaDB server {}.", bench.series())), "{said}");
    }
}

/// tools.md, "Behaviour": exit codes; 7 for one with a value: seen.
fn an_unknown_option_is_refused(bench: &Bench<'_>) {
    let target = target(&bench.path("full"));
    let said = bench.run(Tool::Backup, &["--backup", "--nonsense", &target]);
    said.failed_with(2).says("unknown option '--nonsense'");
    let said = bench.run(Tool::Backup, &["--backup", "--nonsense=1", &target]);
    said.failed_with(7).says("unknown variable 'nonsense=1'");
    assert!(!bench.path("full").exists());
}

/// Seen.
fn a_missing_value_is_refused(bench: &Bench<'_>) {
    let said = bench.run(Tool::Backup, &["--backup", "--target-dir"]);
    said.failed_with(5).says("option '--target-dir' requires an argument");
}

/// Seen.
fn a_word_that_is_no_option_is_refused(bench: &Bench<'_>) {
    let _server = bench.server();
    let said = bench.backup_as(Login::Good, &[&target(&bench.path("full")), "word"]);
    said.failed_with(1).says("unknown argument: 'word'");
    assert!(!bench.path("full").exists());
}

/// And the suffix of the group right behind it. Seen.
fn the_defaults_file_must_come_first(bench: &Bench<'_>) {
    let (file, target) = (format!("--defaults-file={}", bench.credentials(Login::Good)), target(&bench.path("full")));
    let said = bench.run(Tool::Backup, &["--backup", &file, &target]);
    said.failed_with(1).says("--defaults-file must be specified first on the command line");
    let said = bench.run(Tool::Backup, &[&file, "--backup", "--defaults-group-suffix=-dbcalm", &target]);
    said.failed_with(7).says("unknown variable 'defaults-group-suffix=-dbcalm'");
}

/// Seen.
fn a_defaults_file_that_cannot_be_used_is_refused(bench: &Bench<'_>) {
    let path = bench.path("bad.cnf");
    let file = format!("--defaults-file={}", path.display());
    let target = target(&bench.path("full"));
    let run = || bench.run(Tool::Backup, &[&file, "--backup", &target]);
    run().failed_with(1).says(&format!("Could not open required defaults file: {}", path.display()));
    fs::write(&path, "user=backup\n").unwrap();
    run().failed_with(1).says("Found option without preceding group in config file");
}

/// tools.md, "Behaviour": gone since 10.2.
fn there_is_no_apply_log_only(bench: &Bench<'_>) {
    let said = bench.run(Tool::Backup, &["--prepare", "--apply-log-only", &target(&bench.stored("full"))]);
    said.failed_with(2).says("unknown option '--apply-log-only'");
}

/// Seen.
fn there_must_be_one_mode(bench: &Bench<'_>) {
    let _server = bench.server();
    let full = target(&bench.path("full"));
    let said = bench.run(Tool::Backup, &[&full]).failed_with(1);
    assert!(said.stdout.contains("Usage: "), "{said}");
    let said = bench.backup_as(Login::Good, &["--prepare", &full]).failed_with(1);
    assert!(said.stdout.contains("Usage: "), "{said}");
    let data = format!("--datadir={}", bench.path("data").display());
    let said = bench.run(Tool::Backup, &["--copy-back", "--move-back", &full, &data]).failed_with(1);
    said.says("--copy-back and --move-back are mutually exclusive");
    let said = bench.run(Tool::Backup, &["--prepare", "--copy-back", &full, &data]).failed_with(1);
    said.says("--copy-back and --apply-log are mutually exclusive");
    assert!(!bench.path("full").exists() && !bench.path("data").exists());
}

/// tools.md, "Behaviour".
fn a_failed_connection_leaves_no_directory(bench: &Bench<'_>) {
    let server = bench.server();
    server.stop();
    let said = bench.backup_as(Login::Good, &[&target(&bench.path("full"))]);
    said.failed_with(1).says("Failed to connect to ").says("server: Can't connect to ");
    assert!(!bench.path("full").exists());
}

/// Likewise.
fn a_wrong_password_leaves_no_directory(bench: &Bench<'_>) {
    let _server = bench.server();
    let said = bench.backup_as(Login::WrongPassword, &[&target(&bench.path("full"))]);
    said.failed_with(1).says("Access denied for user ");
    assert!(!bench.path("full").exists());
}

/// tools.md, 9. The hash is that of `right`.
fn a_missing_privilege_is_told_with_the_hash_of_the_password(bench: &Bench<'_>) {
    let _server = bench.server();
    let said = bench.backup_as(Login::NoPrivileges, &[&target(&bench.path("full"))]);
    let said = said.failed_with(1).says("missing required privilege RELOAD on *.*");
    let said = said.says("missing required privilege PROCESS on *.*").says("as reported by 'SHOW GRANTS'");
    said.says("IDENTIFIED BY PASSWORD '*920018161824B14A1067A69626595E68CB8284CB'");
    assert!(!bench.path("full").exists());
}

/// Seen.
fn an_empty_target_directory_is_fine(bench: &Bench<'_>) {
    let _server = bench.server();
    fs::create_dir(bench.path("full")).unwrap();
    bench.full("full");
}

/// tools.md, "Behaviour": "its parent must exist".
fn a_target_that_is_no_directory_or_has_no_parent_is_refused(bench: &Bench<'_>) {
    let _server = bench.server();
    fs::write(bench.path("file"), "").unwrap();
    for name in ["file", "no/parent"] {
        let said = bench.backup_as(Login::Good, &[&target(&bench.path(name))]);
        said.failed_with(1).says("Error: cannot mkdir ");
    }
    assert!(!bench.path("no").exists());
}

/// tools.md, "Behaviour" has that it must be empty; the tool does not look. Seen.
fn a_target_that_is_not_empty_is_filled_until_the_first_clash(bench: &Bench<'_>) {
    let _server = bench.server();
    let put = |name: &str, file: &str| {
        fs::create_dir(bench.path(name)).unwrap();
        fs::write(bench.path(name).join(file), "here before").unwrap();
    };
    put("other", "something");
    bench.full("other");
    assert!(bench.path("other/something").exists());
    put("clash", "ibdata1");
    let said = bench.backup_as(Login::Good, &[&target(&bench.path("clash"))]);
    said.failed_with(1).says("ibdata1' (errno: 17 \"File exists\")");
    assert_eq!(fs::read_to_string(bench.path("clash/ibdata1")).unwrap(), "here before");
    assert!(bench.path("clash/ib_logfile0").exists(), "the rest of the partial backup stays");
}

/// tools.md, 2: the tool does not mind that it could not write the info file. Checkpoints are another matter
/// until 11.1. Seen.
fn metadata_that_is_there_already_stays_as_it_is_with_exit_0(bench: &Bench<'_>) {
    let _server = bench.server();
    let put = |name: &str, file: &str| {
        fs::create_dir(bench.path(name)).unwrap();
        fs::write(bench.path(name).join(file), "here before").unwrap();
        bench.backup_as(Login::Good, &[&target(&bench.path(name))])
    };
    put("options", "backup-my.cnf").complete().says("Error: backup file failed.");
    assert!(!bench.path("options").join(bench.info_name()).exists(), "it is not even tried");
    put("info", bench.info_name()).complete().says("Error: backup file failed.");
    assert_eq!(fs::read_to_string(bench.path("info").join(bench.info_name())).unwrap(), "here before");
    let said = put("checkpoints", bench.checkpoints_name());
    if bench.series() < Series(11, 1) {
        said.failed_with(1).says("Error: failed to stream metadata.");
    } else {
        said.complete().says("checkpoints' (errno: 17 \"File exists\")");
    }
}

/// Seen.
fn a_base_without_checkpoints_leaves_no_directory(bench: &Bench<'_>) {
    let _server = bench.server();
    let incremental = |base: &Path| {
        let base = format!("--incremental-basedir={}", base.display());
        bench.backup_as(Login::Good, &[&target(&bench.path("inc")), &base])
    };
    let text = "error: failed to read metadata from ";
    // From 11.1 on it then tries the old name, too.
    let cannot_open = format!("Error: cannot open {}//{}", bench.path("base").display(), bench.checkpoints_name());
    incremental(&bench.path("nowhere")).failed_with(1).says(text).says("Error: cannot open ");
    fs::create_dir(bench.path("base")).unwrap();
    fs::write(bench.path("base").join(bench.checkpoints_name()), "").unwrap();
    incremental(&bench.path("base")).failed_with(1).says(text).does_not_say(&cannot_open);
    assert!(!bench.path("inc").exists());
    assert_eq!(names_in(&bench.path("base")), [bench.checkpoints_name()]);
}
