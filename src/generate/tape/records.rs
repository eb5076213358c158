//! The records of a tape's bus as text.

use crate::generate::accounts::plain_name;
use crate::generate::bus::{ACCOUNTS, BusWriter, DEPOSITS, TRADES, TRANSFERS, WITHDRAWALS};
use crate::generate::draws::Draws;
use crate::generate::error::GenerateError;
use crate::generate::events::envelope;
use crate::generate::json::Json;
use crate::generate::tape::act::{Act, ODDITIES, TapeEntry, withdrawal_fee};
use crate::generate::tape::deal::Deal;
use crate::generate::tape::plan::TapePlan;
use crate::generate::tape::settings::{Tape, TapeSummary};
use crate::generate::text::{decimal, power_of_ten, timestamp};

/// Writes the record, and for a few trades a second copy.
pub(super) fn write(
    plan: &TapePlan,
    entry: &TapeEntry,
    bus: &mut BusWriter,
    summary: &mut TapeSummary,
) -> Result<(), GenerateError> {
    let TapeRecord {
        topic,
        account,
        event: json,
    } = record(plan, entry);
    let partition = u32::try_from(account % (1 << 16)).unwrap_or(0);
    // Compact JSON draws nothing.
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

struct TapeRecord {
    topic: usize,
    /// The account that is the key.
    account: u64,
    event: Json,
}

fn record(plan: &TapePlan, entry: &TapeEntry) -> TapeRecord {
    let time = timestamp(entry.time_ms);
    match entry.act {
        Act::Trade { row } => trade(plan, row),
        Act::Opening { account, side, units } => {
            let id = format!("open-{}-{account}", plan.asset(side).0);
            let data = holding(plan, account, side, units);
            let event = envelope(id, "/ledger", "exchange.opening_balance.v1", time, data);
            TapeRecord {
                topic: DEPOSITS,
                account,
                event,
            }
        }
        Act::Deposit {
            account,
            side,
            units,
            number,
        } => deposit(
            account,
            format!("dep-{number:05}"),
            time,
            holding(plan, account, side, units),
        ),
        Act::Unlisted { account, number } => {
            let mut data = holding(plan, account, 1, power_of_ten(u32::from(plan.asset(1).1)));
            data.set("asset", Some(Json::text("USDT")));
            deposit(account, format!("dep-usdt-{number}"), time, data)
        }
        Act::Bad { number } => {
            let account = number as u64;
            deposit(account, format!("bad-{number}"), time, holding(plan, account, 0, 1))
        }
        Act::Withdrawal {
            account,
            side,
            units,
            number,
        } => withdrawal(plan, time, (account, side, units, number)),
        Act::Transfer {
            from,
            to,
            side,
            units,
            number,
        } => {
            let (asset, decimals) = plan.asset(side);
            let data = Json::object([
                ("from_account", Json::text(plain_name(from))),
                ("to_account", Json::text(plain_name(to))),
                ("asset", Json::text(asset.to_owned())),
                ("amount", Json::text(decimal(units, decimals))),
            ]);
            let event = envelope(format!("tf-{number:05}"), "/ledger", "exchange.transfer.v1", time, data);
            TapeRecord {
                topic: TRANSFERS,
                account: from,
                event,
            }
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
            let event = envelope(
                format!("st-{number:05}"),
                "/crm",
                "exchange.account_status.v1",
                time,
                data,
            );
            TapeRecord {
                topic: ACCOUNTS,
                account,
                event,
            }
        }
    }
}

fn deposit(account: u64, id: String, time: String, data: Json) -> TapeRecord {
    TapeRecord {
        topic: DEPOSITS,
        account,
        event: envelope(id, "/exchange/deposits", "exchange.deposit.v1", time, data),
    }
}

fn withdrawal(plan: &TapePlan, time: String, (account, side, units, number): (u64, usize, u128, usize)) -> TapeRecord {
    let mut data = holding(plan, account, side, units);
    let fee = withdrawal_fee(units);
    if fee > 0 {
        data.push("fee", amount_of(plan, side, fee));
    }
    let id = format!("wd-{number:05}");
    TapeRecord {
        topic: WITHDRAWALS,
        account,
        event: envelope(id, "/exchange/withdrawals", "exchange.withdrawal.v1", time, data),
    }
}

/// The `data` of an event that moves one amount of one account.
fn holding(plan: &TapePlan, account: u64, side: usize, units: u128) -> Json {
    let (asset, decimals) = plan.asset(side);
    Json::object([
        ("account", Json::text(plain_name(account))),
        ("asset", Json::text(asset.to_owned())),
        ("amount", Json::text(decimal(units, decimals))),
    ])
}

fn amount_of(plan: &TapePlan, side: usize, units: u128) -> Json {
    let (asset, decimals) = plan.asset(side);
    Json::object([
        ("asset", Json::text(asset.to_owned())),
        ("amount", Json::text(decimal(units, decimals))),
    ])
}

fn trade(plan: &TapePlan, row: usize) -> TapeRecord {
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
    TapeRecord {
        topic: TRADES,
        account: deal.buyer,
        event: envelope(id, source, "exchange.trade.v1", timestamp(at.time_ms), data),
    }
}

/// A deposit with a defect. Each number has its own.
fn spoil(plan: &TapePlan, number: usize, mut json: Json, unused: &mut Draws) -> Vec<u8> {
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
