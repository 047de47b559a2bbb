//! JSON as Python's `json.dumps` writes it, since that is what the API and its users read and compare.
//!
//! In: anything serde can serialize. Out: text with `", "` and `": "` between parts, ASCII alone. The Python client decodes a
//! reply in pieces of 16 bytes, so a character of more than one byte could be cut in two: each is written as `\uXXXX`.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Writes `value` as Python would.
pub fn python(value: &impl Serialize) -> String {
    let mut bytes = Vec::with_capacity(128);
    // A Vec takes every write, and no type given here has keys other than strings: there is nothing left to fail.
    let _infallible = value.serialize(&mut Serializer::with_formatter(&mut bytes, Python));
    String::from_utf8_lossy(&bytes).into_owned()
}

struct Python;

fn comma<W: ?Sized + io::Write>(writer: &mut W, first: bool) -> io::Result<()> {
    if first { Ok(()) } else { writer.write_all(b", ") }
}

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        comma(writer, first)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        comma(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut units = [0_u16; 2];
        for character in fragment.chars() {
            if character.is_ascii() && character != '\u{7f}' {
                writer.write_all(&[character as u8])?;
            } else {
                for unit in character.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::python;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..5).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn what_is_written_is_ascii_and_reads_back(value in value()) {
            let text = python(&value);
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text}");
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
    }

    #[test]
    fn spaces_stand_where_python_puts_them() {
        assert_eq!(python(&json!({"a": [1, 2], "b": null})), r#"{"a": [1, 2], "b": null}"#);
    }

    #[test]
    fn what_is_not_ascii_is_escaped() {
        assert_eq!(python(&"é😀\n\"\u{7f}"), r#""\u00e9\ud83d\ude00\n\"\u007f""#);
    }
}
