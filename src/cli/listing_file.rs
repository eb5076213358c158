//! A listing in a file of its own: a whole `softstake.asset.v1` event, or only its data.

use serde_json::Value;

use crate::core::contract::envelope::Envelope;
use crate::core::contract::event::EventType;
use crate::core::contract::fields::time;
use crate::core::contract::listing::Listing;
use crate::core::contract::rejection::{Code, Rejection};

/// Reads a listing as a run does.
///
/// # Errors
/// The rejection of a run.
pub(super) fn parse_listing(bytes: &[u8]) -> Result<Listing, Rejection> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Code::InvalidJson.because(format!("the file is not UTF-8 from byte {} on", error.valid_up_to()))
    })?;
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Code::InvalidJson.because(format!("the file is not JSON: {error}")))?;
    if value.get("data").is_none() && value.get("specversion").is_none() {
        Listing::read(text.trim())
    } else {
        read_event(bytes)
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
