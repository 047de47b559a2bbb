//! The operator's command line: the program itself, over fakes and over a real MariaDB.

mod chains;
mod clock;
mod interrupted;
mod odd_ids;
mod orders;
mod reference;
mod restored;
mod times;
mod verify;
mod views;

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::TestEnv;

/// What the program said, and how it ended.
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

fn said(output: &Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Said { status: output.status.code().unwrap(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

fn command(env: &TestEnv, args: &str) -> Command {
    let mut command = env.command();
    command.args(args.split_whitespace()).stdin(Stdio::null());
    command
}

/// Runs a subcommand to its end.
pub(crate) fn run(env: &TestEnv, args: &str) -> Said {
    said(&command(env, args).output().unwrap())
}

/// What a subcommand that must end so says on stdout.
pub(crate) fn stdout(env: &TestEnv, status: i32, args: &str) -> String {
    let said = run(env, args);
    assert_eq!(said.status, status, "{args}: {}{}", said.stdout, said.stderr);
    said.stdout
}

/// The JSON that a subcommand says.
pub(crate) fn json(env: &TestEnv, status: i32, args: &str) -> Value {
    serde_json::from_str(&stdout(env, status, &format!("{args} --json"))).unwrap()
}

/// What a subcommand that must end so says on stderr, without the test's own paths.
fn stderr(env: &TestEnv, status: i32, args: &str) -> String {
    let said = run(env, args);
    assert_eq!(said.status, status, "{args}: {}{}", said.stdout, said.stderr);
    env.redact(&said.stderr)
}
