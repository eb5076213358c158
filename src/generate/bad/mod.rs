//! Source records made to be refused, each for one reason only.

pub(crate) mod control;
mod fields;
mod kinds;

use crate::generate::Synthetic;
use crate::generate::bad::kinds::{Base, Change, KINDS, Kind};
use crate::generate::catalogue::{ANCHOR_MS, Coin};
use crate::generate::draws::Draws;
use crate::generate::events::{Event, Market, Place};
use crate::generate::json::{Json, Text};
use crate::generate::text::{power_of_ten, timestamp};

/// The kinds of bad source records in the order of their turns: a name, which is part of the record's `id` (`bad-` and
/// the name), and the code of the dead letter it should become.
pub fn bad_kinds() -> impl Iterator<Item = (&'static str, &'static str)> {
    KINDS.into_iter().flatten().map(|kind| (kind.name, kind.code))
}

/// Hands out the kinds in turn.
pub(crate) struct Faults<'a> {
    market: &'a Market,
    spec: &'a Synthetic,
    turn: u64,
}

impl<'a> Faults<'a> {
    /// A stage begins its turns about where the one before it ended, without having to know.
    pub(crate) fn new(market: &'a Market, spec: &'a Synthetic, stage: u32, records: u64) -> Self {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "any number will do"
        )]
        let each = (records as f64 * spec.bad) as u64;
        Self {
            market,
            spec,
            turn: each * u64::from(stage),
        }
    }

    /// The kind whose turn it is.
    fn kind(&self) -> &'static Kind {
        let [outer, inner] = KINDS;
        let count = outer.len() + inner.len();
        let turn = usize::try_from(self.turn % count as u64).unwrap_or(0);
        outer.get(turn).unwrap_or_else(|| &inner[turn - outer.len()])
    }

    /// Writes the next bad record into `line` and tells where it goes.
    pub(crate) fn next(&mut self, place: Place, draws: &mut Draws, line: &mut Vec<u8>) -> (usize, u32) {
        let kind = self.kind();
        self.turn += 1;
        let Event {
            topic,
            partition,
            mut json,
        } = self.base(kind.base, place, draws);
        let id = format!("bad-{}-{}-{}", kind.name, place.stage, place.index);
        json.set("id", Some(Json::text(id)));
        self.change(kind, &mut json);
        *line = json.compact(draws);
        if let Change::Bytes(change) = kind.change {
            *line = change(std::mem::take(line));
        }
        (topic, partition)
    }

    /// A valid event, all of whose amounts are of listed assets.
    fn base(&self, base: Base, place: Place, draws: &mut Draws) -> Event {
        let mut event = match base {
            Base::Deposit => self.market.deposit(place, draws),
            Base::Withdrawal => self.market.withdrawal(place, draws),
            Base::Trade => self.market.trade(place, draws),
            Base::Transfer => self.market.transfer(place, draws),
            Base::Adjustment => self.market.adjustment(place, draws),
            Base::Status => self.market.status(place, draws),
        };
        let symbol = || Json::text(self.coin().symbol.clone());
        let plain = |amount: &str| Some(Json::text(amount.to_owned()));
        let json = &mut event.json;
        json.set("time", Some(Json::text(timestamp(self.on_time(place)))));
        match base {
            Base::Deposit | Base::Transfer => {
                json.set("data.asset", Some(symbol()));
                json.set("data.amount", plain("2"));
            }
            Base::Withdrawal => {
                let fee = Json::object([("asset", symbol()), ("amount", Json::text("1"))]);
                json.set("data.asset", Some(symbol()));
                json.set("data.amount", plain("2"));
                json.set("data.fee", Some(fee));
            }
            Base::Adjustment => {
                json.set("data.asset", Some(symbol()));
                json.set("data.delta", plain("-2"));
            }
            Base::Trade => {
                // The other way round, so that the quote asset is listed even if no other asset is.
                json.set("data.base_asset", Some(Json::text("USDT")));
                json.set("data.quote_asset", Some(symbol()));
                json.set("data.price", plain("3"));
                json.set("data.quantity", plain("2"));
                json.set("data.quote_quantity", None);
                json.set("data.buyer.fee", None);
                json.set("data.seller.fee", None);
            }
            Base::Status => {}
        }
        event
    }

    /// The first asset: it is there whatever the settings, and counted from the bus's own anchor.
    fn coin(&self) -> &Coin {
        &self.market.assets[0].coin
    }

    /// The stage's own epoch, or else the fault might not be the only one.
    fn on_time(&self, place: Place) -> i64 {
        let into = (place.time_ms - ANCHOR_MS).rem_euclid(self.spec.epoch_ms());
        self.spec.stage_start_ms(place.stage) + into
    }

    fn change(&self, kind: &Kind, json: &mut Json) {
        let decimals = usize::from(self.coin().decimals);
        match kind.change {
            Change::Bytes(_) => {}
            Change::Drop(path) => json.set(path, None),
            Change::Set(path, raw) => json.set(path, Some(Json::Raw(Text::Borrowed(raw)))),
            Change::TooPrecise(path) => {
                let amount = format!("1.{}1", "0".repeat(decimals));
                json.set(path, Some(Json::text(amount)));
            }
            Change::TooLarge(path) => {
                let whole = power_of_ten(30) / power_of_ten(u32::from(self.coin().decimals));
                let digits = "0".repeat(decimals.saturating_sub(1));
                let amount = match decimals {
                    0 => (whole + 1).to_string(),
                    _ => format!("{whole}.{digits}1"),
                };
                json.set(path, Some(Json::text(amount)));
            }
            Change::Ahead(epochs) => {
                // After the bus's last epoch: ahead of any that is open, however far the processor has come.
                let time_ms = self.spec.stage_start_ms(self.spec.epochs + epochs);
                json.set("time", Some(Json::text(timestamp(time_ms))));
            }
        }
    }
}
