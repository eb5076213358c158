//! Reading a tape: public trades, or aggregate trades, as comma-separated values.

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
    /// The columns of its file.
    pub(super) columns: &'static Columns,
    /// Number of the trade, or of the aggregate trade.
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

/// The columns of one of the files that a public exchange offers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Columns {
    names: &'static [&'static str],
    pub(super) time: usize,
    buyer_is_maker: usize,
    /// The first and the last trade of an aggregate.
    trades: Option<[usize; 2]>,
    /// Price times quantity, which is computed here anyway.
    quote: Option<usize>,
    best_match: Option<usize>,
}

/// Where all files have the price and the quantity.
pub(super) const PRICE: usize = 1;
pub(super) const QUANTITY: usize = 2;

const SPOT_AGGREGATES: Columns = Columns {
    names: &[
        "id",
        "price",
        "quantity",
        "first id",
        "last id",
        "time",
        "buyer is maker",
        "best match",
    ],
    time: 5,
    buyer_is_maker: 6,
    trades: Some([3, 4]),
    quote: None,
    best_match: Some(7),
};
const FUTURES_AGGREGATES: Columns = Columns {
    names: &[
        "id",
        "price",
        "quantity",
        "first id",
        "last id",
        "time",
        "buyer is maker",
    ],
    best_match: None,
    ..SPOT_AGGREGATES
};
const SPOT_TRADES: Columns = Columns {
    names: &[
        "id",
        "price",
        "quantity",
        "quote quantity",
        "time",
        "buyer is maker",
        "best match",
    ],
    time: 4,
    buyer_is_maker: 5,
    trades: None,
    quote: Some(3),
    best_match: Some(6),
};
const FUTURES_TRADES: Columns = Columns {
    names: &["id", "price", "quantity", "quote quantity", "time", "buyer is maker"],
    best_match: None,
    ..SPOT_TRADES
};

impl Columns {
    /// The columns of a file with this row.
    fn of(fields: &[&str]) -> Result<&'static Self, RowError> {
        match fields.len() {
            8 => Ok(&SPOT_AGGREGATES),
            7 if flag(fields[SPOT_TRADES.buyer_is_maker]).is_some() => Ok(&SPOT_TRADES),
            7 => Ok(&FUTURES_AGGREGATES),
            6 => Ok(&FUTURES_TRADES),
            count => {
                let reason = format!("the row has {count} columns; trades have 6 or 7, aggregate trades 7 or 8");
                Err((count.saturating_sub(1), reason))
            }
        }
    }

    /// Number and name of a column.
    pub(super) fn name(&self, index: usize) -> String {
        match self.names.get(index) {
            Some(name) => format!("{} ({name})", index + 1),
            None => (index + 1).to_string(),
        }
    }
}

/// Reads all rows. Blank lines, a byte order mark and a first line with the names of the columns are skipped. The first row tells which columns
/// the file has.
///
/// By hand: the format has no quotes, and errors name the line, which the `csv` crate counts wrongly after a blank line.
pub(super) fn read_rows(csv: impl Read) -> Result<Vec<TapeRow>, GenerateError> {
    let mut rows: Vec<TapeRow> = Vec::new();
    for (line, text) in (1_u64..).zip(BufReader::new(csv).lines()) {
        let text = text.map_err(GenerateError::Read)?;
        let text = text.trim_start_matches('\u{feff}');
        // Newer files begin with the names of the columns.
        let names_columns = line == 1 && text.starts_with(|first: char| first.is_ascii_alphabetic());
        if text.trim().is_empty() || names_columns {
            continue;
        }
        let fields: Vec<&str> = text.trim_end().split(',').collect();
        let columns = match rows.first() {
            Some(first) => Ok(first.columns),
            None => Columns::of(&fields),
        };
        let row = columns.and_then(|columns| read_row(line, &fields, columns));
        rows.push(row.map_err(|(index, reason)| GenerateError::Row {
            line,
            column: columns_or_numbers(&rows, &fields, index),
            reason,
        })?);
    }
    Ok(rows)
}

/// A malformed row: the index of the column, and the reason.
pub(super) type RowError = (usize, String);

