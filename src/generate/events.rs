//! The valid source events of the synthetic exchange.

use crate::generate::accounts::account_name;
use crate::generate::bus::{ACCOUNTS, DEPOSITS, TRADES, TRANSFERS, WITHDRAWALS};
use crate::generate::catalogue::{Coin, ListedCoin};
use crate::generate::draws::Draws;
use crate::generate::json::{Json, JsonText};
use crate::generate::text::{decimal, power_of_ten, spell_amount, spell_time};

/// An event, and the partition it goes to.
#[derive(Debug, Clone)]
pub(crate) struct SyntheticEvent {
    /// Index into the source topics.
    pub(crate) topic: usize,
    /// Taken modulo the number of partitions.
    pub(crate) partition: u32,
    pub(crate) json: Json,
}

/// The assets and accounts of the exchange.
#[derive(Debug, Clone)]
pub(crate) struct Market {
    pub(crate) assets: Vec<ListedCoin>,
    pub(crate) unlisted: Vec<Coin>,
    pub(crate) accounts: u64,
}

/// The position of an event in the plan. It determines the event's id and time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) stage: u32,
    pub(crate) index: u64,
    pub(crate) time_ms: i64,
}

/// A CloudEvents envelope.
pub(crate) fn envelope(
    id: impl Into<JsonText>,
    source: impl Into<JsonText>,
    kind: &'static str,
    time: String,
    data: Json,
) -> Json {
    Json::object([
        ("specversion", Json::text("1.0")),
        ("id", Json::Text(id.into())),
        ("source", Json::Text(source.into())),
        ("type", Json::text(kind)),
        ("time", Json::text(time)),
        ("data", data),
    ])
}

