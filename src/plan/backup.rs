//! The plan of a backup: one command.

use serde::Serialize;

use super::{End, Plan, Proof, Step, tool};
use crate::command::{Backup, BackupId};
use crate::config::Config;
use crate::exec::Invocation;
use crate::json;

/// The arguments as the records keep them.
#[derive(Serialize)]
struct Args<'a> {
    id: &'a BackupId,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_backup_id: Option<&'a BackupId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule_id: Option<i64>,
}

impl Plan {
    /// A full or incremental backup with the tool at `bin`.
    pub fn backup(backup: &Backup, bin: &str, config: &Config) -> Self {
        let dir = config.backup_dir.join(backup.id.as_str());
        let base = backup.base.as_ref().map(|base| config.backup_dir.join(base.as_str()));
        let mut args = tool::login(&config.credentials).to_vec();
        args.extend([
            "--backup".to_owned(),
            format!("--target-dir={}", dir.display()),
            format!("--host={}", config.host),
        ]);
        args.extend(base.as_ref().map(|base| format!("--incremental-basedir={}", base.display())));
        let recorded = Args { id: &backup.id, from_backup_id: backup.base.as_ref(), schedule_id: backup.schedule_id };
        Self {
            args: json::python(&recorded),
            first: Step { invocation: Invocation::new(bin, args), proof: Proof::Backup { dir: dir.clone(), base } },
            rest: Vec::new(),
            end: End::Backup { id: backup.id.clone(), base: backup.base.clone(), schedule_id: backup.schedule_id, dir },
        }
    }
}
