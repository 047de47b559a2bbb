//! The options of the real tools: each is one of which the daemon has a verdict, and what an option file can do to a backup.
//!
//! `options/` holds the names: `mariadb-<series>` is what `--help` of 10.5.23, 10.11.19 and 11.8.9 prints, `xtrabackup` what Percona's
//! documentation and source of 8.0, 8.4 and 9.7 name. A test beside the table of `src/config/tool_options.rs` holds the table to these
//! files; here the files are held to the tools, so a new version's new option is a failure until somebody has decided about it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::stand::{Bench, Fields, Login, Series, Tool, target};
use super::{Real, on_the_real_one_here, on_the_real_one_of, the_real_one_of};
use crate::harness::stand::is_wanted;

/// The names that are known of a tool.
fn known(tool: &str) -> BTreeSet<String> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/contract/options");
    let mut known = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with(tool) {
            known.extend(fs::read_to_string(path).unwrap().lines().map(str::to_owned));
        }
    }
    known
}

/// The names in what `--help` prints: at the beginning of a line that begins with no more than two blanks, and in the columns of variables.
fn names(help: &str) -> BTreeSet<String> {
    let of_option = |line: &str| {
        let indented = line.strip_prefix("  ").unwrap_or(line);
        let short =
            indented.strip_prefix('-').filter(|rest| rest.get(1..3) == Some(", ")).and_then(|rest| rest.get(3..));
        let long = short.unwrap_or(indented).strip_prefix("--")?;
        let end = long.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_')).unwrap_or(long.len());
        Some(long[..end].to_owned())
    };
    let mut in_columns = false;
    let mut found = BTreeSet::new();
    for line in help.lines() {
        in_columns = line.starts_with("-----") || (in_columns && !line.is_empty() && !line.starts_with("Variables"));
        if !line.starts_with("-----") {
            let name = if in_columns { line.split_whitespace().next().map(str::to_owned) } else { of_option(line) };
            found.extend(name.map(|name| name.replace('_', "-")).filter(|name| !name.is_empty()));
        }
    }
    found
}

/// Asks a real tool for its options.
fn every_option_is_known(real: &Real, bin: &str, tool: &str) {
    let (outcome, help) = real.feed(&[bin, "--help"], &real.dir(), b"");
    assert_eq!(outcome.code, Some(0), "{outcome}");
    let has = names(&String::from_utf8_lossy(&help));
    assert!(has.len() > 100 && has.contains("target-dir") && has.contains("innodb-page-size"), "{has:?}");
    let unknown: Vec<_> = has.difference(&known(tool)).cloned().collect();
    assert_eq!(unknown, Vec::<String>::new(), "options that the table in src/config/tool_options/ has no verdict on");
}

fn are_known_of_a_mariadb(real: Option<&'static Real>) {
    if let Some(real) = real {
        every_option_is_known(real, "/usr/bin/mariadb-backup", "mariadb-");
    }
}

mod every_option_is_known {
    use super::*;

    #[test]
    fn mariadb_here() {
        are_known_of_a_mariadb(Real::here());
    }

    #[test]
    fn mariadb_10_5() {
        are_known_of_a_mariadb(the_real_one_of("10.5"));
    }

    #[test]
    fn mariadb_10_11() {
        are_known_of_a_mariadb(the_real_one_of("10.11"));
    }

    #[test]
    fn mariadb_11_8() {
        are_known_of_a_mariadb(the_real_one_of("11.8"));
    }

    #[test]
    fn xtrabackup_here() {
        if is_wanted("local") {
            match Real::xtrabackup_here() {
                Some(real) => every_option_is_known(real, "/usr/bin/xtrabackup", "xtrabackup"),
                None => crate::harness::not_here("xtrabackup and a MySQL server"),
            }
        }
    }
}

/// Seen. So the credentials file is looked through for such options, and a backup that says so is none.
fn what_is_left_out_is_told_in_the_info_file_alone(bench: &Bench<'_>) {
    let server = bench.server();
    server.create_database("apart");
    server.create_table("apart.notes");
    let file = bench.credentials(Login::Good);
    let whole = fs::read_to_string(&file).unwrap();
    let backup = |name: &str, lines: &str| {
        fs::write(&file, format!("{whole}\n{lines}\n")).unwrap();
        let (dir, file) = (bench.path(name), format!("--defaults-file={file}"));
        let args = [&file, "--defaults-group-suffix=-dbcalm", "--backup", "--host=localhost", &target(&dir)];
        bench.run(Tool::Backup, &args).complete();
        let partial = Fields::of(&dir.join(bench.info_name())).text("partial").to_owned();
        (partial, dir.join("apart/notes.frm").exists())
    };
    let cases = [
        "databases-exclude=apart",
        "[client]\ntables-exclude=apart[.]notes",
        // With capitals too from 10.11 on: 10.5 knows no `Loose_Databases`.
        if bench.series() > Series(10, 5) {
            "[mariabackup-dbcalm]\nLoose_Databases=x"
        } else {
            "[mariabackup-dbcalm]\nloose_databases=x"
        },
    ];
    for (index, lines) in cases.into_iter().enumerate() {
        assert_eq!(backup(&format!("partial-{index}"), lines), ("Y".to_owned(), false), "{lines}");
    }
    assert_eq!(backup("whole", "[mysqldump]\ndatabases=x"), ("N".to_owned(), true));
    server.drop_database("apart");
}

mod what_is_left_out_is_told_in_the_info_file_alone {
    use super::*;

    #[test]
    fn mariadb_here() {
        on_the_real_one_here(what_is_left_out_is_told_in_the_info_file_alone);
    }

    #[test]
    fn mariadb_10_5() {
        on_the_real_one_of("10.5", what_is_left_out_is_told_in_the_info_file_alone);
    }

    #[test]
    fn mariadb_10_11() {
        on_the_real_one_of("10.11", what_is_left_out_is_told_in_the_info_file_alone);
    }

    #[test]
    fn mariadb_11_8() {
        on_the_real_one_of("11.8", what_is_left_out_is_told_in_the_info_file_alone);
    }
}
