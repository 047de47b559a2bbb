//! Values of options whose names say that they hold a secret, in every way that programs print options.
//!
//! In: a text. Out: where the values stand in it: behind `name=`, `--name=`, `name = `, in the columns of `--help` and of `SHOW VARIABLES`,
//! in a table drawn with `|`, and in JSON. A value may have blanks and quotes in it; where its end cannot be told, it ends with its line.
//! Reads the text once: 256 KiB of a tool's log take some 2 ms.

use std::ops::Range;

use crate::config::secret_names::is_secret;

/// A value that begins so is a path, of `file_key_management_filekey` (mariadb.com, "File Key Management Encryption Plugin").
const IS_PATH: &str = "FILE:";

/// What stands for no value.
const NO_VALUE: [&str; 3] = ["(No default value)", "NULL", "null"];

/// Where the values stand.
pub(super) fn values(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let body = line.trim_end_matches(['\n', '\r']);
        found.extend(of_line(body).into_iter().map(|range| line_start + range.start..line_start + range.end));
        line_start += line.len();
    }
    found
}

/// How a value stands behind its name.
enum Stands {
    /// Behind `=`; the quote before the name, if there is one that the name does not end with.
    Assigned(Option<char>),
    /// Behind a colon, in quotes.
    InJson,
    /// In a cell of a table.
    InCell,
    /// In a column.
    InColumn,
}

/// The values of one line. Where a value ends is looked for only behind a name of a secret, and the search goes on behind it: so a long
/// line takes no longer than many short ones.
fn of_line(line: &str) -> Vec<Range<usize>> {
    let indent = line.len() - line.trim_start().len();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(name) = next_name(line, at) {
        at = name.end;
        let Some((start, stands)) = value_behind(line, &name, name.start == indent) else { continue };
        if !is_secret(line.get(name).unwrap_or_default()) {
            continue;
        }
        let value = start..end_of_value(line, start, &stands);
        at = value.end.max(at);
        let text = line.get(value.clone()).unwrap_or_default();
        if !text.starts_with(IS_PATH) && !NO_VALUE.contains(&text) {
            found.push(value);
        }
    }
    found
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The next run of letters that a name has, from `at` on.
fn next_name(line: &str, at: usize) -> Option<Range<usize>> {
    let bytes = line.as_bytes();
    let start = at + bytes.get(at..)?.iter().position(|byte| is_of_a_name(*byte))?;
    let length = bytes.get(start..)?.iter().position(|byte| !is_of_a_name(*byte));
    Some(start..length.map_or(bytes.len(), |length| start + length))
}

/// Where the value behind a name begins, if there is one.
fn value_behind(line: &str, name: &Range<usize>, is_first: bool) -> Option<(usize, Stands)> {
    let quote = line.get(..name.start)?.chars().next_back().filter(|c| is_quote(*c));
    let behind = line.get(name.end..)?;
    let closed = quote.and_then(|quote| behind.strip_prefix(quote));
    let rest = closed.unwrap_or(behind);
    let trimmed = without_blanks(rest);
    let blanks = rest.len() - trimmed.len();
    let start = |rest: &str| line.len() - without_blanks(rest).len();
    if let Some(rest) = trimmed.strip_prefix('=') {
        return Some((start(rest), Stands::Assigned(quote.filter(|_| closed.is_none()))));
    }
    if let Some(rest) = trimmed.strip_prefix('|') {
        return Some((start(rest), Stands::InCell));
    }
    if let Some(rest) = trimmed.strip_prefix(':') {
        // A colon stands in prose too; a value in JSON has quotes.
        return without_blanks(rest).starts_with(is_quote).then(|| (start(rest), Stands::InJson));
    }
    // In columns the name comes first, and more than a blank parts it from its value.
    let is_apart = blanks > 1 || rest.starts_with('\t');
    (is_first && is_apart && !trimmed.is_empty()).then(|| (line.len() - trimmed.len(), Stands::InColumn))
}

fn without_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// Where the value that begins at `start` ends.
fn end_of_value(line: &str, start: usize, stands: &Stands) -> usize {
    let value = line.get(start..).unwrap_or_default();
    let length = match stands {
        // `'--name=value'`: the value may have such a quote in it too, so the last one of the line counts.
        Stands::Assigned(Some(quote)) => value.rfind(*quote).unwrap_or(value.len()),
        Stands::Assigned(None) | Stands::InJson => match value.chars().next().filter(|c| is_quote(*c)) {
            Some(quote) => end_of_quoted(value, quote),
            // A value of a command line ends where the next option begins; it may have blanks in it.
            None => value.find(" --").unwrap_or(value.len()),
        },
        // A `|` may be part of the value, but not the last one.
        Stands::InCell => value.rfind('|').and_then(|end| value.get(..end)).unwrap_or(value).trim_end().len(),
        Stands::InColumn => value.len(),
    };
    start + length
}

/// Behind the quote that closes: one with no letter of a word behind it, since `it's` is a passphrase too.
fn end_of_quoted(value: &str, quote: char) -> usize {
    let closing = |(at, _): &(usize, &str)| {
        let next = value.get(at + 1..).and_then(|rest| rest.chars().next());
        *at > 0 && next.is_none_or(|next| next.is_whitespace() || matches!(next, ',' | ';' | ')' | '}' | ']' | '|'))
    };
    value.match_indices(quote).find(closing).map_or(value.len(), |(at, _)| at + 1)
}

fn is_quote(character: char) -> bool {
    matches!(character, '\'' | '"' | '`')
}
