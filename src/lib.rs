//! The privileged command daemon of `DBCalm`: full, incremental and restored backups of MariaDB and MySQL.
//!
//! **bytes → [`wire::Request`] → [`command::Command`] → [`admit::Admitted`] (with its [`plan::Plan`]) → [`job::Job`] → [`exec::Invocation`]s →
//! [`records`] records → [`wire::Response`]**
//!
//! One direction: a module uses those below it in this list, and none above it; a test of the suite holds the source to that.
//!
//! What a request goes through:
//! - [`cli`]: the command line: `serve`; in `cli/operator` what an operator asks and orders; in `cli/steps` the hidden steps, which the
//!   daemon runs as external commands of its own.
//! - [`daemon`]: the wiring: listen, accept, drain.
//! - [`connection`]: one client; the line above, once.
//! - [`metrics`]: what a monitor is told.
//! - [`job`]: a plan carried out; its failure cleaned up; a crash recovered from.
//! - [`admit`]: whether a command may be done now, and what it needs for that.
//! - [`verify`]: stored backups held against what was written with them.
//! - [`plan`]: what will run, as values.
//!
//! What backups are made of:
//! - [`stream`], [`copying`]: the hidden steps: a stream stored and extracted, a stored backup copied.
//! - [`repository`]: where a backup is, what it says of itself, and the history of the data that it was taken of.
//! - [`witness`]: what proves that a program did what it says.
//! - [`disk`]: directories made, synced and removed; the data directory filled and emptied.
//! - [`server`]: a server as it describes itself, and short questions to it.
//! - [`chains`]: which backup was taken from which.
//!
//! What all of that stands on:
//! - [`world`]: what every request is held against and run with: settings, records, executor, who holds what, what runs.
//! - [`command`]: what a client may ask for; shapes alone.
//! - [`wire`]: the socket, framing, requests and replies.
//! - [`records`]: the records.
//! - [`exec`]: external programs, and those that a dead daemon left.
//! - [`config`]: the settings, each checked once; the credentials file.
//! - [`json`]: JSON as Python writes it; [`logging`]: the log.
//! - [`model`]: the ground floor: plain values, which everything uses and which use nothing.
//! - `fuzzing`: doors to what is private, for the fuzz targets; in no build of the daemon.
//!
//! What is deliberately absent: `plan` and `command` do no I/O. Only `exec` starts processes, only `records` knows SQL,
//! only `wire` knows the JSON of requests. A `job` never sees a socket. The one shell is that of
//! the operator's own commands, `forward` and `fetch`; no text of a client's is in it.

pub mod admit;
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
pub mod model;
pub mod plan;
pub mod records;
pub mod repository;
pub mod server;
pub mod stream;
pub mod verify;
pub mod wire;
pub mod witness;
pub mod world;
