//! Whether the encrypted backups of a chain can be decrypted here: told before anything is done.

use std::time::Instant;

use super::on_disk;
use crate::config::{Config, identity_file};
use crate::model::{BackupId, Rejection, Stored, causes};
use crate::plan::Member;
use crate::repository::card::{Card, Encryption};

fn is_encrypted(stored: &Stored) -> bool {
    match stored {
        Stored::Directory(_) => false,
        Stored::Stream(stream) | Stored::Remote(stream, _) | Stored::Forwarded(stream) => stream.is_encrypted(),
    }
}

/// Refuses the first of a chain that no identity of the settings decrypts, by what it says of itself.
pub(super) async fn check(
    chain: &[Member],
    cards: &[Option<(Card, bool)>],
    config: &Config,
    until: Instant,
) -> Result<(), Rejection> {
    let encrypted = chain.iter().zip(cards).filter(|(member, _)| is_encrypted(&member.stored));
    let to = |card: &Option<(Card, bool)>| card.as_ref().and_then(|(card, _)| card.encryption().cloned());
    let encrypted = encrypted.map(|(member, card)| (member.id.clone(), to(card))).collect::<Vec<_>>();
    let Some((first, to)) = encrypted.first() else { return Ok(()) };
    let Some(file) = config.identity_file.clone() else {
        let why = "set identity_file to the file with the secret key of one of them".to_owned();
        return Err(locked(first, to.as_ref(), why));
    };
    let path = file.clone();
    let read = on_disk(&file, until, move || identity_file::read(&path)).await?;
    let identities = read.map_err(|why| locked(first, to.as_ref(), causes(&why)))?;
    // One that does not say to whom it is encrypted is tried.
    match encrypted.iter().find(|(_, to)| to.as_ref().is_some_and(|to| !to.is_for(&identities))) {
        None => Ok(()),
        Some((id, to)) => {
            let own = identities.iter().map(|identity| identity.recipient().to_string()).collect::<Vec<_>>().join(", ");
            Err(locked(id, to.as_ref(), format!("identity_file '{}' is of {own}", file.display())))
        }
    }
}

fn locked(id: &BackupId, to: Option<&Encryption>, why: String) -> Rejection {
    Rejection::Locked {
        id: id.clone(),
        to: to.map_or_else(|| "keys that its backup.json does not name".to_owned(), Encryption::names),
        why,
    }
}
