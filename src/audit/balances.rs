//! Holds balances that somebody else has, at times they name, against what the log gives.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;

use ethnum::I256;
use ruint::aliases::U512;
use serde::Serialize;

use crate::bus::Log;
use crate::core::values::account::check_account;
use crate::core::values::amount::format_units_wide;

use crate::audit::error::AuditError;
use crate::audit::history::History;
use crate::audit::point_in_time::PointInTime;
use crate::audit::published;
use crate::audit::trace;
use crate::audit::trace::{TracedEvent, TracedOutcome};
use crate::core::values::asset::Asset;
use crate::core::values::time::TimeMs;

/// What a row comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Both say the same.
    Agrees,
    /// They do not.
    Differs,
    /// The row cannot be read, or its asset is not listed.
    Malformed,
}

/// A row, and what the log says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BalanceRow {
    /// What it comes to.
    pub verdict: Verdict,
    /// Its line in the file.
    pub line: u64,
    /// The account.
    pub account: String,
    /// The asset.
    pub asset: String,
    /// The time.
    pub time: String,
    /// What the file has.
    pub theirs: String,
    /// What the log gives.
    pub ours: Option<String>,
    /// Theirs less ours.
    pub difference: Option<String>,
    /// What more there is to say.
    pub note: String,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Balances {
    /// Rows that agree.
    pub agree: u64,
    /// All others.
    pub rows: Vec<BalanceRow>,
    /// Source records that were not taken in yet, and so are in no balance.
    pub not_taken_in: u64,
}

/// Why balances cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum BalancesError {
    /// The replay.
    #[error(transparent)]
    Replay(#[from] AuditError),
    /// The file.
    #[error("cannot read the balances: {0}")]
    File(#[from] csv::Error),
    /// The file has other columns.
    #[error("the balances have no column {0}: the first line has to name account, asset, balance and time")]
    NoColumn(&'static str),
}

/// What a row asks.
struct Asked {
    line: u64,
    fields: [String; 4],
    meant: Result<Meant, String>,
}

struct Meant {
    number: u16,
    decimals: u8,
    at_ms: i64,
    units: I256,
}

const COLUMNS: [&str; 4] = ["account", "asset", "balance", "time"];

/// Compares the rows of a CSV file with what the log on `bus` gives. It keeps the file in memory, and of the log the postings of the accounts it names.
///
/// # Errors
/// What the bus says; a file without the columns there have to be. A bad row is none: it is found.
pub fn compare(bus: &dyn Log, file: impl Read) -> Result<Balances, BalancesError> {
    let point = PointInTime::read(bus)?;
    let history = History::of(&point.decisions)?;
    let asked = rows(file, &history)?;
    let accounts: HashSet<String> = asked
        .iter()
        .filter(|row| row.meant.is_ok())
        .map(|row| row.fields[0].clone())
        .collect();
    let trace = trace::read(bus, &point, &history, &accounts)?;
    let postings = postings(&trace, &history);
    let mut balances = Balances {
        not_taken_in: point.not_taken_in(),
        ..Balances::default()
    };
    for Asked { line, fields, meant } in asked {
        let [account, asset, theirs, time] = fields;
        let mut row = BalanceRow {
            verdict: Verdict::Malformed,
            line,
            account,
            asset,
            time,
            theirs,
            ours: None,
            difference: None,
            note: String::new(),
        };
        match meant {
            Err(why) => row.note = why,
            Ok(meant) => {
                let known = postings.get(&(row.account.as_str(), meant.number));
                let before = known.into_iter().flatten().filter(|(at, _)| *at <= meant.at_ms);
                let ours = before.fold(I256::ZERO, |sum, (_, delta)| sum.saturating_add(*delta));
                if ours == meant.units {
                    balances.agree += 1;
                    continue;
                }
                row.verdict = Verdict::Differs;
                row.ours = Some(shown(ours, meant.decimals));
                row.difference = Some(shown(meant.units.saturating_sub(ours), meant.decimals));
                if known.is_none() {
                    row.note = "the log has no posting of this asset to this account".into();
                }
            }
        }
        balances.rows.push(row);
    }
    Ok(balances)
}

fn rows(file: impl Read, history: &History) -> Result<Vec<Asked>, BalancesError> {
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(file);
    let header = reader.headers()?.clone();
    let mut places = [0; 4];
    for (place, name) in places.iter_mut().zip(COLUMNS) {
        let found = header
            .iter()
            .position(|column| column.trim_start_matches('\u{feff}') == name);
        *place = found.ok_or(BalancesError::NoColumn(name))?;
    }
    let mut asked = Vec::new();
    for record in reader.byte_records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |place: usize| String::from_utf8_lossy(record.get(place).unwrap_or_default()).into_owned();
        let fields = places.map(field);
        let meant = meant(&fields, history);
        asked.push(Asked { line, fields, meant });
    }
    Ok(asked)
}

/// What a row means, or which column is wrong, and how.
fn meant([account, asset, balance, time]: &[String; 4], history: &History) -> Result<Meant, String> {
    check_account(account).map_err(|error| format!("account: a name that {error}"))?;
    let name: Asset = asset.parse().map_err(|error| format!("asset: {error}"))?;
    let (number, listed) = history
        .asset(name)
        .ok_or_else(|| format!("asset: {asset} is not listed"))?;
    let decimals = listed.terms.decimals;
    let (negative, digits) = balance
        .strip_prefix('-')
        .map_or((false, balance.as_str()), |digits| (true, digits));
    let units = published::units(digits, decimals)
        .and_then(|units| I256::from_str_radix(&units.to_string(), 10).ok())
        .ok_or_else(|| format!("balance: {balance} is no decimal number of at most {decimals} decimals"))?;
    let at = TimeMs::parse(time).map_err(|error| format!("time: {error}"))?;
    Ok(Meant {
        number,
        decimals,
        at_ms: at.get(),
        units: if negative { -units } else { units },
    })
}

/// When each posting happened, and by how much, by account and asset. An opening balance happens at its asset's anchor.
fn postings<'s>(trace: &'s [TracedEvent], history: &History) -> HashMap<(&'s str, u16), Vec<(i64, I256)>> {
    let mut all: HashMap<(&str, u16), Vec<(i64, I256)>> = HashMap::new();
    for event in trace {
        let TracedOutcome::Applied { postings, .. } = &event.outcome else {
            continue;
        };
        for posting in postings {
            let anchor = history.anchor_ms(posting.at.number);
            let time = match event.kind.as_str() {
                "exchange.opening_balance.v1" => anchor,
                _ => TimeMs::parse(&event.time).ok().map(TimeMs::get),
            };
            let key = (&*posting.account, posting.at.number);
            // An event that was applied has a time.
            all.entry(key)
                .or_default()
                .push((time.unwrap_or(i64::MIN), I256::new(posting.delta)));
        }
    }
    all
}

fn shown(units: I256, decimals: u8) -> String {
    let magnitude = U512::from_le_slice(&units.unsigned_abs().to_le_bytes());
    format_units_wide(units < I256::ZERO, magnitude, u32::from(decimals))
}

impl Balances {
    /// How many rows of each kind there are.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Verdict, u64> {
        let mut counts = BTreeMap::from([(Verdict::Agrees, self.agree)]);
        for row in &self.rows {
            *counts.entry(row.verdict).or_default() += 1;
        }
        counts
    }
}
