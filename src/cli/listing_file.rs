//! A listing in a file of its own: a whole `softstake.asset.v1` event, or only its data, as JSON or TOML.
//!
//! TOML has comments, so it is what people keep. It has no `null`: in it, the last tier has no `up_to`.

use serde_json::Value;
use toml::de::{DeTable, DeValue};

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
    if is_toml(text) {
        let table = DeTable::parse(text)
            .map_err(|error| Code::InvalidJson.because(format!("the file is not TOML: {}", error.message())))?;
        return Listing::read(&as_json(table.get_ref()).to_string());
    }
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Code::InvalidJson.because(format!("the file is not JSON: {error}")))?;
    if value.get("data").is_none() && value.get("specversion").is_none() {
        Listing::read(text.trim())
    } else {
        read_event(bytes)
    }
}

/// Whether the file begins with a comment, or with the name of a field: no JSON does.
fn is_toml(text: &str) -> bool {
    let first = text.trim_start().chars().next();
    first.is_some_and(|first| first == '#' || first.is_ascii_alphabetic())
}

/// The data of a listing. The last tier gets the `null` that TOML cannot have.
fn as_json(table: &DeTable<'_>) -> Value {
    let mut data = json_table(table);
    let tiers = data.pointer_mut("/programme/tiers").and_then(Value::as_array_mut);
    if let Some(Value::Object(last)) = tiers.and_then(|tiers| tiers.last_mut()) {
        last.entry("up_to").or_insert(Value::Null);
    }
    data
}

fn json_table(table: &DeTable<'_>) -> Value {
    let fields = table.iter();
    Value::Object(
        fields
            .map(|(name, value)| (name.get_ref().to_string(), json_of(value.get_ref())))
            .collect(),
    )
}

fn json_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => {
            u64::from_str_radix(number.as_str(), number.radix()).map_or_else(|_| number.as_str().into(), Value::from)
        }
        // Amounts and rates are strings: a number with a point has the wrong type, as in JSON.
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Boolean(truth) => (*truth).into(),
        // A time without quotes is the same time.
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(values) => values.iter().map(|value| json_of(value.get_ref())).collect(),
        DeValue::Table(fields) => json_table(fields),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_and_json_are_the_same_listing() {
        let toml = "# a comment\nasset = \"ATOM\"\ndecimals = 6\nanchor = 2026-11-01T00:00:00Z\nepoch_seconds = 86400\n\
                    [programme]\nfrom_epoch = 0\nmode = \"pool\"\ntiers = [{ up_to = \"100\", multiplier = \"1\" }, { multiplier = \"1.5\" }]\n";
        let json = r#"{"asset":"ATOM","decimals":6,"anchor":"2026-11-01T00:00:00Z","epoch_seconds":86400,
            "programme":{"from_epoch":0,"mode":"pool","tiers":[{"up_to":"100","multiplier":"1"},{"up_to":null,"multiplier":"1.5"}]}}"#;
        assert_eq!(parse_listing(toml.as_bytes()), parse_listing(json.as_bytes()));
        assert!(parse_listing(toml.as_bytes()).is_ok());
        let misspelt = toml.replace("decimals", "decimal");
        let rejection = parse_listing(misspelt.as_bytes()).unwrap_err();
        assert!(
            rejection.reason.contains("the nearest one is `decimals`"),
            "{rejection}"
        );
        let torn = parse_listing(b"asset = \n").unwrap_err();
        assert_eq!(torn.code, Code::InvalidJson);
    }
}
