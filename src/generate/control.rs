//! The control topic of the synthetic bus: listings, changes, validator rewards, closes.

use crate::generate::bad::control::lines as bad_lines;
use crate::generate::bus::Bus;
use crate::generate::catalogue::{Asset, Coin};
use crate::generate::draws::{Draws, Purpose, Streams};
use crate::generate::events::{Market, envelope};
use crate::generate::json::{Json, Style};
use crate::generate::text::{decimal, timestamp};
use crate::generate::{GenerateError, Summary, Synthetic};

/// One asset at the end of one stage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Close<'a> {
    pub(crate) spec: &'a Synthetic,
    pub(crate) asset: &'a Asset,
    /// The asset's own number of the epoch that the stage closes.
    pub(crate) epoch: u32,
}

impl Close<'_> {
    /// End of the asset's epoch `epoch`, in milliseconds since 1970.
    pub(crate) fn end_ms(&self, epoch: u32) -> i64 {
        self.spec.stage_start_ms(epoch + self.asset.first_stage + 1)
    }

    pub(crate) fn symbol(&self) -> &str {
        &self.asset.coin.symbol
    }
}

/// The envelope of a control event.
pub(crate) fn control_event(id: String, kind: &'static str, time_ms: i64, data: Json) -> Json {
    envelope(id, "/treasury", kind, timestamp(time_ms), data)
}

/// The `data` of a listing.
pub(crate) fn listing(spec: &Synthetic, asset: &Asset, programme: &str) -> Json {
    let anchor = timestamp(spec.stage_start_ms(asset.first_stage));
    Json::object([
        ("asset", Json::text(asset.coin.symbol.clone())),
        ("decimals", Json::Number(asset.coin.decimals.into())),
        ("anchor", Json::text(anchor)),
        ("epoch_seconds", Json::Number(spec.epoch_seconds)),
        ("programme", Json::Raw(programme.to_owned().into())),
    ])
}

/// The `data` of a validator reward.
pub(crate) fn reward(asset: &str, amount: String, validator: u64) -> Json {
    Json::object([
        ("asset", Json::text(asset.to_owned())),
        ("amount", Json::text(amount)),
        ("validator", Json::text(format!("validator-{validator}"))),
    ])
}

/// The `data` of a close.
pub(crate) fn close(asset: &str, epoch: u32, reward_pool: Option<String>) -> Json {
    let mut data = Json::object([
        ("asset", Json::text(asset.to_owned())),
        ("epoch", Json::Number(epoch.into())),
    ]);
    if let Some(pool) = reward_pool {
        data.push("reward_pool", Json::text(pool));
    }
    data
}

/// Appends to the control topic and counts.
struct Writer<'a> {
    bus: &'a mut Bus,
    summary: &'a mut Summary,
    draws: Draws,
}

impl Writer<'_> {
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

/// The listings, before everything else, and the changes that this stage publishes.
pub(crate) fn begin_stage(
    bus: &mut Bus,
    market: &Market,
    spec: &Synthetic,
    stage: u32,
    summary: &mut Summary,
) -> Result<(), GenerateError> {
    let draws = Streams::new(spec.seed, stage.into(), Purpose::Control).at(0);
    let mut writer = Writer { bus, summary, draws };
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
    // Nobody may read a record of an asset before its listing.
    writer.bus.flush_control()
}

/// Rewards and the close of every asset, then what is to be refused.
pub(crate) fn end_stage(
    bus: &mut Bus,
    market: &Market,
    spec: &Synthetic,
    stage: u32,
    summary: &mut Summary,
) -> Result<(), GenerateError> {
    let draws = Streams::new(spec.seed, stage.into(), Purpose::Control).at(1);
    let mut writer = Writer { bus, summary, draws };
    for (number, asset) in market.assets.iter().enumerate() {
        let Some(epoch) = stage.checked_sub(asset.first_stage) else {
            continue;
        };
        let close = Close { spec, asset, epoch };
        let rewards = rewards(&close, number as u64, &mut writer.draws);
        for event in &rewards {
            writer.event(event, Style::default())?;
        }
        let closing = closing(&close, &mut writer.draws);
        writer.event(&closing, Style::default())?;
        // Each stage, another asset's events come twice.
        if spec.duplicates > 0.0 && number as u64 == u64::from(stage) % market.assets.len() as u64 {
            for event in rewards.iter().take(1).chain([&closing]) {
                writer.event(event, Style::ODD)?;
                writer.event(&contradicted(event), Style::default())?;
                writer.summary.control_refused += 2;
            }
        }
    }
    if spec.bad > 0.0 {
        // The first asset's anchor is the bus's, so its epoch is the stage.
        let asset = &market.assets[0];
        let close = Close {
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

/// What an epoch of the asset earns, in millionths of a dollar: five per cent a year on 15,000 dollars an account.
fn earned(spec: &Synthetic) -> u64 {
    let dollars = u128::from(spec.accounts) * 15_000 * 5 * u128::from(spec.epoch_seconds);
    u64::try_from(dollars * 1_000_000 / (100 * 365 * 86_400)).unwrap_or(u64::MAX)
}

fn some_of(coin: &Coin, value: u64, draws: &mut Draws) -> String {
    let value = value / 100 * (80 + draws.below(41));
    decimal(coin.units(value, draws), coin.decimals)
}

fn rewards(close: &Close, number: u64, draws: &mut Draws) -> Vec<Json> {
    let Close { spec, asset, epoch } = *close;
    let symbol = close.symbol();
    let length = spec.epoch_ms();
    let mut events = Vec::new();
    for n in 0..(number + u64::from(epoch)) % 3 {
        let amount = some_of(&asset.coin, earned(spec) / 10, draws);
        let within = i64::try_from(draws.below(length.unsigned_abs())).unwrap_or(0);
        // The second one tells of an epoch that is closed by now, or of a time before the first.
        let back = if n == 1 { length } else { 0 };
        let time_ms = close.end_ms(epoch) - length + within - back;
        let id = format!("vr-{symbol}-{epoch}-{n}");
        let data = reward(symbol, amount, draws.below(5));
        events.push(control_event(id, "softstake.validator_reward.v1", time_ms, data));
    }
    events
}

fn closing(of: &Close, draws: &mut Draws) -> Json {
    let Close { spec, asset, epoch } = *of;
    let pool = match draws.below(12) {
        0 => None,
        1 => Some("0".to_owned()),
        2 => Some("0.000".to_owned()),
        _ => Some(some_of(&asset.coin, earned(spec), draws)),
    };
    // The end itself is late enough.
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
