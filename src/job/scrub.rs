//! What must not be recorded: passwords, passphrases, tokens and hashes, and the rows of a damaged page.
//!
//! In: what a program wrote, and what the credentials file keeps secret. Out: the same text with a mark in place of each secret. A secret
//! is known by what stands before it, such as the name of an option, and not by its own letters alone: of the secrets in the server's
//! settings the daemon knows nothing. All of them are looked for in the text as it came, so that none hides the other's beginning.
//!
//! - mariadb-backup prints `Encryption plugin parameter :  '--file_key_management_filekey=…'`, at a backup and at a prepare, and so it does
//!   with all options of the plugins that it loads (seen with 10.11.19).
//! - Where a privilege is missing, it prints `SHOW GRANTS` with the password's hash (seen with 10.5.23, 10.11.19 and 11.8.6).
//! - Where it gives up on a damaged page, it prints the page, which is rows (seen with 10.11.19).

use std::ops::Range;

use super::scrub_values;
use crate::config::credentials::Secrets;

/// What stands in place of a secret.
pub(super) const HIDDEN: &str = "<hidden>";

/// A password of fewer bytes is hidden only where it stands as the value of something: its letters may be a word that a log is full of, and
/// a log with marks in place of each `a` says what the password is.
pub(crate) const SHORT: usize = 6;

/// Behind these, in a GRANT, a quoted secret follows.
const INTRODUCTIONS: [&str; 4] = ["PASSWORD '", "USING '", "IDENTIFIED BY '", " AS '"];

/// What introduces the bytes of a page.
const PAGE: &str = "; hex ";

/// Takes every secret out of `text`.
pub(crate) fn scrub(text: &str, secrets: &Secrets) -> String {
    let mut found = scrub_values::values(text);
    found.extend(hashes(text));
    found.extend(INTRODUCTIONS.iter().flat_map(|introduction| quoted(text, introduction)));
    found.extend(pages(text));
    let long = secrets.iter().filter(|secret| secret.len() >= SHORT);
    found.extend(long.flat_map(|secret| text.match_indices(secret).map(|(start, found)| start..start + found.len())));
    found.retain(|range| text.get(range.clone()).is_some_and(|secret| !secret.is_empty() && secret != HIDDEN));
    found.sort_by_key(|range| range.start);
    replace(text, &found)
}

/// Puts one mark in place of all that overlaps or touches.
fn replace(text: &str, found: &[Range<usize>]) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut end = 0;
    for range in found {
        if range.start > end || (end == 0 && clean.is_empty()) {
            clean.push_str(text.get(end..range.start).unwrap_or_default());
            clean.push_str(HIDDEN);
        }
        end = end.max(range.end);
    }
    clean.push_str(text.get(end..).unwrap_or_default());
    clean
}

/// What stands between `introduction` and the next quote.
fn quoted<'a>(text: &'a str, introduction: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
    text.match_indices(introduction).map(move |(at, _)| {
        let start = at + introduction.len();
        let rest = text.get(start..).unwrap_or_default();
        start..start + rest.find('\'').unwrap_or(rest.len())
    })
}

/// Every `*` with 40 hexadecimal digits behind it: a hash of `mysql_native_password`, however it is introduced.
fn hashes(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    const DIGITS: usize = 40;
    text.match_indices('*').map(|(at, _)| at..at + 1 + DIGITS).filter(|range| {
        let digits = text.as_bytes().get(range.start + 1..range.end);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// The bytes of a page, up to the end of their line.
fn pages(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    text.match_indices(PAGE).filter_map(|(at, _)| {
        let before = text.get(..at)?.trim_end_matches(|c: char| c.is_ascii_digit());
        let start = at + PAGE.len();
        let rest = text.get(start..)?;
        (before.len() < at && before.ends_with("len ")).then(|| start..start + rest.find('\n').unwrap_or(rest.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::scrub;
    use crate::config::credentials::{self, Secrets};

    #[test]
    fn hashes_and_passwords_do_not_get_through() {
        let cases = [
            (
                "1.GRANT USAGE ON *.* TO `n`@`l` IDENTIFIED BY PASSWORD '*32FAD1870048C27BBC5B2039A997D03A54093943'\nnext",
                "1.GRANT USAGE ON *.* TO `n`@`l` IDENTIFIED BY PASSWORD '<hidden>'\nnext",
            ),
            ("IDENTIFIED VIA ed25519 USING 'abc/+' OR x", "IDENTIFIED VIA ed25519 USING '<hidden>' OR x"),
            ("hash *32FAD1870048C27BBC5B2039A997D03A54093943.", "hash <hidden>."),
            ("GRANT ALL ON *.* TO x IDENTIFIED BY 'cut off", "GRANT ALL ON *.* TO x IDENTIFIED BY '<hidden>"),
            ("5 * 3 ** é*", "5 * 3 ** é*"),
            ("*", "*"),
        ];
        for (text, clean) in cases {
            assert_eq!(scrub(text, &Secrets::default()), clean);
        }
    }

    /// The lines are those of mariadb-backup 10.11.19.
    #[test]
    fn the_rows_of_a_damaged_page_do_not_get_through() {
        let text =
            "Page dump in ascii and hex (16384 bytes):\n len 16384; hex 0005ec30; asc  mary@example.org ;\nInnoDB: End";
        let clean = "Page dump in ascii and hex (16384 bytes):\n len 16384; hex <hidden>\nInnoDB: End";
        assert_eq!(scrub(text, &Secrets::default()), clean);
        assert_eq!(scrub("in dec; hex 12", &Secrets::default()), "in dec; hex 12");
    }

    #[test]
    fn a_short_password_hides_no_letters_of_a_log() {
        let secrets = |password| credentials::parse(&format!("[client-dbcalm]\npassword={password}\n")).unwrap();
        let log = "mysqld: Aria engine: log, a to z\n--password=a --host=a\nidentified via password: a";
        let clean = "mysqld: Aria engine: log, a to z\n--password=<hidden> --host=a\nidentified via password: a";
        assert_eq!(scrub(log, &secrets("a")), clean);
        assert_eq!(scrub("mysql/user.frm", &secrets("mysql")), "mysql/user.frm");
        assert_eq!(scrub("over s3cr3t! and s3cr3t!s3cr3t!", &secrets("s3cr3t!")), "over <hidden> and <hidden>");
    }

    #[test]
    fn no_secret_hides_the_beginning_of_another() {
        let secrets = credentials::parse("[client-dbcalm]\npassword=filekey\n").unwrap();
        assert_eq!(
            scrub("'--file_key_management_filekey=Pass Phrase_9'", &secrets),
            "'--file_key_management_<hidden>=<hidden>'"
        );
    }
}
