//! The command line: one file a subcommand.

mod check;
mod serve;
mod step;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config;

/// Where the Go API looks for the daemon.
const DEFAULT_SOCKET: &str = "/var/run/dbcalm/db-cmd.sock";

/// The command daemon of `DBCalm`: takes and restores backups of MariaDB and MySQL at the API's word.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    /// The settings, shared with the API
    #[arg(long, env = "DBCALM_CONFIG", default_value = config::DEFAULT_PATH, global = true, value_name = "FILE")]
    config: PathBuf,

    /// Where to listen; the Python API's name for it is made beside it
    #[arg(long, env = "DBCALM_SOCKET", default_value = DEFAULT_SOCKET, global = true, value_name = "PATH")]
    socket: PathBuf,

    #[command(subcommand)]
    command: Option<Subcommands>,
}

#[derive(Debug, Clone, Subcommand)]
enum Subcommands {
    /// Run the daemon (also without a subcommand)
    Serve,
    /// Look whether backups would work, and say what to do where they would not
    Check,
    /// A step of a streamed backup
    #[command(hide = true)]
    Store(step::StoreArgs),
    /// A step of a restore
    #[command(hide = true)]
    Extract(step::ExtractArgs),
    /// A step of a restore
    #[command(hide = true)]
    Copy(step::CopyArgs),
}

/// Why a subcommand ended without having done its work.
#[derive(Debug)]
struct Failure {
    text: String,
    hint: String,
}

impl Failure {
    fn new(error: &dyn std::error::Error, hint: impl Into<String>) -> Self {
        Self { text: crate::chain(error), hint: hint.into() }
    }
}

/// The whole command line as a value: man pages, completions and the reference are made from it.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs what the command line asks for.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.unwrap_or(Subcommands::Serve) {
        Subcommands::Serve => match serve::serve(&cli.config, &cli.socket) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                let Failure { text, hint } = failure;
                print_error(&format!("error: {text}\nhint: {hint}"));
                ExitCode::FAILURE
            }
        },
        Subcommands::Check => check::check(&cli.config),
        Subcommands::Store(args) => step::store(&args),
        Subcommands::Extract(args) => step::extract(&args),
        Subcommands::Copy(args) => step::copy(&args),
    }
}

#[expect(clippy::print_stderr, reason = "the command line speaks to a person")]
fn print_error(text: &str) {
    eprintln!("{text}");
}
