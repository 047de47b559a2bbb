//! `cargo run --example pages -- DIR`: writes what the packages carry of the command line into a directory: `man/`, a page for the
//! program and one for each subcommand, and `completions/` for bash, zsh and fish. Made from the definitions that the program itself
//! parses with; what is hidden there is in none of them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use clap::Command;
use clap_complete::aot::{Shell, generate_to};

/// What the program is called where it is installed.
const NAME: &str = "dbcalm-db-cmd";

fn main() -> ExitCode {
    let Some(dir) = env::args_os().nth(1).map(PathBuf::from) else {
        say("usage: pages DIR");
        return ExitCode::from(2);
    };
    match write(&dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&format!("nothing written in '{}': {why}", dir.display()));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a program of the build speaks to a person")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// Writes everything, into directories that it makes.
///
/// # Errors
/// A directory or a file cannot be written.
pub(crate) fn write(dir: &Path) -> io::Result<()> {
    let (pages, completions) = (dir.join("man"), dir.join("completions"));
    fs::create_dir_all(&pages)?;
    fs::create_dir_all(&completions)?;
    let command = shown(&dbcalm_db_cmd::cli::command()).disable_help_subcommand(true);
    clap_mangen::generate_to(command.clone(), &pages)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command.clone(), NAME, &completions)?;
    }
    Ok(())
}

/// The command without its hidden subcommands: clap marks them, and leaves it to whoever shows them.
fn shown(command: &Command) -> Command {
    let mut kept = Command::new(forever(command.get_name()))
        .args(command.get_arguments().filter(|argument| !argument.is_hide_set()))
        .groups(command.get_groups())
        .subcommands(command.get_subcommands().filter(|inner| !inner.is_hide_set()).map(shown))
        .subcommand_required(command.is_subcommand_required_set());
    if let Some(version) = command.get_version() {
        kept = kept.version(forever(version));
    }
    if let Some(about) = command.get_about() {
        kept = kept.about(about.clone());
    }
    if let Some(about) = command.get_long_about() {
        kept = kept.long_about(about.clone());
    }
    if let Some(help) = command.get_after_help() {
        kept = kept.after_help(help.clone());
    }
    if let Some(help) = command.get_after_long_help() {
        kept = kept.after_long_help(help.clone());
    }
    kept
}

/// clap takes names that live as long as the program, which is over in a moment.
fn forever(text: &str) -> &'static str {
    text.to_owned().leak()
}
