//! Compares the balances of the exchange's own ledger, each at a time, with those that follow from the log.

mod ledger_file;
mod resolution;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;

use ethnum::I256;
use ruint::aliases::U512;
use serde::Serialize;

use crate::bus::Log;
use crate::core::values::account::AccountName;
use crate::core::values::amount::{format_units_wide, parse_wide_units};

use crate::audit::asked::check_listed;
use crate::audit::balances::ledger_file::LedgerRow;
use crate::audit::error::AuditError;
use crate::audit::history::History;
use crate::audit::point_in_time::PointInTime;
use crate::audit::trace;
use crate::audit::trace::{TracedEvent, TracedOutcome};
use crate::audit::traced_accounts::TracedAccounts;
use crate::core::values::asset::Asset;
use crate::core::values::time::TimeMs;

pub use ledger_file::LedgerFileError;
pub use resolution::TimeResolution;

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
    /// How many rows were not compared, because a later row of the same account and asset is in the same step of time.
    pub superseded: u64,
    /// All other rows.
    pub rows: Vec<BalanceRow>,
    /// If rows differ, no resolution was given, and all times of the file are whole seconds: how many of these rows would not differ at a
    /// resolution of one second.
    pub explained_by_whole_seconds: Option<u64>,
    /// How many source records are not ingested yet, and so are in no balance.
    pub not_taken_in: u64,
}

