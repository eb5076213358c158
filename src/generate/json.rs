//! JSON text as other producers write it: members in any order, odd spacing, needless escapes, numbers in several
//! spellings.

use std::borrow::Cow;

use crate::generate::draws::Draws;

pub(crate) type JsonText = Cow<'static, str>;

/// A JSON value without a spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    Text(JsonText),
    Number(u64),
    /// Written unchanged, whether or not it is JSON.
    Raw(JsonText),
    Array(Vec<Json>),
    Object(Vec<(JsonText, Json)>),
}

/// The spelling of a value. The default is the compact form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) shuffled: bool,
    pub(crate) spaced: bool,
    pub(crate) escaped: bool,
    pub(crate) respelt_numbers: bool,
}

impl Style {
    pub(crate) const ODD: Self = Self {
        shuffled: true,
        spaced: true,
        escaped: true,
        respelt_numbers: true,
    };

    /// Most records are compact; about one in twelve has an unusual spelling.
    pub(crate) fn draw(draws: &mut Draws) -> Self {
        match draws.below(120) {
            0..5 => Self {
                shuffled: true,
                ..Self::default()
            },
            5 | 6 => Self {
                spaced: true,
                ..Self::default()
            },
            7 | 8 => Self {
                escaped: true,
                ..Self::default()
            },
            9 => Self::ODD,
            _ => Self::default(),
        }
    }
}

impl Json {
    pub(crate) fn text(text: impl Into<JsonText>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn object<const N: usize>(members: [(&'static str, Json); N]) -> Self {
        let members = members.into_iter();
        Self::Object(members.map(|(name, value)| (Cow::Borrowed(name), value)).collect())
    }

    /// Appends a member. No effect on a value that is not an object.
    pub(crate) fn push(&mut self, name: &'static str, value: Json) {
        if let Self::Object(members) = self {
            members.push((Cow::Borrowed(name), value));
        }
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Json> {
        match self {
            Self::Object(members) => members
                .iter_mut()
                .find_map(|(key, value)| (key == name).then_some(value)),
            _ => None,
        }
    }

    /// Sets the member at a dotted path, or removes it if `value` is `None`. No effect if a parent is missing.
    pub(crate) fn set(&mut self, path: &str, value: Option<Json>) {
        if let Some((parent, rest)) = path.split_once('.') {
            if let Some(inner) = self.get_mut(parent) {
                inner.set(rest, value);
            }
        } else if let Self::Object(members) = self {
            let at = members.iter().position(|(key, _)| key == path);
            match (at, value) {
                (Some(at), Some(value)) => members[at].1 = value,
                (Some(at), None) => drop(members.remove(at)),
                (None, Some(value)) => members.push((Cow::Owned(path.to_owned()), value)),
                (None, None) => {}
            }
        }
    }

    /// Appends the value's text, without a line feed.
    pub(crate) fn write(&self, style: Style, draws: &mut Draws, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => write_text(text, style, draws, out),
            Self::Number(number) => write_number(*number, style, draws, out),
            Self::Raw(raw) => out.extend_from_slice(raw.as_bytes()),
            Self::Array(items) => {
                out.push(b'[');
                for (n, item) in items.iter().enumerate() {
                    separate(n, style, draws, out);
                    item.write(style, draws, out);
                }
                gap(style, draws, out);
                out.push(b']');
            }
            Self::Object(members) if style.shuffled => {
                let mut order: Vec<&(JsonText, Json)> = members.iter().collect();
                draws.shuffle(&mut order);
                write_members(order.into_iter(), style, draws, out);
            }
            Self::Object(members) => write_members(members.iter(), style, draws, out),
        }
    }

    pub(crate) fn compact(&self, draws: &mut Draws) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(Style::default(), draws, &mut out);
        out
    }
}

fn write_members<'a>(
    members: impl Iterator<Item = &'a (JsonText, Json)>,
    style: Style,
    draws: &mut Draws,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    for (n, (name, value)) in members.enumerate() {
        separate(n, style, draws, out);
        write_text(name, style, draws, out);
        gap(style, draws, out);
        out.push(b':');
        gap(style, draws, out);
        value.write(style, draws, out);
    }
    gap(style, draws, out);
    out.push(b'}');
}

fn separate(n: usize, style: Style, draws: &mut Draws, out: &mut Vec<u8>) {
    if n > 0 {
        out.push(b',');
    }
    gap(style, draws, out);
}

fn gap(style: Style, draws: &mut Draws, out: &mut Vec<u8>) {
    if style.spaced {
        let gaps: [&[u8]; 5] = [b"", b" ", b" ", b"  ", b"\t"];
        out.extend_from_slice(gaps[draws.index(gaps.len())]);
    }
}

fn write_text(text: &str, style: Style, draws: &mut Draws, out: &mut Vec<u8>) {
    out.push(b'"');
    let plain = text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
    if plain && !style.escaped {
        out.extend_from_slice(text.as_bytes());
    } else {
        for character in text.chars() {
            write_character(character, style.escaped && draws.one_in(5), out);
        }
    }
    out.push(b'"');
}

fn write_character(character: char, escaped: bool, out: &mut Vec<u8>) {
    match character {
        '/' if escaped => out.extend_from_slice(b"\\/"),
        '"' | '\\' if !escaped => out.extend_from_slice(&[b'\\', character as u8]),
        ' '.. if !escaped => {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(format!("\\u{unit:04X}").as_bytes());
            }
        }
    }
}

fn write_number(number: u64, style: Style, draws: &mut Draws, out: &mut Vec<u8>) {
    let spelt = match draws.below(if style.respelt_numbers { 4 } else { 1 }) {
        0 => number.to_string(),
        1 => format!("{number}.0"),
        2 => format!("{number}0E-1"),
        _ => format!("{number}e+0"),
    };
    out.extend_from_slice(spelt.as_bytes());
}
