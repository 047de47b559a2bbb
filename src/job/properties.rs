//! What holds of everything that is recorded of what a tool wrote: random texts with secrets in them.

use std::fs;

use proptest::prelude::*;

use super::scrub::scrub;
use crate::config::credentials::{self, Secrets};

/// What stands in place of a secret.
const HIDDEN: &str = "<hidden>";

/// A password such as people and generators make; nothing that the mark itself would be.
fn password() -> impl Strategy<Value = String> {
    r"[A-Za-z0-9!$%&()+,./:?@^_{|}~*-]{6,40}".prop_filter("part of the mark", |text| !HIDDEN.contains(text.as_str()))
}

fn hash() -> impl Strategy<Value = String> {
    "[0-9A-F]{40}|[0-9a-f]{40}".prop_map(|digits| format!("*{digits}"))
}

/// What a tool writes, with the words of a GRANT in it more often than chance has them.
fn words() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        prop::sample::select(vec![
            "IDENTIFIED BY '",
            "PASSWORD '",
            " USING '",
            " AS '",
            "'",
            "*",
            "**",
            "\n",
            "GRANT ALL ON *.* TO "
        ])
        .prop_map(str::to_owned),
        any::<String>(),
        "[0-9A-F]{1,39}",
    ];
    prop::collection::vec(word, 0..6).prop_map(|words| words.concat())
}

/// The secrets of a credentials file with this line in it.
fn secrets(line: &str) -> Secrets {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("credentials.cnf");
    fs::write(&path, format!("[client-dbcalm]\nuser = backup\n{line}\n")).unwrap();
    credentials::read(&path).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(192) })]

    #[test]
    fn a_password_never_gets_through(
        password in password(), quote in prop::sample::select(vec!["", "'", "\""]),
        key in prop::sample::select(vec!["password=", "password = ", "  loose-password\t= "]),
        parts in prop::collection::vec(words(), 1..4)
    ) {
        let secrets = secrets(&format!("{key}{quote}{password}{quote}"));
        let clean = scrub(&parts.join(&password), &secrets);
        prop_assert!(!clean.contains(&password), "{clean:?} has {password:?}");
    }

    #[test]
    fn a_hash_never_gets_through(hash in hash(), before in words(), after in words()) {
        let clean = scrub(&format!("{before}{hash}{after}"), &Secrets::default());
        prop_assert!(!clean.contains(&hash), "{clean:?} has {hash:?}");
    }

    #[test]
    fn what_a_grant_is_given_never_gets_through(
        secret in "[a-z0-9/+$.]{6,60}", before in words(), after in words(),
        word in prop::sample::select(vec!["IDENTIFIED BY '", "IDENTIFIED BY PASSWORD '", "IDENTIFIED VIA ed25519 USING '", "WITH 'x' AS '"])
    ) {
        // A quote that a text before it left open would make an end of what is a beginning, and a name with `=` on the same line a value of
        // all of it.
        let before = format!("{}\n", before.replace('\'', ""));
        let clean = scrub(&format!("{before}{word}{secret}'{after}"), &Secrets::default());
        prop_assert_eq!(clean.matches(&secret).count(), after.matches(&secret).count(), "{:?}", clean);
        prop_assert!(clean.contains(&format!("{word}{HIDDEN}'")), "{clean:?}");
    }

    #[test]
    fn nothing_else_is_hidden(text in r"[A-OQ-Z`@.,;:()=\[\] 0-9\n-]{0,200}", stars in "[*]{0,3}[ a-f0-9]{0,39}", password in "[a-z]{6,12}") {
        let text = format!("{text}{stars}");
        prop_assert_eq!(scrub(&text, &secrets(&format!("password={password}"))), text.replace(&password, HIDDEN));
    }

    #[test]
    fn a_hidden_hash_takes_nothing_with_it(hash in hash(), before in r"[a-z .,:\n]{0,40}", after in r"[a-z .,:\n]{0,40}") {
        prop_assert_eq!(scrub(&format!("{before}{hash}{after}"), &Secrets::default()), format!("{before}{HIDDEN}{after}"));
    }

    #[test]
    fn no_value_of_a_secret_option_gets_through(
        name in prop::sample::select(vec![
            "password", "file_key_management_filekey", "hashicorp-key-management-token", "s3_secret_key", "REPORT_PASSWORD",
        ]),
        secret in r"[a-z0-9/+$.][a-z0-9'/+$. ]{0,12}[A-Z]{9}[a-z0-9'/+$.]{0,12}", before in r"[a-z .,\n]{0,40}", after in "[a-z .,\n]{0,40}",
        form in 0..FORMS.len()
    ) {
        let secret = secret.trim();
        let value = FORMS[form].replace("NAME", name).replace("VALUE", secret);
        let clean = scrub(&format!("{before}\n{value}\n{after}"), &Secrets::default());
        let wanted = FORMS[form].replace("NAME", name).replace("\"VALUE\"", HIDDEN).replace("VALUE", HIDDEN);
        prop_assert_eq!(clean, format!("{before}\n{wanted}\n{after}"));
    }

    #[test]
    fn what_names_no_secret_keeps_its_value(
        name in prop::sample::select(vec!["key_buffer_size", "ssl-key", "file_key_management_filename", "user", "passwords-file"]),
        value in r"[a-zA-Z0-9/+. ]{1,30}", form in 0..FORMS.len()
    ) {
        let line = FORMS[form].replace("NAME", name).replace("VALUE", value.trim());
        prop_assert_eq!(scrub(&line, &Secrets::default()), line);
    }
}

/// How programs print an option.
const FORMS: [&str; 11] = [
    "NAME=VALUE",
    "--NAME=VALUE",
    "NAME = VALUE",
    "--NAME=VALUE --host=localhost",
    "tool --backup --NAME=VALUE --target-dir=/b",
    "[00] 2026-11-28 14:37:13 \t Encryption plugin parameter :  '--NAME=VALUE'",
    "NAME                          VALUE",
    "NAME\tVALUE",
    "| NAME                 | VALUE    |",
    "{\"NAME\": \"VALUE\", \"a\": 1}",
    "NAME=\"VALUE\"",
];
