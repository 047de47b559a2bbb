//! What a lying tool writes: checkpoints whose numbers are wrong, and metadata that is no longer what it was.
//!
//! In: what is true, and the call's fault. Out: what is written instead.

use crate::metadata::Checkpoints;
use crate::player::{Call, Damage, Fault};

/// The checkpoints as the fault lets them be told.
pub(crate) fn told(call: &Call, mut checkpoints: Checkpoints) -> Checkpoints {
    match &call.fault {
        Some(Fault::WrongToLsn) => checkpoints.to_lsn = checkpoints.last_lsn + 1,
        Some(Fault::WrongLastLsn) => checkpoints.last_lsn = checkpoints.to_lsn.saturating_sub(1),
        Some(Fault::DamagedMetadata(Damage::Kind)) => {
            // A kind that is one, but of another backup.
            let is_full = checkpoints.backup_type == "full-backuped";
            checkpoints.backup_type = String::from(if is_full { "incremental" } else { "full-backuped" });
        }
        _ => {}
    }
    checkpoints
}

/// The text of the checkpoints file.
pub(crate) fn of_checkpoints(call: &Call, text: String) -> String {
    match &call.fault {
        Some(Fault::DamagedMetadata(Damage::Checkpoints)) => garbage(&text),
        // The last number that a prepare needs has lost its end, and with it its line.
        Some(Fault::DamagedMetadata(Damage::Cut)) => text.split("last_lsn").next().unwrap_or_default().to_owned(),
        _ => text,
    }
}

/// The text of the info file, or of `backup-my.cnf` where `is_options`.
pub(crate) fn of_others(call: &Call, text: String, is_options: bool) -> String {
    match &call.fault {
        Some(Fault::EmptyMetadata) => String::new(),
        Some(Fault::DamagedMetadata(Damage::Options)) if is_options => garbage(&text),
        Some(Fault::DamagedMetadata(Damage::Info)) if !is_options => garbage(&text),
        _ => text,
    }
}

/// As many zeros, as a file system leaves after a power cut.
fn garbage(text: &str) -> String {
    "\0".repeat(text.len())
}
