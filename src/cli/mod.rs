//! The command line: `operator` has what a person asks and orders, `steps` what the daemon runs of itself, `serve` the daemon.

mod exit;
mod operator;
mod serve;
mod steps;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use exit::{Exit, Failure};

use crate::config::{self, Config};
use operator::{adopt, backup, binlogs, check, list, logs, remove, restore, show, status, verify};

/// Where the Go API looks for the daemon.
const DEFAULT_SOCKET: &str = "/var/run/dbcalm/db-cmd.sock";

/// The command daemon of `DBCalm`: takes and restores backups of MariaDB and MySQL at the API's word.
#[derive(Debug, Parser)]
#[command(
    version,
    about = "Backups and restores of MariaDB and MySQL: the daemon and its command line",
    disable_help_subcommand = true,
    help_template = "{about-with-newline}{usage-heading} {usage}\n{all-args}{after-help}",
    after_help = "Example: dbcalm-db-cmd backup full. Environment: DBCALM_CONFIG, DBCALM_SOCKET\nExit status: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 no daemon answers"
)]
struct Cli {
    /// Settings file
    #[arg(long, env = "DBCALM_CONFIG", hide_env = true, default_value = config::DEFAULT_PATH, global = true, value_name = "FILE")]
    config: PathBuf,

    /// Daemon's socket
    #[arg(long, env = "DBCALM_SOCKET", hide_env = true, default_value = DEFAULT_SOCKET, global = true, value_name = "PATH")]
    socket: PathBuf,

    #[command(subcommand)]
    command: Option<Subcommands>,
}

#[derive(Debug, Clone, Subcommand)]
enum Subcommands {
    /// Run the daemon (the default)
    #[command(after_help = "Example:\n  systemctl start dbcalm-db-cmd")]
    Serve,
    Check(check::CheckArgs),
    /// Take a backup, and follow it to its end
    #[command(subcommand, after_help = "Example:\n  dbcalm-db-cmd backup full")]
    Backup(backup::BackupArgs),
    Restore(restore::RestoreArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Binlog(binlogs::BinlogArgs),
    Status(status::StatusArgs),
    Logs(logs::LogsArgs),
    Verify(verify::VerifyArgs),
    Adopt(adopt::AdoptArgs),
    Remove(remove::RemoveArgs),
    /// A step of a streamed backup
    #[command(hide = true)]
    Store(steps::StoreArgs),
    /// A step of a restore
    #[command(hide = true)]
    Extract(steps::ExtractArgs),
    /// A step of a restore
    #[command(hide = true)]
    Copy(steps::CopyArgs),
    /// A step of a restore to a moment
    #[command(hide = true)]
    Replay(steps::ReplayArgs),
    /// What it runs its server by
    #[command(hide = true)]
    Held(steps::HeldArgs),
    /// A step of a backup that is kept in a repository
    #[command(hide = true)]
    Send(steps::SendArgs),
    /// What undoes it
    #[command(hide = true)]
    Erase(steps::EraseArgs),
    /// A step of an adoption from a repository
    #[command(hide = true)]
    Receive(steps::ReceiveArgs),
    /// What is done every so often for the archive of the binary log
    #[command(hide = true)]
    ArchiveBinlogs(steps::BinlogArgs),
    /// The same for the repository
    #[command(hide = true)]
    SendBinlogs(steps::SendBinlogsArgs),
}

/// The whole command line as a value: man pages, completions and the reference are made from it.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs what the command line asks for.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    // Before there is a second thread, which would have the mask of this one.
    if let Err(why) = crate::exec::block_nothing() {
        return Failure::new(&why, "this is not expected: please report it").report();
    }
    let config = || Config::load(&cli.config).map_err(|why| Failure::new(&why, why.hint()));
    let socket = &cli.socket;
    let done = match cli.command.unwrap_or(Subcommands::Serve) {
        Subcommands::Serve => serve::serve(&cli.config, socket).map(|()| Exit::Done),
        Subcommands::Check(args) => return check::check(&args, &cli.config, socket),
        Subcommands::Backup(args) => config().and_then(|config| backup::backup(&args, &config, socket)),
        Subcommands::Restore(args) => config().and_then(|config| restore::restore(&args, &config, socket)),
        Subcommands::List(args) => config().and_then(|config| list::list(&args, &config)),
        Subcommands::Show(args) => config().and_then(|config| show::show(&args, &config)),
        Subcommands::Binlog(args) => config().and_then(|config| binlogs::binlog(&args, &config)),
        Subcommands::Status(args) => config().and_then(|config| status::status(&args, &config, socket)),
        Subcommands::Logs(args) => config().and_then(|config| logs::logs(&args, &config)),
        Subcommands::Verify(args) => config().and_then(|config| verify::verify(&args, &config, socket)),
        Subcommands::Adopt(args) => config().and_then(|config| adopt::adopt(&args, &config, socket)),
        Subcommands::Remove(args) => config().and_then(|config| remove::remove(&args, &config, socket)),
        Subcommands::Store(args) => return steps::store(&args),
        Subcommands::Extract(args) => return steps::extract(&args),
        Subcommands::Copy(args) => return steps::copy(&args),
        Subcommands::Replay(args) => return steps::replay(&args),
        Subcommands::Held(args) => return steps::held(&args),
        Subcommands::Send(args) => return steps::send(&args),
        Subcommands::Erase(args) => return steps::erase(&args),
        Subcommands::Receive(args) => return steps::receive(&args),
        Subcommands::ArchiveBinlogs(args) => return steps::archive_binlogs(&args),
        Subcommands::SendBinlogs(args) => return steps::send_binlogs(&args),
    };
    done.map_or_else(Failure::report, ExitCode::from)
}

#[expect(clippy::print_stderr, reason = "the command line speaks to a person")]
fn print_error(text: &str) {
    eprintln!("{text}");
}
