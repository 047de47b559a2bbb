//! `check`: whether backups would work, line by line; each problem with what to do about it.

mod data_dir;
mod database;
mod encryption;
mod open_files;
mod repository;
mod server;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use serde_json::json;
use tokio::runtime;

use super::output::Output;
use super::reach;
use crate::config::credentials::{self, Exposure};
use crate::config::{Config, one_server, option_files};
use crate::disk;
use crate::exec::{Finished, Invocation, LocalExecutor, Outcome, ask};
use crate::model::{Moment, Version};
use crate::server::probe::{ANSWER_WITHIN, find};

/// Check that backups would work, and say what to do if not
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  setpriv --reuid=mysql --regid=dbcalm --init-groups dbcalm-db-cmd check")]
pub(in crate::cli) struct CheckArgs {
    #[command(flatten)]
    output: Output,
}

/// One thing that was looked at, as JSON has it; docs/reference.md says what the fields are.
#[derive(Serialize)]
struct Finding {
    level: &'static str,
    text: String,
    hint: Option<String>,
}

/// What has been found.
struct Findings {
    output: Output,
    all: Vec<Finding>,
}

impl Findings {
    fn say(&mut self, level: &'static str, text: &str, hint: Option<&str>) {
        if !self.output.json && !self.output.quiet {
            let hint = hint.map(|hint| format!("         hint: {hint}\n")).unwrap_or_default();
            // Whoever reads it may have read enough; the exit status says the rest.
            let _closed = write!(io::stdout(), "{level:<8} {text}\n{hint}");
        }
        self.all.push(Finding { level, text: text.to_owned(), hint: hint.map(str::to_owned) });
    }

    fn good(&mut self, text: impl AsRef<str>) {
        self.say("ok", text.as_ref(), None);
    }

    fn warning(&mut self, text: impl AsRef<str>, hint: impl AsRef<str>) {
        self.say("warning", text.as_ref(), Some(hint.as_ref()));
    }

    fn problem(&mut self, text: impl AsRef<str>, hint: impl AsRef<str>) {
        self.say("problem", text.as_ref(), Some(hint.as_ref()));
    }
}

/// Looks at everything a backup needs; success only if it would work.
pub(in crate::cli) fn check(args: &CheckArgs, config_path: &Path, socket: &Path) -> ExitCode {
    let mut findings = Findings { output: args.output, all: Vec::new() };
    match Config::load(config_path) {
        Err(why) => findings.problem(crate::model::causes(&why), why.hint()),
        Ok(config) => {
            findings.good(format!("settings from '{}'", config_path.display()));
            match runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(look(&config, socket, &mut findings)),
                Err(why) => findings.problem(why.to_string(), "the system has no resources left"),
            }
        }
    }
    let problems = findings.all.iter().filter(|finding| finding.level == "problem").count();
    if args.output.json {
        args.output.say(&json!({"works": problems == 0, "findings": findings.all}), String::new);
    } else {
        match problems {
            0 => findings.good("backups would work"),
            1 => findings.say("problem", "backups would not work: 1 problem", None),
            count => findings.say("problem", &format!("backups would not work: {count} problems"), None),
        }
    }
    if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn look(config: &Config, socket: &Path, findings: &mut Findings) {
    if config.access.is_limited() {
        findings.good(format!("commands are accepted from {}", config.access.describe()));
    }
    look_at_backup_dir(config, findings);
    look_at_socket(config, socket, findings);
    repository::look(config, findings);
    encryption::look(config, findings);
    let tools = config.flavour.tool();
    let mut tool = None;
    match find(config.backup_bin.as_deref(), tools.backup_candidates) {
        None => findings.problem(
            format!("no backup tool in {}", tools.backup_candidates.join(" or ")),
            format!("install {}, or set backup_bin", tools.package),
        ),
        Some(bin) => tool = look_at_tool("backup tool", &bin, "backup_bin", findings).await,
    }
    let admin = find(config.admin_bin.as_deref(), tools.admin_candidates);
    match &admin {
        None => findings.problem(
            format!("no admin tool in {}", tools.admin_candidates.join(" or ")),
            "install mariadb-client, or set admin_bin",
        ),
        Some(bin) => {
            look_at_tool("admin tool", bin, "admin_bin", findings).await;
        }
    }
    let readable = look_at_credentials(config, findings);
    if let Some(bin) = admin.filter(|_| readable) {
        server::look_at_server(config, &bin, tool, findings).await;
    }
    open_files::look_at_open_files(config, socket, findings);
    database::look_at_database(config, findings);
    if let Some(tool) = tool {
        server::look_at_the_base(config, tool, findings);
    }
    // No backup that is taken now minds them, but a restore may.
    for (text, hint) in super::strays::strays(config) {
        findings.warning(text, hint);
    }
    let now = Moment::now();
    for (text, hint) in
        super::dates::in_the_future(config, now).into_iter().chain(super::dates::sorted_wrongly(config, now))
    {
        findings.warning(text, hint);
    }
    for (text, hint) in super::unreadable::backups(config) {
        findings.warning(text, hint);
    }
    for left in super::leftover::left(config) {
        findings.warning(
            format!("a killed verification left '{}' behind", left.folder.display()),
            "the next verification removes it and ends its server: dbcalm-db-cmd verify latest --quick",
        );
    }
    look_at_metrics(config, findings);
}

