//! The envelope of an input record: CloudEvents 1.0 in structured mode (contract, section 3).

use std::borrow::Cow;

use bumpalo::Bump;

use crate::core::contract::event::{EventType, SourceEvent};
use crate::core::contract::fields;
use crate::core::contract::fields::{FieldSet, JsonObject, RawField, fields};
use crate::core::contract::fingerprint::{fingerprint, fingerprint_of_members};
use crate::core::contract::members::Members;
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::time::TimeMs;

/// The envelope of an input record. Its time and its data are not judged.
#[derive(Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// `id` and `source` together identify the event.
    pub id: Cow<'a, str>,
    pub source: Cow<'a, str>,
    /// The type with its version, such as `exchange.deposit.v1`.
    pub event_type: Cow<'a, str>,
    /// Raw JSON, perhaps in another spelling than the record's.
    pub time: &'a str,
    /// A raw JSON object, perhaps in another spelling.
    pub data: &'a str,
    /// The fingerprint of type, time and data. Identical copies of an event have the same.
    pub fingerprint: u64,
    /// The source event, if it was read in the same pass. `None` says nothing: it is read, and perhaps rejected, later.
    pub source_event: Option<TimedEvent<'a>>,
}

/// A source event without a fault in its time and fields. Whether its type is in force is not judged.
#[derive(Debug, PartialEq, Eq)]
pub struct TimedEvent<'a> {
    pub event_type: EventType,
    pub time: TimeMs,
    pub event: SourceEvent<'a>,
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
        let mut members = Members::default();
        if members.read(bytes) {
            Self::of_members(&members, |_, _, _| None)
        } else {
            Self::of_text(bytes)
        }
    }

    /// Reads the envelope of a record, and in the same pass the source event if the record has the
    /// [common shape](crate::core::contract::members). `memory` is for a record that is spelled anew.
    ///
    /// # Errors
    /// `invalid_json`, `invalid_event`, because of the envelope.
    pub fn read_with_event(bytes: &'a [u8], memory: &'a Bump) -> Result<Self, Rejection> {
        let mut members = Members::default();
        if members.read_any_spelling(bytes, memory) {
            Self::of_members(&members, TimedEvent::read)
        } else {
            Self::of_text(bytes)
        }
    }

    /// Reads the envelope of any record, by `serde_json`.
    ///
    /// # Errors
    /// `invalid_json`, `invalid_event`.
    pub fn of_text(bytes: &'a [u8]) -> Result<Self, Rejection> {
        if let Some(what) = foreign_start(bytes) {
            return Err(Code::InvalidJson.because(what));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            Code::InvalidJson.because(format!("the record is not UTF-8 from byte {} on", error.valid_up_to()))
        })?;
        Self::of_fields(fields::record(text)?, |event_type, time, data| {
            (fingerprint(event_type, time, data), None)
        })
    }

    #[inline]
    fn of_members(
        members: &Members<'a>,
        read_event: impl FnOnce(&str, &'a str, JsonObject<'_, 'a>) -> Option<TimedEvent<'a>>,
    ) -> Result<Self, Rejection> {
        let fields = EnvelopeFields::of_members(members.all());
        Self::of_fields(fields, |event_type, time, data| {
            let object = JsonObject::within(members.all(), data);
            let fingerprint = match object.members() {
                Some(data) if !members.may_have_escapes() => fingerprint_of_members(event_type, time, data),
                _ => fingerprint(event_type, time, data),
            };
            (fingerprint, read_event(event_type, time, object))
        })
    }

    /// Checks the fields. `read` gives fingerprint and event, from type, time and data.
    #[inline]
    fn of_fields(
        fields: EnvelopeFields<'a>,
        read: impl FnOnce(&str, &'a str, &'a str) -> (u64, Option<TimedEvent<'a>>),
    ) -> Result<Self, Rejection> {
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
        let (fingerprint, source_event) = read(&event_type, time, data);
        Ok(Self {
            id,
            source,
            event_type,
            time,
            data,
            fingerprint,
            source_event,
        })
    }
}

impl<'a> TimedEvent<'a> {
    /// The event, if nothing is wrong with it.
    #[inline]
    fn read(event_type: &str, time: &str, data: JsonObject<'_, 'a>) -> Option<Self> {
        let event_type = EventType::named(event_type).filter(|event_type| !event_type.is_control())?;
        Some(Self {
            event_type,
            time: fields::time(time, "time").ok()?,
            event: SourceEvent::read(event_type, data).ok()?,
        })
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
