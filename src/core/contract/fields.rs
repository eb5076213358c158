//! Reads the fields of a record. Every field is raw JSON first, so that an error can say whether it is missing, given twice or of the
//! wrong type.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::account::AccountName;
use crate::core::values::amount::{Amount, AmountError};
use crate::core::values::asset::Asset;
use crate::core::values::time::TimeMs;

/// The raw JSON of a field; `None` if the field is missing. `null` is not missing.
pub type RawField<'a> = Option<&'a RawValue>;

/// For `deserialize_with`: a `null` becomes `Some`, and a missing field `None`.
pub fn raw<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RawField<'de>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Declares a struct of raw fields; with `names`, also the list of their names.
macro_rules! fields {
    (names $name:ident { $($field:ident),* $(,)? }) => {
        $crate::core::contract::fields::fields!($name { $($field),* });

        impl $name<'_> {
            const NAMES: [&'static str; [$(stringify!($field)),*].len()] = [$(stringify!($field)),*];
        }
    };
    ($(#[$meta:meta])* $name:ident { $($(#[$rename:meta])* $field:ident),* $(,)? }) => {
        $(#[$meta])*
        #[derive(serde::Deserialize)]
        struct $name<'a> {
            $(
                $(#[$rename])*
                #[serde(default, borrow, deserialize_with = "crate::core::contract::fields::raw")]
                $field: $crate::core::contract::fields::RawField<'a>,
            )*
        }
    };
}
pub(crate) use fields;

/// Reads `text`, the value of `what`, as an object of known fields.
pub fn object<'a, T: Deserialize<'a>>(text: &'a str, what: &str) -> Result<T, Rejection> {
    if !text.starts_with('{') {
        return Err(Code::InvalidEvent.because(format!("`{what}` must be a JSON object, not {}", json_type(text))));
    }
    serde_json::from_str(text).map_err(|error| Code::InvalidEvent.because(format!("`{what}`: {error}")))
}

/// The rejection of a text that does not begin with `{`.
#[must_use]
pub fn not_an_object(text: &str, what: &str) -> Rejection {
    match serde_json::from_str::<IgnoredAny>(text) {
        Err(error) => Code::InvalidJson.because(format!("{what} is not JSON: {error}")),
        Ok(_) => Code::InvalidEvent.because(format!(
            "{what} must be a JSON object, not {}",
            json_type(text.trim_start())
        )),
    }
}

/// The rejection of a text that could not be read as an object of known fields.
#[must_use]
pub fn explain(text: &str, what: &str, error: &serde_json::Error) -> Rejection {
    match serde_json::from_str::<IgnoredAny>(text) {
        Err(error) => Code::InvalidJson.because(format!("{what} is not JSON: {error}")),
        Ok(_) => Code::InvalidEvent.because(match doubled(error) {
            Some(name) => format!("`{name}` is given twice, as a field or as a header of Kafka"),
            None => format!("{what}: {error}"),
        }),
    }
}

/// The field that is there twice, if that is the error.
fn doubled(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let (name, _) = text.strip_prefix("duplicate field `")?.split_once('`')?;
    Some(name.to_owned())
}

/// The type of the JSON value that a text begins with.
fn json_type(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// The raw JSON of an optional field for which `null` is as if absent.
#[must_use]
pub fn not_null(field: RawField<'_>) -> Option<&str> {
    field.map(RawValue::get).filter(|text| *text != "null")
}

/// The raw JSON of a required field.
pub fn required<'a>(field: RawField<'a>, name: &str) -> Result<&'a str, Rejection> {
    field
        .map(RawValue::get)
        .ok_or_else(|| Code::InvalidEvent.because(format!("`{name}` is missing")))
}

/// A raw JSON value as a string; rejected with `code` if it is none.
pub fn string<'a>(text: &'a str, name: &str, code: Code) -> Result<Cow<'a, str>, Rejection> {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return Err(code.because(format!("`{name}` must be a JSON string, not {}", json_type(text))));
    };
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(text)
        .map(Cow::Owned)
        .map_err(|_| code.because(format!("`{name}` holds an escape that is no Unicode character")))
}

/// A required string.
pub fn text<'a>(field: RawField<'a>, name: &str) -> Result<Cow<'a, str>, Rejection> {
    string(required(field, name)?, name, Code::InvalidEvent)
}

