//! Bad source records, in turn.

use crate::generate::accounts::account_name;
use crate::generate::bad::data_kinds::DATA_KINDS;
use crate::generate::bad::defect::{BadKind, Base, Defect};
use crate::generate::bad::envelope_kinds::ENVELOPE_KINDS;
use crate::generate::catalogue::{ANCHOR_MS, Coin};
use crate::generate::draws::Draws;
use crate::generate::events::{Market, Slot, SyntheticEvent};
use crate::generate::json::{Json, JsonText};
use crate::generate::spec::Synthetic;
use crate::generate::text::{power_of_ten, timestamp};

/// All kinds, in the order of their turns.
const KINDS: [&[BadKind]; 2] = [ENVELOPE_KINDS, DATA_KINDS];

/// The kinds of bad source records in the order of their turns: the name, which follows `bad-` in the record's `id`, and
/// the code of the dead letter.
pub fn bad_kinds() -> impl Iterator<Item = (&'static str, &'static str)> {
    KINDS.into_iter().flatten().map(|kind| (kind.name, kind.code))
}

/// Makes bad records, one kind after the other.
pub(crate) struct BadRecords<'a> {
    market: &'a Market,
    spec: &'a Synthetic,
    turn: u64,
}

impl<'a> BadRecords<'a> {
    /// A stage starts its turns about where the stage before ended, without knowing that stage's records.
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

    /// The next kind.
    fn kind(&self) -> &'static BadKind {
        let [outer, inner] = KINDS;
        let count = outer.len() + inner.len();
        let turn = usize::try_from(self.turn % count as u64).unwrap_or(0);
        outer.get(turn).unwrap_or_else(|| &inner[turn - outer.len()])
    }

    /// Writes the next bad record into `line`. Returns its topic and partition.
    pub(crate) fn next(&mut self, slot: Slot, draws: &mut Draws, line: &mut Vec<u8>) -> (usize, u32) {
        let kind = self.kind();
        self.turn += 1;
        let SyntheticEvent {
            topic,
            partition,
            mut json,
        } = self.base(kind.base, slot, draws);
        let id = format!("bad-{}-{}-{}", kind.name, slot.stage, slot.index);
        json.set("id", Some(Json::text(id)));
        self.apply(kind, &mut json);
        *line = json.compact(draws);
        if let Defect::Bytes(defect) = kind.defect {
            *line = defect(std::mem::take(line));
        }
        (topic, partition)
    }

    /// A valid event with amounts of listed assets only.
    fn base(&self, base: Base, slot: Slot, draws: &mut Draws) -> SyntheticEvent {
        let mut event = match base {
            Base::Deposit => self.market.deposit(slot, draws),
            Base::Withdrawal => self.market.withdrawal(slot, draws),
            Base::Trade => self.market.trade(slot, draws),
            Base::Transfer => self.market.transfer(slot, draws),
            Base::Adjustment => self.market.adjustment(slot, draws),
            Base::Goodwill => self.market.goodwill(slot, draws),
            Base::Status => self.market.status(slot, draws),
        };
        let symbol = || Json::text(self.coin().symbol.clone());
        let plain = |amount: &str| Some(Json::text(amount.to_owned()));
        let json = &mut event.json;
        json.set("time", Some(Json::text(timestamp(self.on_time(slot)))));
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
            Base::Adjustment | Base::Goodwill => {
                json.set("data.asset", Some(symbol()));
                json.set("data.delta", plain("-2"));
            }
            Base::Trade => {
                // The listed asset is the quote: it may be the only listed one.
                json.set("data.base_asset", Some(Json::text("USDT")));
                json.set("data.quote_asset", Some(symbol()));
                json.set("data.price", plain("3"));
                json.set("data.quantity", plain("2"));
                json.set("data.quote_quantity", None);
                for side in ["data.buyer", "data.seller"] {
                    let account = Json::Text(account_name(draws.below(self.market.accounts)));
                    json.set(side, Some(Json::object([("account", account)])));
                }
            }
            Base::Status => {}
        }
        event
    }

    /// The first asset. Every bus has it, and its anchor is the anchor of the bus.
    fn coin(&self) -> &Coin {
        &self.market.assets[0].coin
    }

    /// A time in the stage's own epoch: otherwise the record would have a second defect.
    fn on_time(&self, slot: Slot) -> i64 {
        let into = (slot.time_ms - ANCHOR_MS).rem_euclid(self.spec.epoch_ms());
        self.spec.stage_start_ms(slot.stage) + into
    }

    fn apply(&self, kind: &BadKind, json: &mut Json) {
        let decimals = usize::from(self.coin().decimals);
        match kind.defect {
            Defect::Bytes(_) => {}
            Defect::Drop(path) => json.set(path, None),
            Defect::Set(path, raw) => json.set(path, Some(Json::Raw(JsonText::Borrowed(raw)))),
            Defect::TooPrecise(path) => {
                let amount = format!("1.{}1", "0".repeat(decimals));
                json.set(path, Some(Json::text(amount)));
            }
            Defect::TooLarge(path) => {
                let whole = power_of_ten(30) / power_of_ten(u32::from(self.coin().decimals));
                let digits = "0".repeat(decimals.saturating_sub(1));
                let amount = match decimals {
                    0 => (whole + 1).to_string(),
                    _ => format!("{whole}.{digits}1"),
                };
                json.set(path, Some(Json::text(amount)));
            }
            Defect::Ahead => {
                // From the epoch after the last one of the bus, so that it is too far ahead of every open epoch.
                let time_ms = self.spec.too_far_ahead_ms(self.spec.epochs);
                json.set("time", Some(Json::text(timestamp(time_ms))));
            }
        }
    }
}