impl Market {
    fn listed<'a>(&'a self, draws: &mut Draws) -> &'a Coin {
        &self.assets[draws.index(self.assets.len())].coin
    }

    /// A listed asset, but in one draw out of `every` an unlisted one.
    fn coin<'a>(&'a self, draws: &mut Draws, every: u64) -> &'a Coin {
        if draws.one_in(every) {
            &self.unlisted[draws.index(self.unlisted.len())]
        } else {
            self.listed(draws)
        }
    }

    fn account(&self, draws: &mut Draws) -> u64 {
        draws.skewed(self.accounts)
    }

    /// Any event but an opening balance.
    pub(crate) fn regular(&self, slot: Slot, draws: &mut Draws) -> SyntheticEvent {
        match draws.below(1_000) {
            0..330 => self.deposit(slot, draws),
            330..520 => self.withdrawal(slot, draws),
            520..850 => self.trade(slot, draws),
            850..910 => self.transfer(slot, draws),
            910..930 => self.goodwill(slot, draws),
            930..980 => self.adjustment(slot, draws),
            _ => self.status(slot, draws),
        }
    }

    /// The balance with which an account starts. Busy accounts start with more, so that few fall below zero.
    pub(crate) fn opening(
        &self,
        slot: Slot,
        account: u64,
        asset: usize,
        busy: u64,
        draws: &mut Draws,
    ) -> SyntheticEvent {
        let coin = &self.assets[asset % self.assets.len()].coin;
        let value = value(draws) + 4_000_000_000 * busy.isqrt() * draws.below(4);
        let data = holding(account, coin, amount(coin, value, draws));
        let kind = "exchange.opening_balance.v1";
        event(slot, DEPOSITS, "open", "/ledger/opening", kind, account, data, draws)
    }

    pub(crate) fn deposit(&self, slot: Slot, draws: &mut Draws) -> SyntheticEvent {
        let (account, coin) = (self.account(draws), self.coin(draws, 25));
        // Deposits exceed withdrawals, or most balances would fall below zero.
        let value = value(draws) * 3;
        let data = holding(account, coin, amount(coin, value, draws));
        let kind = "exchange.deposit.v1";
        event(slot, DEPOSITS, "dep", "/exchange/deposits", kind, account, data, draws)
    }

    pub(crate) fn withdrawal(&self, slot: Slot, draws: &mut Draws) -> SyntheticEvent {
        let (account, coin) = (self.account(draws), self.coin(draws, 25));
        let value = value(draws);
        let mut data = holding(account, coin, amount(coin, value, draws));
        if draws.one_in(2) {
            // Some networks charge their fee in another coin.
            let fee = if draws.one_in(6) { self.coin(draws, 2) } else { coin };
            data.push("fee", fee_of(fee, 500_000 + draws.below(1_000_000), draws));
        } else if draws.one_in(40) {
            data.push("fee", Json::Raw("null".into()));
        }
        let kind = "exchange.withdrawal.v1";
        event(
            slot,
            WITHDRAWALS,
            "wd",
            "/exchange/withdrawals",
            kind,
            account,
            data,
            draws,
        )
    }

    pub(crate) fn trade(&self, slot: Slot, draws: &mut Draws) -> SyntheticEvent {
        let base = self.coin(draws, 12);
        let mut quote = self.coin(draws, 2);
        if quote == base {
            quote = &self.unlisted[0];
        }
        self.trade_of(base, quote, slot, draws)
    }

    fn trade_of(&self, base: &Coin, quote: &Coin, slot: Slot, draws: &mut Draws) -> SyntheticEvent {
        let value = value(draws);
        // The digits are split between quantity and price, so that their product is exact in the quote's units.
        let quantity_digits = base.decimals.min(quote.decimals / 2).min(6);
        let price_digits = (quote.decimals - quantity_digits).min(10);
        let quantity = u128::from(value) * power_of_ten(u32::from(quantity_digits)) / u128::from(base.price);
        let percent = u128::from(95 + draws.below(11));
        let price = |digits: u8| {
            u128::from(base.price) * percent * power_of_ten(u32::from(digits)) / (u128::from(quote.price) * 100)
        };
        // A price of few digits is imprecise; then the event also states the quote amount.
        let given = price(price_digits) < 100 || draws.one_in(4);
        let digits = if given { 12 } else { price_digits };
        // Some fills are free, such as a conversion of dust. Then the event may still state a quote amount, mostly of zero.
        let is_free = draws.one_in(60);
        let price = if is_free {
            "0.00".to_owned()
        } else {
            spell_amount(decimal(price(digits).max(1), digits), draws)
        };
        let quantity = spell_amount(decimal(quantity.max(1), quantity_digits), draws);
        let mut data = Json::object([
            ("base_asset", Json::text(base.symbol.clone())),
            ("quote_asset", Json::text(quote.symbol.clone())),
            ("price", Json::text(price)),
            ("quantity", Json::text(quantity)),
        ]);
        if given {
            let quote_quantity = if draws.one_in(if is_free { 2 } else { 100 }) {
                Json::text("0")
            } else {
                amount(quote, value, draws)
            };
            data.push("quote_quantity", quote_quantity);
        }
        let buyer = self.account(draws);
        let seller = self.other_account(buyer, draws);
        // The house fills some orders itself: then only one side is a customer.
        let missing = match draws.below(24) {
            0 => Some("buyer"),
            1 => Some("seller"),
            _ => None,
        };
        for (side, account) in [("buyer", buyer), ("seller", seller)] {
            if missing == Some(side) {
                if draws.one_in(2) {
                    data.push(side, Json::Raw("null".into()));
                }
                continue;
            }
            let mut party = Json::object([("account", Json::Text(account_name(account)))]);
            if !draws.one_in(3) {
                let fee = match draws.below(10) {
                    0..4 => base,
                    4..8 => quote,
                    _ => self.coin(draws, 3),
                };
                party.push("fee", fee_of(fee, value / 1_000, draws));
            }
            data.push(side, party);
        }
        let source = format!("/markets/{}{}", base.symbol, quote.symbol);
        event(slot, TRADES, "tr", source, "exchange.trade.v1", buyer, data, draws)
    }

    /// Another account, and rarely the same one: some people trade with themselves.
    fn other_account(&self, account: u64, draws: &mut Draws) -> u64 {
        let other = self.account(draws);
        if other == account && !draws.one_in(50) {
            (account + 1) % self.accounts
        } else {
            other
        }
    }

    pub(crate) fn transfer(&self, slot: Slot, draws: &mut Draws) -> SyntheticEvent {
        let (from, coin) = (self.account(draws), self.coin(draws, 25));
        let mut to = self.other_account(from, draws);
        let value = value(draws);
        let mut sent = amount(coin, value, draws);
        if draws.one_in(2_000) {
            // The largest amount allowed. The sender receives it, so that it changes nobody's share.
            to = from;
            sent = Json::text(decimal(power_of_ten(30), coin.decimals));
        }
        let data = Json::object([
            ("from_account", Json::Text(account_name(from))),
            ("to_account", Json::Text(account_name(to))),
            ("asset", Json::text(coin.symbol.clone())),
            ("amount", sent),
        ]);
        event(
            slot,
            TRANSFERS,
            "tf",
            "/ledger",
            "exchange.transfer.v1",
            from,
            data,
            draws,
        )
    }

    pub(crate) fn adjustment(&self, slot: Slot, draws: &mut Draws) -> SyntheticEvent {
        let (account, coin) = (self.account(draws), self.coin(draws, 25));
        let value = value(draws) / 4;
        let plain = spell_amount(decimal(coin.units(value, draws), coin.decimals), draws);
        let (sign, reason) = match draws.below(20) {
            0..8 => ("-", "order_hold"),
            8..15 => ("", "order_release"),
            15 => ("+", "order_release"),
            16 => ("-", "wallet_move"),
            17 => ("", "wallet_move"),
            18 => ("-", "correction"),
            _ => ("+", "correction"),
        };
        let data = Json::object([
            ("account", Json::Text(account_name(account))),
            ("asset", Json::text(coin.symbol.clone())),
            ("delta", Json::text(format!("{sign}{plain}"))),
            ("reason", Json::text(reason)),
        ]);
        let kind = "exchange.balance_adjustment.v1";
        event(slot, TRANSFERS, "adj", "/ledger", kind, account, data, draws)
    }

    /// Goodwill or a clawback, in the asset that rewards are paid in.
    pub(crate) fn goodwill(&self, slot: Slot, draws: &mut Draws) -> SyntheticEvent {
        let account = self.account(draws);
        let asset = &self.assets[draws.index(self.assets.len())];
        let (coin, paid_in) = if draws.one_in(25) {
            let unlisted = &self.unlisted[draws.index(self.unlisted.len())];
            (unlisted, unlisted)
        } else {
            (&asset.coin, asset.paid_in())
        };
        let plain = decimal(paid_in.units(value(draws) / 500, draws), paid_in.decimals);
        let (sign, reason) = match draws.below(6) {
            0..2 => ("-", "clawback"),
            2 => ("+", "goodwill"),
            _ => ("", "goodwill"),
        };
        let data = Json::object([
            ("account", Json::Text(account_name(account))),
            ("asset", Json::text(coin.symbol.clone())),
            ("delta", Json::text(format!("{sign}{}", spell_amount(plain, draws)))),
            ("reason", Json::text(reason)),
        ]);
        let kind = "exchange.reward_adjustment.v1";
        event(slot, TRANSFERS, "gw", "/support", kind, account, data, draws)
    }

    pub(crate) fn status(&self, slot: Slot, draws: &mut Draws) -> SyntheticEvent {
        // Drawn evenly: a skewed draw would soon exclude every busy account.
        let account = draws.below(self.accounts);
        let status = match draws.below(20) {
            0..14 => "enrolled",
            14..18 => "opted_out",
            _ => "excluded",
        };
        let mut data = Json::object([
            ("account", Json::Text(account_name(account))),
            ("status", Json::text(status)),
        ]);
        // Some statuses are for one asset.
        if draws.one_in(3) {
            data.push("asset", Json::text(self.coin(draws, 25).symbol.clone()));
        }
        let kind = "exchange.account_status.v1";
        event(slot, ACCOUNTS, "st", "/crm", kind, account, data, draws)
    }
}