/// Why balances cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum BalancesError {
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error("cannot read the balances: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error(transparent)]
    File(#[from] LedgerFileError),
}

/// A row whose cells could be parsed.
struct ParsedRow {
    /// The number of the asset.
    number: u16,
    decimals: u8,
    /// Since 1970.
    time_ms: i64,
    units: I256,
}

type ParsedRows = Vec<(LedgerRow, Result<ParsedRow, String>)>;

/// Compares the rows of a CSV file with the log on `bus`. Keeps in memory the file, and all postings of its accounts. Without a resolution, each
/// row has the balance after all events up to its time.
///
/// # Errors
/// A failure of the bus, or a file without the needed columns. A malformed row is no error, but a finding.
pub fn compare(
    bus: &dyn Log,
    mut file: impl Read,
    resolution: Option<TimeResolution>,
) -> Result<Balances, BalancesError> {
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let rows = ledger_file::read_rows(&text)?;
    let point = PointInTime::read(bus)?;
    let history = History::of(&point.decisions)?;
    let parse = |row: LedgerRow| {
        let parsed = match &row.wrong {
            Some(why) => Err(why.clone()),
            None => parse(&row.cells, &history),
        };
        (row, parsed)
    };
    let rows: ParsedRows = rows.into_iter().map(parse).collect();
    let accounts = rows
        .iter()
        .filter(|(_, parsed)| parsed.is_ok())
        .map(|(row, _)| row.cells[0].clone());
    let accounts = TracedAccounts::Named(accounts.collect());
    let trace = trace::read(bus, &point, &history, &accounts)?;
    let totals = RunningTotals::of(&trace, &history);
    let mut balances = compare_rows(&rows, &totals, resolution);
    balances.not_taken_in = point.not_ingested();
    let differ = |balances: &Balances| balances.counts().get(&BalanceOutcome::Differs).copied().unwrap_or(0);
    let whole_seconds = || {
        let mut times = rows
            .iter()
            .filter_map(|(_, parsed)| Some(parsed.as_ref().ok()?.time_ms));
        times.all(|time| TimeResolution::SECOND.is_start(time))
    };
    if resolution.is_none() && differ(&balances) > 0 && whole_seconds() {
        let cut = compare_rows(&rows, &totals, Some(TimeResolution::SECOND));
        balances.explained_by_whole_seconds = Some(differ(&balances).saturating_sub(differ(&cut)));
    }
    Ok(balances)
}

fn compare_rows(rows: &ParsedRows, totals: &RunningTotals<'_>, resolution: Option<TimeResolution>) -> Balances {
    let end_ms = |parsed: &ParsedRow| resolution.map_or(parsed.time_ms, |steps| steps.end_ms(parsed.time_ms));
    let last = resolution.map(|_| last_of_each_step(rows, end_ms));
    let mut balances = Balances::default();
    for (index, (row, parsed)) in rows.iter().enumerate() {
        let [account, asset, theirs, time] = row.cells.clone();
        let mut compared = BalanceRow {
            outcome: BalanceOutcome::Malformed,
            line: row.line,
            account,
            asset,
            time,
            theirs,
            ours: None,
            difference: None,
            note: String::new(),
        };
        match parsed {
            Err(why) => compared.note.clone_from(why),
            Ok(parsed) => {
                if last.as_ref().is_some_and(|last| !last.contains(&index)) {
                    balances.superseded += 1;
                    continue;
                }
                let ours = totals.at(&compared.account, parsed.number, end_ms(parsed));
                if ours.unwrap_or_default() == parsed.units {
                    balances.agree += 1;
                    continue;
                }
                if ours.is_none() {
                    compared.note = no_postings(&compared.account);
                }
                let ours = ours.unwrap_or_default();
                compared.outcome = BalanceOutcome::Differs;
                compared.ours = Some(decimal(ours, parsed.decimals));
                compared.difference = Some(decimal(parsed.units.saturating_sub(ours), parsed.decimals));
            }
        }
        balances.rows.push(compared);
    }
    balances
}

/// The index of the last row of each account and asset in each step of time. In a file that runs backwards in time, that is the first.
fn last_of_each_step(rows: &ParsedRows, end_ms: impl Fn(&ParsedRow) -> i64) -> HashSet<usize> {
    let parsed = || rows.iter().filter_map(|(_, parsed)| parsed.as_ref().ok());
    let runs_backwards =
        parsed().is_sorted_by(|a, b| a.time_ms >= b.time_ms) && !parsed().is_sorted_by_key(|row| row.time_ms);
    let mut last: HashMap<(&str, u16, i64), usize> = HashMap::new();
    for (index, (row, parsed)) in rows.iter().enumerate() {
        let Ok(parsed) = parsed else { continue };
        let step = (row.cells[0].as_str(), parsed.number, end_ms(parsed));
        if runs_backwards {
            last.entry(step).or_insert(index);
        } else {
            last.insert(step, index);
        }
    }
    last.into_values().collect()
}

fn no_postings(account: &str) -> String {
    let mut note = "the log has no posting of this asset to this account".to_owned();
    if account.trim() != account {
        note.push_str("; the name begins or ends with a blank, which is part of it");
    }
    note
}

/// Parses the cells of a row. The error names the wrong column, and the reason.
fn parse([account, asset, balance, time]: &[String; 4], history: &History) -> Result<ParsedRow, String> {
    AccountName::new(account).map_err(|error| format!("account: a name that {error}"))?;
    let name: Asset = asset.parse().map_err(|error| format!("asset: {error}"))?;
    let (number, listed) = history.asset(name).ok_or_else(|| not_listed(name, history))?;
    let decimals = listed.terms.decimals;
    let (negative, digits) = balance
        .strip_prefix('-')
        .map_or((false, balance.as_str()), |digits| (true, digits));
    // A point without a digit behind it passes, as spreadsheets write it.
    let digits = digits.strip_suffix('.').unwrap_or(digits);
    let units = parse_wide_units(digits, decimals)
        .and_then(|units| I256::from_str_radix(&units.to_string(), 10).ok())
        .ok_or_else(|| {
            let hint = if balance.contains(',') {
                "; its decimals must follow a point, and thousands must not be separated"
            } else {
                ""
            };
            format!("balance: {balance} is no decimal number of at most {decimals} decimals{hint}")
        })?;
    let time = TimeMs::parse(time).map_err(|error| format!("time: {error}"))?;
    Ok(ParsedRow {
        number,
        decimals,
        time_ms: time.get(),
        units: if negative { -units } else { units },
    })
}

fn not_listed(asset: Asset, history: &History) -> String {
    let error = check_listed(asset, history.listed()).err();
    format!("asset: {}", error.map_or_else(String::new, |error| error.to_string()))
}

/// The balances of accounts after each of their postings.
struct RunningTotals<'s>(HashMap<(&'s str, u16), Vec<(i64, I256)>>);

impl<'s> RunningTotals<'s> {
    /// Adds up all postings, in the order of their times. An opening balance counts from its asset's anchor.
    fn of(trace: &'s [TracedEvent], history: &History) -> Self {
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
                let time = time.unwrap_or(i64::MIN);
                all.entry(key).or_default().push((time, I256::new(posting.delta)));
            }
        }
        for postings in all.values_mut() {
            postings.sort_by_key(|(time, _)| *time);
            let mut total = I256::ZERO;
            for (_, delta) in postings {
                total = total.saturating_add(*delta);
                *delta = total;
            }
        }
        Self(all)
    }

    /// The balance after all events up to a time; `None` without any posting at all.
    fn at(&self, account: &str, number: u16, time_ms: i64) -> Option<I256> {
        let totals = self.0.get(&(account, number))?;
        let after = totals.partition_point(|(time, _)| *time <= time_ms);
        let total = after.checked_sub(1).and_then(|last| totals.get(last));
        Some(total.map_or(I256::ZERO, |(_, total)| *total))
    }
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
