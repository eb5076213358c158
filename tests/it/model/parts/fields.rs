//! From a raw record to an envelope and the fields of its data, and why a record is rejected (contract, section 3).

use super::amount::Decimal;
use super::json::{self, Json, Text};
use super::time;

/// Why a record becomes a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub code: &'static str,
    pub reason: String,
}

impl Rejection {
    pub fn new(code: &'static str, reason: impl Into<String>) -> Rejection {
        Rejection {
            code,
            reason: reason.into(),
        }
    }

    pub fn event(field: &str, what: &str) -> Rejection {
        Rejection::new("invalid_event", format!("the field {field} {what}"))
    }

    pub fn amount(field: &str, what: &str) -> Rejection {
        Rejection::new("invalid_amount", format!("the field {field} {what}"))
    }

    pub fn programme(field: &str, what: &str) -> Rejection {
        Rejection::new("invalid_programme", format!("the field {field} {what}"))
    }
}

#[derive(Debug, Clone)]
pub struct Envelope {
    pub id: String,
    pub source: String,
    pub kind: String,
    time: Json,
    data: Json,
}

impl Envelope {
    /// A record's envelope. Its type, its time and the contents of its data are checked later.
    pub fn read(record: &[u8]) -> Result<Envelope, Rejection> {
        let text = std::str::from_utf8(record)
            .map_err(|error| Rejection::new("invalid_json", format!("the record is not UTF-8: {error}")))?;
        let value = json::parse(text)
            .map_err(|error| Rejection::new("invalid_json", format!("the record is not one JSON value: {error}")))?;
        let Json::Object(members) = &value else {
            return Err(Rejection::new("invalid_event", "the record is not a JSON object"));
        };
        let envelope = Fields(members);
        if envelope.text("specversion")? != "1.0" {
            return Err(Rejection::event("specversion", "is not \"1.0\""));
        }
        let id = envelope.non_empty_text("id")?;
        let source = envelope.non_empty_text("source")?;
        let kind = envelope.non_empty_text("type")?;
        let data = envelope.required("data")?.clone();
        if !matches!(data, Json::Object(_)) {
            return Err(Rejection::event("data", "is not an object"));
        }
        let time = envelope.required("time")?.clone();
        Ok(Envelope {
            id,
            source,
            kind,
            time,
            data,
        })
    }

    pub fn is_same_event(&self, copy: &Envelope) -> bool {
        self.kind == copy.kind && self.time.same(&copy.time) && self.data.same(&copy.data)
    }

    /// Checks that the type is known, and that it belongs on this topic. `here` are the types of this topic, `elsewhere`
    /// those of the others.
    pub fn check_type(&self, here: &[&str], elsewhere: &[&str]) -> Result<(), Rejection> {
        let kind = self.kind.as_str();
        if here.contains(&kind) {
            Ok(())
        } else if elsewhere.contains(&kind) {
            Err(Rejection::new(
                "wrong_topic",
                format!("the type {kind} does not belong on this topic"),
            ))
        } else {
            Err(Rejection::new(
                "unsupported_type",
                format!("the type {kind:?} is not known"),
            ))
        }
    }

    pub fn instant(&self) -> Result<i64, Rejection> {
        instant(&self.time, "time")
    }

    pub fn data(&self) -> Fields<'_> {
        match &self.data {
            Json::Object(members) => Fields(members),
            _ => Fields(&[]),
        }
    }
}

fn instant(value: &Json, field: &str) -> Result<i64, Rejection> {
    let text = match value {
        Json::Text(text) => text.to_text(),
        _ => None,
    };
    text.and_then(|text| time::parse(&text))
        .ok_or_else(|| Rejection::new("invalid_time", format!("the field {field} is no RFC 3339 time")))
}

/// The members of an object whose fields the contract names.
#[derive(Clone, Copy)]
pub struct Fields<'a>(&'a [(Text, Json)]);

impl<'a> Fields<'a> {
    /// The first field whose name is none of these.
    pub fn unknown(self, known: &[&str]) -> Option<String> {
        let unknown = |key: &&(Text, Json)| !known.iter().any(|name| key.0.is(name));
        let found = self.0.iter().find(unknown)?;
        Some(found.0.to_text().unwrap_or_default())
    }

