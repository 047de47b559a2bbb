//! The settings file as YAML sees it: values of the shapes that settings have, each with its line where it is wrong.
//!
//! In: text. Out: texts, paths, names and booleans by their keys, or the [`Problem`]. The one place that knows the YAML crate; it
//! knows no key.

mod loose;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use loose::{Loose, MERGE, merged};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_yaml::{Mapping, Value};

/// One thing wrong in the settings.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    pub(super) line: Option<usize>,
    pub(super) text: String,
    pub(super) hint: String,
}

impl Problem {
    pub(super) fn place(&self) -> String {
        self.line.map(|line| format!(", line {line}")).unwrap_or_default()
    }
}

/// The file as YAML sees it, with its text for the lines.
pub(super) struct Raw<'a> {
    text: &'a str,
    keys: Mapping,
    /// The keys that stand twice.
    twice: HashSet<String>,
    /// Those that were asked for: the daemon's own.
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Raw<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, Problem> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let hint = "write it as YAML: one 'key: value' a line".to_owned();
        let mut twice = HashSet::new();
        let read = Loose(Some(&mut twice)).deserialize(serde_yaml::Deserializer::from_str(text));
        match read {
            Ok(Value::Mapping(keys)) => Ok(Self { text, keys: merged(keys), twice, asked: RefCell::default() }),
            Ok(Value::Null) => Ok(Self { text, keys: Mapping::new(), twice, asked: RefCell::default() }),
            Ok(_) => Err(Problem { line: None, text: "it is not a mapping of keys to values".to_owned(), hint }),
            // The parser's own text may quote a value, a secret of the API's among them; its place is enough.
            Err(why) => Err(Problem {
                line: why.location().map(|place| as_edited(text, &place)),
                text: "it is not YAML".to_owned(),
                hint,
            }),
        }
    }

    /// The value of a key; an empty one is an unset one.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.asked.borrow_mut().insert(key.to_owned());
        self.keys.get(key).filter(|value| match value {
            Value::Null => false,
            Value::String(text) => !text.trim().is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => true,
        })
    }

    /// That none of the keys that were asked for stands twice: nobody can tell which of the two is meant. What the API makes of its own is its
    /// own matter.
    ///
    /// # Errors
    /// One does.
    pub(super) fn check_asked_once(&self) -> Result<(), Problem> {
        match self.asked.borrow().iter().find(|key| self.twice.contains(*key)) {
            None => Ok(()),
            Some(key) => Err(Problem {
                line: nth_line(self.text, key, 2),
                text: format!("{key} stands in it twice"),
                hint: format!("leave one of the two lines with '{key}:'"),
            }),
        }
    }

    /// The keys that begin like this.
    pub(super) fn keys_with<'s>(&'s self, beginning: &'s str) -> impl Iterator<Item = &'s str> {
        self.keys.keys().filter_map(Value::as_str).filter(move |key| key.starts_with(beginning))
    }

    /// Whether a key is there, be its value empty.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.asked.borrow_mut().insert(key.to_owned());
        self.keys.contains_key(key)
    }

    /// A problem with one value of a list.
    pub(super) fn problem_at(
        &self,
        key: &str,
        value: &str,
        text: impl Into<String>,
        hint: impl Into<String>,
    ) -> Problem {
        let problem = self.problem(key, text, hint);
        // Where it stands twice, the second is the one too many.
        let stands =
            self.text.lines().enumerate().filter(|(_, line)| line.contains(value) && !line.trim().starts_with('#'));
        Problem { line: stands.last().map(|(index, _)| index + 1).or(problem.line), ..problem }
    }

    pub(super) fn problem(&self, key: &str, text: impl Into<String>, hint: impl Into<String>) -> Problem {
        // A key that came in by a merge stands where that does.
        let line = nth_line(self.text, key, 1).or_else(|| nth_line(self.text, MERGE, 1));
        Problem { line, text: text.into(), hint: hint.into() }
    }

    pub(super) fn text(&self, key: &str, example: &str) -> Result<Option<String>, Problem> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
            Some(_) => Err(self.problem(key, format!("{key} must be text"), format!("write '{key}: {example}'"))),
        }
    }

    pub(super) fn path(&self, key: &str, example: &str) -> Result<Option<PathBuf>, Problem> {
        let Some(text) = self.text(key, example)? else { return Ok(None) };
        if !text.starts_with('/') {
            return Err(self.problem(
                key,
                format!("{key} '{}' is not an absolute path", text.escape_debug()),
                format!("write '{key}: {example}' or another path that begins with /"),
            ));
        }
        // No file can have a NUL in its path, and no line of a log, an argv or the records is to be broken by one.
        if text.contains(char::is_control) {
            return Err(self.problem(
                key,
                format!("{key} '{}' contains a control character", text.escape_debug()),
                format!("write '{key}: {example}' or another path"),
            ));
        }
        // Components drop a `/` at the end and doubled ones, so that paths read alike in every record.
        Ok(Some(Path::new(&text).components().collect()))
    }

    pub(super) fn path_or(&self, key: &str, default: &str) -> Result<PathBuf, Problem> {
        Ok(self.path(key, default)?.unwrap_or_else(|| PathBuf::from(default)))
    }

    pub(super) fn required_path(&self, key: &str, example: &str) -> Result<PathBuf, Problem> {
        self.path(key, example)?
            .ok_or_else(|| self.problem(key, format!("{key} is not set"), format!("add '{key}: {example}'")))
    }

    /// Names or numbers, in a list or one alone.
    pub(super) fn names(&self, key: &str) -> Result<Option<Vec<String>>, Problem> {
        let hint = || format!("write '{key}: [dbcalm]', with names or numbers");
        let name = |value: &Value| match value {
            Value::String(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Null
            | Value::String(_)
            | Value::Bool(_)
            | Value::Sequence(_)
            | Value::Mapping(_)
            | Value::Tagged(_) => Err(self.problem(key, format!("{key} must be a list of names"), hint())),
        };
        match self.get(key) {
            None => Ok(None),
            Some(Value::Sequence(values)) => Ok(Some(values.iter().map(name).collect::<Result<_, _>>()?)),
            Some(value) => Ok(Some(vec![name(value)?])),
        }
    }

    /// A whole number between two bounds, which belong to it; written as a number or as its text.
    pub(super) fn integer(&self, key: &str, least: i64, most: i64) -> Result<Option<i64>, Problem> {
        let number = match self.get(key) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_i64(),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(Value::Null | Value::Bool(_) | Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_)) => None,
        };
        match number.filter(|number| (least..=most).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(self.problem(
                key,
                format!("{key} must be a whole number from {least} to {most}"),
                format!("write '{key}: {least}', or leave it out for the default"),
            )),
        }
    }

    /// A boolean as YAML 1.1 spells it, or as text that says the same.
    pub(super) fn boolean(&self, key: &str, unset: bool) -> Result<bool, Problem> {
        let text = match self.get(key) {
            None => return Ok(unset),
            Some(Value::Bool(value)) => return Ok(*value),
            Some(Value::String(text)) => text.trim().to_ascii_lowercase(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Null | Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_)) => String::new(),
        };
        match text.as_str() {
            "true" | "yes" | "on" | "y" | "1" => Ok(true),
            "false" | "no" | "off" | "n" | "0" => Ok(false),
            _ => Err(self.problem(
                key,
                format!("{key} must be true or false"),
                format!("write '{key}: true' or '{key}: false'"),
            )),
        }
    }
}

