//! Results as a CSV file. No cell of it is a formula of somebody else to a spreadsheet.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use clap::Args;

use crate::cli::csv_cell::{for_spreadsheet, harmless};
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::private::create_result;

/// It tells a spreadsheet that a file is UTF-8.
pub(super) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Who reads a CSV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CsvForm {
    /// A program: UTF-8 without a byte order mark, and values as they are, but for the apostrophes of [`harmless`].
    Exact,
    /// A spreadsheet: with a byte order mark, which tells the encoding, and values that it shows as they are.
    Spreadsheet,
}

/// The form of a CSV file.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct SpreadsheetFlag {
    /// Write the CSV file for Excel or LibreOffice: values that a spreadsheet would change are written as text
    #[arg(long, requires = "csv")]
    spreadsheet: bool,
}

impl SpreadsheetFlag {
    pub(super) const fn form(self) -> CsvForm {
        if self.spreadsheet {
            CsvForm::Spreadsheet
        } else {
            CsvForm::Exact
        }
    }
}

pub(super) struct CsvFile<'a> {
    path: &'a Path,
    form: CsvForm,
    writer: csv::Writer<File>,
}

impl<'a> CsvFile<'a> {
    /// Creates the file, or replaces it, and writes the names of the columns.
    pub(super) fn create(path: &'a Path, form: CsvForm, columns: &[&str]) -> Result<Self, Failure> {
        let mut file = create_result(path).map_err(|error| failed(path, &error.into()))?;
        if form == CsvForm::Spreadsheet {
            file.write_all(BYTE_ORDER_MARK.as_bytes())
                .map_err(|error| failed(path, &error.into()))?;
        }
        let writer = csv::Writer::from_writer(file);
        let mut file = Self { path, form, writer };
        file.row(columns)?;
        Ok(file)
    }

    pub(super) fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) -> Outcome {
        for cell in cells {
            let cell = match self.form {
                CsvForm::Exact => harmless(cell.as_ref()),
                CsvForm::Spreadsheet => for_spreadsheet(cell.as_ref()),
            };
            let written = self.writer.write_field(cell.as_bytes());
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
