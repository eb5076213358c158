//! Columns and cells of an export.

use crate::audit::export::ExportError;
use crate::core::values::time::TimeMs;

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// A text. Amounts are texts too, so that no reader rounds them.
    Text,
    /// A whole number.
    Number,
    /// A moment, to the millisecond.
    Time,
    /// Yes or no.
    Truth,
}

/// A column of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportColumn {
    pub name: &'static str,
    pub kind: ColumnKind,
    /// Whether a cell may be empty.
    pub is_optional: bool,
}

impl ExportColumn {
    const fn new(name: &'static str, kind: ColumnKind) -> Self {
        Self {
            name,
            kind,
            is_optional: false,
        }
    }

    pub(crate) const fn text(name: &'static str) -> Self {
        Self::new(name, ColumnKind::Text)
    }

    pub(crate) const fn number(name: &'static str) -> Self {
        Self::new(name, ColumnKind::Number)
    }

    pub(crate) const fn time(name: &'static str) -> Self {
        Self::new(name, ColumnKind::Time)
    }

    pub(crate) const fn truth(name: &'static str) -> Self {
        Self::new(name, ColumnKind::Truth)
    }

    /// The same, but a cell may be empty.
    pub(crate) const fn optional(self) -> Self {
        Self {
            is_optional: true,
            ..self
        }
    }
}

/// One cell of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportCell<'a> {
    Text(&'a str),
    Number(u64),
    Time(TimeMs),
    Truth(bool),
    Empty,
}

impl<'a> ExportCell<'a> {
    pub(crate) fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Empty, Self::Text)
    }
}

/// What rows are written to.
pub trait RowSink {
    /// Takes a row, with a cell for each column.
    ///
    /// # Errors
    /// `ExportError::Write`.
    fn row(&mut self, cells: &[ExportCell<'_>]) -> Result<(), ExportError>;
}
