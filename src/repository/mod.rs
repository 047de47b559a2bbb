//! A repository keeps backups, and each backup describes itself.
//!
//! In: what a backup was taken of, and the files that its tool left. Out: the [`card::Card`] that lies with it, and the mark that it leaves
//! in the server's data directory ([`history`]). The records in SQLite can be made again from what lies here; nothing here is made from them.

pub mod card;
pub mod history;
pub mod hold;
pub mod stored;

use crate::server::Server;

/// What a backup is taken of, as it was found before its tool was started.
#[derive(Debug, Default)]
pub struct Origin {
    /// The server. None if it has not yet said what it is.
    pub server: Option<Server>,
    /// The place in its data directory that tells its history. None if there is none.
    pub history: Option<history::History>,
    /// What it goes on from. None for a full backup.
    pub base: Option<card::Base>,
}