    pub fn optional(self, name: &str) -> Result<Option<&'a Json>, Rejection> {
        let mut found = self.0.iter().filter(|(key, _)| key.is(name)).map(|(_, value)| value);
        let first = found.next();
        if found.next().is_some() {
            return Err(Rejection::event(name, "is given twice"));
        }
        Ok(first)
    }

    pub fn required(self, name: &str) -> Result<&'a Json, Rejection> {
        self.optional(name)?.ok_or_else(|| Rejection::event(name, "is missing"))
    }

    pub fn text(self, name: &str) -> Result<String, Rejection> {
        as_text(self.required(name)?, name)
    }

    pub fn optional_text(self, name: &str) -> Result<Option<String>, Rejection> {
        self.optional(name)?.map(|value| as_text(value, name)).transpose()
    }

    pub fn non_empty_text(self, name: &str) -> Result<String, Rejection> {
        let text = self.text(name)?;
        if text.is_empty() {
            Err(Rejection::event(name, "is empty"))
        } else {
            Ok(text)
        }
    }

    pub fn integer(self, name: &str) -> Result<u64, Rejection> {
        as_integer(self.required(name)?, name)
    }

    pub fn optional_integer(self, name: &str) -> Result<Option<u64>, Rejection> {
        self.optional(name)?.map(|value| as_integer(value, name)).transpose()
    }

    pub fn object(self, name: &str) -> Result<Fields<'a>, Rejection> {
        as_object(self.required(name)?, name)
    }

    /// An object for which `null` is as if absent.
    pub fn object_unless_null(self, name: &str) -> Result<Option<Fields<'a>>, Rejection> {
        match self.optional(name)? {
            None | Some(Json::Null) => Ok(None),
            Some(value) => as_object(value, name).map(Some),
        }
    }

    pub fn array(self, name: &str) -> Result<Option<&'a [Json]>, Rejection> {
        match self.optional(name)? {
            None => Ok(None),
            Some(Json::Array(elements)) => Ok(Some(elements)),
            Some(_) => Err(Rejection::event(name, "is not an array")),
        }
    }

    pub fn instant(self, name: &str) -> Result<i64, Rejection> {
        instant(self.required(name)?, name)
    }

    pub fn account(self, name: &str) -> Result<String, Rejection> {
        let account = self.text(name)?;
        let is_account = (1..=128).contains(&account.len()) && account.chars().all(is_printable);
        if is_account {
            Ok(account)
        } else {
            Err(Rejection::event(name, "is no account name"))
        }
    }

    pub fn asset(self, name: &str) -> Result<String, Rejection> {
        let asset = self.text(name)?;
        let is_allowed = |one: char| is_printable(one) && !one.is_whitespace() && one != ':';
        if (1..=32).contains(&asset.len()) && asset.chars().all(is_allowed) {
            Ok(asset)
        } else {
            Err(Rejection::event(name, "is no asset name"))
        }
    }

    /// A decimal that may be zero, as in a programme.
    pub fn decimal(self, name: &str) -> Result<Decimal, Rejection> {
        as_decimal(self.required(name)?, name)
    }

    pub fn optional_decimal(self, name: &str) -> Result<Option<Decimal>, Rejection> {
        self.optional(name)?.map(|value| as_decimal(value, name)).transpose()
    }

    pub fn amount(self, name: &str) -> Result<Decimal, Rejection> {
        greater_than_zero(self.decimal(name)?, name)
    }
}

pub fn as_object<'a>(value: &'a Json, name: &str) -> Result<Fields<'a>, Rejection> {
    match value {
        Json::Object(members) => Ok(Fields(members)),
        _ => Err(Rejection::event(name, "is not an object")),
    }
}

pub fn as_text(value: &Json, name: &str) -> Result<String, Rejection> {
    let Json::Text(text) = value else {
        return Err(Rejection::event(name, "is not a string"));
    };
    text.to_text()
        .ok_or_else(|| Rejection::event(name, "holds half a surrogate pair"))
}

fn as_integer(value: &Json, name: &str) -> Result<u64, Rejection> {
    let Json::Number(number) = value else {
        return Err(Rejection::event(name, "is not a number"));
    };
    number
        .to_u64()
        .ok_or_else(|| Rejection::event(name, "is no integer in range"))
}

pub fn as_decimal(value: &Json, name: &str) -> Result<Decimal, Rejection> {
    let Json::Text(text) = value else {
        return Err(Rejection::amount(name, "is not a string"));
    };
    text.to_text()
        .and_then(|text| Decimal::parse(&text))
        .ok_or_else(|| Rejection::amount(name, "is not written as digits, or digits, a point and digits"))
}

pub fn greater_than_zero(amount: Decimal, name: &str) -> Result<Decimal, Rejection> {
    if amount.is_zero() {
        Err(Rejection::amount(name, "is zero"))
    } else {
        Ok(amount)
    }
}

/// Not printable are category Cc, the two separators, and category Cf as of Unicode 16.
fn is_printable(character: char) -> bool {
    const FORMAT_CHARACTERS: [(u32, u32); 21] = [
        (0x00AD, 0x00AD),
        (0x0600, 0x0605),
        (0x061C, 0x061C),
        (0x06DD, 0x06DD),
        (0x070F, 0x070F),
        (0x0890, 0x0891),
        (0x08E2, 0x08E2),
        (0x180E, 0x180E),
        (0x200B, 0x200F),
        (0x202A, 0x202E),
        (0x2060, 0x2064),
        (0x2066, 0x206F),
        (0xFEFF, 0xFEFF),
        (0xFFF9, 0xFFFB),
        (0x110BD, 0x110BD),
        (0x110CD, 0x110CD),
        (0x13430, 0x1343F),
        (0x1BCA0, 0x1BCA3),
        (0x1D173, 0x1D17A),
        (0xE0001, 0xE0001),
        (0xE0020, 0xE007F),
    ];
    let code = u32::from(character);
    !character.is_control()
        && !matches!(character, '\u{2028}' | '\u{2029}')
        && !FORMAT_CHARACTERS
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&code))
}

/// An amount other than zero after at most one sign, and whether the sign is a minus.
pub fn signed_amount(value: &Json, name: &str) -> Result<(bool, Decimal), Rejection> {
    let (is_negative, amount) = signed_decimal(value, name)?;
    Ok((is_negative, greater_than_zero(amount, name)?))
}

/// A decimal after at most one sign, and whether the sign is a minus.
pub fn signed_decimal(value: &Json, name: &str) -> Result<(bool, Decimal), Rejection> {
    let text = match value {
        Json::Text(text) => text.to_text(),
        _ => None,
    };
    let text = text.ok_or_else(|| Rejection::amount(name, "is not a string"))?;
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(&text);
    let amount = Decimal::parse(unsigned).ok_or_else(|| Rejection::amount(name, "is no signed decimal"))?;
    Ok((text.starts_with('-'), amount))
}
