//! `encrypt_to` and `identity_file`.

use std::path::PathBuf;

use super::Problem;
use super::raw::Raw;
use crate::age::{BadRecipient, Recipient};

const TO: &str = "encrypt_to";
const IDENTITY: &str = "identity_file";
/// The most recipients: each has its lines in the head of every stream.
const MOST: usize = 20;

const EXAMPLE: &str = "write 'encrypt_to: [age1…, age1…]' with the public keys that age-keygen tells: docs/keys.md";

impl Raw<'_> {
    /// To whom streams are encrypted; to nobody, if the key is not there at all. Whatever else is wrong with it, it never means that.
    pub(super) fn recipients(&self, is_stream: bool) -> Result<Vec<Recipient>, Problem> {
        for (beginning, known) in [("encrypt", TO), ("identity", IDENTITY)] {
            if let Some(name) = self.keys_with(beginning).find(|name| *name != known) {
                return Err(self.problem(
                    name,
                    format!("{} is not known", name.escape_debug()),
                    format!("write '{known}', or remove it"),
                ));
            }
        }
        if !self.is_written(TO) {
            return Ok(Vec::new());
        }
        let names = self.names(TO).map_err(|problem| Problem { hint: EXAMPLE.to_owned(), ..problem })?;
        let names = names.unwrap_or_default();
        if names.is_empty() {
            return Err(self.problem(
                TO,
                format!("{TO} names no key"),
                format!("{EXAMPLE}; or remove '{TO}', and backups are not encrypted"),
            ));
        }
        if names.len() > MOST {
            return Err(self.problem(TO, format!("{TO} names more than {MOST} keys"), "leave some out"));
        }
        let mut recipients = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let which = index + 1;
            let recipient = name.parse::<Recipient>().map_err(|why| {
                // What is no public key may be a secret.
                let quoted =
                    if why == BadRecipient::Typo { format!(" '{}'", name.escape_debug()) } else { String::new() };
                self.problem_at(TO, name, format!("{TO}: key {which}{quoted} {why}"), EXAMPLE)
            })?;
            if recipients.contains(&recipient) {
                return Err(self.problem_at(
                    TO,
                    name,
                    format!("{TO}: key {which} '{name}' stands in it twice"),
                    EXAMPLE,
                ));
            }
            recipients.push(recipient);
        }
        if !is_stream {
            return Err(self.problem(
                TO,
                format!("{TO} needs stream: true"),
                format!("write 'stream: true' too, or remove '{TO}': a directory is not encrypted"),
            ));
        }
        Ok(recipients)
    }

    /// The file with the secret key.
    pub(super) fn identity_file(&self) -> Result<Option<PathBuf>, Problem> {
        let example = "/etc/dbcalm/identity.txt";
        match self.path(IDENTITY, example)? {
            None if self.is_written(IDENTITY) => Err(self.problem(
                IDENTITY,
                format!("{IDENTITY} names no file"),
                format!("write '{IDENTITY}: {example}', or remove it"),
            )),
            path => Ok(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const ONE: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    const OTHER: &str = "age1lvyvwawkr0mcnnnncaghunadrqkmuf9e6507x9y920xxpp866cnql7dp2z";

    fn said(text: &str) -> String {
        match Config::parse(&format!("db_type: mariadb\nbackup_dir: /b\n{text}")) {
            Ok(config) => {
                let recipients = config.streaming.map(|streaming| streaming.recipients).unwrap_or_default();
                format!("{} recipients, identity_file {:?}", recipients.len(), config.identity_file)
            }
            Err(problem) => format!("line {}: {}", problem.line.unwrap_or_default(), problem.text),
        }
    }

    #[test]
    fn whatever_is_wrong_with_it_it_never_means_not_encrypted() {
        let secret = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";
        let typo = OTHER.replace("lvyv", "lvyw");
        let cases = [
            "stream: true\n".to_owned(),
            format!("stream: true\nencrypt_to: {ONE}\n"),
            format!("stream: true\nencrypt_to: [{ONE}, {OTHER}]\nidentity_file: /k\n"),
            "stream: true\nencrypt_to:\n".to_owned(),
            "stream: true\nencrypt_to: []\n".to_owned(),
            "stream: true\nencrypt_to: ''\n".to_owned(),
            "stream: true\nencrypt_to: true\n".to_owned(),
            format!("stream: true\nencrypt_to:\n  - {ONE}\n  - {typo}\n"),
            format!("stream: true\nencrypt_to:\n  - {ONE}\n  - {}\n", &OTHER[..40]),
            format!("stream: true\nencrypt_to:\n  - {ONE}\n  - {ONE}\n"),
            format!("stream: true\nencrypt_to: {secret}\n"),
            format!("stream: true\nencrypt_to: [{ONE}, ssh-ed25519 AAAA]\n"),
            format!("stream: true\nencrypt_to: {}\n", ONE.to_uppercase()),
            format!("stream: true\nencrypt_too: {ONE}\n"),
            format!("encrypt_to: {ONE}\n"),
            "identity_file:\n".to_owned(),
            "identity_file: key.txt\n".to_owned(),
            "identity: /k\n".to_owned(),
        ];
        let told = cases.map(|text| said(&text));
        assert!(told.iter().all(|text| !text.contains("SECRET")));
        insta::assert_snapshot!(told.join("\n"), @r#"
        0 recipients, identity_file None
        1 recipients, identity_file None
        2 recipients, identity_file Some("/k")
        line 4: encrypt_to names no key
        line 4: encrypt_to names no key
        line 4: encrypt_to names no key
        line 4: encrypt_to must be a list of names
        line 6: encrypt_to: key 2 'age1lvywwawkr0mcnnnncaghunadrqkmuf9e6507x9y920xxpp866cnql7dp2z' has a typo in it: its checksum is wrong
        line 6: encrypt_to: key 2 'age1lvyvwawkr0mcnnnncaghunadrqkmuf9e6507' has a typo in it: its checksum is wrong
        line 6: encrypt_to: key 2 'age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj' stands in it twice
        line 4: encrypt_to: key 1 is a secret key: it belongs on no host that is backed up. Its public key is needed, as age-keygen -y tells it
        line 4: encrypt_to: key 2 does not begin with age1: age's own public keys alone are taken, none of SSH or of a plugin
        line 4: encrypt_to: key 1 does not begin with age1: age's own public keys alone are taken, none of SSH or of a plugin
        line 4: encrypt_too is not known
        line 3: encrypt_to needs stream: true
        line 3: identity_file names no file
        line 3: identity_file 'key.txt' is not an absolute path
        line 3: identity is not known
        "#);
    }
}
