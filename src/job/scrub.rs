//! What must not be recorded: passwords and their hashes.
//!
//! Where a privilege is missing, mariadb-backup prints `SHOW GRANTS` with the password's hash to stderr (seen with 10.5.23,
//! 10.11.19 and 11.8.6).

use crate::config::credentials::Secrets;

/// What stands in place of a secret.
const HIDDEN: &str = "<hidden>";

/// Behind these, in a GRANT, a quoted secret follows.
const INTRODUCTIONS: [&str; 4] = ["PASSWORD '", "USING '", "IDENTIFIED BY '", " AS '"];

/// Takes every secret out of `text`.
pub(crate) fn scrub(text: &str, secrets: &Secrets) -> String {
    let mut clean = hide_hashes(text);
    for introduction in INTRODUCTIONS {
        clean = hide_quoted(&clean, introduction);
    }
    for secret in secrets.iter() {
        clean = clean.replace(secret, HIDDEN);
    }
    clean
}

/// Hides what stands between `introduction` and the next quote.
fn hide_quoted(text: &str, introduction: &str) -> String {
    let mut pieces = text.split(introduction);
    let mut clean = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        clean.push_str(introduction);
        match piece.split_once('\'') {
            Some((_, rest)) => {
                clean.push_str(HIDDEN);
                clean.push('\'');
                clean.push_str(rest);
            }
            None => clean.push_str(HIDDEN),
        }
    }
    clean
}

/// Hides every `*` with 40 hexadecimal digits behind it: a hash of `mysql_native_password`, however it is introduced.
fn hide_hashes(text: &str) -> String {
    const DIGITS: usize = 40;
    let mut pieces = text.split('*');
    let mut clean = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_at_checked(DIGITS) {
            Some((hash, rest)) if hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                clean.push_str(HIDDEN);
                clean.push_str(rest);
            }
            Some(_) | None => {
                clean.push('*');
                clean.push_str(piece);
            }
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::scrub;
    use crate::config::credentials::Secrets;

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
        ];
        for (text, clean) in cases {
            assert_eq!(scrub(text, &Secrets::default()), clean);
        }
    }
}
