//! What an operator asks and orders: one file a subcommand, and beside them what several have in common. They read the records and the
//! repository themselves; what changes something they order from the daemon, at its socket.

pub(super) mod adopt;
pub(super) mod backup;
mod backups;
pub(super) mod binlogs;
pub(super) mod check;
mod client;
mod confirm;
mod dates;
mod follow;
mod leftover;
pub(super) mod list;
pub(super) mod logs;
mod output;
mod reach;
pub(super) mod remove;
mod removed;
mod report;
mod repository;
mod request;
pub(super) mod restore;
mod restored;
pub(super) mod show;
pub(super) mod status;
mod strays;
mod tree;
pub(super) mod unreadable;
pub(super) mod verify;
mod watched;

use super::{exit, print_error};
