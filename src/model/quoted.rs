//! Texts as a shell takes them, for commands that a person copies.

/// A text in quotes that a shell takes as one word, whatever is in it (POSIX, Shell Command Language, 2.2.2).
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The same, bare where a shell takes it so.
pub fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '+' | ',' | '@');
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{quoted, word};

    #[test]
    fn a_shell_takes_it_as_one_word() {
        assert_eq!(quoted("/b/it's; rm"), r"'/b/it'\''s; rm'");
        for (text, wanted) in
            [("full:1", "full:1"), ("my backup", "'my backup'"), ("-x", "'-x'"), ("", "''"), ("$(x)", "'$(x)'")]
        {
            assert_eq!(word(text), wanted);
        }
    }
}
