//! Reads the exchange's own ledger: a CSV file with one balance in each row.
//!
//! Spreadsheets and databases write such files in several ways. The separator, a byte order mark and the spelling of the column names are
//! recognised. An account's name is taken as it is: a blank in it makes it another name.

use csv::ByteRecord;

/// Why a file cannot be read as a ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerFileError {
    #[error(
        "the file has no rows; its first line must name the columns account, asset, balance and time, and each other line has a balance"
    )]
    Empty,
    #[error(
        "the file has no column {column}; its first line must name the columns account, asset, balance and time, but names {}",
        found.join(", ")
    )]
    NoColumn {
        column: &'static str,
        /// The columns that its first line names.
        found: Vec<String>,
    },
    #[error("the file has two columns {column}; keep the one that counts")]
    TwoColumns { column: &'static str },
    #[error("cannot read the file as CSV: {0}")]
    Csv(#[from] csv::Error),
}

/// The needed columns, in the order of [`LedgerRow::cells`].
const COLUMNS: [&str; 4] = ["account", "asset", "balance", "time"];

/// The separators of columns that are recognised. With equal results, the first counts.
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];

/// A row of the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LedgerRow {
    /// Counts from 1.
    pub line: u64,
    /// Account, asset, balance and time. Blanks around the last three are removed.
    pub cells: [String; 4],
    /// Why the cells cannot be read.
    pub wrong: Option<String>,
}

/// Reads all rows. A row that cannot be read is no error.
pub(crate) fn read_rows(file: &[u8]) -> Result<Vec<LedgerRow>, LedgerFileError> {
    let (separator, start) = separator(file)?;
    let table = file.get(start..).unwrap_or_default();
    let mut records = reader(table, separator).into_byte_records();
    let header = records.next().ok_or(LedgerFileError::Empty)??;
    let indexes = columns(&header)?;
    let mut rows = Vec::new();
    let mut counted = (0, 1 + count_lines(file.get(..start).unwrap_or_default()));
    for record in records {
        let record = record?;
        let byte = record.position().map_or(0, csv::Position::byte);
        // The reader sets the position of a row before it skips blank lines.
        let blank = table.iter().skip(usize::try_from(byte).unwrap_or(usize::MAX));
        let blank = blank.take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let byte = usize::try_from(byte).unwrap_or(usize::MAX).saturating_add(blank);
        let (before, line) = counted;
        let line = line + count_lines(table.get(before..byte).unwrap_or_default());
        counted = (byte, line);
        rows.push(read_row(&record, header.len(), indexes, line));
    }
    if rows.is_empty() {
        return Err(LedgerFileError::Empty);
    }
    Ok(rows)
}

fn reader(table: &[u8], separator: u8) -> csv::Reader<&[u8]> {
    let mut builder = csv::ReaderBuilder::new();
    builder.delimiter(separator).flexible(true).has_headers(false);
    builder.from_reader(table)
}

fn count_lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

/// The separator of columns, and where the line with their names starts. A first line such as `sep=;` names it. Otherwise it is the one with
/// which most of the needed columns are there.
fn separator(file: &[u8]) -> Result<(u8, usize), csv::Error> {
    let first = file.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    if let [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', separator] = first.trim_ascii_end() {
        return Ok((*separator, first.len()));
    }
    let mut best = (SEPARATORS[0], 0);
    for separator in SEPARATORS {
        let Some(header) = reader(file, separator).into_byte_records().next() else {
            break;
        };
        let names: Vec<String> = header?.iter().map(name_of).collect();
        let found = COLUMNS.iter().filter(|column| names.iter().any(|name| name == *column));
        let found = found.count();
        if found > best.1 {
            best = (separator, found);
        }
    }
    Ok((best.0, 0))
}

/// The name of a column, in small letters and without blanks around it.
fn name_of(cell: &[u8]) -> String {
    let text = String::from_utf8_lossy(cell);
    text.trim_start_matches('\u{feff}').trim().to_lowercase()
}

