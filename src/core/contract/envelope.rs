//! The envelope of an input record: CloudEvents 1.0 in structured mode (contract, section 3).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::core::contract::fields;
use crate::core::contract::fields::RawField;
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

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default, borrow, deserialize_with = "fields::raw")]
    specversion: RawField<'a>,
    #[serde(default, borrow, deserialize_with = "fields::raw")]
    id: RawField<'a>,
    #[serde(default, borrow, deserialize_with = "fields::raw")]
    source: RawField<'a>,
    #[serde(default, borrow, deserialize_with = "fields::raw", rename = "type")]
    event_type: RawField<'a>,
    #[serde(default, borrow, deserialize_with = "fields::raw")]
    time: RawField<'a>,
    #[serde(default, borrow, deserialize_with = "fields::raw")]
    data: RawField<'a>,
}

impl<'a> Envelope<'a> {
    /// Reads the envelope of a record.
    ///
    /// # Errors
    /// `invalid_json`, `invalid_event`.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Rejection> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            Code::InvalidJson.because(format!("the record is not UTF-8 from byte {} on", error.valid_up_to()))
        })?;
        // Serde would read an array as an object, field by field.
        if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
            return Err(fields::not_an_object(text, "the record"));
        }
        let wire: Wire<'a> = serde_json::from_str(text).map_err(|error| fields::explain(text, "the record", &error))?;
        let specversion = fields::text(wire.specversion, "specversion")?;
        if specversion != "1.0" {
            return Err(Code::InvalidEvent.because("`specversion` must be \"1.0\""));
        }
        let id = filled(wire.id, "id")?;
        let source = filled(wire.source, "source")?;
        let event_type = filled(wire.event_type, "type")?;
        let data = fields::required(wire.data, "data")?;
        if !data.starts_with('{') {
            return Err(Code::InvalidEvent.because("`data` must be a JSON object"));
        }
        let time = fields::required(wire.time, "time")?;
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

/// A required string that is not empty.
fn filled<'a>(field: Option<&'a RawValue>, name: &str) -> Result<Cow<'a, str>, Rejection> {
    let text = fields::text(field, name)?;
    if text.is_empty() {
        return Err(Code::InvalidEvent.because(format!("`{name}` is empty")));
    }
    Ok(text)
}
