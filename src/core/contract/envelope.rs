//! The envelope of an input record: CloudEvents 1.0 in structured mode (contract, section 3).

use std::borrow::Cow;

use crate::core::contract::fields;
use crate::core::contract::fields::{FieldSet, RawField, fields};
use crate::core::contract::fingerprint::{Part, fingerprint};
use crate::core::contract::rejection::{Code, Rejection};

/// The envelope of an input record. The time and the data are not judged yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// `id` and `source` together identify the event.
    pub id: Cow<'a, str>,
    pub source: Cow<'a, str>,
    /// The type with its version, such as `exchange.deposit.v1`.
    pub event_type: Cow<'a, str>,
    /// Raw JSON.
    pub time: &'a str,
    /// A raw JSON object.
    pub data: &'a str,
}

fields!(EnvelopeFields {
    specversion,
    id,
    source,
    event_type = "type",
    time,
    data
});

impl<'a> Envelope<'a> {
    /// Reads the envelope of a record.
    ///
    /// # Errors
    /// `invalid_json`, `invalid_event`.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Rejection> {
        if let Some(what) = foreign_start(bytes) {
            return Err(Code::InvalidJson.because(what));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            Code::InvalidJson.because(format!("the record is not UTF-8 from byte {} on", error.valid_up_to()))
        })?;
        let fields: EnvelopeFields<'a> = fields::record(text)?;
        fields.check_twice()?;
        let specversion = fields::text(fields.specversion, "specversion")?;
        if specversion != "1.0" {
            return Err(Code::InvalidEvent.because("`specversion` must be \"1.0\""));
        }
        let id = filled(fields.id, "id")?;
        let source = filled(fields.source, "source")?;
        let event_type = filled(fields.event_type, "type")?;
        let data = fields::required(fields.data, "data")?;
        if !data.starts_with('{') {
            return Err(Code::InvalidEvent.because("`data` must be a JSON object"));
        }
        let time = fields::required(fields.time, "time")?;
        Ok(Self {
            id,
            source,
            event_type,
            time,
            data,
        })
    }

    /// The fingerprint of type, time and data. Identical copies of an event have the same.
    #[must_use]
    pub fn fingerprint(&self) -> u128 {
        fingerprint(
            &self.event_type,
            Some(Part::Json(self.time)),
            Some(Part::Json(self.data)),
        )
    }
}

impl EnvelopeFields<'_> {
    /// All of these are `invalid_event`, so their order does not matter.
    fn check_twice(&self) -> Result<(), Rejection> {
        let Self {
            specversion,
            id,
            source,
            event_type,
            time,
            data,
        } = self;
        let twice = [specversion, id, source, event_type, time, data]
            .into_iter()
            .zip(EnvelopeFields::NAMES)
            .find(|(field, _)| matches!(field, RawField::Twice));
        let Some((_, name)) = twice else { return Ok(()) };
        Err(Code::InvalidEvent.because(format!("`{name}` is given twice, as a field or as a header of Kafka")))
    }
}

/// What is wrong with a record that begins with bytes that some writers put before the JSON; `None` if it does not.
fn foreign_start(bytes: &[u8]) -> Option<String> {
    match *bytes {
        [0, a, b, c, d, ..] => {
            let schema = u32::from_be_bytes([a, b, c, d]);
            Some(format!(
                "the record begins with the five bytes of a schema registry (schema {schema}); write plain JSON, without the registry's \
                 serializer"
            ))
        }
        [0xef, 0xbb, 0xbf, ..] => Some("the record begins with a byte order mark; write UTF-8 without one".into()),
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => Some("the record is UTF-16; write UTF-8".into()),
        _ => None,
    }
}

/// A required string that is not empty.
fn filled<'a>(field: RawField<'a>, name: &str) -> Result<Cow<'a, str>, Rejection> {
    let text = fields::text(field, name)?;
    if text.is_empty() {
        return Err(Code::InvalidEvent.because(format!("`{name}` is empty")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(record: &[u8]) -> String {
        let rejection = Envelope::read(record).unwrap_err();
        rejection.to_string()
    }

    #[test]
    fn bytes_before_the_json_are_named() {
        let event = br#"{"specversion":"1.0"}"#;
        for (start, reason) in [
            (
                &[0, 0, 0, 1, 2][..],
                "invalid_json: the record begins with the five bytes of a schema registry (schema 258)",
            ),
            (
                &[0xef, 0xbb, 0xbf],
                "invalid_json: the record begins with a byte order mark",
            ),
            (&[0xff, 0xfe], "invalid_json: the record is UTF-16"),
            (&[0xfe, 0xff], "invalid_json: the record is UTF-16"),
            (&[0xff], "invalid_json: the record is not UTF-8 from byte 0 on"),
        ] {
            let said = rejection(&[start, event].concat());
            assert!(said.starts_with(reason), "{said}");
        }
    }

    #[test]
    fn a_field_that_is_given_twice_is_named() {
        let said = rejection(br#"{"specversion":"1.0","id":"a","id":"a"}"#);
        assert_eq!(
            said,
            "invalid_event: `id` is given twice, as a field or as a header of Kafka"
        );
    }
}