/// Finds the needed columns.
fn columns(header: &ByteRecord) -> Result<[usize; 4], LedgerFileError> {
    let names: Vec<String> = header.iter().map(name_of).collect();
    let mut indexes = [0; 4];
    for (slot, column) in indexes.iter_mut().zip(COLUMNS) {
        let mut found = names.iter().enumerate().filter(|(_, name)| *name == column);
        *slot = match (found.next(), found.next()) {
            (Some((index, _)), None) => index,
            (Some(_), Some(_)) => return Err(LedgerFileError::TwoColumns { column }),
            (None, _) => return Err(LedgerFileError::NoColumn { column, found: names }),
        };
    }
    Ok(indexes)
}

fn read_row(record: &ByteRecord, width: usize, indexes: [usize; 4], line: u64) -> LedgerRow {
    let mut wrong = None;
    if record.len() != width {
        wrong = Some(format!("the row has {} of {width} cells", record.len()));
    }
    let mut cells: [String; 4] = Default::default();
    for ((cell, column), index) in cells.iter_mut().zip(COLUMNS).zip(indexes) {
        let bytes = record.get(index).unwrap_or_default();
        if std::str::from_utf8(bytes).is_err() {
            wrong.get_or_insert_with(|| format!("{column}: the cell is not UTF-8; save the file as UTF-8"));
        }
        let text = String::from_utf8_lossy(bytes);
        // A blank is part of an account's name, and of nothing else.
        *cell = if column == "account" { &*text } else { text.trim() }.to_owned();
    }
    LedgerRow { line, cells, wrong }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(file: &str) -> Vec<[String; 4]> {
        let rows = read_rows(file.as_bytes()).unwrap();
        assert!(rows.iter().all(|row| row.wrong.is_none()), "{rows:?}");
        rows.into_iter().map(|row| row.cells).collect()
    }

    #[test]
    fn every_spelling_of_a_file_gives_the_same_rows() {
        let expected = cells("account,asset,balance,time\nann ,A,1.5,T\n\"b;e,n\n\",A,2,T\n");
        assert_eq!(expected[0], ["ann ", "A", "1.5", "T"]);
        assert_eq!(expected[1], ["b;e,n\n", "A", "2", "T"]);
        for file in [
            "account;asset;balance;time\nann ;A;1.5;T\n\"b;e,n\n\";A;2;T\n",
            "account\tasset\tbalance\ttime\r\nann \tA\t1.5\tT\r\n\"b;e,n\n\"\tA\t2\tT\r\n",
            "\u{feff}Account,ASSET, Balance ,Time\nann , A , 1.5 ,T \n\"b;e,n\n\",A,2,T",
            "\u{feff}\"Account\";\"Asset\";\"Balance\";\"Time\"\n\"ann \";\"A\";\"1.5\";\"T\"\n\n\"b;e,n\n\";A;2;T\n",
            "sep=;\r\ntime;note;balance;asset;account\r\nT;x,y;1.5;A;ann \r\nT;;2;A;\"b;e,n\n\"\r\n",
        ] {
            assert_eq!(cells(file), expected, "{file}");
        }
    }

    #[test]
    fn a_file_without_the_columns_is_refused_by_name() {
        for (file, expected) in [
            ("", "the file has no rows"),
            ("account,asset,balance,time\n", "the file has no rows"),
            ("account;asset;time\na;b;c\n", "no column balance"),
            ("konto,asset,balance,time\n", "but names konto, asset, balance, time"),
            ("account,asset,balance,time,Account\n", "two columns account"),
            ("account.asset.balance.time\n", "no column account"),
        ] {
            let error = read_rows(file.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{file}: {error}");
        }
    }

    #[test]
    fn a_wrong_row_is_named_by_its_line() {
        let file = b"sep=,\naccount,asset,balance,time\n\n\nann,A,1\nben,A,1,T,x\n\n\"c\nd\",A,1,T\n\xff,A,1,T\n";
        let rows = read_rows(file).unwrap();
        let wrong: Vec<_> = rows.iter().map(|row| (row.line, row.wrong.as_deref())).collect();
        assert_eq!(
            wrong,
            [
                (5, Some("the row has 3 of 4 cells")),
                (6, Some("the row has 5 of 4 cells")),
                (8, None),
                (10, Some("account: the cell is not UTF-8; save the file as UTF-8")),
            ]
        );
    }
}
