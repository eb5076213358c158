//! Compares the balances of somebody else's books, each at a time, with those that follow from the log.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;

use ethnum::I256;
use ruint::aliases::U512;
use serde::Serialize;

use crate::bus::Log;
use crate::core::values::account::AccountName;
use crate::core::values::amount::{format_units_wide, parse_wide_units};

use crate::audit::error::AuditError;
use crate::audit::history::History;
use crate::audit::point_in_time::PointInTime;
use crate::audit::trace;
use crate::audit::trace::{TracedEvent, TracedOutcome};
use crate::core::values::asset::Asset;
use crate::core::values::time::TimeMs;

/// The result for one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BalanceOutcome {
    Agrees,
    Differs,
    /// The row cannot be read, or its asset is not listed.
    Malformed,
}

/// A row of the file, compared with the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BalanceRow {
    #[serde(rename = "verdict")]
    pub outcome: BalanceOutcome,
    /// Counts from 1.
    pub line: u64,
    pub account: String,
    pub asset: String,
    pub time: String,
    /// The balance in the file.
    pub theirs: String,
    /// The balance that follows from the log; `None` for a malformed row.
    pub ours: Option<String>,
    /// `theirs` minus `ours`.
    pub difference: Option<String>,
    /// An explanation, or empty.
    pub note: String,
}

/// The result of a comparison.
#[derive(Debug, Default, Serialize)]
pub struct Balances {
    /// How many rows agree.
    pub agree: u64,
    /// All other rows.
    pub rows: Vec<BalanceRow>,
    /// How many source records are not ingested yet, and so are in no balance.
    pub not_taken_in: u64,
}

/// Why balances cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum BalancesError {
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error("cannot read the balances: {0}")]
    File(#[from] csv::Error),
    #[error("the balances have no column {0}; the first line must name the columns account, asset, balance and time")]
    NoColumn(&'static str),
}

/// A row of the file.
struct FileRow {
    line: u64,
    /// As written, in the order of [`COLUMNS`].
    fields: [String; 4],
    /// The parsed fields, or what is wrong with them.
    parsed: Result<ParsedRow, String>,
}

struct ParsedRow {
    /// The number of the asset.
    number: u16,
    decimals: u8,
    /// Since 1970.
    time_ms: i64,
    units: I256,
}

const COLUMNS: [&str; 4] = ["account", "asset", "balance", "time"];

/// Compares the rows of a CSV file with the log on `bus`. Keeps in memory the file, and all postings of its accounts.
///
/// # Errors
/// A failure of the bus, or a file without the needed columns. A malformed row is no error, but a finding.
pub fn compare(bus: &dyn Log, file: impl Read) -> Result<Balances, BalancesError> {
    let point = PointInTime::read(bus)?;
    let history = History::of(&point.decisions)?;
    let rows = read_rows(file, &history)?;
    let accounts: HashSet<String> = rows
        .iter()
        .filter(|row| row.parsed.is_ok())
        .map(|row| row.fields[0].clone())
        .collect();
    let trace = trace::read(bus, &point, &history, &accounts)?;
    let postings = postings(&trace, &history);
    let mut balances = Balances {
        not_taken_in: point.not_ingested(),
        ..Balances::default()
    };
    for FileRow { line, fields, parsed } in rows {
        let [account, asset, theirs, time] = fields;
        let mut row = BalanceRow {
            outcome: BalanceOutcome::Malformed,
            line,
            account,
            asset,
            time,
            theirs,
            ours: None,
            difference: None,
            note: String::new(),
        };
        match parsed {
            Err(why) => row.note = why,
            Ok(parsed) => {
                let known = postings.get(&(row.account.as_str(), parsed.number));
                let before = known
                    .into_iter()
                    .flatten()
                    .filter(|(time_ms, _)| *time_ms <= parsed.time_ms);
                let ours = before.fold(I256::ZERO, |sum, (_, delta)| sum.saturating_add(*delta));
                if ours == parsed.units {
                    balances.agree += 1;
                    continue;
                }
                row.outcome = BalanceOutcome::Differs;
                row.ours = Some(decimal(ours, parsed.decimals));
                row.difference = Some(decimal(parsed.units.saturating_sub(ours), parsed.decimals));
                if known.is_none() {
                    row.note = "the log has no posting of this asset to this account".into();
                }
            }
        }
        balances.rows.push(row);
    }
    Ok(balances)
}

fn read_rows(file: impl Read, history: &History) -> Result<Vec<FileRow>, BalancesError> {
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(file);
    let header = reader.headers()?.clone();
    let mut indexes = [0; 4];
    for (index, name) in indexes.iter_mut().zip(COLUMNS) {
        let found = header
            .iter()
            .position(|column| column.trim_start_matches('\u{feff}') == name);
        *index = found.ok_or(BalancesError::NoColumn(name))?;
    }
    let mut rows = Vec::new();
    for record in reader.byte_records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |index: usize| String::from_utf8_lossy(record.get(index).unwrap_or_default()).into_owned();
        let fields = indexes.map(field);
        let parsed = parse(&fields, history);
        rows.push(FileRow { line, fields, parsed });
    }
    Ok(rows)
}

