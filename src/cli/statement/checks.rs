//! Whether seals add up, each alone, with the one before, and with the distributions.

use std::collections::BTreeMap;

use crate::audit::asked::Inventory;
use crate::bus::Log;
use crate::cli::outcome::Failure;
use crate::cli::records::each;
use crate::cli::statement::seals::{Seals, too_much};
use crate::core::contract::records::{Distribution, Seal};
use crate::core::values::amount::{ExactAmount, SignedAmount};
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// Checks each seal, and each pair of seals of consecutive epochs. Returns the errors.
pub(super) fn checked(seals: &Seals, inventory: &Inventory) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut before: Option<&Seal<'_>> = None;
    for seal in seals.values() {
        let at = format!("{} epoch {}", seal.asset, seal.epoch);
        wrong.extend(unbalanced(seal).map(|why| format!("{at}: {why}")));
        if inventory.begins_listing(seal.asset, seal.epoch) {
            for (what, taken) in [("carried", &seal.carried_in), ("withheld", &seal.withheld_before)] {
                if SignedAmount::parse(taken) != Some(SignedAmount::default()) {
                    wrong.push(format!(
                        "{at} is the first of its listing, but starts with {taken} {what}"
                    ));
                }
            }
        } else if let Some(before) = before.filter(|before| before.asset == seal.asset) {
            if before.epoch.saturating_add(1) != seal.epoch {
                wrong.push(format!("{at} follows epoch {}: seals are missing", before.epoch));
            } else {
                for (what, left, taken) in [
                    ("carried", &before.carried_out, &seal.carried_in),
                    ("withheld", &before.withheld_after, &seal.withheld_before),
                ] {
                    if SignedAmount::parse(left) != SignedAmount::parse(taken) {
                        wrong.push(format!(
                            "{at} starts with {taken} {what}, but the epoch before left {left}"
                        ));
                    }
                }
            }
        }
        before = Some(seal);
    }
    wrong
}

/// What is wrong with the sums of one seal.
fn unbalanced(seal: &Seal<'_>) -> Option<String> {
    let due = [&*seal.withheld_before, &seal.made_good, &seal.adjusted];
    let paid = [&*seal.distributed, &seal.withheld_after];
    let sum = |amounts: &[&str], others: &[&str]| SignedAmount::sum(amounts.iter().chain(others).copied());
    let (came_in, went_out) = if seal.mode == "apr" {
        (sum(&[&seal.rewarded], &due), sum(&[], &paid))
    } else {
        (
            sum(&[&seal.reward_pool, &seal.carried_in], &due),
            sum(&[&seal.commission, &seal.carried_out, &seal.returned], &paid),
        )
    };
    match (came_in, went_out) {
        (Some(came_in), Some(went_out)) if came_in == went_out => None,
        (Some(came_in), Some(went_out)) => Some(format!("{came_in} came in, but {went_out} went out or is kept")),
        _ => Some("its seal has an invalid amount".into()),
    }
}

/// Adds up all distributions. Returns the differences from the seals.
pub(super) fn added_up(bus: &dyn Log, seals: &Seals) -> Result<Vec<String>, Failure> {
    let mut sums: BTreeMap<(Asset, Epoch), (u64, ExactAmount)> = BTreeMap::new();
    let mut wrong = Vec::new();
    each::<Distribution>(bus, None, |paid| {
        let at = (paid.asset, paid.epoch);
        if !seals.contains_key(&at) {
            return Ok(());
        }
        let Some(amount) = ExactAmount::parse(&paid.amount) else {
            wrong.push(format!(
                "{}:{}:{}: {} is not an amount",
                at.0, at.1, paid.account, paid.amount
            ));
            return Ok(());
        };
        let (count, sum) = sums.entry(at).or_default();
        *count += 1;
        *sum = sum.plus(amount).ok_or_else(too_much)?;
        Ok(())
    })?;
    for ((asset, epoch), seal) in seals {
        let (count, sum) = sums.remove(&(*asset, *epoch)).unwrap_or_default();
        if count != seal.distributions || Some(sum) != ExactAmount::parse(&seal.distributed) {
            wrong.push(format!(
                "{asset} epoch {epoch}: {count} distributions add up to {sum}, its seal has {} of {}",
                seal.distributions, seal.distributed
            ));
        }
    }
    Ok(wrong)
}
