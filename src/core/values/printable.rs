//! Which characters are printable, and how the others are shown.
//!
//! The escaping is here and not in `cli`, because the reasons of rejections quote text from events, and need it as well.

use std::borrow::Cow;

/// Replaces by `\u{..}` every character that a terminal might execute, hide, or show like another blank.
///
/// For names and payloads from outside wherever people read them. The result cannot be decoded: backslashes are not escaped.
pub fn escape_for_terminal(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(is_unsafe_to_show) else {
        return Cow::Borrowed(text);
    };
    let (clean, rest) = text.split_at_checked(first).unwrap_or(("", text));
    let mut out = String::with_capacity(text.len().saturating_add(16));
    out.push_str(clean);
    for character in rest.chars() {
        if is_unsafe_to_show(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// At most the first 100 characters of a text, for a message.
pub fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(100) {
        Some((at, _)) => Cow::Owned(format!("{}…", &text[..at])),
        None => Cow::Borrowed(text),
    }
}

/// Replaces the same characters in a JSON text by JSON's own escapes, so the value does not change. Line feeds stay: in JSON they are only
/// between values.
pub fn escape_json(json: &str) -> Cow<'_, str> {
    let to_escape = |character: char| character != '\n' && is_unsafe_to_show(character);
    if !json.contains(to_escape) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len().saturating_add(16));
    for character in json.chars() {
        if to_escape(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// Category Cf of Unicode 16, ascending. The table is fixed here, so that a newer Unicode version never changes a replay.
pub(super) const FORMAT_CHARACTERS: [(char, char); 21] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];

/// Allowed in a name, but invisible, blank or undefined on a screen: blanks other than U+0020 (Zs), fillers and joiners,
/// variation selectors, private use and tags.
const MISLEADING_CHARACTERS: [(char, char); 20] = [
    ('\u{a0}', '\u{a0}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{2000}', '\u{200a}'),
    ('\u{202f}', '\u{202f}'),
    ('\u{205f}', '\u{205f}'),
    ('\u{2065}', '\u{2065}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3000}', '\u{3000}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{e000}', '\u{f8ff}'),
    ('\u{fdd0}', '\u{fdef}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fff8}'),
    ('\u{fffe}', '\u{ffff}'),
    ('\u{e0000}', '\u{10ffff}'),
];

/// Whether a character is not printable: categories Cc, Cf, Zl and Zp (contract, section 3).
pub(super) fn is_unprintable(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') || within(&FORMAT_CHARACTERS, character)
}

/// Whether a printable character is white space: U+0020, and those of category Zs as of Unicode 16. The list is fixed here, as the table
/// above.
pub(super) fn is_white_space(character: char) -> bool {
    matches!(
        character,
        ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

fn is_unsafe_to_show(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    is_unprintable(character) || within(&MISLEADING_CHARACTERS, character)
}

/// Whether a table of ascending ranges, both ends included, contains the character.
fn within(ranges: &[(char, char)], character: char) -> bool {
    let after = ranges.partition_point(|(_, last)| *last < character);
    ranges.get(after).is_some_and(|(first, _)| *first <= character)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn format_characters_are_those_of_unicode_16() {
        // 170 characters of category Cf in DerivedGeneralCategory-16.0.0.txt.
        let count: u32 = FORMAT_CHARACTERS
            .iter()
            .map(|(first, last)| *last as u32 - *first as u32 + 1)
            .sum();
        assert_eq!(count, 170);
        for table in [&FORMAT_CHARACTERS[..], &MISLEADING_CHARACTERS[..]] {
            assert!(table.iter().all(|(first, last)| first <= last));
            assert!(table.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
        assert!(!within(&FORMAT_CHARACTERS, '\u{e000}') && !within(&FORMAT_CHARACTERS, '\u{10ffff}'));
    }

    #[test]
    fn escaping() {
        assert!(matches!(escape_for_terminal("plain ü 客户 \\ \"x\""), Cow::Borrowed(_)));
        let cases = [
            ("a\u{1b}[31mred", r"a\u{1b}[31mred"),
            ("a\nb\tc\u{7f}", r"a\u{a}b\u{9}c\u{7f}"),
            ("\u{202e}txt.exe", r"\u{202e}txt.exe"),
            ("a\u{a0}b\u{200b}\u{3000}", r"a\u{a0}b\u{200b}\u{3000}"),
            ("\u{9b}é\u{e000}\u{10ffff}", r"\u{9b}é\u{e000}\u{10ffff}"),
        ];
        for (text, expected) in cases {
            assert_eq!(escape_for_terminal(text), expected);
        }
    }

    proptest! {
        #[test]
        fn nothing_unsafe_is_left_after_escaping(text: String) {
            let shown = escape_for_terminal(&text);
            prop_assert!(!shown.chars().any(is_unsafe_to_show));
        }
    }
}
