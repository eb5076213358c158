//! One stage of the synthetic bus: which record has which index.

use crate::generate::catalogue::ANCHOR_MS;
use crate::generate::draws::{Draws, Purpose, Streams};
use crate::generate::events::{Market, Slot, SyntheticEvent};
use crate::generate::json::{Json, Style};
use crate::generate::spec::Synthetic;
use crate::generate::text::DAY_MS;

/// The kind of the record at one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordKind {
    Regular,
    Late,
    Duplicate,
    Bad,
}

/// One stage of the bus.
pub(crate) struct SyntheticStage<'a> {
    spec: &'a Synthetic,
    market: &'a Market,
    pub(crate) number: u32,
    pub(crate) records: u64,
    streams: Streams,
}

impl<'a> SyntheticStage<'a> {
    pub(crate) fn new(spec: &'a Synthetic, market: &'a Market, number: u32) -> Self {
        let epochs = u64::from(spec.epochs);
        let rest = u64::from(u64::from(number) < spec.events % epochs);
        Self {
            spec,
            market,
            number,
            records: spec.events / epochs + rest,
            streams: Streams::new(spec.seed, u64::from(number), Purpose::Records),
        }
    }

    /// The kind of a record, and the rest of its draws. The kind is drawn first, so it is known without making the record.
    pub(crate) fn kind(&self, index: u64) -> (RecordKind, Draws) {
        let mut draws = self.streams.at(index);
        let share = draws.unit();
        let Synthetic {
            duplicates, late, bad, ..
        } = *self.spec;
        let kind = if share < duplicates && index > 0 {
            RecordKind::Duplicate
        } else if share < duplicates {
            RecordKind::Regular
        } else if share < duplicates + bad {
            RecordKind::Bad
        } else if share < duplicates + bad + late && self.number > 0 {
            RecordKind::Late
        } else {
            RecordKind::Regular
        };
        (kind, draws)
    }