/// A value in millionths of a dollar, from one dollar to sixteen thousand. Each order of magnitude is equally likely.
fn value(draws: &mut Draws) -> u64 {
    (1 << draws.below(14)) * (1_000_000 + draws.below(1_000_000))
}

fn amount(coin: &Coin, value: u64, draws: &mut Draws) -> Json {
    let units = coin.units(value, draws);
    Json::text(spell_amount(decimal(units, coin.decimals), draws))
}

fn holding(account: u64, coin: &Coin, amount: Json) -> Json {
    Json::object([
        ("account", Json::Text(account_name(account))),
        ("asset", Json::text(coin.symbol.clone())),
        ("amount", amount),
    ])
}

/// A fee, sometimes a rebate or zero.
fn fee_of(coin: &Coin, value: u64, draws: &mut Draws) -> Json {
    let units = coin.units(value, draws);
    let plain = spell_amount(decimal(units, coin.decimals), draws);
    let amount = match draws.below(32) {
        0 => "0".to_owned(),
        1 => "-0.000".to_owned(),
        2..5 => format!("-{plain}"),
        5 => format!("+{plain}"),
        _ => plain,
    };
    Json::object([
        ("asset", Json::text(coin.symbol.clone())),
        ("amount", Json::text(amount)),
    ])
}

