//! What `CHECK TABLE` says of each table, by what it proves: that the table is well, that it is damaged, or neither.
//!
//! In: the rows of a `CHECK TABLE`, as the client prints them. Out: a verdict a table. The texts are those of MariaDB 10.11.19.

use std::collections::BTreeMap;

/// What is known of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was read, and is well.
    Well,
    /// A backup has no rows of it that anybody could read, or its engine cannot check: this reason.
    Nothing(String),
    /// This server cannot read it, for this reason: it may be well.
    Unknown(String),
    /// It was read, and this is wrong with it.
    Damaged(String),
}

/// A table's name and what is known of it.
pub(super) type Found = (String, Verdict);

/// Engines whose rows are in another place than the server's data directory, or in none: mariadb-backup copies none of them.
const ELSEWHERE: [&str; 7] = ["BLACKHOLE", "CONNECT", "FEDERATED", "OQGRAPH", "S3", "SPHINX", "SPIDER"];

/// What the server says of a table of an engine that it does not have.
const NO_ENGINE: &str = "Unknown storage engine '";
/// What it says of a partitioned table of an engine that it does not have, and of a definition that is damaged; the file follows.
const NO_DEFINITION: &str = "Incorrect information in file: '";
/// What it says of pages that were compressed by a plugin that it does not have.
const NO_PROVIDER: &str = "its provider plugin is not loaded";
/// What it says of an engine that has no check.
const NO_CHECK: &str = "The storage engine for the table doesn't support check";
/// What it says of an `InnoDB` table with a page that it cannot read: damaged, or encrypted with a key that it does not have.
const UNREADABLE: &str = "is corrupted. Please drop the table and recreate";

/// What is known of each table, by all that was said of it.
pub(super) fn verdicts(said: &str) -> Vec<Found> {
    let mut tables: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
    for row in said.lines() {
        let mut cells = row.splitn(4, '\t');
        let (Some(table), _check, Some(kind), Some(text)) = (cells.next(), cells.next(), cells.next(), cells.next())
        else {
            continue;
        };
        match tables.last_mut() {
            Some((last, rows)) if *last == table => rows.push((kind, text)),
            _ => tables.push((table, vec![(kind, text)])),
        }
    }
    tables.into_iter().map(|(table, rows)| (table.to_owned(), verdict(&rows))).collect()
}

fn verdict(rows: &[(&str, &str)]) -> Verdict {
    let said = |words: &str| rows.iter().map(|(_, text)| *text).find(|text| text.contains(words));
    let wrong: Vec<_> = rows.iter().filter(|(kind, text)| is_wrong(kind, text)).map(|(_, text)| *text).collect();
    if let Some(engine) = said(NO_ENGINE).and_then(|text| text.split('\'').nth(1)) {
        return if ELSEWHERE.contains(&engine.to_ascii_uppercase().as_str()) {
            Verdict::Nothing(format!("a backup has no rows of the engine {engine}"))
        } else {
            Verdict::Unknown(format!("the server here has no engine {engine}"))
        };
    }
    if let Some(text) = said(NO_PROVIDER) {
        return Verdict::Unknown(text.to_owned());
    }
    match wrong.as_slice() {
        [] if said(NO_CHECK).is_some() => Verdict::Nothing("its engine has no check".to_owned()),
        [] => Verdict::Well,
        // The last row of several says only that there are others.
        [first @ .., "Corrupt"] if !first.is_empty() => Verdict::Damaged(first.join("; ")),
        all => Verdict::Damaged(all.join("; ")),
    }
}

/// Warnings, such as of tables that were open when they were copied, are followed by a status.
fn is_wrong(kind: &str, text: &str) -> bool {
    match kind.to_ascii_lowercase().as_str() {
        "error" => true,
        "status" => !matches!(text, "OK" | "Table is already up to date"),
        _ => false,
    }
}

