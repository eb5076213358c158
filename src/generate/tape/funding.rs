//! Opening balances for a tape: what each account needs so that it never falls below zero, and some more.

use std::collections::BTreeMap;

use crate::generate::tape::Plan;
use crate::generate::tape::events::{Act, Deal, Entry, withdrawal_fee};

/// Account and side (0 the base asset, 1 the quote asset).
pub(crate) type Holding = (u64, usize);

/// The changes of balances that an act brings, in units.
pub(crate) fn changes(plan: &Plan, act: Act) -> Vec<(Holding, i128)> {
    let of = |units: u128| i128::try_from(units).unwrap_or(i128::MAX);
    match act {
        Act::Trade { row } => {
            let deal = Deal::of(plan, row);
            let (base, quote) = (of(deal.sides.base), of(deal.sides.quote));
            let taker = if deal.buyer_is_maker {
                (deal.seller, 1)
            } else {
                (deal.buyer, 0)
            };
            vec![
                ((deal.buyer, 0), base),
                ((deal.buyer, 1), -quote),
                ((deal.seller, 0), -base),
                ((deal.seller, 1), quote),
                (taker, -of(deal.fee)),
            ]
        }
        Act::Opening { account, side, units }
        | Act::Deposit {
            account, side, units, ..
        } => {
            vec![((account, side), of(units))]
        }
        Act::Withdrawal {
            account, side, units, ..
        } => {
            vec![((account, side), -of(units + withdrawal_fee(units)))]
        }
        Act::Transfer {
            from, to, side, units, ..
        } => {
            vec![((from, side), -of(units)), ((to, side), of(units))]
        }
        Act::Unlisted { .. } | Act::Status { .. } | Act::Bad { .. } => Vec::new(),
    }
}

/// The opening balances, all at the anchor.
pub(crate) fn openings(plan: &Plan, entries: &[Entry]) -> Vec<Entry> {
    let mut in_time: Vec<&Entry> = entries.iter().collect();
    in_time.sort_by_key(|entry| entry.time_ms);
    let mut balances: BTreeMap<Holding, (i128, i128)> = BTreeMap::new();
    for entry in in_time {
        for (holding, delta) in changes(plan, entry.act) {
            let (balance, lowest) = balances.entry(holding).or_default();
            *balance += delta;
            *lowest = (*lowest).min(*balance);
        }
    }
    let mut draws = plan.draws(plan.rows.len() + 1);
    let mut openings = Vec::new();
    for account in 0..plan.tape.accounts {
        for side in [0, 1] {
            let lowest = balances.get(&(account, side)).map_or(0, |&(_, lowest)| lowest);
            let trades = account < plan.traders();
            // Holders hold more; some traders have nothing to spare.
            let times = draws.below(if trades { 40 } else { 400 });
            let spare = if times == 0 {
                0
            } else {
                plan.amount(side, times, &mut draws)
            };
            let units = lowest.unsigned_abs() + spare;
            if units > 0 {
                let act = Act::Opening { account, side, units };
                let time_ms = plan.anchor_ms;
                openings.push(Entry {
                    written_ms: time_ms,
                    time_ms,
                    act,
                });
            }
        }
    }
    openings
}

/// What all accounts together hold at the start, in units of the base and the quote asset.
pub(crate) fn held(openings: &[Entry]) -> [u128; 2] {
    let mut held = [0; 2];
    for entry in openings {
        if let Act::Opening { side, units, .. } = entry.act {
            held[side] += units;
        }
    }
    held
}
