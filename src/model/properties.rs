//! What holds of every id: random ones.

use std::path::{Component, Path};

use proptest::prelude::*;

use super::id::{BackupId, MAX_ID};

/// Texts that are ids, that nearly are, and any.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}",
        "[A-Za-z0-9._/ é\\\\-]{0,6}",
        "[A-Za-z0-9._-]{120,136}",
        prop::sample::select(vec!["", ".", "..", "tmp", "restores", "tmp.", "-", "a/b", "a\0b", "a\n"])
            .prop_map(str::to_owned),
        any::<String>(),
    ]
}

/// The contract's own words, section 4.
fn is_an_id(text: &str) -> bool {
    let allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    (1..=128).contains(&text.len())
        && text.chars().all(|character| allowed.contains(character))
        && !matches!(text.chars().next(), Some('.' | '-'))
        && !matches!(text, "tmp" | "restores")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn an_id_is_what_the_contract_says_and_nothing_else(text in text()) {
        prop_assert_eq!(text.parse::<BackupId>().is_ok(), is_an_id(&text), "{:?}", text);
    }

    #[test]
    fn an_id_is_one_name_in_a_directory_and_reads_back(text in text()) {
        let Ok(id) = text.parse::<BackupId>() else { return Ok(()) };
        let path = Path::new("/var/backups").join(id.as_str());
        prop_assert_eq!(path.parent(), Some(Path::new("/var/backups")));
        prop_assert!(matches!(path.components().next_back(), Some(Component::Normal(name)) if name == id.as_str()));
        prop_assert!(id.as_str().len() <= MAX_ID && !id.as_str().starts_with('-'));
        prop_assert_eq!((id.to_string().parse(), id.as_str()), (Ok(id.clone()), text.as_str()));
    }

    #[test]
    fn a_recorded_id_is_one_name_in_a_directory_too_and_ends_no_option(text in text()) {
        let Ok(id) = BackupId::recorded(&text) else {
            prop_assert!(text.parse::<BackupId>().is_err(), "{:?} may be new and not be recorded", text);
            return Ok(());
        };
        let path = Path::new("/var/backups").join(id.as_str());
        prop_assert_eq!(path.parent(), Some(Path::new("/var/backups")));
        prop_assert!(matches!(path.components().next_back(), Some(Component::Normal(name)) if name == id.as_str()));
        prop_assert!(!id.as_str().contains(" --") && !id.as_str().contains('|') && !id.as_str().contains(char::is_control));
        prop_assert_eq!((id.as_str(), id.may_be_new()), (text.as_str(), text.parse::<BackupId>().is_ok()));
    }
}
