//! Reads the fields of a record. Every field is raw JSON first, so that an error can say whether it is missing, given twice or of the
//! wrong type.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::core::contract::members::ObjectMembers;
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::account::AccountName;
use crate::core::values::amount::{Amount, AmountError};
use crate::core::values::asset::Asset;
use crate::core::values::printable::{escape_for_terminal, shortened};
use crate::core::values::similar::nearest;
use crate::core::values::time::TimeMs;

/// A field as raw JSON. `null` is not missing.
#[derive(Debug, Clone, Copy, Default)]
pub enum RawField<'a> {
    #[default]
    Missing,
    Given(&'a str),
    /// A string without escapes, with its quotes.
    Plain(&'a str),
    /// Nobody can tell which value is meant.
    Twice,
}

impl<'a> RawField<'a> {
    fn give(&mut self, value: Self) {
        *self = match self {
            Self::Missing => value,
            _ => Self::Twice,
        };
    }
}

/// A struct of raw fields, declared with [`fields`].
pub trait FieldSet<'a>: Default {
    const NAMES: &'static [&'static str];

    /// The field with this name.
    fn field(&mut self, name: &[u8]) -> Option<&mut RawField<'a>>;

    /// The fields among the members of an object.
    fn of_members(members: ObjectMembers<'_, 'a>) -> Self {
        let mut fields = Self::default();
        for member in members.iter() {
            if let Some(field) = fields.field(member.name()) {
                field.give(if member.is_string() && !member.has_escape() {
                    RawField::Plain(member.value())
                } else {
                    RawField::Given(member.value())
                });
            }
        }
        fields
    }
}

/// Declares a struct of raw fields. A name that is a keyword is given behind `=`.
macro_rules! fields {
    ($name:ident { $($field:ident $(= $wire:literal)?),* $(,)? }) => {
        #[derive(Default)]
        struct $name<'a> {
            $($field: $crate::core::contract::fields::RawField<'a>,)*
        }

        impl<'a> $crate::core::contract::fields::FieldSet<'a> for $name<'a> {
            const NAMES: &'static [&'static str] = &[$($crate::core::contract::fields::fields!(name $field $($wire)?)),*];

            fn field(&mut self, name: &[u8]) -> Option<&mut $crate::core::contract::fields::RawField<'a>> {
                $(
                    if name == $crate::core::contract::fields::fields!(name $field $($wire)?).as_bytes() {
                        return Some(&mut self.$field);
                    }
                )*
                None
            }
        }
    };
    (name $field:ident) => { stringify!($field) };
    (name $field:ident $wire:literal) => { $wire };
}
pub(crate) use fields;

/// The fields of an object, and the first name that is none of theirs.
struct Object<'a, T> {
    fields: T,
    unknown: Option<Cow<'a, [u8]>>,
    /// Whether a name has a control character. That is JSON only if it is written as an escape, and names are read without a look at that.
    has_control: bool,
}

impl<'de, T: FieldSet<'de>> Deserialize<'de> for Object<'de, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let empty = Self {
            fields: T::default(),
            unknown: None,
            has_control: false,
        };
        deserializer.deserialize_map(empty)
    }
}

impl<'de, T: FieldSet<'de>> Visitor<'de> for Object<'de, T> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(field) = map.next_key_seed(FieldName(&mut self))? {
            match field {
                Some(field) => field.give(RawField::Given(map.next_value::<&RawValue>()?.get())),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(self)
    }
}

/// Finds the field of a name. A name may hold half a surrogate pair, which is JSON but no text, so it is read as bytes.
struct FieldName<'o, 'a, T>(&'o mut Object<'a, T>);

impl<'de: 'o, 'o, T: FieldSet<'de>> DeserializeSeed<'de> for FieldName<'o, 'de, T> {
    type Value = Option<&'o mut RawField<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'de: 'o, 'o, T: FieldSet<'de>> Visitor<'de> for FieldName<'o, 'de, T> {
    type Value = Option<&'o mut RawField<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_borrowed_bytes<E: Error>(self, name: &'de [u8]) -> Result<Self::Value, E> {
        Ok(self.find(Cow::Borrowed(name)))
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Self::Value, E> {
        Ok(self.find(Cow::Owned(name.to_vec())))
    }
}

