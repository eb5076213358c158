//! A listing in a file of its own: a whole `softstake.asset.v1` event, or only its data.
//!
//! A run ignores fields that it does not know. In a file that a person writes, such a field is a misspelt one, and its rule would not be in force.

use serde_json::Value;

use crate::core::contract::envelope::Envelope;
use crate::core::contract::event::EventType;
use crate::core::contract::fields::time;
use crate::core::contract::listing::Listing;
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::similar::meant;

/// Why a file is no listing to work with.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListingFileError {
    /// A run would reject the event.
    #[error("would be rejected. {}: {}", .0.code, .0.reason)]
    Rejected(Rejection),
    /// A run would accept the event, and ignore these fields.
    #[error("has fields that no listing has, and a run would ignore them. {}", join(.0))]
    UnknownFields(Vec<UnknownField>),
}

impl From<Rejection> for ListingFileError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// A field that no listing has.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct UnknownField {
    /// Its path, such as `programme.comission_rate`.
    field: String,
    /// The field with a similar name.
    meant: Option<String>,
}

impl std::fmt::Display for UnknownField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.meant {
            Some(meant) => write!(f, "`{}`: did you mean `{meant}`?", self.field),
            None => write!(f, "`{}`: remove it", self.field),
        }
    }
}

fn join(fields: &[UnknownField]) -> String {
    let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
    fields.join("; ")
}

pub(super) fn parse_listing(bytes: &[u8]) -> Result<Listing, ListingFileError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Code::InvalidJson.because(format!("the file is not UTF-8 from byte {} on", error.valid_up_to()))
    })?;
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Code::InvalidJson.because(format!("the file is not JSON: {error}")))?;
    let (listing, data) = if value.get("data").is_none() && value.get("specversion").is_none() {
        (Listing::read(text.trim()), Some(&value))
    } else {
        (read_event(bytes), value.get("data"))
    };
    // With a wrong programme, a misspelt field may be the reason.
    let unknown = data.map_or_else(Vec::new, unknown_fields);
    match listing {
        Err(mut rejection) if !unknown.is_empty() => {
            rejection.reason = format!("{}. No listing has {}", rejection.reason, join(&unknown));
            Err(rejection.into())
        }
        Err(rejection) => Err(rejection.into()),
        Ok(_) if !unknown.is_empty() => Err(ListingFileError::UnknownFields(unknown)),
        Ok(listing) => Ok(listing),
    }
}

fn read_event(bytes: &[u8]) -> Result<Listing, Rejection> {
    let envelope = Envelope::read(bytes)?;
    if EventType::of(&envelope.event_type)? != EventType::Listing {
        return Err(Code::InvalidEvent.because("`type` is not softstake.asset.v1: the event is not a listing"));
    }
    time(envelope.time, "time")?;
    Listing::read(envelope.data)
}

/// The fields in the data of a listing that no listing has.
fn unknown_fields(data: &Value) -> Vec<UnknownField> {
    let mut unknown = Vec::new();
    find_unknown(data, "", &Listing::FIELDS, &mut unknown);
    let programme = data.get("programme");
    if let Some(programme) = programme {
        find_unknown(programme, "programme.", &Listing::PROGRAMME_FIELDS, &mut unknown);
    }
    let tiers = programme.and_then(|programme| programme.get("tiers"));
    let tiers = tiers.and_then(Value::as_array).into_iter().flatten();
    for (index, tier) in tiers.enumerate() {
        let path = format!("programme.tiers[{index}].");
        find_unknown(tier, &path, &Listing::TIER_FIELDS, &mut unknown);
    }
    unknown
}

fn find_unknown(object: &Value, path: &str, known: &[&'static str], unknown: &mut Vec<UnknownField>) {
    let names = object.as_object().into_iter().flat_map(|fields| fields.keys());
    unknown.extend(
        names
            .filter(|name| !known.contains(&name.as_str()))
            .map(|name| UnknownField {
                field: format!("{path}{name}"),
                meant: meant(name, known.iter().copied()).map(|meant| format!("{path}{meant}")),
            }),
    );
}
