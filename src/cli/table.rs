//! Tables and numbers for people.

use std::fmt;

use comfy_table::{CellAlignment, ColumnConstraint, LineStyle, Table, TableStyle, Width};
use indicatif::HumanCount;
use unicode_width::UnicodeWidthStr;

use crate::cli::message::escaped;
use crate::cli::outcome::Outcome;
use crate::cli::output::{Output, write_line};

/// Only a line below the names of the columns: rows stay easy to cut out and to compare.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// The blanks around the content of a column, and between two columns.
const PADDING: usize = 2;
const GAP: usize = 1;

/// A column of sentences is not made narrower than this: more would be read with difficulty.
const NARROWEST: usize = 16;

/// A terminal is taken for at least this wide.
const MIN_TERMINAL: usize = 40;

/// A table under construction. Cells may hold text from outside, so each is escaped for the terminal.
///
/// On a terminal, no line is wider than the terminal, and nothing is left out. A table that is too wide wraps its cells between words. If
/// that is not enough, each row becomes a block with a line for each of its cells. Elsewhere, each row is one line.
pub(super) struct TextTable {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

struct Column {
    name: String,
    /// The column has numbers, aligned to the right and never wrapped.
    is_number: bool,
    /// The width of the widest cell.
    whole: usize,
    /// The least width to which the column can be wrapped.
    least: usize,
}

impl Column {
    fn new(name: &str) -> Self {
        let (name, is_number) = match name.strip_prefix('>') {
            Some(name) => (escaped(name), true),
            None => (escaped(name), false),
        };
        // A column has at least one cell of the terminal.
        let (whole, least) = (name.width().max(1), widest_word(&name).max(1));
        Self {
            name,
            is_number,
            whole,
            least,
        }
    }