impl<'de: 'o, 'o, T: FieldSet<'de>> FieldName<'o, 'de, T> {
    fn find(self, name: Cow<'de, [u8]>) -> Option<&'o mut RawField<'de>> {
        let Object {
            fields,
            unknown,
            has_control,
        } = self.0;
        let field = fields.field(&name);
        if field.is_none() {
            *has_control |= name.iter().any(|byte| *byte < b' ');
            unknown.get_or_insert(name);
        }
        field
    }
}

/// A JSON object whose fields are read from its members if they are known, and from its text if not. Both give the same.
#[derive(Debug, Clone, Copy)]
pub struct JsonObject<'m, 'a> {
    text: &'a str,
    members: Option<ObjectMembers<'m, 'a>>,
}

impl<'m, 'a> JsonObject<'m, 'a> {
    /// An object, or any other JSON value in its place.
    #[must_use]
    pub const fn of_text(text: &'a str) -> Self {
        Self { text, members: None }
    }

    /// The value of one of these members.
    #[must_use]
    pub fn within(members: ObjectMembers<'m, 'a>, value: &'a str) -> Self {
        Self {
            text: value,
            members: members.of_value(value),
        }
    }

    #[must_use]
    pub const fn members(&self) -> Option<ObjectMembers<'m, 'a>> {
        self.members
    }

    /// Its fields; `what` is its name. Fields that are not known are ignored.
    ///
    /// # Errors
    /// `invalid_event` if it is no object.
    pub fn fields<T: FieldSet<'a>>(&self, what: &str) -> Result<T, Rejection> {
        match self.members {
            Some(members) => Ok(T::of_members(members)),
            None => object(self.text, what),
        }
    }

    /// The object that is the value of one of its fields.
    #[must_use]
    pub fn inside(&self, value: &'a str) -> Self {
        match self.members {
            Some(members) => Self::within(members, value),
            None => Self::of_text(value),
        }
    }
}

/// Reads `text`, the value of `what`, as an object of known fields. Other fields are ignored.
pub fn object<'a, T: FieldSet<'a>>(text: &'a str, what: &str) -> Result<T, Rejection> {
    read_object(text, what).map(|object| object.fields)
}

/// Reads `text`, the value of `what`, as an object of known fields and no others.
///
/// # Errors
/// `invalid_event`; with `code` if a field is not known. The reason names the nearest one that is.
pub fn closed_object<'a, T: FieldSet<'a>>(text: &'a str, what: &str, code: Code) -> Result<T, Rejection> {
    let object: Object<'_, T> = read_object(text, what)?;
    let Some(unknown) = object.unknown else {
        return Ok(object.fields);
    };
    let unknown = String::from_utf8_lossy(&unknown);
    let unknown = shortened(&unknown);
    let nearest = nearest(&unknown, T::NAMES.iter().copied()).unwrap_or_default();
    Err(code.because(format!(
        "`{what}` has the field `{}`, which does not exist; the nearest one is `{nearest}`",
        escape_for_terminal(&unknown)
    )))
}

fn read_object<'a, T: FieldSet<'a>>(text: &'a str, what: &str) -> Result<Object<'a, T>, Rejection> {
    if !text.starts_with('{') {
        return Err(Code::InvalidEvent.because(format!("`{what}` must be a JSON object, not {}", json_type(text))));
    }
    serde_json::from_str(text).map_err(|error| Code::InvalidEvent.because(format!("`{what}`: {error}")))
}

/// Reads a record as an object of known fields.
///
/// # Errors
/// `invalid_json`; `invalid_event` for another JSON value.
pub fn record<'a, T: FieldSet<'a>>(text: &'a str) -> Result<T, Rejection> {
    // Serde would read an array as an object, field by field.
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(not_an_object(text));
    }
    let not_json = |error| Code::InvalidJson.because(format!("the record is not JSON: {error}"));
    let object: Object<'a, T> = serde_json::from_str(text).map_err(not_json)?;
    if object.has_control {
        serde_json::from_str::<IgnoredAny>(text).map_err(not_json)?;
    }
    Ok(object.fields)
}

