//! A bus made from a tape of public trades: the trades as they were, between accounts that are drawn, with the balances
//! that these need.

mod control;
pub(crate) mod csv;
mod events;
mod funding;
mod records;

use std::io::Read;
use std::path::Path;

use crate::generate::GenerateError;
use crate::generate::bus::Bus;
use crate::generate::draws::{Draws, Purpose, Streams};
use crate::generate::tape::csv::Row;
use crate::generate::tape::events::{Act, Entry, Sides};
use crate::generate::text::{DAY_MS, power_of_ten};

/// What a tape is a tape of, and who is to trade on it.
#[derive(Debug, Clone)]
pub struct Tape {
    /// The asset that is bought and sold, such as `XRP`.
    pub base: String,
    /// The asset that it is paid in, such as `ETH`.
    pub quote: String,
    /// Decimals of the base asset's unit, 0 to 18.
    pub base_decimals: u8,
    /// Decimals of the quote asset's unit, 0 to 18.
    pub quote_decimals: u8,
    /// Accounts, at least 8. The last eighth of them hold and never trade.
    pub accounts: u64,
    /// Partitions of each source topic, 1 to 128.
    pub partitions: u32,
    /// Equal tapes with equal settings and an equal seed give equal bytes.
    pub seed: u64,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TapeSummary {
    /// Trades of the tape.
    pub trades: u64,
    /// Opening balances, deposits, withdrawals and transfers beside them.
    pub transfers: u64,
    /// Status events.
    pub statuses: u64,
    /// Deposits that stand a day behind their time.
    pub behind: u64,
    /// Second copies; the last one of them differs from the first.
    pub duplicates: u64,
    /// Records made to be refused.
    pub bad: u64,
    /// Records on the control topic.
    pub control: u64,
    /// Epochs (days) that the tape covers to their end, and so closes per asset.
    pub epochs: u32,
    /// Start of epoch 0: the UTC midnight before the first row, in milliseconds since 1970.
    pub anchor_ms: i64,
    /// Bytes written.
    pub bytes: u64,
}

/// The tape's rows and what follows from them.
pub(crate) struct Plan<'a> {
    pub(crate) tape: &'a Tape,
    pub(crate) rows: Vec<Row>,
    pub(crate) anchor_ms: i64,
    pub(crate) epochs: u32,
    /// Mean of the trades' base and quote amounts, in units: the measure of all other amounts.
    pub(crate) mean: [u128; 2],
    streams: Streams,
}

/// Writes a bus for the tape at `root`, which has to be empty. `progress` is told the number of records written so far.
///
/// # Errors
///
/// [`GenerateError::Setting`], [`GenerateError::Row`], [`GenerateError::EmptyTape`] and [`GenerateError::Read`] before
/// anything is written; [`GenerateError::NotEmpty`], [`GenerateError::Io`].
pub fn write_tape(
    root: &Path,
    csv: impl Read,
    tape: &Tape,
    progress: &mut dyn FnMut(u64),
) -> Result<TapeSummary, GenerateError> {
    check(tape)?;
    let plan = Plan::new(tape, csv::read_rows(csv)?)?;
    let entries = plan.entries();
    let openings = funding::openings(&plan, &entries);
    let mut summary = TapeSummary {
        epochs: plan.epochs,
        anchor_ms: plan.anchor_ms,
        ..TapeSummary::default()
    };
    let mut bus = Bus::open(root, tape.partitions, true)?;
    summary.control += control::listings(&plan, &mut bus)?;
    bus.flush_control()?;
    for (n, entry) in openings.iter().chain(&entries).enumerate() {
        records::write(&plan, entry, &mut bus, &mut summary)?;
        if n.is_multiple_of(1 << 12) {
            progress(n as u64);
        }
    }
    bus.flush_sources()?;
    let held = funding::held(&openings);
    summary.control += control::closes(&plan, held, &mut bus)?;
    bus.flush_control()?;
    summary.bytes = bus.bytes;
    progress((openings.len() + entries.len()) as u64);
    Ok(summary)
}

