//! From one JSON document to a [`Request`]: `{"cmd": <string>, "args": <object>}` and nothing else.

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::model::Rejection;

/// What a client asks for, by name, with its arguments as they came.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The command's name; empty where there was none.
    pub cmd: String,
    /// Its arguments, each name once.
    pub args: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    cmd: Option<String>,
    #[serde(default)]
    args: Option<Args>,
}

impl Request {
    /// Reads a document.
    pub fn parse(bytes: &[u8]) -> Result<Self, Rejection> {
        let text = std::str::from_utf8(bytes).map_err(|why| {
            Rejection::Malformed(format!("the request is not UTF-8 from byte {} on", why.valid_up_to()))
        })?;
        let document: Document = serde_json::from_str(text).map_err(|why| {
            let why: String = why.to_string().chars().take(256).flat_map(char::escape_debug).collect();
            Rejection::Malformed(format!("the request cannot be read: {why}"))
        })?;
        let args = document.args.map(|args| args.0).unwrap_or_default();
        Ok(Self { cmd: document.cmd.unwrap_or_default(), args })
    }
}

/// A JSON object in which a name that comes twice is an error: which of the two would count is nobody's guess.
struct Args(Map<String, Value>);

impl<'de> Deserialize<'de> for Args {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ArgsVisitor)
    }
}

struct ArgsVisitor;

impl<'de> Visitor<'de> for ArgsVisitor {
    type Value = Args;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of arguments")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut access: M) -> Result<Args, M::Error> {
        let mut args = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if args.contains_key(&name) {
                return Err(M::Error::custom(format_args!("duplicate field `{name}`")));
            }
            args.insert(name, value);
        }
        Ok(Args(args))
    }
}

#[cfg(test)]
mod tests {
    use super::Request;

    fn refused(json: &str) -> String {
        Request::parse(json.as_bytes()).expect_err(json).to_string()
    }

    #[test]
    fn a_request_is_a_name_and_arguments() {
        let request = Request::parse(br#"{"cmd": "x", "args": {"b": 1, "a": null}}"#).unwrap();
        assert_eq!((request.cmd.as_str(), request.args.len()), ("x", 2));
        let bare = Request::parse(br#"{"cmd": null, "args": null}"#).unwrap();
        assert_eq!((bare.cmd.as_str(), bare.args.len()), ("", 0));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let cases = [
            (r#"{"cmd" "x"}"#, "expected `:`"),
            (r#"{"cmd": 5}"#, "invalid type: integer `5`, expected a string"),
            (r#"{"cmd": "x", "args": []}"#, "invalid type: sequence, expected an object of arguments"),
            (r#"{"cmd": "x", "extra": 1}"#, "unknown field `extra`"),
            (r#"{"cmd": "x", "cmd": "y"}"#, "duplicate field `cmd`"),
            (r#"{"args": {"id": "a", "id": "b"}}"#, "duplicate field `id`"),
            (r#"{"args": {"id": 1e999}}"#, "number out of range"),
        ];
        for (json, text) in cases {
            assert!(refused(json).contains(text), "{json}: {}", refused(json));
        }
        assert_eq!(
            Request::parse(b"{\"cmd\": \"\xff\"}").unwrap_err().to_string(),
            "the request is not UTF-8 from byte 9 on"
        );
    }
}
