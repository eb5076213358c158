//! What all published records have in common: their envelope, CloudEvents 1.0 in structured mode.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::core::fault::Fault;

/// The `source` of all records of Softstake.
const SOURCE: &str = "/softstake";

#[derive(Serialize)]
struct RecordEnvelope<'a, D> {
    specversion: &'static str,
    id: &'a str,
    source: &'static str,
    #[serde(rename = "type")]
    event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<&'a str>,
    data: &'a D,
}

/// Appends a record to `out`.
pub(super) fn write<D: Serialize>(
    out: &mut Vec<u8>,
    event_type: &'static str,
    id: &str,
    time: Option<&str>,
    data: &D,
) -> Result<(), Fault> {
    let record = RecordEnvelope {
        specversion: "1.0",
        id,
        source: SOURCE,
        event_type,
        time,
        data,
    };
    serde_json::to_writer(out, &record).map_err(|error| Fault::Undecodable {
        what: "an output record",
        why: error.to_string(),
    })
}

/// Reads the data of a record that Softstake published, such as a [`Seal`](crate::core::contract::records::Seal).
///
/// # Errors
/// If Softstake writes no such record.
pub fn read_data<'a, D: Deserialize<'a>>(record: &'a [u8]) -> Result<D, serde_json::Error> {
    #[derive(Deserialize)]
    struct DataOnly<D> {
        data: D,
    }
    serde_json::from_slice(record).map(|DataOnly { data }| data)
}

/// Reads the id and the data of a record that Softstake published.
///
/// # Errors
/// If Softstake writes no such record.
pub fn read_with_id<'a, D: Deserialize<'a>>(record: &'a [u8]) -> Result<(Cow<'a, str>, D), serde_json::Error> {
    #[derive(Deserialize)]
    struct IdAndData<'a, D> {
        #[serde(borrow)]
        id: Cow<'a, str>,
        data: D,
    }
    serde_json::from_slice(record).map(|IdAndData { id, data }| (id, data))
}

/// Reads the id of a record that Softstake published. The rest of the record is parsed only if it does not begin as Softstake writes it.
///
/// # Errors
/// If there is no id.
pub fn read_id(record: &[u8]) -> Result<Cow<'_, str>, serde_json::Error> {
    if let Some(rest) = record.strip_prefix(br#"{"specversion":"1.0","id":""#)
        && let Some(end) = memchr::memchr2(b'"', b'\\', rest)
        && rest.get(end) == Some(&b'"')
        && let Some(Ok(id)) = rest.get(..end).map(std::str::from_utf8)
    {
        return Ok(Cow::Borrowed(id));
    }
    parse_id(record)
}

/// Reads the id of a record, and parses all of it.
///
/// # Errors
/// If the record is no JSON object, or has no id.
pub fn parse_id(record: &[u8]) -> Result<Cow<'_, str>, serde_json::Error> {
    #[derive(Deserialize)]
    struct IdOnly<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
    }
    serde_json::from_slice(record).map(|IdOnly { id }| id)
}

/// The same text, owned.
pub(super) fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}