fn check(tape: &Tape) -> Result<(), GenerateError> {
    for (setting, name) in [("base", &tape.base), ("quote", &tape.quote)] {
        let fits = (1..=16).contains(&name.len()) && name.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9'));
        if !fits {
            let expected = "1 to 16 of A-Z and 0-9";
            return Err(GenerateError::setting(setting, name, expected));
        }
    }
    if tape.base == tape.quote {
        let expected = "another asset than the base";
        return Err(GenerateError::setting("quote", &tape.quote, expected));
    }
    for (setting, value, least, most, expected) in [
        ("base_decimals", u64::from(tape.base_decimals), 0, 18, "0 to 18"),
        ("quote_decimals", u64::from(tape.quote_decimals), 0, 18, "0 to 18"),
        ("accounts", tape.accounts, 8, 100_000_000, "8 to 100,000,000"),
        ("partitions", u64::from(tape.partitions), 1, 128, "1 to 128"),
    ] {
        if !(least..=most).contains(&value) {
            return Err(GenerateError::setting(setting, value, expected));
        }
    }
    Ok(())
}

impl<'a> Plan<'a> {
    fn new(tape: &'a Tape, rows: Vec<Row>) -> Result<Self, GenerateError> {
        let (Some(first), Some(last_ms)) = (rows.first(), rows.iter().map(|row| row.time_ms).max()) else {
            return Err(GenerateError::EmptyTape);
        };
        let anchor_ms = first.time_ms - first.time_ms.rem_euclid(DAY_MS);
        let mut sum = [0_u128; 2];
        for row in &rows {
            let reject = |index: usize, reason: &str| GenerateError::Row {
                line: row.line,
                column: csv::column(index),
                reason: reason.to_owned(),
            };
            if row.time_ms < anchor_ms {
                return Err(reject(5, "the time is before the day of the first row"));
            }
            let sides = Sides::of(tape, row).map_err(|(index, reason)| reject(index, &reason))?;
            sum[0] += sides.base;
            sum[1] += sides.quote;
        }
        let count = rows.len() as u128;
        Ok(Self {
            tape,
            anchor_ms,
            epochs: u32::try_from((last_ms - anchor_ms) / DAY_MS).unwrap_or(u32::MAX),
            mean: sum.map(|sum| (sum / count).max(1)),
            streams: Streams::new(tape.seed, 0, Purpose::Tape),
            rows,
        })
    }

    /// The draws of row or extra event number `index`.
    pub(crate) fn draws(&self, index: usize) -> Draws {
        self.streams.at(index as u64)
    }

    /// Accounts that trade; those from here on only hold.
    pub(crate) fn traders(&self) -> u64 {
        self.tape.accounts - self.tape.accounts / 8
    }

    pub(crate) fn asset(&self, side: usize) -> (&str, u8) {
        match side {
            0 => (&self.tape.base, self.tape.base_decimals),
            _ => (&self.tape.quote, self.tape.quote_decimals),
        }
    }

    /// `times` the mean trade, cut to three significant digits, as people enter amounts; at least one unit.
    pub(crate) fn amount(&self, side: usize, times: u64, draws: &mut Draws) -> u128 {
        let percent = u128::from(50 + draws.below(101));
        let units = (self.mean[side] * u128::from(times) * percent / 100).max(1);
        let grain = power_of_ten(units.ilog10().saturating_sub(2));
        units - units % grain
    }

    /// Everything but the opening balances, in the order in which it is written.
    fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = events::extras(self);
        entries.extend(self.rows.iter().enumerate().map(|(row, at)| Entry {
            written_ms: at.time_ms,
            time_ms: at.time_ms,
            act: Act::Trade { row },
        }));
        entries.sort_by_key(|entry| entry.written_ms);
        entries
    }
}