/// A required account name (contract, section 3).
pub fn account<'a>(field: RawField<'a>, name: &str) -> Result<AccountName<'a>, Rejection> {
    AccountName::new(text(field, name)?).map_err(|error| Code::InvalidEvent.because(format!("`{name}`: {error}")))
}

/// A required asset name.
pub fn asset(field: RawField<'_>, name: &str) -> Result<Asset, Rejection> {
    let text = text(field, name)?;
    Asset::parse(&text).map_err(|error| Code::InvalidEvent.because(format!("`{name}` {error}")))
}

/// A required amount greater than zero.
pub fn amount(field: RawField<'_>, name: &str) -> Result<Amount, Rejection> {
    let text = string(required(field, name)?, name, Code::InvalidAmount)?;
    Amount::parse(&text)
        .and_then(Amount::positive)
        .map_err(|error| bad_amount(name, &error))
}

/// A required amount that may be zero.
pub fn amount_or_zero(field: RawField<'_>, name: &str) -> Result<Amount, Rejection> {
    let text = string(required(field, name)?, name, Code::InvalidAmount)?;
    Amount::parse(&text).map_err(|error| bad_amount(name, &error))
}

/// A required signed amount other than zero: whether it is negative, and its magnitude.
pub fn signed_amount(field: RawField<'_>, name: &str) -> Result<(bool, Amount), Rejection> {
    let (negative, magnitude) = signed_amount_or_zero(field, name)?;
    let magnitude = magnitude.positive().map_err(|error| bad_amount(name, &error))?;
    Ok((negative, magnitude))
}

/// A required signed amount that may be zero: whether it has a minus, and its magnitude.
pub fn signed_amount_or_zero(field: RawField<'_>, name: &str) -> Result<(bool, Amount), Rejection> {
    let text = string(required(field, name)?, name, Code::InvalidAmount)?;
    Amount::parse_signed(&text).map_err(|error| bad_amount(name, &error))
}

/// The rejection of an invalid amount.
pub fn bad_amount(name: &str, error: &AmountError) -> Rejection {
    Code::InvalidAmount.because(format!("`{name}` {error}"))
}

/// A raw JSON value as a time.
pub fn time(raw: &str, name: &str) -> Result<TimeMs, Rejection> {
    let text = string(raw, name, Code::InvalidTime)?;
    TimeMs::parse(&text).map_err(|error| Code::InvalidTime.because(format!("`{name}` {error}")))
}

/// A required whole number from 0 to `max`. In JSON, `6`, `6.0` and `6e0` are the same number.
pub fn whole(field: RawField<'_>, name: &str, max: u64, code: Code) -> Result<u64, Rejection> {
    let number = whole_number(required(field, name)?)
        .ok_or_else(|| Code::InvalidEvent.because(format!("`{name}` must be a whole JSON number from 0 to {max}")))?;
    if number > max {
        return Err(code.because(format!("`{name}` is {number}, the most is {max}")));
    }
    Ok(number)
}

/// The value of a JSON number that is whole and fits; `None` for any other JSON value.
fn whole_number(text: &str) -> Option<u64> {
    let text = if text == "-0" { "0" } else { text };
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else {
        return u64::try_from(Amount::parse(text).ok()?.units(0).ok()?).ok();
    };
    // A number of 64 bits has at most 20 digits. With a larger exponent, only zero is whole and fits.
    let exponent: i64 = exponent.parse().unwrap_or(i64::MAX);
    let (digits, places) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (format!("{whole}{fraction}"), i64::try_from(fraction.len()).ok()?),
        None => (mantissa.to_owned(), 0),
    };
    let digits = Amount::parse(&digits).ok()?;
    if digits.is_zero() {
        return Some(0);
    }
    let value = digits.units(0).ok()?;
    let shift = exponent.checked_sub(places)?;
    let scale = 10u128.checked_pow(
        u32::try_from(shift.unsigned_abs())
            .ok()
            .filter(|places| *places <= 30)?,
    )?;
    let value = if shift < 0 {
        (value % scale == 0).then_some(value / scale)?
    } else {
        value.checked_mul(scale)?
    };
    u64::try_from(value).ok()
}
