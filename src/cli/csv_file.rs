//! Results as a CSV file.

use std::fs::File;
use std::path::Path;

use crate::cli::outcome::{Failure, Outcome};

pub(super) struct CsvFile<'a> {
    path: &'a Path,
    writer: csv::Writer<File>,
}

impl<'a> CsvFile<'a> {
    /// Creates the file, or replaces it, and writes the names of the columns.
    pub(super) fn create(path: &'a Path, columns: &[&str]) -> Result<Self, Failure> {
        let writer = csv::Writer::from_path(path).map_err(|error| failed(path, &error))?;
        let mut file = Self { path, writer };
        file.row(columns)?;
        Ok(file)
    }

    pub(super) fn row<T: AsRef<[u8]>>(&mut self, cells: impl IntoIterator<Item = T>) -> Outcome {
        let written = self.writer.write_record(cells);
        written.map_err(|error| failed(self.path, &error))
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