fn look_at_backup_dir(config: &Config, findings: &mut Findings) {
    let dir = config.backup_dir.display();
    match disk::is_writable(&config.backup_dir) {
        Ok(()) => {
            findings.good(format!("backup_dir '{dir}' is writable"));
            if let Some((text, hint)) = inside(config) {
                findings.warning(text, hint);
            }
        }
        Err(why) => findings.problem(
            format!("backup_dir '{dir}' cannot be used: {why}"),
            format!("create it for the daemon's user: install -d -o mysql -g dbcalm -m 2770 '{dir}'"),
        ),
    }
}

/// What is said, here and at a start, of backups in the server's own directory.
pub(in crate::cli) fn inside(config: &Config) -> Option<(String, String)> {
    disk::lies_in(&config.backup_dir, &config.data_dir).then(|| {
        let (dir, data_dir) = (config.backup_dir.display(), config.data_dir.display());
        (
            format!(
                "backup_dir '{dir}' is inside data_dir '{data_dir}': a database restore needs that empty, and who empties it for one removes the \
                 backups"
            ),
            format!("make a directory elsewhere, on another disk at best, move all of '{dir}' there, and set backup_dir to it"),
        )
    })
}

/// A daemon that nobody finds takes no backup.
fn look_at_socket(config: &Config, socket: &Path, findings: &mut Findings) {
    match reach::look(&config.backup_dir, socket) {
        None => {}
        Some(Ok(())) => findings.good(format!("the daemon answers at '{}'", socket.display())),
        Some(Err((text, hint))) => findings.problem(text, hint),
    }
}

/// Gives the series that the tool names.
async fn look_at_tool(what: &str, bin: &str, key: &str, findings: &mut Findings) -> Option<Version> {
    let hint = format!("set {key} to a tool that this user can run");
    match ask(&LocalExecutor, &Invocation::new(bin, ["--version".to_owned()]), ANSWER_WITHIN).await {
        Err(why) => findings.problem(format!("{what} '{bin}' cannot be started: {}", why.reason), hint),
        Ok(None) => findings.problem(format!("{what} '{bin}' does not answer --version within 3 s"), hint),
        Ok(Some(said)) if said.outcome() != Outcome::Exited(0) => {
            findings.problem(format!("{what} '{bin}' --version {}", said.outcome()), hint);
        }
        Ok(Some(said)) => {
            let text = words(&said);
            let version = Version::parse(&text);
            match version {
                Some(version) if key == "backup_bin" => {
                    findings.good(format!("{what} '{bin}', version {version}: {text}"));
                }
                Some(_) | None => findings.good(format!("{what} '{bin}': {text}")),
            }
            return version;
        }
    }
    None
}

/// The first line that a tool wrote, wherever it wrote it.
fn words(said: &Finished) -> String {
    [&said.stdout.text, &said.stderr()].into_iter().flat_map(|text| text.lines()).next().unwrap_or_default().to_owned()
}

fn look_at_credentials(config: &Config, findings: &mut Findings) -> bool {
    let path = config.credentials.display();
    if let Err(why) = credentials::read(&config.credentials) {
        findings.problem(
            format!("credentials '{path}': {}", crate::model::causes(&why)),
            format!("write '{path}' with a section {} that has user and password, mode 0640", credentials::SECTION),
        );
        return false;
    }
    findings.good(format!("credentials in '{path}'"));
    if let Some(objection) = option_files::objection(&config.credentials) {
        findings.problem(objection, "remove it from the file: the daemon always backs up the whole server");
    }
    if let Some(objection) = one_server::objection(&config.credentials, config) {
        findings.problem(objection, "the ping and the backup tool have to reach one server");
    }
    match credentials::exposure(&config.credentials) {
        None => {}
        Some(exposure @ Exposure::Writable) => {
            findings.problem(format!("'{path}' {exposure}"), format!("chmod 0640 '{path}'"));
        }
        Some(exposure @ Exposure::Readable) => {
            findings.warning(format!("'{path}' {exposure}"), format!("chmod 0640 '{path}'"));
        }
    }
    true
}

/// No backup needs them.
fn look_at_metrics(config: &Config, findings: &mut Findings) {
    let Some(path) = &config.metrics_file else { return };
    let dir = path.parent().unwrap_or(Path::new("/"));
    match disk::is_writable(dir) {
        Ok(()) => findings.good(format!("metrics '{}' can be written", path.display())),
        Err(why) => findings.warning(
            format!("metrics '{}' cannot be written: {why}", path.display()),
            format!("create '{}', writable by the daemon's user", dir.display()),
        ),
    }
}
