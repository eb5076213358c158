//! Rows as a Parquet file.
//!
//! The crate of Arrow's Parquet without Arrow: columns are collected here, and written as row groups of a bounded size. Amounts are texts: 18 decimals and
//! more than 20 digits before them do not fit into the 38 digits of DECIMAL, and not every reader has those.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use crate::audit::export::row::{ColumnKind, ExportCell, ExportColumn};
use crate::cli::export::whole_file::WholeFile;

/// A row group has at most so many rows, and about so many bytes of texts. So the memory does not grow with the file.
const ROWS: usize = 65_536;
const BYTES: usize = 32 << 20;

pub(super) struct ParquetFile {
    writer: SerializedFileWriter<WholeFile>,
    columns: Vec<CollectedColumn>,
    rows: usize,
    bytes: usize,
}

/// The cells of a column in the row group that is being collected.
struct CollectedColumn {
    kind: ColumnKind,
    is_optional: bool,
    /// For each row whether its cell is there, if the column is optional.
    is_there: Vec<i16>,
    /// All texts, and where each ends.
    texts: Vec<u8>,
    ends: Vec<usize>,
    numbers: Vec<i64>,
    truths: Vec<bool>,
}

impl ParquetFile {
    pub(super) fn create(file: WholeFile, columns: &[ExportColumn]) -> Result<Self> {
        let schema = Arc::new(parse_message_type(&schema(columns))?);
        let properties = WriterProperties::builder()
            .set_created_by(concat!("softstake version ", env!("CARGO_PKG_VERSION")).into())
            .set_compression(Compression::SNAPPY)
            // Indexes of pages would be kept in memory up to the end.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .build();
        Ok(Self {
            writer: SerializedFileWriter::new(file, schema, Arc::new(properties))?,
            columns: columns.iter().map(CollectedColumn::new).collect(),
            rows: 0,
            bytes: 0,
        })
    }

    pub(super) fn row(&mut self, cells: &[ExportCell<'_>]) -> Result<()> {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            self.bytes = self.bytes.saturating_add(column.push(cell)?);
        }
        self.rows += 1;
        if self.rows >= ROWS || self.bytes >= BYTES {
            self.write_group()?;
        }
        Ok(())
    }

    fn write_group(&mut self) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            let mut writer = group
                .next_column()?
                .ok_or_else(|| ParquetError::General("the schema has too few columns".into()))?;
            column.write(&mut writer)?;
            writer.close()?;
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }

    /// Writes what is still in memory. Returns the file.
    pub(super) fn finish(mut self) -> Result<WholeFile> {
        if self.rows > 0 {
            self.write_group()?;
        }
        self.writer.into_inner()
    }
}

/// The schema in the words of the format.
fn schema(columns: &[ExportColumn]) -> String {
    let mut schema = String::from("message softstake {\n");
    for column in columns {
        let repetition = if column.is_optional { "optional" } else { "required" };
        let name = column.name;
        let field = match column.kind {
            ColumnKind::Text => format!("binary {name} (STRING)"),
            ColumnKind::Number => format!("int64 {name} (INTEGER(64,true))"),
            ColumnKind::Time => format!("int64 {name} (TIMESTAMP(MILLIS,true))"),
            ColumnKind::Truth => format!("boolean {name}"),
        };
        schema.push_str(&format!("  {repetition} {field};\n"));
    }
    schema.push('}');
    schema
}

impl CollectedColumn {
    const fn new(column: &ExportColumn) -> Self {
        Self {
            kind: column.kind,
            is_optional: column.is_optional,
            is_there: Vec::new(),
            texts: Vec::new(),
            ends: Vec::new(),
            numbers: Vec::new(),
            truths: Vec::new(),
        }
    }

