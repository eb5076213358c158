//! The control topic of the synthetic bus: listings, changes, validator rewards, closes.

use crate::generate::bad::control::lines as bad_lines;
use crate::generate::bus::BusWriter;
use crate::generate::catalogue::Coin;
use crate::generate::control_events::{StageClose, close, control_event, listing, reward};
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

/// Writes the listings, in stage 0, and the programme changes of this stage.
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
            let id = format!("list-{symbol}");
            let event = control_event(id, "softstake.asset.v1", published_ms, data);
            writer.event(&event, Style::default())?;
        }
        for change in asset.changes.iter().filter(|change| change.stage == stage) {
            let data = listing(spec, asset, change.programme);
            let id = format!("change-{symbol}-{stage}");
            let event = control_event(id, "softstake.asset.v1", published_ms, data);
            writer.event(&event, Style::default())?;
        }
    }
    // A reader must see a listing before any record of its asset.
    writer.bus.flush_control()
}

/// Writes the rewards and the close of every asset, then the records to be rejected.
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
        let Some(epoch) = stage.checked_sub(asset.first_stage) else {
            continue;
        };
        let close = StageClose { spec, asset, epoch };
        let rewards = rewards(&close, number as u64, &mut writer.draws);
        for event in &rewards {
            writer.event(event, Style::default())?;
        }
        let closing = closing(&close, &mut writer.draws);
        writer.event(&closing, Style::default())?;
        // In each stage, the events of another asset are written twice.
        if spec.duplicates > 0.0 && number as u64 == u64::from(stage) % market.assets.len() as u64 {
            for event in rewards.iter().take(1).chain([&closing]) {
                writer.event(event, Style::ODD)?;
                writer.event(&contradicted(event), Style::default())?;
                writer.summary.control_refused += 2;
            }
        }
    }
    if spec.bad > 0.0 {
        // The first asset has the anchor of the bus, so its epoch is the stage.
        let asset = &market.assets[0];
        let close = StageClose {
            spec,
            asset,
            epoch: stage,
        };
        for line in bad_lines(&close, &mut writer.draws) {
            writer.line(&line)?;
            writer.summary.control_refused += 1;
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

fn rewards(close: &StageClose, number: u64, draws: &mut Draws) -> Vec<Json> {
    let StageClose { spec, asset, epoch } = *close;
    let symbol = close.symbol();
    let length = spec.epoch_ms();
    let mut events = Vec::new();
    for n in 0..(number + u64::from(epoch)) % 3 {
        let amount = some_of(&asset.coin, earned(spec) / 10, draws);
        let within = i64::try_from(draws.below(length.unsigned_abs())).unwrap_or(0);
        // The second reward is dated into the epoch before, which is closed, or before the anchor.
        let back = if n == 1 { length } else { 0 };
        let time_ms = close.end_ms(epoch) - length + within - back;
        let id = format!("vr-{symbol}-{epoch}-{n}");
        let data = reward(symbol, amount, draws.below(5));
        events.push(control_event(id, "softstake.validator_reward.v1", time_ms, data));
    }
    events
}

fn closing(of: &StageClose, draws: &mut Draws) -> Json {
    let StageClose { spec, asset, epoch } = *of;
    let pool = match draws.below(12) {
        0 => None,
        1 => Some("0".to_owned()),
        2 => Some("0.000".to_owned()),
        _ => Some(some_of(&asset.coin, earned(spec), draws)),
    };
    // A close may be dated at the epoch's end exactly.
    let delay_ms = if draws.one_in(4) { 0 } else { 300_000 };
    let id = format!("close-{}-{epoch}", of.symbol());
    let time_ms = of.end_ms(epoch) + delay_ms;
    let data = close(of.symbol(), epoch, pool);
    control_event(id, "softstake.epoch_close.v1", time_ms, data)
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
