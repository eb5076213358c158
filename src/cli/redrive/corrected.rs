//! Makes the event that is published of the event that a person has corrected.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::audit::redrive::LetterId;
use crate::core::contract::records::{REDRIVE_ATTRIBUTE, REDRIVE_SOURCE};

/// The fields that the published event does not have from the file.
const OWN_FIELDS: [&str; 3] = ["id", "source", REDRIVE_ATTRIBUTE];

/// An object's fields as they are written, in their order. A field may be there twice: the rules judge that.
struct RawObject(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = RawObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(RawObject(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// The record to publish for a corrected event: its fields as they are, and an identity that follows from the dead letter alone. So a second
/// record for the same rejected event is a copy, or a conflicting duplicate. `first`: the first dead letter of the event.
///
/// # Errors
/// A sentence, if `event` is no JSON object.
pub(super) fn corrected(event: &str, letter: LetterId, first: LetterId) -> Result<Vec<u8>, String> {
    if !event.starts_with('{') {
        return Err("`event` must be a JSON object: the whole event with its specversion, type, time and data".into());
    }
    let RawObject(fields) = serde_json::from_str(event).map_err(|error| format!("`event` cannot be read: {error}"))?;
    let mut record = String::with_capacity(event.len().saturating_add(200));
    let mut add = |name: &str, value: &str| {
        record.push(if record.is_empty() { '{' } else { ',' });
        record.push_str(&serde_json::Value::from(name).to_string());
        record.push(':');
        record.push_str(value);
    };
    let text = |text: &str| serde_json::Value::from(text).to_string();
    add("id", &text(&first.to_string()));
    add("source", &text(REDRIVE_SOURCE));
    add(REDRIVE_ATTRIBUTE, &text(&letter.to_string()));
    for (name, value) in fields.iter().filter(|(name, _)| !OWN_FIELDS.contains(&name.as_str())) {
        add(name, value.get());
    }
    record.push('}');
    Ok(one_line(&record).into_bytes())
}

/// JSON on one line. Line feeds are only between its values: inside a text, JSON has escapes for them.
pub(super) fn one_line(json: &str) -> String {
    json.replace(['\n', '\r', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(offset: u64) -> LetterId {
        format!("exchange.deposits:3:{offset}").parse().unwrap()
    }

    #[test]
    fn all_but_the_identity_stays_as_it_is_written() {
        let event = "{\"specversion\":\"1.0\",\n \"id\":\"a\",\"source\":\"/x\",\"id\":\"b\",\"redriveof\":\"z\",\n \"data\":{\"n\":1.10,\"n\":2}}";
        let record = corrected(event, letter(9), letter(7)).unwrap();
        assert_eq!(
            String::from_utf8(record).unwrap(),
            r#"{"id":"exchange.deposits:3:7","source":"/softstake/redrive","redriveof":"exchange.deposits:3:9","specversion":"1.0","data":{"n":1.10,"n":2}}"#
        );
    }

    #[test]
    fn only_an_object_is_an_event() {
        for wrong in ["[]", "null", "\"text\"", "{\"a\":1", "{\"\\ud800\":1}"] {
            assert!(
                corrected(wrong, letter(1), letter(1)).unwrap_err().contains("`event`"),
                "{wrong}"
            );
        }
    }
}
