//! The privileged command daemon of `DBCalm`: full, incremental and restored backups of MariaDB and MySQL.
//!
//! **bytes → [`wire::Request`] → [`command::Command`] → [`job::Job`] (with its [`plan::Plan`]) → [`exec::Invocation`]s →
//! [`store`] records → [`wire::Response`]**
//!
//! One direction: a stage is a function from the type before it to its own, and calls nothing before it.
//!
//! - [`cli`]: the command line: `serve`, `check`, what an operator asks and orders; and the hidden steps, which the daemon runs as external commands of its own.
//! - [`copying`], [`stream`]: those steps: a stored backup copied, a stream stored and extracted.
//! - [`config`]: the settings, each checked once; the credentials file.
//! - [`daemon`]: the wiring: lock, recover, listen, accept, drain.
//! - [`connection`]: one client; the line above, once.
//! - [`wire`]: the socket, framing, requests and replies.
//! - [`command`]: what may be asked for, and whether it may be done now.
//! - [`plan`]: what will run, as values.
//! - [`exec`]: external programs, and those that a dead daemon left.
//! - [`witness`]: what proves that a program did what it says.
//! - [`job`]: a plan carried out; its failure cleaned up; a crash recovered from.
//! - [`server`]: a server as it describes itself.
//! - [`repository`]: what a backup says of itself, and the history of the data that it was taken of.
//! - [`disk`]: directories made, synced and removed; the data directory filled and emptied.
//! - [`store`]: the records.
//! - [`metrics`]: what of all that a monitor is told.
//! - [`chains`]: which backup was taken from which, for the operator.
//! - [`verify`]: stored backups held against what was written with them, for the operator.
//! - [`world`]: what every request is held against and run with.
//! - `fuzzing`: doors to what is private, for the fuzz targets; in no build of the daemon.
//!
//! What is deliberately absent: `plan` and `command::parse` do no I/O. Only `exec` starts processes, only `store` knows SQL,
//! only `wire` knows the JSON of requests. A `job` never sees a socket. The one shell is that of
//! the operator's own commands, `forward` and `fetch`; no text of a client's is in it.

pub mod chains;
pub mod cli;
pub mod command;
pub mod config;
pub mod connection;
pub mod copying;
pub mod daemon;
pub mod disk;
pub mod exec;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod job;
pub mod json;
pub mod logging;
pub mod metrics;
pub mod plan;
pub mod repository;
pub mod server;
pub mod store;
pub mod stream;
pub mod verify;
pub mod wire;
pub mod witness;
pub mod world;

/// An error and all its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut links = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(inner) = cause {
        links.push(inner.to_string());
        cause = inner.source();
    }
    links.join(": ")
}
