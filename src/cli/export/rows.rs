//! Rows as CSV, as JSON lines or as Parquet, into a file or to stdout.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::audit::export::ExportError;
use crate::audit::export::row::{ExportCell, ExportColumn, RowSink};
use crate::cli::csv_cell::{for_spreadsheet, harmless};
use crate::cli::csv_file::BYTE_ORDER_MARK;
use crate::cli::export::parquet_file::ParquetFile;
use crate::cli::export::whole_file::WholeFile;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::table::counted;
use crate::core::values::printable::{escape_for_terminal, escape_json};

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    Csv,
    Jsonl,
    Parquet,
}

/// Where an export goes, and in which form.
#[derive(Debug, Args)]
pub(super) struct RowFlags {
    /// The form of the rows: CSV with the names of the columns, a JSON object on each line, or Parquet, which needs --out
    #[arg(long, value_enum, default_value = "csv")]
    format: ExportFormat,
    /// The file to write, instead of standard output; only its owner may read it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write CSV for Excel or LibreOffice: values that a spreadsheet would change are written as text
    #[arg(long, requires = "out")]
    spreadsheet: bool,
}

impl RowFlags {
    pub(super) fn check(&self) -> Outcome {
        if self.format == ExportFormat::Parquet && self.out.is_none() {
            return Err(Failure::Usage(
                "a Parquet file cannot go to standard output: name it with --out".into(),
            ));
        }
        if self.spreadsheet && self.format != ExportFormat::Csv {
            return Err(Failure::Usage("--spreadsheet is for --format csv alone".into()));
        }
        Ok(())
    }

    /// Whether rows go to standard output.
    pub(super) const fn is_stdout(&self) -> bool {
        self.out.is_none()
    }

    /// Says what a file has.
    pub(super) fn told(&self, rows: u64, out: &mut Output<'_>) -> Outcome {
        match &self.out {
            Some(path) => write_line!(out, "{} in {}", counted(rows, "row", "rows"), path.display()),
            None => Ok(()),
        }
    }

    /// Begins an export. Nothing is written to standard output before the first row.
    pub(super) fn writer<'a, 'b>(
        &self,
        columns: &'static [ExportColumn],
        out: &'a mut Output<'b>,
    ) -> Result<RowWriter<'a, 'b>, Failure> {
        let to = match &self.out {
            Some(path) => RowTarget::File(WholeFile::create(path)?),
            None => RowTarget::Results(out),
        };
        let name = self
            .out
            .as_ref()
            .map_or_else(|| "the results".to_owned(), |path| path.display().to_string());
        let rows = match (self.format, to) {
            (ExportFormat::Parquet, RowTarget::File(file)) => RowForm::Parquet(Box::new(
                ParquetFile::create(file, columns)
                    .map_err(|error| Failure::Failed(format!("cannot write {name}: {error}")))?,
            )),
            (ExportFormat::Jsonl, to) => RowForm::JsonLines(to, Vec::new()),
            (_, to) => RowForm::Csv {
                is_for_terminal: matches!(to, RowTarget::Results(_)),
                is_for_spreadsheet: self.spreadsheet,
                writer: Box::new(csv::Writer::from_writer(to)),
            },
        };
        Ok(RowWriter {
            name,
            columns,
            has_begun: false,
            rows,
        })
    }
}

/// What bytes are written to.
enum RowTarget<'a, 'b> {
    File(WholeFile),
    Results(&'a mut Output<'b>),
}

impl Write for RowTarget<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Results(out) => match out.verbatim(bytes) {
                Ok(()) => Ok(bytes.len()),
                Err(failure) => Err(io::Error::other(format!("{failure:?}"))),
            },
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Results(_) => Ok(()),
        }
    }
}

enum RowForm<'a, 'b> {
    Csv {
        writer: Box<csv::Writer<RowTarget<'a, 'b>>>,
        is_for_terminal: bool,
        is_for_spreadsheet: bool,
    },
    /// The target, and a line.
    JsonLines(RowTarget<'a, 'b>, Vec<u8>),
    Parquet(Box<ParquetFile>),
}

/// Writes rows.
pub(super) struct RowWriter<'a, 'b> {
    /// Of the file.
    name: String,
    columns: &'static [ExportColumn],
    has_begun: bool,
    rows: RowForm<'a, 'b>,
}