/// Once it is known that pages are whole which could not be decrypted: the keys here are not those that they were encrypted with, and so
/// nothing is known of a table of which only that is said.
pub(super) fn without_keys(tables: &mut [Found]) {
    for (_, verdict) in tables {
        if matches!(verdict, Verdict::Damaged(why) if why.contains(UNREADABLE) && !why.contains("; ")) {
            *verdict = Verdict::Unknown("it is encrypted, and the keys here do not open it".to_owned());
        }
    }
}

/// Once it is known whose definitions (these files) are of partitions in an engine that not every server has: nothing is known of them.
pub(super) fn without_engine(tables: &mut [Found], is_missing: impl Fn(&str) -> bool) {
    for (_, verdict) in tables {
        let Verdict::Damaged(why) = &*verdict else { continue };
        let file = why.split_once(NO_DEFINITION).and_then(|(_, file)| file.strip_suffix('\''));
        if file.is_some_and(&is_missing) {
            *verdict = Verdict::Unknown("the server here has no engine for its partitions".to_owned());
        }
    }
}

/// Whether a table's definition (`.frm`) is that of a partitioned one, in an engine that is not in every server: the fourth byte and
/// the 62nd are the numbers of engines (`legacy_db_type` of `handler.h`), of which 20 is the partitions', 6 MEMORY's, 9 `MyISAM`'s, 10 MERGE's, 12 `InnoDB`'s, 17 CSV's and 42 Aria's.
pub(super) fn is_of_a_plugin(definition: &[u8]) -> bool {
    let is_definition = definition.starts_with(&[0xfe, 0x01]);
    is_definition
        && definition.get(3) == Some(&20)
        && definition.get(61).is_some_and(|engine| !matches!(engine, 0 | 6 | 9 | 10 | 12 | 17 | 42))
}

/// Of which tables the same is not known, a line a reason.
pub(super) fn lines<'a>(unknown: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    const NAMED: usize = 5;
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (table, why) in unknown {
        reasons.entry(why).or_default().push(table);
    }
    let line = |(why, tables): (&str, Vec<&str>)| {
        let names = tables.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        let more = tables.len().saturating_sub(NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("not checked: {names}{more}: {why}")
    };
    reasons.into_iter().map(line).collect()
}