#[expect(clippy::too_many_arguments, reason = "the fields of one envelope")]
fn event(
    slot: Slot,
    topic: usize,
    prefix: &str,
    source: impl Into<JsonText>,
    kind: &'static str,
    account: u64,
    mut data: Json,
    draws: &mut Draws,
) -> SyntheticEvent {
    let Slot { stage, index, time_ms } = slot;
    let id = if draws.one_in(200) {
        format!("évt \"{prefix}\" \\{stage}|{index}:🦀")
    } else {
        format!("{prefix}-{stage}-{index:07}")
    };
    if draws.one_in(40) {
        add_unknown_field(&mut data, index, draws);
    }
    let time = spell_time(time_ms, draws);
    let mut json = envelope(id, source, kind, time, data);
    if draws.one_in(60) {
        json.push("datacontenttype", Json::text("application/json"));
        json.push("subject", Json::text("spot/main"));
    }
    // A producer keys by account in most records, and may use any source topic.
    let partition = if draws.one_in(8) {
        draws.below(1 << 16)
    } else {
        account % (1 << 16)
    };
    let topic = if draws.one_in(200) { draws.index(5) } else { topic };
    let partition = u32::try_from(partition).unwrap_or(0);
    SyntheticEvent { topic, partition, json }
}

/// Adds a field that is not in the contract. Readers must ignore it.
fn add_unknown_field(data: &mut Json, index: u64, draws: &mut Draws) {
    match draws.below(5) {
        0 => data.push("sequence", Json::Number(index)),
        1 => data.push("memo", Json::text("naïve \u{7f}\n\t\"quoted\" \u{1f980}")),
        2 => data.push("flags", Json::Raw("[true,false,null,-0.5e-3,{}]".into())),
        3 if draws.one_in(60) => {
            // Deeper than the default limit of most parsers.
            data.push(
                "nest",
                Json::Raw(format!("{}{}", "[".repeat(200), "]".repeat(200)).into()),
            );
        }
        _ => {
            let inner = Json::object([
                ("amount", Json::text("not an amount")),
                ("attempt", Json::Number(draws.below(9))),
                (
                    "tags",
                    Json::Array(vec![Json::text("a"), Json::Number(1), Json::text("")]),
                ),
            ]);
            data.push("meta", inner);
        }
    }
}
