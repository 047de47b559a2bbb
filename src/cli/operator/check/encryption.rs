//! What `check` says of encryption: to whom, and what lies here of their secret keys.

use super::Findings;
use crate::config::{Config, identity_file};
use crate::model::causes;

pub(super) fn look(config: &Config, findings: &mut Findings) {
    let recipients = config.streaming.as_ref().map(|streaming| streaming.recipients.as_slice()).unwrap_or_default();
    let names = recipients.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match recipients.len() {
        0 => {}
        1 => findings.warning(
            format!("backups are encrypted to one key alone, {names}: who loses it loses all of them"),
            "make a second one, keep it elsewhere, and name both in encrypt_to: docs/keys.md",
        ),
        count => findings.good(format!("backups are encrypted to {count} keys: {names}")),
    }
    let Some(file) = &config.identity_file else { return };
    let identities = match identity_file::read(file) {
        Ok(identities) => identities,
        Err(why) => {
            findings.warning(causes(&why), "no encrypted backup can be restored here: docs/keys.md");
            return;
        }
    };
    if let Some(exposed) = identity_file::exposed(file) {
        findings.warning(
            format!("identity_file '{}' {exposed}", file.display()),
            format!("chown mysql: '{0}' && chmod 0400 '{0}'", file.display()),
        );
    }
    let own = identities.iter().map(|identity| identity.recipient().to_string()).collect::<Vec<_>>();
    findings.good(format!("identity_file '{}' decrypts what is encrypted to {}", file.display(), own.join(", ")));
    if recipients.iter().any(|recipient| own.contains(&recipient.to_string())) {
        findings.warning(
            "the secret key of this host's own backups lies on it: who takes the host reads them",
            "remove identity_file when the restore is done: docs/keys.md",
        );
    }
}
