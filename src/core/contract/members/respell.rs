//! Spells a record anew, so that it has the common shape.

use crate::core::contract::escapes::{character, code_unit};

/// The same JSON with blanks for all white space, and without the escapes that it does not need. Those of quotes, backslashes, control characters
/// and lone surrogates stay. `None` if it is no JSON because of an escape or a control character.
pub(super) fn respelled(record: &str) -> Option<String> {
    let mut text = Vec::with_capacity(record.len());
    let mut rest = record.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'"' => {
                text.push(b'"');
                rest = push_string(rest, &mut text)?;
            }
            b'\t' | b'\n' | b'\r' => text.push(b' '),
            b'\\' | ..b' ' => return None,
            _ => text.push(*byte),
        }
    }
    // Whole characters were copied, or written.
    String::from_utf8(text).ok()
}

/// Appends the rest of a string with its closing quote. Returns what follows.
fn push_string<'a>(mut json: &'a [u8], text: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (plain, rest) = json.split_at_checked(memchr::memchr2(b'"', b'\\', json)?)?;
        if plain.iter().any(|byte| *byte < b' ') {
            return None;
        }
        text.extend_from_slice(plain);
        json = match rest {
            [
                b'\\',
                escaped @ (b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't'),
                rest @ ..,
            ] => {
                text.extend([b'\\', *escaped]);
                rest
            }
            [b'\\', b'/', rest @ ..] => {
                text.push(b'/');
                rest
            }
            [b'\\', b'u', rest @ ..] => {
                let (unit, after) = code_unit(rest)?;
                let (character, after) = character(unit, after);
                match character {
                    None | Some(..' ') => {
                        let (digits, _) = rest.split_at_checked(4)?;
                        text.extend_from_slice(b"\\u");
                        text.extend_from_slice(digits);
                    }
                    Some(escaped @ ('"' | '\\')) => text.extend([b'\\', escaped as u8]),
                    Some(other) => text.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
                }
                after
            }
            [b'"', rest @ ..] => {
                text.push(b'"');
                return Some(rest);
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
        for (record, expected) in [
            (r#"{"\u0061": "\u00e9\ud83e\udd80\/"}"#, r#"{"a": "é🦀/"}"#),
            ("{\t\"a\"\r\n:1}", r#"{ "a"  :1}"#),
            (
                r#"["\"","\\","\u0022\u005C\\\"","\u007f"]"#,
                "[\"\\\"\",\"\\\\\",\"\\\"\\\\\\\\\\\"\",\"\u{7f}\"]",
            ),
        ] {
            assert_eq!(respelled(record).as_deref(), Some(expected), "{record}");
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
            assert_eq!(respelled(record).as_deref(), Some(record));
        }
        assert_eq!(respelled(r#""\ud83e\u0041""#).as_deref(), Some(r#""\ud83eA""#));
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
