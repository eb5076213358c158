//! A value before it is checked: the text of a variable or flag, or a TOML value of the file, whose type is checked.

use toml::de::DeValue;

/// A value before it is checked. All errors are predicates: they make a sentence after the name of the setting.
pub(super) enum SettingValue<'a> {
    /// Of a variable or a flag.
    Text(&'a str),
    /// Of the file.
    Toml(&'a DeValue<'a>),
}

impl SettingValue<'_> {
    pub(super) fn text(&self) -> Result<&str, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Toml(DeValue::String(text)) => Ok(text),
            Self::Toml(other) => Err(format!("must be a string in quotes, not {}", kind(other))),
        }
    }

    /// A string, number or Boolean, as text, for librdkafka.
    pub(super) fn plain(&self) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok((*text).to_owned()),
            Self::Toml(DeValue::String(text)) => Ok(text.to_string()),
            Self::Toml(DeValue::Integer(number)) => Ok(number.to_string()),
            Self::Toml(DeValue::Boolean(truth)) => Ok(truth.to_string()),
            Self::Toml(other) => Err(format!(
                "must be a string, a whole number, true or false, not {}",
                kind(other)
            )),
        }
    }

    /// A whole number in a range, both ends included.
    pub(super) fn whole(&self, least: u64, most: u64) -> Result<u64, String> {
        let number = match self {
            Self::Text(text) => text.parse().ok(),
            Self::Toml(DeValue::Integer(number)) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            Self::Toml(_) => None,
        };
        number.filter(|number| (least..=most).contains(number)).ok_or_else(|| {
            let given = match self {
                Self::Text(text) => format!("\"{text}\""),
                Self::Toml(DeValue::Integer(number)) => number.to_string(),
                Self::Toml(other) => kind(other).to_owned(),
            };
            format!("must be a whole number from {least} to {most}, not {given}")
        })
    }

    pub(super) fn truth(&self) -> Result<bool, String> {
        match self {
            Self::Text("true") | Self::Toml(DeValue::Boolean(true)) => Ok(true),
            Self::Text("false") | Self::Toml(DeValue::Boolean(false)) => Ok(false),
            Self::Text(other) => Err(format!("must be true or false, not \"{other}\"")),
            Self::Toml(other) => Err(format!("must be true or false, not {}", kind(other))),
        }
    }
}

/// The type of a TOML value, in words.
const fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