impl RowWriter<'_, '_> {
    /// Writes the names of the columns once, where a form has them.
    fn begin(&mut self) -> io::Result<()> {
        if self.has_begun {
            return Ok(());
        }
        self.has_begun = true;
        if let RowForm::Csv {
            writer,
            is_for_spreadsheet,
            ..
        } = &mut self.rows
        {
            let mark = if *is_for_spreadsheet { BYTE_ORDER_MARK } else { "" };
            for (number, column) in self.columns.iter().enumerate() {
                let mark = if number == 0 { mark } else { "" };
                writer.write_field(format!("{mark}{}", column.name))?;
            }
            writer.write_record(None::<&[u8]>)?;
        }
        Ok(())
    }

    fn write_row(&mut self, cells: &[ExportCell<'_>]) -> io::Result<()> {
        self.begin()?;
        match &mut self.rows {
            RowForm::Csv {
                writer,
                is_for_terminal,
                is_for_spreadsheet,
            } => {
                for cell in cells {
                    write_cell(writer, cell, *is_for_terminal, *is_for_spreadsheet)?;
                }
                Ok(writer.write_record(None::<&[u8]>)?)
            }
            RowForm::JsonLines(to, line) => {
                line.clear();
                write_object(line, self.columns, cells)?;
                // serde_json writes UTF-8.
                let text = std::str::from_utf8(line).map_err(io::Error::other)?;
                to.write_all(escape_json(text).as_bytes())
            }
            RowForm::Parquet(file) => Ok(file.row(cells)?),
        }
    }

    /// Writes what is still in memory, and gives a file its name. Dropping the writer instead leaves no file.
    pub(super) fn finish(mut self) -> Outcome {
        let name = std::mem::take(&mut self.name);
        let failed = |why: String| Failure::Failed(format!("cannot write {name}: {why}"));
        self.begin().map_err(|error| failed(error.to_string()))?;
        let to = match self.rows {
            RowForm::Csv { writer, .. } => writer.into_inner().map_err(|error| failed(error.error().to_string()))?,
            RowForm::JsonLines(to, _) => to,
            RowForm::Parquet(file) => RowTarget::File(file.finish().map_err(|error| failed(error.to_string()))?),
        };
        match to {
            RowTarget::File(file) => file.finish(),
            RowTarget::Results(_) => Ok(()),
        }
    }
}

impl RowSink for RowWriter<'_, '_> {
    fn row(&mut self, cells: &[ExportCell<'_>]) -> Result<(), ExportError> {
        self.write_row(cells).map_err(|error| ExportError::Write {
            file: self.name.clone(),
            why: error.to_string(),
        })
    }
}

fn write_cell(
    writer: &mut csv::Writer<RowTarget<'_, '_>>,
    cell: &ExportCell<'_>,
    is_for_terminal: bool,
    is_for_spreadsheet: bool,
) -> io::Result<()> {
    let text = |text: &str, writer: &mut csv::Writer<_>| {
        let text = if is_for_spreadsheet {
            for_spreadsheet(text)
        } else {
            harmless(text)
        };
        // Standard output may be a terminal, or become one: it gets no character that a terminal executes.
        match is_for_terminal {
            true => writer.write_field(escape_for_terminal(&text).as_bytes()),
            false => writer.write_field(text.as_bytes()),
        }
    };
    match cell {
        ExportCell::Text(cell) => text(cell, writer),
        ExportCell::Time(time) => text(&time.to_string(), writer),
        ExportCell::Number(number) => writer.write_field(itoa::Buffer::new().format(*number)),
        ExportCell::Truth(truth) => text(if *truth { "true" } else { "false" }, writer),
        ExportCell::Empty => writer.write_field(""),
    }?;
    Ok(())
}

/// Appends a row as a JSON object. Only numbers and truths are no strings.
fn write_object(line: &mut Vec<u8>, columns: &[ExportColumn], cells: &[ExportCell<'_>]) -> io::Result<()> {
    for (number, (column, cell)) in columns.iter().zip(cells).enumerate() {
        line.push(if number == 0 { b'{' } else { b',' });
        serde_json::to_writer(&mut *line, column.name)?;
        line.push(b':');
        match cell {
            ExportCell::Text(text) => serde_json::to_writer(&mut *line, text)?,
            ExportCell::Time(time) => serde_json::to_writer(&mut *line, &time.to_string())?,
            ExportCell::Number(number) => serde_json::to_writer(&mut *line, number)?,
            ExportCell::Truth(truth) => serde_json::to_writer(&mut *line, truth)?,
            ExportCell::Empty => line.extend_from_slice(b"null"),
        }
    }
    line.extend_from_slice(b"}\n");
    Ok(())
}
