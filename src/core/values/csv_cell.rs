//! The cells of CSV files. No value from outside is a formula to a spreadsheet.
//!
//! A spreadsheet reads a CSV file as if somebody typed its cells: it keeps 15 digits of a number, drops zeros, makes dates of names, and runs
//! formulas. In a file for a spreadsheet, a value that it would change is written as a formula that gives its text: `="0012"`.

use std::borrow::Cow;

/// A spreadsheet that is set to another separator begins a new cell behind one of these, even inside quotation marks.
const SEPARATORS: [char; 4] = [';', '\t', '\r', '\n'];

/// With one of these, also in full width, a spreadsheet begins a formula. The apostrophe is among them so that the rule can be undone.
const FORMULA: [char; 12] = ['=', '+', '-', '@', '\t', '\r', '\n', '\'', '＝', '＋', '－', '＠'];

/// Makes a cell text to a spreadsheet, if it is no number: an apostrophe is put in front of each character that begins a formula, at the
/// start of the cell or behind a separator. To undo it, remove one apostrophe at each of these places that has one.
pub fn harmless(cell: &str) -> Cow<'_, str> {
    if is_number(cell) || !(cell.starts_with(FORMULA) || cell.contains(SEPARATORS)) {
        return Cow::Borrowed(cell);
    }
    let mut text = String::with_capacity(cell.len().saturating_add(1));
    let mut at_start = true;
    for character in cell.chars() {
        if at_start && FORMULA.contains(&character) {
            text.push('\'');
        }
        text.push(character);
        at_start = SEPARATORS.contains(&character);
    }
    Cow::Owned(text)
}

/// Whether a cell is digits with an optional sign and an optional fraction.
fn is_number(cell: &str) -> bool {
    let digits = cell.strip_prefix(['+', '-']).unwrap_or(cell);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, fraction]
        .iter()
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The digits of a number that a spreadsheet keeps.
const DIGITS: usize = 15;

/// The longest text between quotation marks in a formula of Excel, and its longest formula, in UTF-16 units.
const LITERAL: usize = 255;
const LONGEST: usize = 8_192;

/// Words without digits that are a truth value to a spreadsheet of some language. It would write them in capital letters.
const TRUTH_VALUES: [&str; 28] = [
    "true",
    "false",
    "wahr",
    "falsch",
    "vrai",
    "faux",
    "vero",
    "falso",
    "verdadero",
    "verdadeiro",
    "waar",
    "onwaar",
    "sant",
    "falskt",
    "sann",
    "usann",
    "sand",
    "falsk",
    "tosi",
    "prawda",
    "pravda",
    "nepravda",
    "igaz",
    "hamis",
    "benar",
    "salah",
    "fals",
    "adevarat",
];

/// A cell that a spreadsheet shows as the value that is given here.
pub fn for_spreadsheet(cell: &str) -> Cow<'_, str> {
    if cell.is_empty() || is_exact_number(cell) || is_plain_word(cell) {
        return Cow::Borrowed(cell);
    }
    // A spreadsheet cannot take a value that is too long for a formula for anything but text, unless it begins a formula itself.
    as_formula(cell).map_or_else(|| harmless(cell), Cow::Owned)
}

/// Whether a cell is a number that a spreadsheet keeps to the last digit. Only zeros at the end of a fraction are not shown.
fn is_exact_number(cell: &str) -> bool {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let has_leading_zero = whole.len() > 1 && whole.starts_with('0');
    if !all_digits(whole) || !all_digits(fraction) || has_leading_zero {
        return false;
    }
    let is_zero = digits.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let significant = digits.trim_start_matches(['0', '.']).bytes();
    significant.filter(u8::is_ascii_digit).count() <= DIGITS && !(is_zero && digits.len() < cell.len())
}

/// Whether a cell is words without digits, and neither a date nor a truth value in any language.
fn is_plain_word(cell: &str) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic();
    cell.as_bytes().first().is_some_and(is_letter)
        && cell.as_bytes().last().is_some_and(is_letter)
        && cell
            .bytes()
            .all(|byte| is_letter(&byte) || matches!(byte, b'_' | b' ' | b'.'))
        && !TRUTH_VALUES.iter().any(|word| cell.eq_ignore_ascii_case(word))
}

