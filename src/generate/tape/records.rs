//! The records of a tape's bus as text.

use crate::generate::GenerateError;
use crate::generate::accounts::plain_name;
use crate::generate::bus::{ACCOUNTS, Bus, DEPOSITS, TRADES, TRANSFERS, WITHDRAWALS};
use crate::generate::draws::Draws;
use crate::generate::events::envelope;
use crate::generate::json::Json;
use crate::generate::tape::events::{Act, Deal, Entry, ODDITIES, withdrawal_fee};
use crate::generate::tape::{Plan, Tape, TapeSummary};
use crate::generate::text::{decimal, power_of_ten, timestamp};

/// Writes the record, and for a few trades a second copy.
pub(crate) fn write(plan: &Plan, entry: &Entry, bus: &mut Bus, summary: &mut TapeSummary) -> Result<(), GenerateError> {
    let (topic, account, json) = record(plan, entry);
    let partition = u32::try_from(account % (1 << 16)).unwrap_or(0);
    let mut unused = plan.draws(0);
    if let Act::Bad { number } = entry.act {
        summary.bad += 1;
        return bus.source(topic, partition, &spoil(plan, number, json, &mut unused));
    }
    let line = json.compact(&mut unused);
    bus.source(topic, partition, &line)?;
    match entry.act {
        Act::Trade { row } => {
            summary.trades += 1;
            let every = plan.rows.len() / (ODDITIES + 1);
            if every > 0 && row > 0 && row.is_multiple_of(every) && row / every <= ODDITIES {
                summary.duplicates += 1;
                let mut copy = json;
                if row / every == ODDITIES {
                    copy.set("data.price", Some(Json::text("1")));
                }
                bus.source(topic, partition, &copy.compact(&mut unused))?;
            }
        }
        Act::Status { .. } => summary.statuses += 1,
        _ => summary.transfers += 1,
    }
    summary.behind += u64::from(entry.written_ms != entry.time_ms);
    Ok(())
}

/// The topic, the account that is the key, and the event.
fn record(plan: &Plan, entry: &Entry) -> (usize, u64, Json) {
    let holding = |account: u64, side: usize, units: u128| {
        let (asset, decimals) = plan.asset(side);
        Json::object([
            ("account", Json::text(plain_name(account))),
            ("asset", Json::text(asset.to_owned())),
            ("amount", Json::text(decimal(units, decimals))),
        ])
    };
    let (topic, account, id, source, kind, data) = match entry.act {
        Act::Trade { row } => return trade(plan, row),
        Act::Opening { account, side, units } => {
            let id = format!("open-{}-{account}", plan.asset(side).0);
            let data = holding(account, side, units);
            (DEPOSITS, account, id, "/ledger", "exchange.opening_balance.v1", data)
        }
        Act::Deposit {
            account,
            side,
            units,
            number,
        } => {
            let (id, data) = (format!("dep-{number:05}"), holding(account, side, units));
            (DEPOSITS, account, id, "/exchange/deposits", "exchange.deposit.v1", data)
        }
        Act::Unlisted { account, number } => {
            let mut data = holding(account, 1, power_of_ten(u32::from(plan.asset(1).1)));
            data.set("asset", Some(Json::text("USDT")));
            let id = format!("dep-usdt-{number}");
            (DEPOSITS, account, id, "/exchange/deposits", "exchange.deposit.v1", data)
        }
        Act::Bad { number } => {
            let data = holding(number as u64, 0, 1);
            let id = format!("bad-{number}");
            (
                DEPOSITS,
                number as u64,
                id,
                "/exchange/deposits",
                "exchange.deposit.v1",
                data,
            )
        }
        Act::Withdrawal {
            account,
            side,
            units,
            number,
        } => {
            let mut data = holding(account, side, units);
            let fee = withdrawal_fee(units);
            if fee > 0 {
                data.push("fee", amount_of(plan, side, fee));
            }
            let id = format!("wd-{number:05}");
            (
                WITHDRAWALS,
                account,
                id,
                "/exchange/withdrawals",
                "exchange.withdrawal.v1",
                data,
            )
        }
        Act::Transfer {
            from,
            to,
            side,
            units,
            number,
        } => {
            let mut data = Json::object([
                ("from_account", Json::text(plain_name(from))),
                ("to_account", Json::text(plain_name(to))),
            ]);
            let (asset, decimals) = plan.asset(side);
            data.push("asset", Json::text(asset.to_owned()));
            data.push("amount", Json::text(decimal(units, decimals)));
            (
                TRANSFERS,
                from,
                format!("tf-{number:05}"),
                "/ledger",
                "exchange.transfer.v1",
                data,
            )
        }
        Act::Status {
            account,
            status,
            number,
        } => {
            let data = Json::object([
                ("account", Json::text(plain_name(account))),
                ("status", Json::text(status)),
            ]);
            (
                ACCOUNTS,
                account,
                format!("st-{number:05}"),
                "/crm",
                "exchange.account_status.v1",
                data,
            )
        }
    };
    let time = timestamp(entry.time_ms);
    (topic, account, envelope(id, source, kind, time, data))
}

fn amount_of(plan: &Plan, side: usize, units: u128) -> Json {
    let (asset, decimals) = plan.asset(side);
    Json::object([
        ("asset", Json::text(asset.to_owned())),
        ("amount", Json::text(decimal(units, decimals))),
    ])
}

fn trade(plan: &Plan, row: usize) -> (usize, u64, Json) {
    let at = &plan.rows[row];
    let deal = Deal::of(plan, row);
    let party = |account: u64, side: Option<usize>| {
        let mut party = Json::object([("account", Json::text(plain_name(account)))]);
        if let Some(side) = side.filter(|_| deal.fee > 0) {
            party.push("fee", amount_of(plan, side, deal.fee));
        }
        party
    };
    let Tape { base, quote, .. } = plan.tape;
    let mut data = Json::object([
        ("base_asset", Json::text(base.clone())),
        ("quote_asset", Json::text(quote.clone())),
        ("price", Json::text(at.price_text.to_string())),
        ("quantity", Json::text(at.quantity_text.to_string())),
    ]);
    if !deal.sides.exact {
        let given = decimal(deal.sides.quote, plan.tape.quote_decimals);
        data.push("quote_quantity", Json::text(given));
    }
    data.push("buyer", party(deal.buyer, (!deal.buyer_is_maker).then_some(0)));
    data.push("seller", party(deal.seller, deal.buyer_is_maker.then_some(1)));
    let (id, source) = (format!("agg-{}", at.id), format!("/markets/{base}{quote}"));
    let json = envelope(id, source, "exchange.trade.v1", timestamp(at.time_ms), data);
    (TRADES, deal.buyer, json)
}

/// A deposit that has to be refused; each number has its own reason.
fn spoil(plan: &Plan, number: usize, mut json: Json, unused: &mut Draws) -> Vec<u8> {
    let too_precise = format!("1.{}1", "0".repeat(plan.tape.base_decimals.into()));
    match number % ODDITIES {
        0 => {
            let mut text = json.compact(unused);
            text.truncate(text.len() / 2);
            return text;
        }
        1 => json.set("data.amount", Some(Json::text("1e3"))),
        2 => json.set("data.amount", Some(Json::text(too_precise))),
        3 => json.set("type", Some(Json::text("exchange.airdrop.v1"))),
        _ => json.set("time", Some(Json::text("2019-13-01T00:00:00Z"))),
    }
    json.compact(unused)
}
