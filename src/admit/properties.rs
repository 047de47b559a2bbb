//! What holds of every chain: random ones.

use std::collections::HashMap;

use proptest::prelude::*;

use super::check_chain;
use crate::command::Restore;
use crate::model::Target;
use crate::records::Known;

/// Six backups: each unknown, a full one, or taken from one of the six.
fn records() -> impl Strategy<Value = HashMap<String, Known>> {
    prop::collection::vec(prop::option::weighted(0.9, prop::option::weighted(0.7, 0..6_usize)), 6).prop_map(|drawn| {
        let known = drawn.into_iter().enumerate().filter_map(|(index, drawn)| {
            let from = drawn?.map(|from| format!("b{from}"));
            Some((format!("b{index}"), Known { from, start_time: None, place: 0 }))
        });
        known.collect()
    })
}

/// Lists that follow the records from the end back, as far as they go, and lists that follow nothing.
fn list(known: &HashMap<String, Known>, youngest: usize, random: &[usize], follow: bool) -> Vec<String> {
    if !follow {
        return random.iter().map(|index| format!("b{index}")).collect();
    }
    let mut chain = vec![format!("b{youngest}")];
    while let Some(from) = known.get(&chain[chain.len() - 1]).and_then(|record| record.from.clone())
        && chain.len() < 6
    {
        chain.push(from);
    }
    chain.reverse();
    chain
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn what_is_restored_is_a_chain_and_every_chain_is(
        records in records(), youngest in 0..6_usize, random in prop::collection::vec(0..6_usize, 1..5), follow in any::<bool>()
    ) {
        let list = list(&records, youngest, &random, follow);
        let mut ids = list.iter().map(|id| id.parse().unwrap());
        let wanted = Restore { full: ids.next().unwrap(), incrementals: ids.collect(), target: Target::Folder, until: None };
        let from = |id: &String| records.get(id).map(|known| known.from.as_deref());
        let is_chain = list.iter().enumerate().all(|(index, id)| {
            from(id) == Some(index.checked_sub(1).map(|before| list[before].as_str()))
        });
        let expected = match list.iter().find(|id| from(id).is_none()) {
            Some(unknown) => Err((404, format!("Backup with id {unknown} not found"))),
            None if is_chain => Ok(()),
            None => Err((400, "id_list is not a chain: ".to_owned())),
        };
        match (check_chain(&wanted, &records), expected) {
            (Ok(()), Ok(())) => {}
            (Err(why), Err((code, text))) => {
                prop_assert_eq!(why.code(), code);
                prop_assert!(why.to_string().starts_with(&text), "{} is not {}", why, text);
            }
            (found, expected) => prop_assert!(false, "{list:?} is {found:?}, not {expected:?}"),
        }
    }
}