    /// Takes a cell. Returns its bytes.
    fn push(&mut self, cell: &ExportCell<'_>) -> Result<usize> {
        if self.is_optional {
            self.is_there.push(i16::from(*cell != ExportCell::Empty));
        }
        match (self.kind, *cell) {
            (ColumnKind::Text, ExportCell::Text(text)) => {
                self.texts.extend_from_slice(text.as_bytes());
                self.ends.push(self.texts.len());
                return Ok(text.len());
            }
            (ColumnKind::Number, ExportCell::Number(number)) => {
                let number = i64::try_from(number);
                self.numbers
                    .push(number.map_err(|_| ParquetError::General("a number has more than 63 bits".into()))?);
            }
            (ColumnKind::Time, ExportCell::Time(time)) => self.numbers.push(time.get()),
            (ColumnKind::Truth, ExportCell::Truth(truth)) => self.truths.push(truth),
            (_, ExportCell::Empty) if self.is_optional => {}
            (kind, cell) => {
                return Err(ParquetError::General(format!("{cell:?} in a column of {kind:?}")));
            }
        }
        Ok(size_of::<i64>())
    }

    /// Writes the cells, and forgets them.
    fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<()> {
        let is_there = self.is_optional.then_some(self.is_there.as_slice());
        match writer.untyped() {
            ColumnWriter::ByteArrayColumnWriter(writer) => {
                let texts = Bytes::from(std::mem::take(&mut self.texts));
                let mut start = 0;
                let slices = self.ends.iter().map(|end| {
                    let text = texts.slice(start..*end);
                    start = *end;
                    ByteArray::from(text)
                });
                let slices: Vec<ByteArray> = slices.collect();
                writer.write_batch(&slices, is_there, None)?;
            }
            ColumnWriter::Int64ColumnWriter(writer) => {
                writer.write_batch(&self.numbers, is_there, None)?;
            }
            ColumnWriter::BoolColumnWriter(writer) => {
                writer.write_batch(&self.truths, is_there, None)?;
            }
            _ => return Err(ParquetError::General("a column of an unknown type".into())),
        }
        self.is_there.clear();
        self.ends.clear();
        self.numbers.clear();
        self.truths.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    use super::*;

    const COLUMNS: [ExportColumn; 2] = [ExportColumn::number("epoch"), ExportColumn::text("apr").optional()];

    #[test]
    fn row_groups_are_bounded_by_rows_and_by_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        let long = "x".repeat(BYTES / 2);
        let mut file = ParquetFile::create(WholeFile::create(&path).unwrap(), &COLUMNS).unwrap();
        let rows = 2 * ROWS as u64;
        for number in 0..rows + 5 {
            let text = if number < rows { "1" } else { &long };
            let text = if number % 2 == 0 {
                ExportCell::Text(text)
            } else {
                ExportCell::Empty
            };
            file.row(&[ExportCell::Number(number), text]).unwrap();
        }
        file.finish().unwrap().finish().unwrap();
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let groups: Vec<_> = reader
            .metadata()
            .row_groups()
            .iter()
            .map(|group| group.num_rows())
            .collect();
        // Of the last five rows, two of the three long texts fill a row group.
        assert_eq!(groups, [ROWS as i64, ROWS as i64, 3, 2]);
        let mut expected = 0;
        for row in reader.get_row_iter(None).unwrap() {
            let row = row.unwrap();
            let [epoch, apr] = [0, 1].map(|number| row.get_column_iter().nth(number).unwrap().1.clone());
            assert_eq!(epoch, Field::Long(expected));
            assert_eq!(matches!(apr, Field::Null), expected % 2 == 1);
            expected += 1;
        }
        assert_eq!(expected as u64, rows + 5);
    }

    #[test]
    fn a_cell_of_another_kind_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        let mut file = ParquetFile::create(WholeFile::create(&path).unwrap(), &COLUMNS).unwrap();
        for cells in [
            [ExportCell::Empty, ExportCell::Empty],
            [ExportCell::Text("1"), ExportCell::Empty],
            [ExportCell::Number(u64::MAX), ExportCell::Empty],
        ] {
            assert!(file.row(&cells).is_err(), "{cells:?}");
        }
    }
}
