//! Reading a tape: public aggregate trades as comma-separated values.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::generate::error::GenerateError;

/// Opens a tape. One whose name ends in `.gz` is decompressed.
///
/// # Errors
///
/// [`GenerateError::Io`] if the file cannot be opened.
pub fn open(path: &Path) -> Result<Box<dyn Read>, GenerateError> {
    let file = File::open(path).map_err(|error| GenerateError::io(path, error))?;
    let packed = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    if packed {
        Ok(Box::new(MultiGzDecoder::new(file)))
    } else {
        Ok(Box::new(file))
    }
}

/// A decimal number `digits * 10^-scale` of at most 30 digits, without trailing zeros: more than `rust_decimal` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlainDecimal {
    pub(super) digits: u128,
    pub(super) scale: u8,
}

impl PlainDecimal {
    fn parse(text: &str) -> Result<Self, String> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let fraction_digits = fraction.trim_end_matches('0');
        let all = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !all(whole) || !all(fraction) {
            return Err(format!("\"{text}\" is not a decimal number"));
        }
        if whole.len() + fraction_digits.len() > 30 {
            return Err(format!("\"{text}\" has more than 30 digits"));
        }
        let digits = format!("{whole}{fraction_digits}");
        let digits = digits.parse::<u128>().map_err(|error| error.to_string())?;
        let scale = u8::try_from(fraction_digits.len()).map_err(|error| error.to_string())?;
        if digits == 0 {
            return Err(format!("\"{text}\" has to be greater than zero"));
        }
        Ok(Self { digits, scale })
    }
}

/// One trade of the tape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TapeRow {
    /// Line of the file, from 1.
    pub(super) line: u64,
    /// Number of the aggregate trade.
    pub(super) id: u64,
    /// Quote coins per base coin.
    pub(super) price: PlainDecimal,
    /// The price as it was written.
    pub(super) price_text: Box<str>,
    /// Base coins.
    pub(super) quantity: PlainDecimal,
    /// The quantity as it was written.
    pub(super) quantity_text: Box<str>,
    /// Milliseconds since 1970.
    pub(super) time_ms: i64,
    /// Whether the buyer's order was in the book, so the seller was the taker.
    pub(super) buyer_is_maker: bool,
}

const COLUMNS: [&str; 8] = [
    "id",
    "price",
    "quantity",
    "first id",
    "last id",
    "time",
    "buyer is maker",
    "best match",
];

/// Number and name of a column.
pub(super) fn column(index: usize) -> String {
    match COLUMNS.get(index) {
        Some(name) => format!("{} ({name})", index + 1),
        None => (index + 1).to_string(),
    }
}

/// Reads all rows. Blank lines, a byte order mark and a first line with the names of the columns are skipped.
///
/// By hand: the format has no quotes, and errors name the line, which the `csv` crate counts wrongly after a blank line.
pub(super) fn read_rows(csv: impl Read) -> Result<Vec<TapeRow>, GenerateError> {
    let mut rows = Vec::new();
    for (line, text) in (1_u64..).zip(BufReader::new(csv).lines()) {
        let text = text.map_err(GenerateError::Read)?;
        let text = text.trim_start_matches('\u{feff}');
        // Newer files begin with the names of the columns.
        let names_columns = line == 1 && text.starts_with(|first: char| first.is_ascii_alphabetic());
        if !text.trim().is_empty() && !names_columns {
            let row = read_row(line, text.trim_end());
            rows.push(row.map_err(|(index, reason)| GenerateError::Row {
                line,
                column: column(index),
                reason,
            })?);
        }
    }
    Ok(rows)
}

/// A malformed row: the index of the column, and the reason.
pub(super) type RowError = (usize, String);

fn read_row(line: u64, text: &str) -> Result<TapeRow, RowError> {
    let fields: Vec<&str> = text.split(',').collect();
    if fields.len() != COLUMNS.len() {
        let reason = format!("the row has {} columns, not {}", fields.len(), COLUMNS.len());
        return Err((fields.len().min(COLUMNS.len()) - 1, reason));
    }
    let whole = |index: usize| {
        let text = fields[index];
        let number = text.parse::<u64>().ok().filter(|_| !text.starts_with('+'));
        number.ok_or_else(|| (index, format!("\"{text}\" is not a whole number")))
    };
    let decimal = |index: usize| PlainDecimal::parse(fields[index]).map_err(|reason| (index, reason));
    let flag = |index: usize| match fields[index] {
        "True" | "true" => Ok(true),
        "False" | "false" => Ok(false),
        other => Err((index, format!("\"{other}\" is neither True nor False"))),
    };
    let (first, last) = (whole(3)?, whole(4)?);
    if last < first {
        return Err((4, format!("{last} is less than the first id, {first}")));
    }
    // A timestamp holds years up to 9999.
    let time_ms = i64::try_from(whole(5)?).ok();
    let time_ms = time_ms.filter(|&time| time < 253_402_300_800_000);
    let row = TapeRow {
        line,
        id: whole(0)?,
        price: decimal(1)?,
        price_text: fields[1].into(),
        quantity: decimal(2)?,
        quantity_text: fields[2].into(),
        time_ms: time_ms.ok_or_else(|| {
            let reason = format!("{} is no time in milliseconds since 1970", fields[5]);
            (5, reason)
        })?,
        buyer_is_maker: flag(6)?,
    };
    flag(7)?;
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "13519807,0.00141342,23.00000000,15373518,15373518,1570752011620,True,True";

    #[test]
    fn a_row_is_read() {
        let rows = read_rows(format!("{GOOD}\n\n{GOOD}\r\n").as_bytes()).unwrap();
        assert_eq!(rows.len(), 2);
        let named = format!("\u{feff}agg_trade_id,price\r\n\n{GOOD}\n");
        assert_eq!(read_rows(named.as_bytes()).unwrap(), rows[1..]);
        assert_eq!(
            rows[0].price,
            PlainDecimal {
                digits: 141_342,
                scale: 8
            }
        );
        assert_eq!(rows[0].quantity, PlainDecimal { digits: 23, scale: 0 });
        assert_eq!(
            (rows[0].time_ms, rows[0].buyer_is_maker, rows[1].line),
            (1_570_752_011_620, true, 3)
        );
    }

    #[test]
    fn a_malformed_row_is_named() {
        let cases = [
            ("13519807", "x", "column 1 (id)"),
            ("0.00141342", "1e-3", "column 2 (price)"),
            ("0.00141342", "0.0", "column 2 (price)"),
            ("23.00000000", "-23", "column 3 (quantity)"),
            ("23.00000000", "", "column 3 (quantity)"),
            ("15373518,1570", "1,1570", "column 5 (last id)"),
            ("1570752011620", "1570752011620.5", "column 6 (time)"),
            ("1570752011620", "9570752011620000", "column 6 (time)"),
            ("True,True", "yes,True", "column 7 (buyer is maker)"),
            (",True,True", ",True", "column 7 (buyer is maker)"),
            ("True,True", "True,True,True", "column 8 (best match)"),
        ];
        for (from, to, expected) in cases {
            let text = format!("{GOOD}\n{}\n", GOOD.replacen(from, to, 1));
            let error = read_rows(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("line 2, {expected}: ")), "{to}: {error}");
        }
    }
}