/// The rejection of a record that does not begin with `{`.
fn not_an_object(text: &str) -> Rejection {
    match serde_json::from_str::<IgnoredAny>(text) {
        Err(error) => Code::InvalidJson.because(format!("the record is not JSON: {error}")),
        Ok(_) => Code::InvalidEvent.because(format!(
            "the record must be a JSON object, not {}",
            json_type(text.trim_start())
        )),
    }
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

/// The raw JSON of an optional field.
///
/// # Errors
/// `invalid_event` if the field is given twice.
pub fn optional<'a>(field: RawField<'a>, name: &str) -> Result<Option<&'a str>, Rejection> {
    match field {
        RawField::Missing => Ok(None),
        RawField::Given(raw) | RawField::Plain(raw) => Ok(Some(raw)),
        RawField::Twice => Err(Code::InvalidEvent.because(format!("`{name}` is given twice"))),
    }
}

/// The raw JSON of an optional field for which `null` is as if absent.
pub fn not_null<'a>(field: RawField<'a>, name: &str) -> Result<Option<&'a str>, Rejection> {
    Ok(optional(field, name)?.filter(|text| *text != "null"))
}

/// Reads an optional field, if it is there.
pub fn if_given<'a, T>(
    field: RawField<'a>,
    name: &str,
    read: impl FnOnce(RawField<'a>, &str) -> Result<T, Rejection>,
) -> Result<Option<T>, Rejection> {
    match field {
        RawField::Missing => Ok(None),
        given => read(given, name).map(Some),
    }
}

/// The raw JSON of a required field.
pub fn required<'a>(field: RawField<'a>, name: &str) -> Result<&'a str, Rejection> {
    optional(field, name)?.ok_or_else(|| Code::InvalidEvent.because(format!("`{name}` is missing")))
}

/// A raw JSON value as a string; rejected with `code` if it is none.
pub fn string<'a>(text: &'a str, name: &str, code: Code) -> Result<Cow<'a, str>, Rejection> {
    let Some(inner) = between_quotes(text) else {
        return Err(code.because(format!("`{name}` must be a JSON string, not {}", json_type(text))));
    };
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(text)
        .map(Cow::Owned)
        .map_err(|_| code.because(format!("`{name}` holds an escape that is no Unicode character")))
}

/// A required string; rejected with `code` if it is another JSON value.
#[inline]
fn characters<'a>(field: RawField<'a>, name: &str, code: Code) -> Result<Cow<'a, str>, Rejection> {
    match field {
        RawField::Plain(quoted) => Ok(Cow::Borrowed(between_quotes(quoted).unwrap_or_default())),
        field => string(required(field, name)?, name, code),
    }
}

#[inline]
fn between_quotes(text: &str) -> Option<&str> {
    match text.as_bytes() {
        [b'"', .., b'"'] => text.get(1..text.len().saturating_sub(1)),
        _ => None,
    }
}

/// A required string.
pub fn text<'a>(field: RawField<'a>, name: &str) -> Result<Cow<'a, str>, Rejection> {
    characters(field, name, Code::InvalidEvent)
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
    let text = characters(field, name, Code::InvalidAmount)?;
    Amount::parse(&text)
        .and_then(Amount::positive)
        .map_err(|error| bad_amount(name, &error))
}

/// A required amount that may be zero.
pub fn amount_or_zero(field: RawField<'_>, name: &str) -> Result<Amount, Rejection> {
    let text = characters(field, name, Code::InvalidAmount)?;
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
    let text = characters(field, name, Code::InvalidAmount)?;
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