/// A formula that gives this text; `None` if it would be too long.
///
/// The text is cut where a literal becomes too long, and between a `;` and a character that begins a formula: a spreadsheet
/// that is set to another separator begins a new cell there.
fn as_formula(text: &str) -> Option<String> {
    let mut formula = String::from("=\"");
    let (mut length, mut after_separator) = (0_usize, false);
    for character in text.chars() {
        if matches!(character, '\t' | '\r' | '\n') {
            formula.push_str(&format!("\"&CHAR({})&\"", u32::from(character)));
            (length, after_separator) = (0, false);
            continue;
        }
        let is_quote = character == '"';
        let width = character.len_utf16().saturating_add(usize::from(is_quote));
        if length.saturating_add(width) > LITERAL || (after_separator && FORMULA.contains(&character)) {
            formula.push_str("\"&\"");
            length = 0;
        }
        formula.push(character);
        if is_quote {
            formula.push(character);
        }
        length = length.saturating_add(width);
        after_separator = character == ';';
    }
    formula.push('"');
    (formula.encode_utf16().count() <= LONGEST).then_some(formula)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rule by which a reader undoes [`harmless`], as the documentation tells it.
    fn undone(cell: &str) -> String {
        let mut text = String::new();
        let mut at_start = true;
        let mut characters = cell.chars();
        while let Some(mut character) = characters.next() {
            if at_start && character == '\'' {
                let Some(next) = characters.next() else { break };
                character = next;
            }
            text.push(character);
            at_start = SEPARATORS.contains(&character);
        }
        text
    }

    #[test]
    fn formulas_become_text_and_numbers_stay() {
        for (cell, expected) in [
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("+49 123", "'+49 123"),
            ("-alice", "'-alice"),
            ("\t=1", "'\t'=1"),
            ("\r=1", "'\r'=1"),
            ("'alice", "''alice"),
            ("＝1", "'＝1"),
            ("bob;=1", "bob;'=1"),
            ("bob\n=1", "bob\n'=1"),
            ("--1", "'--1"),
            ("-1.", "'-1."),
            ("-", "'-"),
            ("-1.5", "-1.5"),
            ("+20", "+20"),
            ("u-0042", "u-0042"),
            ("a; b", "a; b"),
            ("", ""),
        ] {
            assert_eq!(harmless(cell), expected);
            assert_eq!(undone(&harmless(cell)), cell);
        }
    }

    /// The value that a spreadsheet shows for a cell.
    fn shown(cell: &str) -> String {
        let Some(mut rest) = cell.strip_prefix('=') else {
            return cell.to_owned();
        };
        let mut text = String::new();
        loop {
            if let Some(code) = rest.strip_prefix("CHAR(") {
                let (number, behind) = code.split_once(')').unwrap();
                text.push(char::from(number.parse::<u8>().unwrap()));
                rest = behind;
            } else {
                let mut literal = String::new();
                let mut characters = rest.strip_prefix('"').unwrap().char_indices().peekable();
                let end = loop {
                    match characters.next().unwrap() {
                        (_, '"') if characters.next_if(|(_, next)| *next == '"').is_some() => literal.push('"'),
                        (end, '"') => break end,
                        (_, character) => literal.push(character),
                    }
                };
                assert!(literal.encode_utf16().count() <= LITERAL);
                text.push_str(&literal);
                rest = &rest[end + 2..];
            }
            match rest.strip_prefix('&') {
                Some(next) => rest = next,
                None => break,
            }
        }
        assert_eq!(rest, "");
        text
    }

    #[test]
    fn numbers_that_stay_exact_stay_numbers() {
        for number in [
            "0",
            "7",
            "-1.5",
            "0.000000000000000001",
            "123456789012345",
            "-12345.6789012345",
            "1.50",
        ] {
            assert_eq!(for_spreadsheet(number), number);
        }
        for text in [
            "1234567890123456",
            "12345678901.234567",
            "12345678901234567890.123456789012345678",
            "007",
            "00.5",
            "+20",
            "-0",
            "-0.00",
            ".5",
            "5.",
            "1E5",
            "1e-5",
            "1,5",
            "5%",
            "0x1F",
        ] {
            assert_eq!(for_spreadsheet(text), format!("=\"{text}\""));
        }
    }

    #[test]
    fn words_stay_and_what_a_spreadsheet_would_change_is_text() {
        for word in [
            "ATOM",
            "pool",
            "late_posting",
            "ann",
            "paid twice",
            "softstake.epochs",
            "",
        ] {
            assert_eq!(for_spreadsheet(word), word);
        }
        for text in [
            "MAR1",
            "1-2",
            "1/2",
            "3 May",
            "2026-11-01T00:00:00.000Z",
            "10:30",
            "true",
            "FALSE",
            "Wahr",
            "=1+1",
            "@SUM(A1)",
            "-ann",
            "'ann",
            "#N/A",
            " ann",
            "ann ",
            "u-000042",
            "客户",
            "＝1",
            "a,b",
        ] {
            assert_eq!(for_spreadsheet(text), format!("=\"{text}\""));
        }
        for (text, expected) in [
            ("=cmd|\"/C calc\"!A0", r#"="=cmd|""/C calc""!A0""#),
            ("a\nb", r#"="a"&CHAR(10)&"b""#),
            ("\t=1", r#"=""&CHAR(9)&"=1""#),
            ("bob;=1+1", r#"="bob;"&"=1+1""#),
            ("bob;x", r#"="bob;x""#),
        ] {
            assert_eq!(for_spreadsheet(text), expected);
        }
    }

    #[test]
    fn long_values_are_cut_into_literals_and_the_longest_stay_text() {
        let long = "\"é=".repeat(700);
        let cell = for_spreadsheet(&long);
        assert!(
            cell.starts_with('=') && cell.encode_utf16().count() <= LONGEST,
            "{cell}"
        );
        assert_eq!(shown(&cell), long);
        let longest = "=é".repeat(8_000);
        assert_eq!(for_spreadsheet(&longest), format!("'{longest}"));
    }

    proptest! {
        #[test]
        fn every_cell_can_be_read_back(cell in "[-=+@';\\t\\r\\na1. ]{0,8}|\\PC{0,8}") {
            prop_assert_eq!(undone(&harmless(&cell)), cell);
        }

        #[test]
        fn no_cell_is_a_formula(cell in "[-=+@';\\t\\r\\na1. ]{0,8}") {
            let written = harmless(&cell);
            for part in written.split(SEPARATORS) {
                prop_assert!(!part.starts_with(['=', '+', '-', '@']) || is_number(&cell), "{:?}", written);
            }
        }

        #[test]
        fn a_spreadsheet_shows_every_value(cell in "[-=+@';\"\\t\\r\\na1. &]{0,12}|\\PC{0,8}") {
            let written = for_spreadsheet(&cell);
            prop_assert_eq!(&shown(&written), &cell);
            // Neither the cell nor a piece of it behind another separator begins a formula.
            for piece in written.split([';', '\t', '\r', '\n']).skip(1) {
                prop_assert!(!piece.starts_with(FORMULA), "{:?}", written);
            }
        }
    }
}
