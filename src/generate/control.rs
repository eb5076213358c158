//! The control topic of the synthetic bus: listings, changes, withdrawals, what goes into pools, closes, and decisions
//! about held epochs.

use crate::generate::bad::control::lines as bad_lines;
use crate::generate::bus::BusWriter;
use crate::generate::catalogue::{Coin, GateKind, ListedCoin, Rates};
use crate::generate::control_events::{
    StageClose, adjustment, close, control_event, decision, listing, relisting, reward, withdrawal,
};
use crate::generate::draws::{Draws, Purpose, Streams};
use crate::generate::error::GenerateError;
use crate::generate::events::Market;
use crate::generate::json::{Json, Style};
use crate::generate::spec::{Summary, Synthetic};
use crate::generate::text::decimal;

/// Appends to the control topic, and counts.
struct ControlWriter<'a> {
    bus: &'a mut BusWriter,
    summary: &'a mut Summary,
    draws: Draws,
}

impl ControlWriter<'_> {
    fn event(&mut self, json: &Json, style: Style) -> Result<(), GenerateError> {
        let mut line = Vec::new();
        json.write(style, &mut self.draws, &mut line);
        self.line(&line)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), GenerateError> {
        if self.draws.one_in(200) {
            self.bus.control(b"")?;
            self.summary.blank_lines += 1;
        }
        self.summary.control += 1;
        self.bus.control(line)
    }
}

const LISTING: &str = "softstake.asset.v1";
const CLOSE: &str = "softstake.epoch_close.v1";
const RELEASE: &str = "softstake.epoch_release.v1";
const ADJUSTMENT: &str = "softstake.pool_adjustment.v1";

/// Writes the listings and changes of this stage, its withdrawals, and the releases that the stage before left.
pub(crate) fn begin_stage(
    bus: &mut BusWriter,
    market: &Market,
    spec: &Synthetic,
    stage: u32,
    summary: &mut Summary,
) -> Result<(), GenerateError> {
    let draws = Streams::new(spec.seed, stage.into(), Purpose::Control).at(0);
    let mut writer = ControlWriter { bus, summary, draws };
    let published_ms = spec.stage_start_ms(stage) - 12 * 3_600_000;
    for asset in &market.assets {
        let symbol = &asset.coin.symbol;
        if stage == 0 {
            let data = listing(spec, asset, asset.programme);
            let event = control_event(format!("list-{symbol}"), LISTING, published_ms, data);
            writer.event(&event, Style::default())?;
        }
        for change in asset.changes.iter().filter(|change| change.stage == stage) {
            let data = listing(spec, asset, change.programme);
            let id = format!("change-{symbol}-{stage}");
            let event = control_event(id, LISTING, published_ms, data);
            writer.event(&event, Style::default())?;
        }
        if let Some(again) = asset.relisting {
            let event = if stage == again.withdrawn {
                let data = withdrawal(symbol, asset.first_epoch + stage - asset.first_stage + 1);
                let id = format!("withdraw-{symbol}");
                Some(control_event(id, "softstake.asset_withdrawn.v1", published_ms, data))
            } else if stage == again.listed {
                let data = relisting(spec, asset, again);
                Some(control_event(format!("relist-{symbol}"), LISTING, published_ms, data))
            } else {
                None
            };
            if let Some(event) = event {
                writer.event(&event, Style::default())?;
            }
        }
        if let Some(event) = left_release(spec, asset, stage) {
            writer.event(&event, Style::default())?;
        }
    }
    // A reader must see a listing before any record of its asset.
    writer.bus.flush_control()
}

/// The release of the epoch that the stage before closed, if it was left.
fn left_release(spec: &Synthetic, asset: &ListedCoin, stage: u32) -> Option<Json> {
    let before = stage.checked_sub(1)?;
    let is_left = match asset.gate {
        GateKind::None => false,
        GateKind::Always => before % 4 == 3,
        GateKind::Limits => true,
    };
    let close = StageClose::of(spec, asset, before).filter(|_| is_left)?;
    let id = format!("release-{}-{}", close.symbol(), close.epoch);
    let data = decision(close.symbol(), close.epoch);
    Some(control_event(id, RELEASE, close.end_ms(0) + 3_600_000, data))
}

/// Writes what goes into the pool and the close of every asset, then the records to be rejected.
pub(crate) fn end_stage(
    bus: &mut BusWriter,
    market: &Market,
    spec: &Synthetic,
    stage: u32,
    summary: &mut Summary,
) -> Result<(), GenerateError> {
    let draws = Streams::new(spec.seed, stage.into(), Purpose::Control).at(1);
    let mut writer = ControlWriter { bus, summary, draws };
    for (number, asset) in market.assets.iter().enumerate() {
        let Some(close) = StageClose::of(spec, asset, stage) else {
            continue;
        };
        let additions = additions(&close, number as u64, &mut writer.draws);
        for event in &additions {
            writer.event(event, Style::default())?;
        }
        let closing = closing(&close, &mut writer.draws);
        writer.event(&closing, Style::default())?;
        for event in decisions(&close, stage, &mut writer.draws) {
            writer.event(&event, Style::default())?;
        }
        // In each stage, the events of another asset are written twice.
        if spec.duplicates > 0.0 && number as u64 == u64::from(stage) % market.assets.len() as u64 {
            for event in additions.iter().take(1).chain([&closing]) {
                writer.event(event, Style::ODD)?;
                writer.event(&contradicted(event), Style::default())?;
                writer.summary.control_refused += 2;
            }
        }
    }
    if spec.bad > 0.0 {
        // The first asset has the anchor of the bus, so its epoch is the stage.
        if let Some(close) = StageClose::of(spec, &market.assets[0], stage) {
            for line in bad_lines(&close, &mut writer.draws) {
                writer.line(&line)?;
                writer.summary.control_refused += 1;
            }
        }
    }
    Ok(())
}

