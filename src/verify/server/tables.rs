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

/// Engines that every server of `MariaDB` has.
const EVERYWHERE: [&str; 6] = ["ARIA", "CSV", "INNODB", "MEMORY", "MRG_MYISAM", "MYISAM"];

/// What the server says of a table of an engine that it does not have.
const NO_ENGINE: &str = "Unknown storage engine '";
/// What it says of a partitioned table of an engine that it does not have, and of a definition that is damaged; the file follows.
const NO_DEFINITION: &str = "Incorrect information in file: '";
/// What it says of pages that were compressed by a plugin that it does not have.
const NO_PROVIDER: &str = "its provider plugin is not loaded";
/// What it says of an `InnoDB` table whose tablespace was discarded, by a statement: there are no rows of it.
const DISCARDED: &str = "Tablespace has been discarded for table";
/// What it says of a MERGE table of which a table underneath is not there, or is not like it: its own rows are none.
const UNDERNEATH: &str = "Unable to open underlying table";
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
        return without(engine);
    }
    if let Some(text) = said(NO_PROVIDER) {
        return Verdict::Unknown(text.to_owned());
    }
    match wrong.as_slice() {
        _ if said(DISCARDED).is_some() => Verdict::Nothing("its tablespace was discarded".to_owned()),
        _ if said(UNDERNEATH).is_some() => {
            Verdict::Nothing("it has no rows of its own, and a table underneath is not there".to_owned())
        }
        [] if said(NO_CHECK).is_some() => Verdict::Nothing("its engine has no CHECK TABLE".to_owned()),
        [] => Verdict::Well,
        // The last row of several says only that there are others.
        [first @ .., "Corrupt"] if !first.is_empty() => Verdict::Damaged(first.join("; ")),
        all => Verdict::Damaged(all.join("; ")),
    }
}

/// What is known of a table whose engine this server does not have.
fn without(engine: &str) -> Verdict {
    if ELSEWHERE.contains(&engine.to_ascii_uppercase().as_str()) {
        Verdict::Nothing(format!("a backup has no rows of the engine {engine}"))
    } else {
        Verdict::Unknown(format!("the server here has no engine {engine}"))
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

/// Once it is known in which engine the partitions of a definition (this file) are: nothing is known of those in one that not every
/// server has.
pub(super) fn without_engine(tables: &mut [Found], engine_of: impl Fn(&str) -> Option<String>) {
    for (_, verdict) in tables {
        let Verdict::Damaged(why) = &*verdict else { continue };
        let file = why.split_once(NO_DEFINITION).and_then(|(_, file)| file.strip_suffix('\''));
        let engine = file.and_then(&engine_of);
        if let Some(engine) = engine.filter(|engine| !EVERYWHERE.contains(&engine.to_ascii_uppercase().as_str())) {
            *verdict = without(&engine);
        }
    }
}

/// The engine of a table's partitions, by its definition (`.frm`). None if it has no partitions, or is no definition.
///
/// Behind the 64 bytes of the head, of which the fifth and sixth have their length, are fields: kind, length, content. The kind of an
/// engine's name is 1 (`unireg.h` of `MariaDB`; seen with 10.11.19).
pub(super) fn engine_of_partitions(definition: &[u8]) -> Option<String> {
    const HEAD: usize = 64;
    const ENGINE: u8 = 1;
    let [0xfe, 0x01, _, _, low, high, ..] = definition else { return None };
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    let mut fields = definition.get(HEAD..HEAD + length)?;
    while let [kind, length, rest @ ..] = fields {
        let (length, rest) = match (*length, rest) {
            (0, [low, high, rest @ ..]) => (u16::from_le_bytes([*low, *high]).into(), rest),
            (length, rest) => (usize::from(length), rest),
        };
        let content = rest.get(..length)?;
        if *kind == ENGINE {
            return String::from_utf8(content.to_vec()).ok();
        }
        fields = rest.get(length..)?;
    }
    None
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
    use super::{Verdict, cell, engine_of_partitions, lines, verdicts, without_engine, without_keys};

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
        assert_eq!(nothing, Verdict::Nothing("its engine has no CHECK TABLE".to_owned()));
        let discarded = ["Warning\tTablespace has been discarded for table `a`", "error\tCorrupt"];
        assert_eq!(of(&discarded), Verdict::Nothing("its tablespace was discarded".to_owned()));
        let underneath = [
            "Error\tTable 'shop.m1' is differently defined or of non-MyISAM type or doesn't exist",
            "Error\tUnable to open underlying table which is differently defined or of non-MyISAM type or doesn't exist",
            "error\tCorrupt",
        ];
        let why = "it has no rows of its own, and a table underneath is not there";
        assert_eq!(of(&underneath), Verdict::Nothing(why.to_owned()));
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
        let verdict = |engine: Option<&str>| {
            let mut found = verdicts(said);
            without_engine(&mut found, |file| engine.filter(|_| file == "./shop/p.frm").map(str::to_owned));
            found.remove(0).1
        };
        assert_eq!(verdict(Some("ROCKSDB")), unknown("the server here has no engine ROCKSDB"));
        assert_eq!(verdict(Some("SPIDER")), Verdict::Nothing("a backup has no rows of the engine SPIDER".to_owned()));
        for of_every_server in [Some("InnoDB"), None] {
            assert_eq!(verdict(of_every_server), damaged("Incorrect information in file: './shop/p.frm'"));
        }
    }

    #[test]
    fn a_definition_names_the_engine_of_its_partitions() {
        // The head's first bytes, and the fields behind it, of a table of 10.11.19.
        let fields =
            b"\x00\x10\xfc\x29\x00\x8d\xeb\x3e\x11\xf1\xb8\x8f\x02\xfc\x00\x00\x00\x01\x01\x06SPIDER\x05\x01\x00";
        let definition = |length: u8, fields: &[u8]| {
            let head = [&[0xfe, 0x01, 0x0a, 0x14, length, 0][..], &[0; 58]].concat();
            [&head[..], fields, &[0; 100]].concat()
        };
        assert_eq!(engine_of_partitions(&definition(0x1d, fields)).as_deref(), Some("SPIDER"));
        let long = [&[7, 0, 0, 1][..], &[0; 256], b"\x01\x06InnoDB"].concat();
        let mut of_long = definition(12, &long);
        of_long[5] = 1;
        assert_eq!(engine_of_partitions(&of_long).as_deref(), Some("InnoDB"));
        assert_eq!(engine_of_partitions(&definition(0x12, fields)), None, "it ends before the name");
        for none in
            [&b""[..], b"TYPE=VIEW\n", &[0xfe, 0x01], &definition(0x1d, fields)[..80], &definition(0xff, b"\x01")]
        {
            assert_eq!(engine_of_partitions(none), None);
        }
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
