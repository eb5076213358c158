//! Spells a record anew, so that it has the common shape.

use bumpalo::Bump;
use bumpalo::collections::String;

use crate::core::contract::escapes::{character, code_unit};

/// The same JSON with blanks for all white space, and without the escapes that it does not need. Those of quotes, backslashes, control characters
/// and lone surrogates stay. `None` if it is no JSON because of an escape or a control character. It is written to `memory`.
pub(super) fn respelled<'a>(record: &str, memory: &'a Bump) -> Option<&'a str> {
    let mut text = String::with_capacity_in(record.len(), memory);
    let mut rest = record;
    while !rest.is_empty() {
        let between = |byte: &u8| !matches!(byte, b'"' | b'\\' | ..b' ');
        let length = rest.bytes().take_while(between).count();
        let (copied, special) = rest.split_at_checked(length)?;
        text.push_str(copied);
        rest = match special.as_bytes() {
            [] => special,
            [b'"', ..] => {
                text.push('"');
                push_string(special.get(1..)?, &mut text)?
            }
            [b'\t' | b'\n' | b'\r', ..] => {
                text.push(' ');
                special.get(1..)?
            }
            _ => return None,
        };
    }
    Some(text.into_bump_str())
}

/// Appends the rest of a string with its closing quote. Returns what follows.
fn push_string<'j>(mut json: &'j str, text: &mut String<'_>) -> Option<&'j str> {
    loop {
        let (plain, special) = json.split_at_checked(memchr::memchr2(b'"', b'\\', json.as_bytes())?)?;
        if plain.bytes().any(|byte| byte < b' ') {
            return None;
        }
        text.push_str(plain);
        json = match special.as_bytes() {
            [b'"', ..] => {
                text.push('"');
                return special.get(1..);
            }
            [b'\\', b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't', ..] => {
                let (escape, rest) = special.split_at_checked(2)?;
                text.push_str(escape);
                rest
            }
            [b'\\', b'/', ..] => {
                text.push('/');
                special.get(2..)?
            }
            [b'\\', b'u', escaped @ ..] => {
                let (unit, after) = code_unit(escaped)?;
                let (character, after) = character(unit, after);
                let (escape, rest) = special.split_at_checked(special.len() - after.len())?;
                match character {
                    None | Some(..' ') => text.push_str(escape),
                    Some(special @ ('"' | '\\')) => text.extend(['\\', special]),
                    Some(other) => text.push(other),
                }
                rest
            }
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spelled_anew_and_what_is_not() {
        let memory = Bump::new();
        let respelled = |record| respelled(record, &memory);
        for (record, expected) in [
            (r#"{"\u0061": "\u00e9\ud83e\udd80\/"}"#, r#"{"a": "é🦀/"}"#),
            ("{\t\"a\"\r\n:1}", r#"{ "a"  :1}"#),
            (
                r#"["\"","\\","\u0022\u005C\\\"","\u007f"]"#,
                "[\"\\\"\",\"\\\\\",\"\\\"\\\\\\\\\\\"\",\"\u{7f}\"]",
            ),
        ] {
            assert_eq!(respelled(record), Some(expected), "{record}");
            let value = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(value(record), value(expected));
        }
        let needed = [
            r#""\n\u001f\u000A""#,
            r#""\ud83e""#,
            r#""\udd80\ud83e""#,
            r#""\ud83e\ud83e\n""#,
        ];
        for record in needed {
            assert_eq!(respelled(record), Some(record));
        }
        assert_eq!(respelled(r#""\ud83e\u0041""#), Some(r#""\ud83eA""#));
        for record in [
            r#"{"a":\u0031}"#,
            r#"{\u0022a":1}"#,
            r#""\u12""#,
            r#""\x""#,
            "\"\t\"",
            "\u{b}{}",
            r#""\""#,
            r#"""#,
        ] {
            assert_eq!(respelled(record), None, "{record}");
        }
    }
}
