//! The privileged command daemon of `DBCalm`: full, incremental and restored backups of MariaDB and MySQL.
//!
//! **bytes → [`wire::Request`] → [`command::Command`] → [`admit::Admitted`] (with its [`plan::Plan`]) → [`job::Job`] → [`exec::Invocation`]s →
//! [`records`] records → [`wire::Response`]**
//!
//! One direction: a module uses those below it in this list, and none above it; `tests/layers.rs` holds the source to that.
//!
//! What a request goes through:
//! - [`cli`]: the command line: `serve`; in `cli/operator` what an operator asks and orders; in `cli/steps` the arguments of the hidden
//!   steps, subcommands that the daemon runs as it runs the backup tool.
//! - [`daemon`]: the wiring: listen, accept, drain.
//! - [`connection`]: serves one client: reads the request, goes along the line above, replies.
//! - [`metrics`]: writes the file for Prometheus.
//! - [`job`]: a plan carried out; its failure cleaned up; a crash recovered from.
//! - [`housekeeping`]: what is done while its client waits: backups removed, and recorded again.
//! - [`admit`]: whether a command may be done now, by the records, the server and the disk; and what it needs for that.
//! - [`adopt`]: which backups lie here without a record, what proves each, and what it was taken from.
//! - [`verify`]: checks stored backups against their manifests, metadata and chains.
//! - [`plan`]: what will run, as values: each step with its program, what it has to prove and what of it stays.
//!
//! What backups are made of:
//! - [`binlog`]: the binary log read, archived, proved to be whole, and replayed.
//! - [`stream`], [`copying`]: the work of the hidden steps: a stream stored and extracted, a stored backup copied.
//! - [`repository`]: finds a backup below `backup_dir`, reads its `backup.json`, and knows which data descend from it.
//! - [`witness`]: what proves that a program did what it says, whatever its exit status.
//! - [`disk`]: directories made, synced and removed; the data directory filled and emptied.
//! - [`server`]: whether one runs and which, what it says of itself, and which process has the data directory; what a throw-away one is started with.
//! - [`bucket`]: objects in a store of S3's kind, for the hidden steps and the operator's commands.
//! - [`chains`]: which backup was taken from which.
//!
//! What all of that stands on:
//! - [`world`]: what all requests share: settings, records, executor, who holds what, what runs.
//! - [`command`]: what a client may ask for: checks the name, type and form of each argument, and nothing else.
//! - [`wire`]: the socket, framing, requests and replies.
//! - [`records`]: the rows in SQLite: processes, backups, restores.
//! - [`exec`]: starts external programs, and ends those that a dead daemon left.
//! - [`config`]: the settings, each checked once; the credentials file.
//! - [`age`]: the format of encrypted streams: keys, heads and chunks.
//! - [`json`]: JSON as Python writes it; [`logging`]: the log.
//! - [`model`]: the ground floor: plain values, which everything uses and which use nothing.
//! - `fuzzing`: lends private parsers to the fuzz targets; in no build of the daemon.
//!
//! What is deliberately absent: `plan` and `command` do no I/O. Only `exec` starts processes, only `records` knows the SQL of the
//! records, only `bucket` speaks to an object store, and never in the daemon. A `job` never sees a socket. The one shell is that of the
//! operator's own commands, `forward` and `fetch`; no text of a client's is in it.
//!
//! Where to change what:
//!
//! | what | where |
//! | --- | --- |
//! | an argument of a request is checked | `command/parse.rs`; what it names, in `admit` |
//! | a row is written | `records/process.rs`, `records/rows.rs`, of what is adopted `records/adopt.rs`; when, in `job/begin.rs`, `job/run.rs` and `job/finish.rs` |
//! | a program is started | `exec/local.rs`; its arguments, in `plan/backup.rs` and `plan/restore.rs` |
//! | a success is refused though the tool ended with 0 | `witness` (called in `job/run.rs`), `job/describe.rs` |
//! | an option in `backup_options` is refused | `config/tool_options/table.rs` |
//! | a server counts as stopped | `server/probe.rs`, `server/answer.rs`, `server/tenant.rs` |
//! | what a failed job has left is removed | `job/finish.rs`; after a kill, `job/recover.rs` |
//! | a hidden step is ordered, entered, done | `plan/restore.rs`, `cli/steps`, `stream` and `copying` |
//! | a backup is sent to the repository, or erased there | `repository/sending.rs`; when, in `job/publish.rs` and `housekeeping/reconcile.rs` |
//! | how a stream is encrypted, and to whom | `age`; on its way, `stream/pack.rs`; whether a restore has the key, `admit/unlock.rs` |
//! | a binary log is read, archived, proved whole | `binlog/reader.rs`, `binlog/archive/pass.rs`; sent, erased there and received, `binlog/archive/send.rs` and `receive.rs`; when, in `housekeeping/binlogs.rs` |
//! | a restore ends at a moment | which place that is, `binlog/replay/find.rs`, asked in `admit/moment.rs`; the step, `binlog/replay/run.rs` |
//! | what may be adopted | `adopt/local.rs`; its base, `adopt/order.rs`; that it is recorded, `housekeeping/adopt.rs` |
//! | what a stored backup is, and where | `model/stored.rs`, `repository/stored.rs`; written by `plan/backup.rs` |

pub mod admit;
pub mod adopt;
pub mod age;
pub mod binlog;
pub mod bucket;
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
pub mod housekeeping;
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