    /// Makes room for a cell.
    fn add(&mut self, cell: &str) {
        let width = cell.width();
        self.whole = self.whole.max(width);
        let least = if self.is_number {
            width
        } else {
            widest_word(cell).max(width.min(NARROWEST))
        };
        self.least = self.least.max(least);
    }
}

fn widest_word(text: &str) -> usize {
    text.split(' ').map(UnicodeWidthStr::width).max().unwrap_or_default()
}

impl TextTable {
    /// A table with these columns. A name that starts with `>` makes a column of numbers, aligned to the right.
    pub(super) fn new<T: AsRef<str>>(columns: &[T]) -> Self {
        Self {
            columns: columns.iter().map(|name| Column::new(name.as_ref())).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, which has a cell for each column.
    pub(super) fn row<T: fmt::Display>(&mut self, cells: impl IntoIterator<Item = T>) {
        let row: Vec<_> = cells.into_iter().map(|cell| escaped(&cell.to_string())).collect();
        for (column, cell) in self.columns.iter_mut().zip(&row) {
            column.add(cell);
        }
        self.rows.push(row);
    }

    pub(super) fn write(&self, out: &mut Output<'_>) -> Outcome {
        let whole: Vec<_> = self.columns.iter().map(|column| column.whole).collect();
        let Some(columns) = out.columns().map(|columns| columns.max(MIN_TERMINAL)) else {
            return write_lines(&self.laid_out(&whole), out);
        };
        match self.widths(columns) {
            Some(widths) => write_lines(&self.laid_out(&widths), out),
            None => self.write_blocks(columns, out),
        }
    }

    /// The widths of the columns in a terminal: those that are too wide get an equal share of it. None if the table does not fit.
    fn widths(&self, columns: usize) -> Option<Vec<usize>> {
        let each = PADDING.saturating_add(GAP);
        let blanks = each.saturating_mul(self.columns.len()).saturating_sub(GAP);
        let room = columns.checked_sub(blanks)?;
        (0..=room).rev().find_map(|share| {
            let width = |column: &Column| column.whole.min(share.max(column.least));
            let widths: Vec<_> = self.columns.iter().map(width).collect();
            let used = widths.iter().fold(0_usize, |sum, width| sum.saturating_add(*width));
            (used <= room).then_some(widths)
        })
    }

    /// The table with columns of these widths.
    fn laid_out(&self, widths: &[usize]) -> Table {
        let mut table = Table::new();
        table.load_style(STYLE);
        table.set_header(self.columns.iter().map(|column| &column.name));
        for row in &self.rows {
            table.add_row(row);
        }
        for ((shown, column), width) in table.column_iter_mut().zip(&self.columns).zip(widths) {
            shown.set_constraint(fixed(*width));
            if column.is_number {
                shown.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    /// Writes each row as a block. A cell without text has no line.
    fn write_blocks(&self, columns: usize, out: &mut Output<'_>) -> Outcome {
        let widest = self.columns.iter().map(|column| column.name.width()).max();
        let name_width = widest.unwrap_or_default().min(columns / 3).max(1);
        let value_width = columns.saturating_sub(name_width.saturating_add(2 * PADDING));
        for (index, row) in self.rows.iter().enumerate() {
            if index > 0 {
                write_line!(out)?;
            }
            let mut block = Table::new();
            block.load_style(TableStyle::new());
            let cells = self.columns.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
            for (column, cell) in cells {
                block.add_row([&column.name, cell]);
            }
            for (shown, width) in block.column_iter_mut().zip([name_width, value_width]) {
                shown.set_constraint(fixed(width));
            }
            write_lines(&block, out)?;
        }
        Ok(())
    }
}

/// The width of a column without its padding. A width beyond any terminal is none: the column is as wide as its content.
fn fixed(width: usize) -> ColumnConstraint {
    u16::try_from(width.saturating_add(PADDING)).map_or(ColumnConstraint::ContentWidth, |width| {
        ColumnConstraint::Absolute(Width::Fixed(width))
    })
}

fn write_lines(table: &Table, out: &mut Output<'_>) -> Outcome {
    table.trim_fmt().lines().try_for_each(|line| write_line!(out, "{line}"))
}

/// A count with separated thousands: `12,477`.
pub(super) fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// A count of things: `1 record`, `2 records`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// The first digits of a Merkle root, enough to tell it from others.
pub(super) fn short_root(root: &str) -> &str {
    root.get(..12).unwrap_or(root)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::cli::output::{captured_at, text};

    #[test]
    fn thousands_are_separated() {
        for (number, expected) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(count(number), expected);
        }
        assert_eq!(counted(1, "seal", "seals"), "1 seal");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut table = TextTable::new(&["account", ">amount"]);
        table.row(["\u{1b}[2Jmallory", "1.5"]);
        let text = text(|out| table.write(out));
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(text.contains("mallory"), "{text}");
    }

    /// The lines of a table on a terminal of this width.
    fn shown(table: &TextTable, columns: usize) -> String {
        let (outcome, text) = captured_at(Some(columns), |out| table.write(out));
        outcome.unwrap();
        text
    }

    #[test]
    fn a_table_that_fits_is_the_same_everywhere() {
        let mut table = TextTable::new(&["account", ">amount", "why"]);
        table.row(["ann", "1.5", "a deposit of an account"]);
        let whole = text(|out| table.write(out));
        assert_eq!(
            whole,
            " account   amount   why\n\
             ────────────────────────────────────────────\n\
             \x20ann          1.5   a deposit of an account\n"
        );
        for columns in [44, 80, 100_000] {
            assert_eq!(shown(&table, columns), whole);
        }
        assert_ne!(shown(&table, 43), whole);
    }

    #[test]
    fn sentences_are_wrapped_between_words_and_numbers_are_not() {
        let mut table = TextTable::new(&["account", ">average balance", "why"]);
        table.row(["ann", "12345678.123", "the account's status excludes it"]);
        table.row(["ben", "1", "none"]);
        assert_eq!(
            shown(&table, 44),
            " account         average   why\n\
             \x20                balance\n\
             ────────────────────────────────────────────\n\
             \x20ann        12345678.123   the account's\n\
             \x20                          status excludes\n\
             \x20                          it\n\
             \x20ben                   1   none\n"
        );
    }

    #[test]
    fn rows_that_do_not_fit_become_blocks() {
        let mut table = TextTable::new(&["account", "", ">amount", "note"]);
        table.row([
            "客户".repeat(12).as_str(),
            "late",
            "12345678901234567890.123456789012345678",
            "",
        ]);
        table.row(["ann", "", "1", "second"]);
        assert_eq!(
            shown(&table, 40),
            " account  客户客户客户客户客户客户客户\n\
             \x20         客户客户客户客户客户\n\
             \x20         late\n\
             \x20amount   12345678901234567890.12345678\n\
             \x20         9012345678\n\
             \n\
             \x20account  ann\n\
             \x20amount   1\n\
             \x20note     second\n"
        );
    }

    #[test]
    fn credentials_are_hidden_before_a_cell_is_wrapped() {
        let mut table = TextTable::new(&["setting", "value", "from", "variable"]);
        let place = format!("s3://user:{}@host/bucket", "secret".repeat(10));
        table.row(["place", &place, "SOFTSTAKE_PLACE", "SOFTSTAKE_PLACE"]);
        assert!(!shown(&table, 60).contains("secret"));
    }

    proptest! {
        #[test]
        fn every_line_fits_and_no_character_is_lost(
            cells in vec(vec("[a-z0-9.]{0,50}|[客a ]{0,40}|([a-z]{1,9} ){0,9}", 5), 1..4),
            columns in 40_usize..200,
        ) {
            let mut table = TextTable::new(&["account", ">average balance", "", "in words of a sentence", ">n"]);
            for row in &cells {
                table.row(row);
            }
            let text = shown(&table, columns);
            for line in text.lines() {
                prop_assert!(line.width() <= columns, "{} of {columns} in\n{text}", line.width());
            }
            let characters = |text: &str| {
                let mut all: Vec<char> = text.chars().filter(|one| one.is_alphanumeric()).collect();
                all.sort_unstable();
                all
            };
            let mut expected = String::new();
            let is_block = !text.contains('─');
            for row in &cells {
                for (name, cell) in table.columns.iter().zip(row) {
                    if is_block && !cell.is_empty() {
                        expected.push_str(&name.name);
                    }
                    expected.push_str(cell);
                }
            }
            if !is_block {
                table.columns.iter().for_each(|column| expected.push_str(&column.name));
            }
            prop_assert_eq!(characters(&text), characters(&expected), "{}", text);
        }
    }
}
