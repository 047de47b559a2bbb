//! Values of YAML as the APIs' own readers take them (`PyYAML`, and Go's yaml.v3): what they take and the daemon has no use for is no mistake.
//!
//! A key that stands twice, a number beyond 64 bits and `<<:` are read; the rest is as the YAML crate has it.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde_yaml::value::{Tag, TaggedValue};
use serde_yaml::{Mapping, Value};

/// The key whose value's keys are taken as if they stood there (yaml.org/type/merge.html).
pub(super) const MERGE: &str = "<<";

/// Reads a value, and notes which keys of the outermost mapping stand twice, if somebody wants to know.
pub(super) struct Loose<'a>(pub(super) Option<&'a mut HashSet<String>>);

impl<'de> DeserializeSeed<'de> for Loose<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Value, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Loose<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    // No setting of the daemon's is as large: it is refused where it is one, as its text would be.
    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        Ok(value.to_string().into())
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        Ok(value.to_string().into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<Value, D::Error> {
        self.deserialize(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(value) = values.next_element_seed(Loose(None))? {
            read.push(value);
        }
        Ok(Value::Sequence(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let (mut read, mut twice) = (Mapping::new(), self.0);
        while let Some(key) = map.next_key_seed(Loose(None))? {
            let name = key.as_str().map(str::to_owned);
            let before = read.insert(key, map.next_value_seed(Loose(None))?);
            if let (Some(_), Some(name), Some(twice)) = (before, name, twice.as_deref_mut()) {
                twice.insert(name);
            }
        }
        Ok(Value::Mapping(read))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Value, A::Error> {
        let (tag, value): (String, _) = tagged.variant()?;
        let value = value.newtype_variant_seed(Loose(None))?;
        Ok(Value::Tagged(Box::new(TaggedValue { tag: Tag::new(tag), value })))
    }
}

/// A mapping with what `<<` names in the places that it has not filled itself; of several, the first that names a key counts.
pub(super) fn merged(mut keys: Mapping) -> Mapping {
    let more = match keys.remove(MERGE) {
        Some(Value::Mapping(more)) => vec![more],
        Some(Value::Sequence(several)) => {
            several.into_iter().filter_map(|one| if let Value::Mapping(one) = one { Some(one) } else { None }).collect()
        }
        // What is no mapping merges nothing.
        Some(_) | None => Vec::new(),
    };
    for (key, value) in more.into_iter().flat_map(merged) {
        if !keys.contains_key(&key) {
            keys.insert(key, value);
        }
    }
    keys
}