/// A cell as the client prints it in batch mode, read back: `\n`, `\t`, `\0` and `\\` stand for what they name.
pub(super) fn cell(printed: &str) -> String {
    let mut text = String::with_capacity(printed.len());
    let mut characters = printed.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('0') => '\0',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Verdict, cell, is_of_a_plugin, lines, verdicts, without_engine, without_keys};

    /// The verdict of the one table that this is said of.
    fn of(rows: &[&str]) -> Verdict {
        let rows: Vec<_> = rows.iter().map(|row| format!("shop.a\tcheck\t{row}")).collect();
        let mut found = verdicts(&rows.join("\n"));
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0).1
    }

    fn damaged(why: &str) -> Verdict {
        Verdict::Damaged(why.to_owned())
    }

    fn unknown(why: &str) -> Verdict {
        Verdict::Unknown(why.to_owned())
    }

    #[test]
    fn what_a_check_says_is_told_apart_by_what_it_proves() {
        assert_eq!(of(&["status\tOK"]), Verdict::Well);
        assert_eq!(of(&["status\tTable is already up to date"]), Verdict::Well);
        assert_eq!(
            of(&["warning\t1 client is using or hasn't closed the table properly", "status\tOK"]),
            Verdict::Well
        );
        assert_eq!(of(&["Error\tgone", "error\tCorrupt"]), damaged("gone"));
        assert_eq!(of(&["error\tCorrupt"]), damaged("Corrupt"));
        assert_eq!(of(&["status\tOperation failed"]), damaged("Operation failed"));
        let nothing = of(&["note\tThe storage engine for the table doesn't support check"]);
        assert_eq!(nothing, Verdict::Nothing("its engine has no check".to_owned()));
        assert_eq!(
            of(&["Error\tUnknown storage engine 'CONNECT'", "error\tCorrupt"]),
            Verdict::Nothing("a backup has no rows of the engine CONNECT".to_owned())
        );
        assert_eq!(
            of(&["Error\tUnknown storage engine 'ROCKSDB'", "error\tCorrupt"]),
            unknown("the server here has no engine ROCKSDB")
        );
        let lz4 = "MariaDB tried to use the LZ4 compression, but its provider plugin is not loaded";
        let corrupted = "Error\tTable `shop`.`a` is corrupted. Please drop the table and recreate.";
        assert_eq!(of(&[&format!("Warning\t{lz4}"), corrupted, "error\tCorrupt"]), unknown(lz4));
        assert_eq!(verdicts(""), []);
    }

    #[test]
    fn each_table_has_its_own_verdict() {
        let said = "shop.a\tcheck\tError\tgone\nshop.a\tcheck\terror\tCorrupt\nshop.new\\nline\tcheck\tstatus\tOK\n";
        let wanted = [("shop.a".to_owned(), damaged("gone")), ("shop.new\\nline".to_owned(), Verdict::Well)];
        assert_eq!(verdicts(said), wanted);
    }

    #[test]
    fn without_its_keys_a_table_is_not_known_to_be_damaged() {
        let corrupted = "shop.a\tcheck\tError\tTable `shop`.`a` is corrupted. Please drop the table and recreate.\nshop.a\tcheck\terror\tCorrupt\nshop.b\tcheck\tError\tgone\n";
        let mut found = verdicts(corrupted);
        without_keys(&mut found);
        let is = |at: usize| found.get(at).map(|(_, verdict)| verdict.clone());
        assert_eq!(is(0), Some(unknown("it is encrypted, and the keys here do not open it")));
        assert_eq!(is(1), Some(damaged("gone")));
    }

    #[test]
    fn partitions_of_an_engine_that_is_missing_are_told_from_a_damaged_definition() {
        let said =
            "shop.p\tcheck\tError\tIncorrect information in file: './shop/p.frm'\nshop.p\tcheck\terror\tCorrupt\n";
        let verdict = |is_missing: bool| {
            let mut found = verdicts(said);
            without_engine(&mut found, |file| is_missing && file == "./shop/p.frm");
            found.remove(0).1
        };
        assert_eq!(verdict(true), unknown("the server here has no engine for its partitions"));
        assert_eq!(verdict(false), damaged("Incorrect information in file: './shop/p.frm'"));
        let definition = |kind: u8, engine: u8| {
            let mut bytes = vec![0; 64];
            bytes[..4].copy_from_slice(&[0xfe, 0x01, 0x0a, kind]);
            bytes[61] = engine;
            bytes
        };
        assert!(is_of_a_plugin(&definition(20, 19)));
        assert!(!is_of_a_plugin(&definition(20, 12)) && !is_of_a_plugin(&definition(12, 19)));
        assert!(!is_of_a_plugin(&definition(20, 19)[..61]) && !is_of_a_plugin(&[0; 64]) && !is_of_a_plugin(b""));
    }

    #[test]
    fn what_is_not_known_is_a_line_a_reason() {
        let tables = ["a", "b", "c", "d", "e", "f", "g"];
        let said = lines(tables.into_iter().map(|table| (table, "no key")).chain([("m", "no engine")]));
        assert_eq!(said, ["not checked: m: no engine", "not checked: a, b, c, d, e and 2 more: no key"]);
    }

    #[test]
    fn names_of_all_shapes_come_back_from_the_client() {
        assert_eq!(cell(r"new\nline"), "new\nline");
        assert_eq!(cell(r"a\tb\\n\0"), "a\tb\\n\0");
        assert_eq!(cell("plain \u{e4}"), "plain \u{e4}");
    }
}
