//! Whether seals add up, each alone and with the one before.

use std::fmt;

use crate::core::contract::records::Seal;
use crate::core::values::amount::SignedAmount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// What is wrong with a seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongSeal {
    pub asset: Asset,
    pub epoch: Epoch,
    /// A predicate about the epoch.
    why: String,
}

impl fmt::Display for WrongSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} epoch {}{}", self.asset, self.epoch, self.why)
    }
}

/// Checks each seal, and each pair of seals of consecutive epochs. They are in the order of asset and epoch. `begins_listing` tells whether an epoch is
/// the first one of a listing: nothing is carried or withheld into it.
pub fn check_seals<'a>(
    seals: impl IntoIterator<Item = &'a Seal<'a>>,
    begins_listing: impl Fn(Asset, Epoch) -> bool,
) -> Vec<WrongSeal> {
    let mut wrong = Vec::new();
    let mut before: Option<&Seal<'_>> = None;
    for seal in seals {
        let before_it = before.filter(|before| before.asset == seal.asset);
        let reasons = unbalanced(seal).map(|why| format!(": {why}"));
        let starts = match before_it {
            _ if begins_listing(seal.asset, seal.epoch) => wrong_first(seal),
            Some(before) => wrong_start(seal, before),
            None => Vec::new(),
        };
        wrong.extend(reasons.into_iter().chain(starts).map(|why| WrongSeal {
            asset: seal.asset,
            epoch: seal.epoch,
            why,
        }));
        before = Some(seal);
    }
    wrong
}

/// What is wrong with the start of a listing's first epoch.
fn wrong_first(seal: &Seal<'_>) -> Vec<String> {
    let amounts = [("carried", &seal.carried_in), ("withheld", &seal.withheld_before)];
    let wrong = amounts
        .into_iter()
        .filter(|(_, taken)| SignedAmount::parse(taken) != Some(SignedAmount::default()));
    wrong
        .map(|(what, taken)| format!(" is the first of its listing, but starts with {taken} {what}"))
        .collect()
}

/// What is wrong with the start of an epoch, after the seal before it.
fn wrong_start(seal: &Seal<'_>, before: &Seal<'_>) -> Vec<String> {
    if before.epoch.saturating_add(1) != seal.epoch {
        return vec![format!(" follows epoch {}: seals are missing", before.epoch)];
    }
    let amounts = [
        ("carried", &before.carried_out, &seal.carried_in),
        ("withheld", &before.withheld_after, &seal.withheld_before),
    ];
    let wrong = amounts
        .into_iter()
        .filter(|(_, left, taken)| SignedAmount::parse(left) != SignedAmount::parse(taken));
    wrong
        .map(|(what, left, taken)| format!(" starts with {taken} {what}, but the epoch before left {left}"))
        .collect()
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
