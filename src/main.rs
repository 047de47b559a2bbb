//! `dbcalm-db-cmd`: see the library's first page for the tour, and README.md for the use.

use std::process::ExitCode;

fn main() -> ExitCode {
    dbcalm_db_cmd::cli::run()
}
