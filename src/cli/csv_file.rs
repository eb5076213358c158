//! Results as a CSV file. No cell of it is a formula to a spreadsheet.

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;

use crate::cli::outcome::{Failure, Outcome};
use crate::cli::private::create_result;

pub(super) struct CsvFile<'a> {
    path: &'a Path,
    writer: csv::Writer<File>,
}

impl<'a> CsvFile<'a> {
    /// Creates the file, or replaces it, and writes the names of the columns.
    pub(super) fn create(path: &'a Path, columns: &[&str]) -> Result<Self, Failure> {
        let file = create_result(path).map_err(|error| failed(path, &error.into()))?;
        let writer = csv::Writer::from_writer(file);
        let mut file = Self { path, writer };
        file.row(columns)?;
        Ok(file)
    }

    pub(super) fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) -> Outcome {
        for cell in cells {
            let written = self.writer.write_field(harmless(cell.as_ref()).as_bytes());
            written.map_err(|error| failed(self.path, &error))?;
        }
        let ended = self.writer.write_record(None::<&[u8]>);
        ended.map_err(|error| failed(self.path, &error))
    }

    /// Writes what is still in memory. Dropping the file instead would hide an error.
    pub(super) fn finish(mut self) -> Outcome {
        let flushed = self.writer.flush();
        flushed.map_err(|error| failed(self.path, &error.into()))
    }
}

fn failed(path: &Path, error: &csv::Error) -> Failure {
    Failure::Failed(format!("cannot write {}: {error}", path.display()))
}

/// A spreadsheet that is set to another separator begins a new cell behind one of these, even inside quotation marks.
const SEPARATORS: [char; 4] = [';', '\t', '\r', '\n'];

/// With one of these, also in full width, a spreadsheet begins a formula. The apostrophe is among them so that the rule can be undone.
const FORMULA: [char; 12] = ['=', '+', '-', '@', '\t', '\r', '\n', '\'', '＝', '＋', '－', '＠'];

/// Makes a cell text to a spreadsheet, if it is no number: an apostrophe is put in front of each character that begins a formula, at the
/// start of the cell or behind a separator. To undo it, remove one apostrophe at each of these places that has one.
fn harmless(cell: &str) -> Cow<'_, str> {
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
    }
}
