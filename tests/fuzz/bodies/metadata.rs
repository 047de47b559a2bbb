//! What the tools leave and say: metadata files, redo logs, manifests, versions, output; and the secrets in them.
//!
//! Every parser is given every input. Holds that each reads or refuses it, that what was read is what stands there, that output
//! is kept within its bounds, and that no password and no hash gets through.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use dbcalm_db_cmd::fuzzing;
use dbcalm_db_cmd::model::Flavour;
use dbcalm_db_cmd::model::Version;
use dbcalm_db_cmd::witness::Checkpoints;

/// Bounds of output that little reaches: of the beginning, of the end and of a line in bytes, and of watched lines.
const HEAD: usize = 48;
const TAIL: usize = 96;
const LINE: usize = 24;
const WATCHED: usize = 3;

/// What is watched for in output.
const WATCH: &str = "LSN=";

pub(crate) fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    checkpoints(&text);
    words(&text);
    redo(input, &text);
    manifest(input);
    secrets(&text);
    output(input);
}

fn checkpoints(text: &str) {
    match Checkpoints::parse(text) {
        Ok(found) => {
            let Checkpoints { backup_type, from_lsn, to_lsn, last_lsn } = &found;
            let ordered = from_lsn <= to_lsn && to_lsn <= last_lsn && *to_lsn > 0;
            assert_eq!(fuzzing::in_order(&found), ordered, "{found:?}");
            let again = format!(
                "backup_type = {backup_type}\nfrom_lsn = {from_lsn}\nto_lsn = {to_lsn}\nlast_lsn = {last_lsn}\n"
            );
            assert_eq!(Checkpoints::parse(&again), Ok(found));
        }
        Err(field) => assert!(["backup_type", "from_lsn", "to_lsn", "last_lsn"].contains(&field)),
    }
}

fn words(text: &str) {
    if let Err(field) = fuzzing::info(text) {
        assert!(["tool_name", "tool_version", "server_version"].contains(&field));
    }
    assert_eq!(fuzzing::options(text).is_ok(), text.lines().any(|line| line.trim() == "[mysqld]"));
    if let Some(version) = Version::parse(text) {
        assert_eq!(Version::parse(&version.to_string()), Some(version));
    }
    if fuzzing::said_completed(text) {
        assert!(text.trim_end().ends_with("completed OK!"));
    }
}

fn redo(input: &[u8], text: &str) {
    let prefix = Flavour::MariaDb.tool().redo_end.unwrap();
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    if let Some(end) = fuzzing::redo_end(&lines, prefix) {
        let said =
            lines.iter().filter_map(|line| line.split_once(prefix)).map(|(_, behind)| behind.trim_start_matches('0'));
        assert!(end == 0 || said.into_iter().any(|behind| behind.starts_with(&end.to_string())), "{end}");
    }
    let Some((head, rest)) = input.split_first_chunk::<16>() else { return };
    let last = rest.first_chunk().map_or(44_760, |bytes| u64::from_be_bytes(*bytes));
    if let Some(needed) = fuzzing::redo_needed(*head, last) {
        let first = u64::from_be_bytes(*head.last_chunk().unwrap());
        assert!(head.starts_with(b"PHYS") || head.starts_with(b"Phys"));
        assert!(needed >= 2048 && needed - 2048 >= last.saturating_sub(first), "{needed} for {first} to {last}");
        let less = fuzzing::redo_needed(*head, last.saturating_sub(1));
        assert!(less.is_none_or(|less| less <= needed), "what goes on longer needs no less");
    }
}

fn manifest(input: &[u8]) {
    let Some(found) = fuzzing::manifest(input) else { return };
    let mut again = Vec::new();
    for (path, hash) in &found {
        assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
        assert!(inside && path != Path::new(""), "{} is not in the backup", path.display());
        again.extend(fuzzing::manifest_line(path, hash));
    }
    assert_eq!(fuzzing::manifest(&again), Some(found).filter(|found: &BTreeMap<_, _>| !found.is_empty()));
}

/// The first line is a password as it stands in a credentials file; in the rest `@` stands for it.
fn secrets(text: &str) {
    let is_section = |line: &str| line.trim() == "[client-dbcalm]";
    assert_eq!(fuzzing::credentials(text).is_ok(), text.lines().any(is_section));

    let (password, rest) = text.split_once('\n').unwrap_or((text, ""));
    let secrets = fuzzing::credentials(&format!("[client-dbcalm]\nuser = dbcalm\npassword = {password}\n")).unwrap();
    let bare = password.trim();
    assert!(bare.is_empty() || secrets.iter().any(|secret| secret == bare));
    assert!(format!("{secrets:?}").len() < 32, "{secrets:?}");

    let clean = fuzzing::scrub(&rest.replace('@', bare), &secrets);
    for secret in secrets.iter() {
        // What the mark in its place is made of is no secret.
        if secret.len() >= fuzzing::LONG && !secret.contains(['<', '>']) && !"hidden".contains(secret) {
            assert!(!clean.contains(secret), "{secret:?} is in {clean:?}");
        }
    }
    // No passphrase gets through, whatever it is, but one that is the path of a file.
    let none = fuzzing::credentials("[client-dbcalm]\n").unwrap();
    let value = password.trim_start_matches([' ', '\t']);
    if !["", "NULL", "null", "(No default value)"].contains(&value) && !value.starts_with("FILE:") {
        let said = |value: &str| format!("'--file_key_management_filekey={value}'");
        assert_eq!(fuzzing::scrub(&said(value), &none), said("<hidden>"), "{value:?}");
    }
    let is_hash = |digits: &str| digits.get(..40).is_some_and(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert!(!clean.split('*').skip(1).any(is_hash), "a hash is in {clean:?}");
}

fn output(input: &[u8]) {
    let size = input.first().map_or(1, |&byte| usize::from(byte).max(1));
    let kept = fuzzing::capture(input.chunks(size), [HEAD, TAIL, LINE, WATCHED], WATCH);
    assert_eq!(kept, fuzzing::capture(std::iter::once(input), [HEAD, TAIL, LINE, WATCHED], WATCH), "pieces of {size}");

    let whole = String::from_utf8_lossy(input);
    if input.len() <= HEAD {
        assert_eq!(kept.text, whole);
    }
    // A byte that is not UTF-8 becomes three.
    let odd = input.iter().filter(|byte| !byte.is_ascii()).count();
    assert!(kept.text.len() <= HEAD + TAIL + 64 + 3 * odd, "{} bytes", kept.text.len());
    assert!(kept.watched.len() <= WATCHED && kept.watched.iter().all(|line| line.len() <= 3 * LINE));
    if odd > 0 || whole.contains("bytes left out") {
        return;
    }
    match kept.text.split_once("[… ").and_then(|(head, rest)| Some((head, rest.split_once(" bytes left out …]\n")?)))
    {
        Some((head, (left_out, tail))) => {
            assert!(head.len() <= HEAD && tail.len() <= TAIL && whole.starts_with(head) && whole.ends_with(tail));
            assert_eq!(left_out.parse(), Ok(whole.len() - head.len() - tail.len()));
        }
        None => assert_eq!(kept.text, whole),
    }
}