/// The line in which a key stands for the nth time. Keys below other keys are the API's, whatever their names are.
fn nth_line(text: &str, wanted: &str, nth: usize) -> Option<usize> {
    let mut keys = Keys { wanted, left: nth };
    let broken_off = (&mut keys).deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    broken_off.location().filter(|_| keys.left == 0).map(|place| as_edited(text, &place))
}

/// The line of a place as an editor counts it: YAML 1.1 ends lines at U+0085, U+2028 and U+2029 too.
fn as_edited(text: &str, place: &serde_yaml::Location) -> usize {
    1 + text.chars().take(place.index()).filter(|character| *character == '\n').count()
}

/// Goes through the keys of the document, up to the one that is looked for: the parser says where a value stands to none but an error that
/// came up while it was read.
struct Keys<'a> {
    wanted: &'a str,
    /// How many times it is still to come.
    left: usize,
}

impl<'de> DeserializeSeed<'de> for &mut Keys<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<(), D::Error> {
        document.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Keys<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(Key(&mut *self))?.is_some() {
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// The next of the keys.
struct Key<'k, 'a>(&'k mut Keys<'a>);

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<(), D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        let Keys { wanted, left } = self.0;
        *left = left.saturating_sub(usize::from(key == *wanted));
        if *left == 0 { Err(E::custom("here")) } else { Ok(()) }
    }
}
