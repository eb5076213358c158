//! The rows of a tape, and what follows from them.

use crate::generate::draws::{Draws, Purpose, Streams};
use crate::generate::error::GenerateError;
use crate::generate::tape::csv::TapeRow;
use crate::generate::tape::settings::Tape;
use crate::generate::tape::sides::Sides;
use crate::generate::text::{DAY_MS, power_of_ten};

/// The tape's rows and what follows from them.
pub(super) struct TapePlan<'a> {
    pub(super) tape: &'a Tape,
    pub(super) rows: Vec<TapeRow>,
    pub(super) anchor_ms: i64,
    pub(super) epochs: u32,
    /// Mean of the trades' base and quote amounts, in units. All other amounts are multiples of it.
    pub(super) mean: [u128; 2],
    streams: Streams,
}

impl<'a> TapePlan<'a> {
    pub(super) fn new(tape: &'a Tape, rows: Vec<TapeRow>) -> Result<Self, GenerateError> {
        let (Some(first), Some(last_ms)) = (rows.first(), rows.iter().map(|row| row.time_ms).max()) else {
            return Err(GenerateError::EmptyTape);
        };
        let anchor_ms = first.time_ms - first.time_ms.rem_euclid(DAY_MS);
        let mut sum = [0_u128; 2];
        for row in &rows {
            let reject = |index: usize, reason: &str| GenerateError::Row {
                line: row.line,
                column: row.columns.name(index),
                reason: reason.to_owned(),
            };
            if row.time_ms < anchor_ms {
                return Err(reject(row.columns.time, "the time is before the day of the first row"));
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
    pub(super) fn draws(&self, index: usize) -> Draws {
        self.streams.at(index as u64)
    }

    /// How many accounts trade. The accounts from this number on only hold.
    pub(super) fn traders(&self) -> u64 {
        self.tape.accounts - self.tape.accounts / 8
    }

    pub(super) fn asset(&self, side: usize) -> (&str, u8) {
        match side {
            0 => (&self.tape.base, self.tape.base_decimals),
            _ => (&self.tape.quote, self.tape.quote_decimals),
        }
    }

    /// `times` the mean trade, cut to three significant digits, as people enter amounts. At least one unit.
    pub(super) fn amount(&self, side: usize, times: u64, draws: &mut Draws) -> u128 {
        let percent = u128::from(50 + draws.below(101));
        let units = (self.mean[side] * u128::from(times) * percent / 100).max(1);
        let grain = power_of_ten(units.ilog10().saturating_sub(2));
        units - units % grain
    }
}