    /// The blank line before this record, if it has one. It has a stream of its own, so it changes nothing else.
    pub(crate) fn blank_before(&self, index: u64) -> Option<&'static [u8]> {
        let mut draws = self.streams.at(index | 1 << 63);
        let blanks: [&[u8]; 4] = [b"", b" ", b"\t  ", b"\r"];
        let blank = blanks[draws.index(blanks.len())];
        draws.one_in(3_000).then_some(blank)
    }

    /// How many opening balances begin the stage: those of the busiest three quarters of the accounts, at most a quarter
    /// of the stage.
    fn openings(&self) -> u64 {
        let wanted = self.spec.accounts.div_ceil(4) * 3 * u64::from(self.spec.assets);
        if self.number == 0 {
            wanted.min(self.records / 4)
        } else {
            0
        }
    }

    /// The valid event at `index`, and the rest of its draws.
    fn event(&self, index: u64, late: bool, mut draws: Draws) -> (SyntheticEvent, Draws) {
        let time_ms = if late {
            self.late_time(&mut draws)
        } else {
            self.time(index, &mut draws)
        };
        let slot = Slot {
            stage: self.number,
            index,
            time_ms,
        };
        let assets = u64::from(self.spec.assets);
        let event = if index < self.openings() {
            self.opening(slot, index / assets, index % assets, &mut draws)
        } else if late && draws.one_in(25) {
            // An opening balance counts from the anchor, however old that is.
            let account = draws.below(self.spec.accounts);
            let asset = draws.below(assets);
            self.opening(slot, account, asset, &mut draws)
        } else if self.number == 0 && draws.one_in(30) {
            self.market.status(slot, &mut draws)
        } else {
            self.market.regular(slot, &mut draws)
        };
        (event, draws)
    }

    fn opening(&self, slot: Slot, account: u64, asset: u64, draws: &mut Draws) -> SyntheticEvent {
        // The approximate number of the account's events of this asset.
        let busy = self.spec.events / u64::from(self.spec.assets) / (account + 1).min(1 << 20) / 16;
        let asset = usize::try_from(asset).unwrap_or(0);
        self.market.opening(slot, account, asset, busy, draws)
    }

    pub(crate) fn time(&self, index: u64, draws: &mut Draws) -> i64 {
        let length = self.spec.epoch_ms();
        let start = self.spec.stage_start_ms(self.number);
        let within = |part: u64, whole: u64| {
            let part = u128::from(part) * u128::from(length.unsigned_abs()) / u128::from(whole.max(1));
            start + i64::try_from(part).unwrap_or(0)
        };
        match draws.below(400) {
            // Both sides of the epoch's boundaries. The upper boundary belongs to the next epoch.
            0 | 1 => start,
            2 => start + length,
            3 => start + length - 1,
            // Ahead of the epoch, and as far ahead as is still accepted.
            4 => start + length + signed(draws.below(3 * length.unsigned_abs())),
            5 if draws.one_in(50) => start + 350 * DAY_MS,
            // Before the anchor.
            6 => ANCHOR_MS - 1 - signed(draws.below(86_400_000)),
            7..40 => within(draws.below(1 << 32), 1 << 32),
            40..60 => within(index, self.records) / 1_000 * 1_000,
            // In step with the stage, give or take some seconds.
            _ => (within(index, self.records) + signed(draws.below(5_000)) - 2_500).clamp(start, start + length - 1),
        }
    }

    /// Mostly one or two epochs back, sometimes up to seven, and rarely more where there are that many.
    fn late_time(&self, draws: &mut Draws) -> i64 {
        let closed = u64::from(self.number);
        let back = match draws.below(100) {
            0..70 => 1,
            70..85 => 2,
            95.. if closed > 7 => 8 + draws.below(closed - 7),
            _ => 1 + draws.below(7),
        };
        let back = u32::try_from(back.min(closed)).unwrap_or(1);
        let start = self.spec.stage_start_ms(self.number - back);
        start + signed(draws.below(self.spec.epoch_ms().unsigned_abs()))
    }

    /// Writes the text of the regular or late record at `index`. Returns its topic and partition.
    pub(crate) fn line(&self, index: u64, late: bool, draws: Draws, line: &mut Vec<u8>) -> (usize, u32) {
        let (event, mut draws) = self.event(index, late, draws);
        let style = Style::draw(&mut draws);
        line.clear();
        event.json.write(style, &mut draws, line);
        (event.topic, event.partition)
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Writes a second copy of an earlier record, usually a recent one of this stage. Returns topic and partition, and whether
/// the copy conflicts with the first. `None` if no suitable record is near.
pub(crate) fn copy(
    stage: &SyntheticStage,
    before: Option<&SyntheticStage>,
    index: u64,
    draws: &mut Draws,
    line: &mut Vec<u8>,
) -> Option<((usize, u32), bool)> {
    let (of, newest) = match before {
        Some(before) if before.records > 0 && draws.one_in(5) => (before, draws.below(before.records)),
        _ => (stage, index - 1 - draws.below(index.min(3_000))),
    };
    let oldest = newest.saturating_sub(32);
    let (first, kind, rest) = (oldest..=newest).rev().find_map(|index| {
        let (kind, rest) = of.kind(index);
        matches!(kind, RecordKind::Regular | RecordKind::Late).then_some((index, kind, rest))
    })?;
    let late = kind == RecordKind::Late;
    match draws.below(10) {
        0..5 => Some((of.line(first, late, rest, line), false)),
        5..8 => {
            // The same values in another spelling.
            let (event, _) = of.event(first, late, rest);
            line.clear();
            event.json.write(Style::ODD, draws, line);
            Some(((event.topic, event.partition), false))
        }
        _ => {
            let (mut event, _) = of.event(first, late, rest);
            contradict(&mut event.json, draws);
            line.clear();
            event.json.write(Style::default(), draws, line);
            Some(((event.topic, event.partition), true))
        }
    }
}

/// Changes the amount, the time or the type, so that the copy conflicts.
fn contradict(json: &mut Json, draws: &mut Draws) {
    let change = |json: Option<&mut Json>, to: [&'static str; 2]| {
        if let Some(json) = json {
            let other = Json::text(to[0]);
            *json = if *json == other { Json::text(to[1]) } else { other };
        }
    };
    match draws.below(3) {
        0 => change(json.get_mut("type"), ["exchange.deposit.v1", "exchange.withdrawal.v1"]),
        1 => change(json.get_mut("time"), ["2026-11-01T12:34:56Z", "2026-11-01T12:34:57Z"]),
        _ => {
            for (field, to) in [
                ("amount", ["3", "4"]),
                ("quantity", ["3", "4"]),
                ("delta", ["3", "-3"]),
                ("status", ["enrolled", "opted_out"]),
            ] {
                change(json.get_mut("data").and_then(|data| data.get_mut(field)), to);
            }
        }
    }
}