/// Number and name of a column, for an error.
fn columns_or_numbers(rows: &[TapeRow], fields: &[&str], index: usize) -> String {
    let columns = rows
        .first()
        .map(|first| first.columns)
        .or_else(|| Columns::of(fields).ok());
    columns.map_or_else(|| (index + 1).to_string(), |columns| columns.name(index))
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "True" | "true" => Some(true),
        "False" | "false" => Some(false),
        _ => None,
    }
}

/// A time in milliseconds since 1970. Newer files have microseconds, which are cut: no year below 5138 has that many milliseconds.
fn time_ms(text: &str) -> Option<i64> {
    let number = text.parse::<u64>().ok().filter(|_| !text.starts_with('+'))?;
    let ms = if number < 100_000_000_000_000 {
        number
    } else {
        number / 1_000
    };
    // A timestamp holds years up to 9999.
    i64::try_from(ms).ok().filter(|&ms| ms < 253_402_300_800_000)
}

fn read_row(line: u64, fields: &[&str], columns: &'static Columns) -> Result<TapeRow, RowError> {
    if fields.len() != columns.names.len() {
        let reason = format!("the row has {} columns, not {}", fields.len(), columns.names.len());
        return Err((fields.len().min(columns.names.len()) - 1, reason));
    }
    let whole = |index: usize| {
        let text = fields[index];
        let number = text.parse::<u64>().ok().filter(|_| !text.starts_with('+'));
        number.ok_or_else(|| (index, format!("\"{text}\" is not a whole number")))
    };
    let decimal = |index: usize| PlainDecimal::parse(fields[index]).map_err(|reason| (index, reason));
    let flag = |index: usize| {
        let text = fields[index];
        flag(text).ok_or_else(|| (index, format!("\"{text}\" is neither True nor False")))
    };
    if let Some([first, last]) = columns.trades
        && whole(last)? < whole(first)?
    {
        return Err((
            last,
            format!("{} is less than the first id, {}", fields[last], fields[first]),
        ));
    }
    columns.quote.map(decimal).transpose()?;
    columns.best_match.map(flag).transpose()?;
    Ok(TapeRow {
        line,
        columns,
        id: whole(0)?,
        price: decimal(PRICE)?,
        price_text: fields[PRICE].into(),
        quantity: decimal(QUANTITY)?,
        quantity_text: fields[QUANTITY].into(),
        time_ms: time_ms(fields[columns.time]).ok_or_else(|| {
            let reason = format!(
                "{} is no time in milliseconds or microseconds since 1970",
                fields[columns.time]
            );
            (columns.time, reason)
        })?,
        buyer_is_maker: flag(columns.buyer_is_maker)?,
    })
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
            ("1570752011620", "957075201162000000", "column 6 (time)"),
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

    #[test]
    fn each_file_that_is_offered_today_is_read() {
        for (name, text) in [
            // Spot aggregates since 2025: microseconds.
            (
                "aggTrades",
                "3358,0.00141342,23.00000000,15373518,15373519,1736899200123456,true,true",
            ),
            (
                "futures aggTrades",
                "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n\
                 3358,0.00141342,23,15373518,15373519,1736899200123,true",
            ),
            (
                "trades",
                "3358,0.00141342,23.00000000,0.03250866,1736899200123456,True,True",
            ),
            (
                "futures trades",
                "id,price,qty,quote_qty,time,is_buyer_maker\n3358,0.00141342,23,0.03250866,1736899200123,true",
            ),
        ] {
            let rows = read_rows(text.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
            let [row] = rows.as_slice() else {
                panic!("{name}: {rows:?}")
            };
            assert_eq!(
                (row.id, row.time_ms, row.buyer_is_maker),
                (3_358, 1_736_899_200_123, true),
                "{name}"
            );
            assert_eq!((&*row.price_text, row.quantity.digits), ("0.00141342", 23), "{name}");
        }
    }

    #[test]
    fn all_rows_have_the_columns_of_the_first() {
        let other = "3358,0.00141342,23,0.03250866,1736899200123,true";
        let error = read_rows(format!("{GOOD}\n{other}").as_bytes())
            .unwrap_err()
            .to_string();
        assert_eq!(error, "line 2, column 6 (time): the row has 6 columns, not 8");
        let error = read_rows(&b"a,b\n1,2"[..]).unwrap_err().to_string();
        assert_eq!(
            error,
            "line 2, column 2: the row has 2 columns; trades have 6 or 7, aggregate trades 7 or 8"
        );
    }
}