/// The earnings of an asset in an epoch, in millionths of a dollar: five per cent a year on 15,000 dollars an account.
fn earned(spec: &Synthetic) -> u64 {
    let dollars = u128::from(spec.accounts) * 15_000 * 5 * u128::from(spec.epoch_seconds);
    u64::try_from(dollars * 1_000_000 / (100 * 365 * 86_400)).unwrap_or(u64::MAX)
}

fn some_of(coin: &Coin, value: u64, draws: &mut Draws) -> String {
    let value = value / 100 * (80 + draws.below(41));
    decimal(coin.units(value, draws), coin.decimals)
}

/// Rewards of validators, and an adjustment of some pools.
fn additions(close: &StageClose, number: u64, draws: &mut Draws) -> Vec<Json> {
    let StageClose { spec, asset, epoch, .. } = *close;
    let symbol = close.symbol();
    let length = spec.epoch_ms();
    let start = close.end_ms(0) - length;
    let within = |draws: &mut Draws| i64::try_from(draws.below(length.unsigned_abs())).unwrap_or(0);
    let mut events = Vec::new();
    for n in 0..(number + u64::from(epoch)) % 3 {
        let amount = some_of(asset.paid_in(), earned(spec) / 10, draws);
        // The second reward is dated into the epoch before, which is closed, or before the anchor.
        let back = if n == 1 { length } else { 0 };
        let time_ms = start + within(draws) - back;
        let id = format!("vr-{symbol}-{epoch}-{n}");
        let data = reward(symbol, amount, draws.below(5));
        events.push(control_event(id, "softstake.validator_reward.v1", time_ms, data));
    }
    if draws.one_in(2) {
        let (sign, value) = match draws.below(10) {
            // More than there is to share: a deficit.
            0 => ("-", earned(spec) * 4),
            1..5 => ("-", earned(spec) / 20),
            5 => ("+", earned(spec) / 20),
            _ => ("", earned(spec) / 20),
        };
        let amount = format!("{sign}{}", some_of(asset.paid_in(), value, draws));
        let time_ms = start + within(draws) - if draws.one_in(4) { length } else { 0 };
        let id = format!("pa-{symbol}-{epoch}");
        events.push(control_event(id, ADJUSTMENT, time_ms, adjustment(symbol, amount)));
    }
    events
}

fn closing(of: &StageClose, draws: &mut Draws) -> Json {
    let StageClose { spec, asset, epoch, .. } = *of;
    let pool = match draws.below(12) {
        0 => None,
        1 => Some("0".to_owned()),
        2 => Some("0.000".to_owned()),
        _ => Some(some_of(asset.paid_in(), earned(spec), draws)),
    };
    // A close may be dated at the epoch's end exactly.
    let delay_ms = if draws.one_in(4) { 0 } else { 300_000 };
    let id = format!("close-{}-{epoch}", of.symbol());
    let mut data = close(of.symbol(), epoch, pool);
    match asset.rates {
        Rates::Apr if draws.one_in(3) => {
            let rate = decimal(u128::from(1 + draws.below(1_000_000)), 7);
            data.push("apr", Json::text(rate));
        }
        Rates::Reward => {
            let percent = u128::from(95 + draws.below(11));
            let rate = u128::from(asset.coin.price) * percent * 10_000 / u128::from(asset.paid_in().price);
            data.push("reward_rate", Json::text(decimal(rate, 6)));
        }
        Rates::Apr | Rates::None => {}
    }
    control_event(id, CLOSE, of.end_ms(0) + delay_ms, data)
}

/// What treasury decides at once on an epoch that the gate holds.
fn decisions(of: &StageClose, stage: u32, draws: &mut Draws) -> Vec<Json> {
    let (symbol, epoch) = (of.symbol(), of.epoch);
    if of.asset.gate != GateKind::Always || stage % 4 == 3 {
        return Vec::new();
    }
    let at = |minutes: i64| of.end_ms(0) + minutes * 60_000;
    let id = |what: &str| format!("{what}-{symbol}-{epoch}");
    let release = control_event(id("release"), RELEASE, at(30), decision(symbol, epoch));
    if stage % 4 < 2 {
        return vec![release];
    }
    let void = control_event(id("void"), "softstake.epoch_void.v1", at(10), decision(symbol, epoch));
    // It is dated in the void epoch, so it goes into it.
    let amount = some_of(of.asset.paid_in(), earned(of.spec) / 30, draws);
    let more = control_event(id("pa-void"), ADJUSTMENT, at(-1), adjustment(symbol, amount));
    let pool = some_of(of.asset.paid_in(), earned(of.spec), draws);
    let again = control_event(id("close-again"), CLOSE, at(20), close(symbol, epoch, Some(pool)));
    vec![void, more, again, release]
}

/// The same event with another amount.
fn contradicted(event: &Json) -> Json {
    let mut other = event.clone();
    let is_reward = other
        .get_mut("data")
        .is_some_and(|data| data.get_mut("amount").is_some());
    let field = if is_reward { "data.amount" } else { "data.reward_pool" };
    other.set(field, Some(Json::text("987654")));
    other
}
