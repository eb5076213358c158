//! From weights to rewards R: by a pot or by a rate (contract, section 5), and again for late postings (section 4).

use std::collections::{BTreeMap, BTreeSet};

use num_bigint::BigInt;
use num_traits::{Signed, Zero};

use super::calendar::Terms;
use super::ledger::{Counts, Entry, StatusEvent};
use super::listed::CloseOrder;
use super::programme::{Mode, Programme};
use super::settle::{Book, SealedEpoch};
use super::weigh::{ByAccount, weigh};
use crate::model::parts::amount::{Rational, floor_of_product, power_of_ten};

const YEAR_MS: i64 = 365 * 86_400_000;

/// How an epoch turns weights into rewards.
#[derive(Debug, Clone)]
pub enum Payer {
    /// N and the sum of W.
    Pot { pot: BigInt, total_weight: BigInt },
    /// Reward for one unit of weight.
    Rate(Rational),
}

impl Payer {
    /// The payer of an `apr` epoch.
    pub fn of_rate(programme: &Programme, order: &CloseOrder, terms: &Terms) -> Payer {
        let rate = match (&order.apr, &programme.mode) {
            (Some(apr), _) | (None, Mode::Apr(apr)) => apr / power_of_ten(6),
            (None, _) => Rational::from_integer(1.into()) / power_of_ten(18),
        };
        let mut per_weight = rate / BigInt::from(YEAR_MS);
        if let Some(reward_rate) = &order.reward_rate {
            per_weight = per_weight * reward_rate * power_of_ten(terms.reward_decimals());
            per_weight /= power_of_ten(terms.decimals);
        }
        Payer::Rate(per_weight)
    }

    pub fn share(&self, weight: &BigInt) -> BigInt {
        match self {
            Payer::Rate(per_weight) => floor_of_product(per_weight, &Rational::from_integer(weight.clone())),
            Payer::Pot { pot, total_weight } => fraction(pot, weight, total_weight),
        }
    }

    /// The share of an account whose group weighed `before` as sealed, and `now` weighs `now`.
    fn share_again(&self, weight: &BigInt, before: &BigInt, now: &BigInt) -> BigInt {
        match self {
            Payer::Rate(_) => self.share(weight),
            Payer::Pot { total_weight, .. } if total_weight.is_zero() => BigInt::zero(),
            Payer::Pot { pot, total_weight } => fraction(pot, weight, &(total_weight - before + now)),
        }
    }
}

/// `floor(pot * weight / total)`, and nothing of a pot that is not positive.
fn fraction(pot: &BigInt, weight: &BigInt, total: &BigInt) -> BigInt {
    if pot.is_positive() && total.is_positive() {
        pot * weight / total
    } else {
        BigInt::zero()
    }
}

/// What late postings change in closed epochs.
#[derive(Debug, Clone, Default)]
pub struct Resettled {
    /// By closed epoch and account: what late postings add to S as sealed.
    pub late: BTreeMap<(u64, String), BigInt>,
    /// By closed epoch and account: the newest R'.
    pub rewards: BTreeMap<(u64, String), BigInt>,
}

/// Settles again all closed epochs for which postings of this epoch are late. Returns what is to be made good.
pub fn settle_again(
    asset: &str,
    epoch: u64,
    entries: &[Entry],
    book: &Book,
    statuses: &BTreeMap<String, Vec<StatusEvent>>,
) -> Result<(Resettled, ByAccount), String> {
    let mut resettled = book.resettled.clone();
    let mut groups = BTreeSet::new();
    for entry in entries {
        let Counts::Resettled { time, missed } = entry.counts else {
            continue;
        };
        for closed in missed..epoch {
            let sealed = book.sealed(closed)?;
            let held_for = sealed.end - time.max(sealed.start);
            *resettled.late.entry((closed, entry.account.clone())).or_default() += &entry.delta * held_for;
            groups.insert((closed, sealed.programme.group(&entry.account).to_owned()));
        }
    }
    let mut made_good = ByAccount::new();
    for (closed, group) in groups {
        let sealed = book.sealed(closed)?;
        for (account, reward) in rewards_again(asset, closed, sealed, &group, &resettled, statuses) {
            let key = (closed, account.clone());
            let before = match resettled.rewards.get(&key) {
                Some(before) => before.clone(),
                None => sealed.rewards.get(&account).cloned().unwrap_or_default(),
            };
            *made_good.entry(account).or_default() += &reward - before;
            resettled.rewards.insert(key, reward);
        }
    }
    Ok((resettled, made_good))
}

/// R' of each account of a group in a closed epoch.
fn rewards_again(
    asset: &str,
    closed: u64,
    sealed: &SealedEpoch,
    group: &str,
    resettled: &Resettled,
    statuses: &BTreeMap<String, Vec<StatusEvent>>,
) -> ByAccount {
    let programme = &sealed.programme;
    let is_in_group = |account: &str| programme.group(account) == group;
    let as_sealed = sealed.sums.iter().filter(|(account, _)| is_in_group(account));
    let mut sums: ByAccount = as_sealed.map(|(account, sum)| (account.clone(), sum.clone())).collect();
    for ((_, account), late) in resettled
        .late
        .range((closed, String::new())..(closed + 1, String::new()))
    {
        if is_in_group(account) {
            *sums.entry(account.clone()).or_default() += late;
        }
    }
    let counted = sealed.statuses(asset, statuses);
    let weighed = weigh(programme, &sealed.len(), &sums, |account| {
        counted.allows(account, programme.enrolment_is_opt_in)
    });
    let in_group = sealed.weights.iter().filter(|(account, _)| is_in_group(account));
    let before: BigInt = in_group.map(|(_, weight)| weight).sum();
    let now: BigInt = weighed.weights.values().sum();
    let again = |account: &String| match weighed.weights.get(account) {
        Some(weight) => sealed.payer.share_again(weight, &before, &now),
        None => BigInt::zero(),
    };
    sums.keys().map(|account| (account.clone(), again(account))).collect()
}
