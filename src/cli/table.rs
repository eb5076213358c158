//! Tables and numbers for people.

use std::fmt;

use comfy_table::{CellAlignment, LineStyle, TableStyle};
use indicatif::HumanCount;

use crate::cli::outcome::Outcome;
use crate::cli::output::{Output, write_line};
use crate::core::values::printable::escape_for_terminal;

/// Only a line below the names of the columns: rows stay easy to cut out and to compare.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table under construction. Cells may hold text from outside, so each is escaped for the terminal.
pub(super) struct TextTable(comfy_table::Table);

impl TextTable {
    /// A table with these columns. A name that starts with `>` makes a column of numbers, aligned to the right.
    pub(super) fn new<T: AsRef<str>>(columns: &[T]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(STYLE);
        let names = columns.iter().map(AsRef::as_ref);
        table.set_header(
            names
                .clone()
                .map(|name| escape_for_terminal(name.trim_start_matches('>')).into_owned()),
        );
        for (index, name) in names.enumerate() {
            if name.starts_with('>')
                && let Some(column) = table.column_mut(index)
            {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self(table)
    }

    pub(super) fn row<T: fmt::Display>(&mut self, cells: impl IntoIterator<Item = T>) {
        let escaped = |cell: T| escape_for_terminal(&cell.to_string()).into_owned();
        self.0.add_row(cells.into_iter().map(escaped).collect::<Vec<_>>());
    }

    pub(super) fn write(&self, out: &mut Output<'_>) -> Outcome {
        self.0
            .trim_fmt()
            .lines()
            .try_for_each(|line| write_line!(out, "{line}"))
    }
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
    use super::*;
    use crate::cli::output::text;

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
}