/// Parses a row. The error names the wrong column, and the reason.
fn parse([account, asset, balance, time]: &[String; 4], history: &History) -> Result<ParsedRow, String> {
    AccountName::new(account).map_err(|error| format!("account: a name that {error}"))?;
    let name: Asset = asset.parse().map_err(|error| format!("asset: {error}"))?;
    let (number, listed) = history
        .asset(name)
        .ok_or_else(|| format!("asset: {asset} is not listed"))?;
    let decimals = listed.terms.decimals;
    let (negative, digits) = balance
        .strip_prefix('-')
        .map_or((false, balance.as_str()), |digits| (true, digits));
    // A point without a digit behind it passes, as spreadsheets write it.
    let digits = digits.strip_suffix('.').unwrap_or(digits);
    let units = parse_wide_units(digits, decimals)
        .and_then(|units| I256::from_str_radix(&units.to_string(), 10).ok())
        .ok_or_else(|| format!("balance: {balance} is no decimal number of at most {decimals} decimals"))?;
    let time = TimeMs::parse(time).map_err(|error| format!("time: {error}"))?;
    Ok(ParsedRow {
        number,
        decimals,
        time_ms: time.get(),
        units: if negative { -units } else { units },
    })
}

/// The time and the units of each posting, by account and number of the asset. An opening balance counts from its asset's anchor.
fn postings<'s>(trace: &'s [TracedEvent], history: &History) -> HashMap<(&'s str, u16), Vec<(i64, I256)>> {
    let mut all: HashMap<(&str, u16), Vec<(i64, I256)>> = HashMap::new();
    for event in trace {
        let TracedOutcome::Applied { postings, .. } = &event.outcome else {
            continue;
        };
        for posting in postings {
            let anchor = history.anchor_ms(posting.at.number());
            let time = match event.event_type.as_str() {
                "exchange.opening_balance.v1" => anchor,
                _ => TimeMs::parse(&event.time).ok().map(TimeMs::get),
            };
            let key = (&*posting.account, posting.at.number());
            // The time of an applied event is always valid.
            all.entry(key)
                .or_default()
                .push((time.unwrap_or(i64::MIN), I256::new(posting.delta)));
        }
    }
    all
}

fn decimal(units: I256, decimals: u8) -> String {
    let magnitude = U512::from_le_slice(&units.unsigned_abs().to_le_bytes());
    format_units_wide(units < I256::ZERO, magnitude, u32::from(decimals))
}

impl Balances {
    /// How many rows have each outcome.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<BalanceOutcome, u64> {
        let mut counts = BTreeMap::from([(BalanceOutcome::Agrees, self.agree)]);
        for row in &self.rows {
            *counts.entry(row.outcome).or_default() += 1;
        }
        counts
    }
}
