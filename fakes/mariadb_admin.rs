//! A fake of `mariadb-admin` and `mysqladmin` for the tests: `ping`, `status`, `variables`, `extended-status` and `--version`.
//!
//! In: argv, the fake server beside it ([`world`]), and a script of faults ([`player`]). Out: messages and exit codes as
//! seen with mariadb-admin 10.11.19; there a refused login still counts as a server that answers a ping.

mod faults;
mod log;
mod options;
mod player;
mod relay;
mod world;

use std::process::ExitCode;

use options::{Grammar, Login, Options};
use player::{BAD_SCRIPT, Call, Fault, Step, Stop, print, say};
use world::World;

const GRAMMAR: Grammar = Grammar {
    flags: &["version", "silent", "verbose", "force", "no-beep", "skip-ssl"],
    values: &["host", "user", "password", "socket", "port", "protocol", "connect-timeout"],
    defaults_file_first: false,
    unknown_option: 2,
    unknown_variable: 7,
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => stop.exit_code(),
    }
}

fn run() -> Step<()> {
    let call = Call::take()?;
    relay::take_over(&call)?;
    match &call.fault {
        None | Some(Fault::Up | Fault::Down | Fault::Says(_) | Fault::Expired) => {}
        Some(Fault::Hangs) => faults::hang(&call)?,
        Some(Fault::Deaf) => faults::be_deaf(&call)?,
        Some(Fault::DiesBefore(_)) => faults::at_the_start(&call)?,
        Some(Fault::SlowUntil(path)) => faults::wait_for(&call, path)?,
        Some(other) => return Err(Stop::because(BAD_SCRIPT, &format!("fake: {other:?} cannot strike in this call"))),
    }
    let world = World::at(&call.bin);
    let version = world.version().unwrap_or_else(|| "10.11.19-MariaDB".to_owned());
    let options = Options::parse(&call, &GRAMMAR)?;
    if options.has("version") {
        print(&version_line(&call.program, &version));
        return Ok(());
    }
    let login = options.login()?;
    let Some(command) = options.words.first() else {
        print(&format!("Usage: {} [OPTIONS] command command....", call.program));
        return Err(Stop::Exit(1));
    };
    let is_ping = command == "ping";
    if let Some(Fault::Says(reason)) = &call.fault {
        return Err(not_connected(&call, &login, reason));
    }
    if call.has(&Fault::Down) || (!world.is_up() && !call.has(&Fault::Up)) {
        return Err(unreachable(&call, &login));
    }
    if call.has(&Fault::Expired) && !is_ping {
        return expired(&call, command);
    }
    if !login.is_accepted() {
        let stop = not_connected(&call, &login, &login.denial());
        return if is_ping { Ok(()) } else { Err(stop) };
    }
    match command.as_str() {
        "ping" => print("mysqld is alive"),
        "status" => print(
            "Uptime: 40  Threads: 4  Questions: 306  Slow queries: 0  Opens: 21  Open tables: 0  \
             Queries per second avg: 7.650",
        ),
        "variables" => print(&table(&world.variables(&version))),
        "extended-status" => print(&table(&world.status())),
        other => return Err(Stop::because(1, &format!("{}: Unknown command: '{other}'", call.program))),
    }
    Ok(())
}

/// As seen with mariadb-admin 10.11.19: `status` says it on stdout, with exit code 0.
fn expired(call: &Call, command: &str) -> Step<()> {
    let reason = "You must SET PASSWORD before executing this statement";
    if command == "status" {
        print(reason);
        return Ok(());
    }
    Err(Stop::because(1, &format!("{}: unable to show {command}; error: '{reason}'", call.program)))
}

/// A table of two columns as the client draws it, each cell padded to the longest.
fn table(rows: &[(String, String)]) -> String {
    let head = ("Variable_name".to_owned(), "Value".to_owned());
    let all = || std::iter::once(&head).chain(rows);
    let (name, value) = all().fold((0, 0), |(name, value), row| (name.max(row.0.len()), value.max(row.1.len())));
    let rule = format!("+{}+{}+", "-".repeat(name + 2), "-".repeat(value + 2));
    let mut lines = vec![rule.clone()];
    for (index, row) in all().enumerate() {
        lines.push(format!("| {:name$} | {:value$} |", row.0, row.1));
        if index == 0 {
            lines.push(rule.clone());
        }
    }
    lines.push(rule);
    lines.join("\n")
}

/// The line with name and version, as seen with MariaDB 10.5, 10.11 and 11.8 and with MySQL 9.7.
fn version_line(tool: &str, version: &str) -> String {
    let release = version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or_default();
    if !version.contains("MariaDB") {
        format!("{tool}  Ver {version} for Linux on x86_64 ((Fake))")
    } else if release >= 11 {
        format!("{tool} from {version}, client 10.0 for debian-linux-gnu (x86_64)")
    } else {
        let own = if version.starts_with("10.5.") { "9.1" } else { "10.0" };
        format!("{tool}  Ver {own} Distrib {version}, for debian-linux-gnu on x86_64")
    }
}

fn unreachable(call: &Call, login: &Login) -> Stop {
    let socket = login.socket_or_default();
    let error = if login.is_local() {
        format!("Can't connect to local server through socket '{socket}' (2)")
    } else {
        format!("Can't connect to server on '{}' (115)", login.host())
    };
    let stop = not_connected(call, login, &error);
    say(format!("Check that mariadbd is running and that the socket: '{socket}' exists!").as_bytes());
    stop
}

fn not_connected(call: &Call, login: &Login, error: &str) -> Stop {
    say(format!("{}: connect to server at '{}' failed", call.program, login.host()).as_bytes());
    say(format!("error: '{error}'").as_bytes());
    Stop::Exit(1)
}
