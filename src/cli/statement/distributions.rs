//! Whether the distributions add up to their seals.

use std::collections::BTreeMap;

use crate::audit::statement::{Seals, SumTooLarge};
use crate::bus::Log;
use crate::cli::outcome::Failure;
use crate::cli::records::each;
use crate::core::contract::records::Distribution;
use crate::core::values::amount::ExactAmount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

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
        *sum = sum.plus(amount).ok_or(SumTooLarge)?;
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
