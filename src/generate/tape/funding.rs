//! Opening balances for a tape: each account gets enough to stay above zero, and some more.

use std::collections::BTreeMap;

use crate::generate::tape::act::{Act, TapeEntry, withdrawal_fee};
use crate::generate::tape::deal::Deal;
use crate::generate::tape::plan::TapePlan;

/// Account, and side: 0 is the base asset, 1 the quote asset.
type AccountSide = (u64, usize);

/// The changes of balances that an act causes, in units.
fn changes(plan: &TapePlan, act: Act) -> Vec<(AccountSide, i128)> {
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
pub(super) fn openings(plan: &TapePlan, entries: &[TapeEntry]) -> Vec<TapeEntry> {
    let mut in_time: Vec<&TapeEntry> = entries.iter().collect();
    in_time.sort_by_key(|entry| entry.time_ms);
    let mut balances: BTreeMap<AccountSide, (i128, i128)> = BTreeMap::new();
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
            // Holders hold more; some traders have nothing extra.
            let times = draws.below(if trades { 40 } else { 400 });
            let spare = if times == 0 {
                0
            } else {
                plan.amount(side, times, &mut draws)
            };
            let units = lowest.unsigned_abs() + spare;
            if units > 0 {
                let act = Act::Opening { account, side, units };
                openings.push(TapeEntry::at(plan.anchor_ms, act));
            }
        }
    }
    openings
}

/// The sum of all opening balances, in units of the base and of the quote asset.
pub(super) fn held(openings: &[TapeEntry]) -> [u128; 2] {
    let mut held = [0; 2];
    for entry in openings {
        if let Act::Opening { side, units, .. } = entry.act {
            held[side] += units;
        }
    }
    held
}
