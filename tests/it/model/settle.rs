//! Settlement of one asset and epoch (contract, section 5).

use std::collections::{BTreeMap, BTreeSet};

use num_bigint::BigInt;
use num_traits::{Signed, Zero};
use serde_json::Value;

use super::bus::Offsets;
use super::ledger::{Counts, Entry, Ledger, StatusEvent, instant};
use super::listed::{Close, Listed};
use super::programme::{Gate, Mode, Programme};
use super::records::Report;
use super::share::{Payer, Resettled, settle_again};
use super::status::Statuses;
use super::weigh::{ByAccount, Weighed, weigh};
use crate::model::parts::amount::{Rational, floor, power_of_ten};

/// What the settled epochs of a listing left. Rewards are in units of the reward asset.
#[derive(Debug, Default)]
pub struct Book {
    pub balances: ByAccount,
    pub withheld: ByAccount,
    pub carried: BigInt,
    sealed: BTreeMap<u64, SealedEpoch>,
    pub resettled: Resettled,
}

impl Book {
    pub fn sealed(&self, epoch: u64) -> Result<&SealedEpoch, String> {
        self.sealed
            .get(&epoch)
            .ok_or_else(|| format!("epoch {epoch} is not sealed"))
    }

    pub fn seal(&mut self, settlement: Settlement) {
        self.balances = settlement.balances;
        self.withheld = settlement.withheld;
        self.carried = settlement.money.carried_out;
        self.resettled = settlement.resettled;
        self.sealed.insert(settlement.epoch, settlement.sealed);
    }
}

/// A sealed epoch, as far as it is needed to settle it again.
#[derive(Debug)]
pub struct SealedEpoch {
    pub start: i64,
    pub end: i64,
    pub cut: Offsets,
    pub programme: Programme,
    pub payer: Payer,
    pub sums: ByAccount,
    pub weights: ByAccount,
    pub rewards: ByAccount,
}

impl SealedEpoch {
    /// The epoch's length in milliseconds.
    pub fn len(&self) -> BigInt {
        BigInt::from(self.end - self.start)
    }

    /// The statuses that counted for the epoch.
    pub fn statuses<'a>(&'a self, asset: &'a str, by_account: &'a BTreeMap<String, Vec<StatusEvent>>) -> Statuses<'a> {
        Statuses {
            by_account,
            asset,
            cut: &self.cut,
            start: self.start,
            end: self.end,
        }
    }
}

/// One account's part of an epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Share {
    pub rewarded: BigInt,
    pub made_good: BigInt,
    pub adjusted: BigInt,
    pub withheld_before: BigInt,
    pub paid: BigInt,
    pub withheld_after: BigInt,
}

/// Sums of an epoch.
#[derive(Debug, Clone, Default)]
pub struct Money {
    pub pool: BigInt,
    pub commission: BigInt,
    pub carried_in: BigInt,
    pub carried_out: BigInt,
    pub returned: BigInt,
    pub rewarded: BigInt,
    pub made_good: BigInt,
    pub adjusted: BigInt,
    pub distributed: BigInt,
    pub withheld_before: BigInt,
    pub withheld_after: BigInt,
    pub closing_balance: BigInt,
}

impl Money {
    fn is_conserved(&self, mode: &Mode) -> bool {
        let due = &self.rewarded + &self.made_good + &self.adjusted + &self.withheld_before;
        let in_payouts = due == &self.distributed + &self.withheld_after;
        let given = &self.pool + &self.carried_in + &self.withheld_before + &self.made_good + &self.adjusted;
        let used = &self.commission + &self.distributed + &self.withheld_after + &self.carried_out + &self.returned;
        in_payouts && (*mode != Mode::Pool || given == used)
    }
}

/// A settled epoch, before or after its publication.
#[derive(Debug)]
pub struct Settlement {
    pub epoch: u64,
    pub money: Money,
    pub shares: BTreeMap<String, Share>,
    pub distributions: BTreeMap<String, Value>,
    pub seal: Value,
    /// Why the gate holds it.
    pub held: Option<Held>,
    balances: ByAccount,
    withheld: ByAccount,
    resettled: Resettled,
    sealed: SealedEpoch,
}

/// The figures of a held epoch.
#[derive(Debug, Clone)]
pub struct Held {
    pub limit: &'static str,
    pub largest: BigInt,
    pub total: BigInt,
    /// None if there is nothing to compare with.
    pub change: Option<Rational>,
}

pub fn settle(
    asset: &str,
    number: usize,
    listed: &Listed,
    close: &Close,
    ledger: &Ledger,
) -> Result<Settlement, String> {
    let epoch = close.epoch;
    let programme = listed.programme(epoch);
    let book = &listed.book;
    let (start, end) = (
        instant(listed.terms.start_of(epoch))?,
        instant(listed.terms.start_of(epoch + 1))?,
    );
    let of_listing = ledger.entries.get(&(asset.to_owned(), number));
    let entries = of_listing
        .and_then(|epochs| epochs.get(&epoch))
        .map_or(&[][..], Vec::as_slice);
    let mut sealed = SealedEpoch {
        start,
        end,
        cut: close.cut.clone(),
        programme: programme.clone(),
        payer: Payer::Rate(Rational::zero()),
        sums: ByAccount::new(),
        weights: ByAccount::new(),
        rewards: ByAccount::new(),
    };
    let (sums, balances) = sums(&book.balances, entries, start, end);
    let statuses = sealed.statuses(asset, &ledger.statuses);
    let weighed = weigh(programme, &sealed.len(), &sums, |account| {
        statuses.allows(account, programme.enrolment_is_opt_in)
    });

    let mut money = Money {
        pool: &close.order.reward_pool + listed.pools.get(&epoch).cloned().unwrap_or_default(),
        carried_in: book.carried.clone(),
        ..Money::default()
    };
    let payer = split(listed, close, &weighed, &mut money);
    let reward = |(account, weight): (&String, &BigInt)| (account.clone(), payer.share(weight));
    let rewards: ByAccount = weighed.weights.iter().map(reward).collect();
    carry_out(&payer, &rewards, &mut money);
    let (resettled, made_good) = settle_again(asset, epoch, entries, book, &ledger.statuses)?;

    let terms = PayoutTerms {
        grain: power_of_ten(listed.terms.reward_decimals() - programme.payout_decimals),
        min_payout: if close.order.pays_all {
            BigInt::zero()
        } else {
            programme.min_payout.clone()
        },
    };
    let adjusted = adjustments(entries);
    let parts = [&rewards, &made_good, &adjusted, &book.withheld];
    let shares = pay_out(parts, &terms, |account| statuses.is_excluded(account));
    let eligible = weighed.capped.keys();
    money.closing_balance = eligible.filter_map(|account| balances.get(account)).sum();
    add_up(&shares, &mut money);
    if !money.is_conserved(&programme.mode) {
        return Err(format!("the model itself does not conserve money in {asset}:{epoch}"));
    }
    let held = gate(listed, epoch, programme, &shares, &money)?;
    let report = Report {
        asset,
        listed,
        close,
        programme,
        start,
        end,
    };
    let distributions = report.distributions(&shares, &sums);
    let seal = report.seal(&shares, &money, &weighed);
    sealed.payer = payer;
    sealed.sums = sums;
    sealed.weights = weighed.weights;
    sealed.rewards = rewards;
    let left = shares.iter().filter(|(_, share)| !share.withheld_after.is_zero());
    Ok(Settlement {
        epoch,
        withheld: left
            .map(|(account, share)| (account.clone(), share.withheld_after.clone()))
            .collect(),
        money,
        shares,
        distributions,
        seal,
        held,
        balances,
        resettled,
        sealed,
    })
}

/// S of each account, in unit-milliseconds, and the balances at the end of the epoch.
fn sums(opening: &ByAccount, entries: &[Entry], start: i64, end: i64) -> (ByAccount, ByAccount) {
    let mut balances = opening.clone();
    let mut sums: ByAccount = opening
        .iter()
        .map(|(account, balance)| (account.clone(), balance * (end - start)))
        .collect();
    for entry in entries {
        let from = match entry.counts {
            Counts::From(time) => time,
            Counts::Resettled { .. } => start,
            Counts::Reward => continue,
        };
        *sums.entry(entry.account.clone()).or_default() += &entry.delta * (end - from);
        *balances.entry(entry.account.clone()).or_default() += &entry.delta;
    }
    (sums, balances)
}

fn adjustments(entries: &[Entry]) -> ByAccount {
    let mut adjusted = ByAccount::new();
    for entry in entries.iter().filter(|entry| entry.counts == Counts::Reward) {
        *adjusted.entry(entry.account.clone()).or_default() += &entry.delta;
    }
    adjusted
}

/// Takes the commission, and finds out what pays the rewards.
fn split(listed: &Listed, close: &Close, weighed: &Weighed, money: &mut Money) -> Payer {
    let programme = listed.programme(close.epoch);
    if programme.mode != Mode::Pool {
        return Payer::of_rate(programme, &close.order, &listed.terms);
    }
    let gained = money.pool.clone().max(BigInt::zero());
    money.commission = floor(&(&programme.commission_rate * gained));
    Payer::Pot {
        pot: &money.pool - &money.commission + &money.carried_in,
        total_weight: weighed.weights.values().sum(),
    }
}

/// What goes into the next epoch, or back to the treasury.
fn carry_out(payer: &Payer, rewards: &ByAccount, money: &mut Money) {
    match payer {
        Payer::Rate(_) => money.carried_out = money.carried_in.clone(),
        Payer::Pot { pot, total_weight } if pot.is_positive() && total_weight.is_zero() => money.returned = pot.clone(),
        Payer::Pot { pot, .. } => money.carried_out = pot - rewards.values().sum::<BigInt>(),
    }
}

struct PayoutTerms {
    grain: BigInt,
    min_payout: BigInt,
}

/// The parts of the due are R, what is made good, adjustments, and what was withheld.
fn pay_out(parts: [&ByAccount; 4], terms: &PayoutTerms, is_excluded: impl Fn(&str) -> bool) -> BTreeMap<String, Share> {
    let accounts: BTreeSet<&String> = parts.iter().flat_map(|part| part.keys()).collect();
    let mut shares = BTreeMap::new();
    for account in accounts {
        let [rewarded, made_good, adjusted, withheld_before] =
            parts.map(|part| part.get(account).cloned().unwrap_or_default());
        let due = &rewarded + &made_good + &adjusted + &withheld_before;
        let payable = due.clone().max(BigInt::zero()) / &terms.grain * &terms.grain;
        let is_paid = payable.is_positive() && payable >= terms.min_payout && !is_excluded(account);
        let paid = if is_paid { payable } else { BigInt::zero() };
        let share = Share {
            rewarded,
            made_good,
            adjusted,
            withheld_before,
            withheld_after: due - &paid,
            paid,
        };
        shares.insert(account.clone(), share);
    }
    shares
}

fn add_up(shares: &BTreeMap<String, Share>, money: &mut Money) {
    for share in shares.values() {
        money.rewarded += &share.rewarded;
        money.made_good += &share.made_good;
        money.adjusted += &share.adjusted;
        money.withheld_before += &share.withheld_before;
        money.distributed += &share.paid;
        money.withheld_after += &share.withheld_after;
    }
}

/// The first limit that is broken.
fn gate(
    listed: &Listed,
    epoch: u64,
    programme: &Programme,
    shares: &BTreeMap<String, Share>,
    money: &Money,
) -> Result<Option<Held>, String> {
    let largest = shares
        .values()
        .map(|share| share.paid.clone())
        .max()
        .unwrap_or_default();
    let mut change = None;
    if epoch > listed.terms.first_epoch {
        let before: BigInt = listed.book.sealed(epoch - 1)?.rewards.values().sum();
        if !before.is_zero() {
            let difference = (&money.rewarded + &money.made_good - &before).abs();
            change = Some(Rational::new(difference, before));
        }
    }
    let total = money.distributed.clone();
    let limit = match &programme.gate {
        None => None,
        Some(Gate::Always) => Some("always"),
        Some(Gate::Limits {
            max_payout,
            max_total,
            max_change,
        }) => {
            let broken = [
                ("max_payout", max_payout.as_ref().is_some_and(|most| largest > *most)),
                ("max_total", max_total.as_ref().is_some_and(|most| total > *most)),
                (
                    "max_change",
                    max_change
                        .as_ref()
                        .zip(change.as_ref())
                        .is_some_and(|(most, change)| change > most),
                ),
            ];
            broken.into_iter().find(|(_, broken)| *broken).map(|(name, _)| name)
        }
    };
    Ok(limit.map(|limit| Held {
        limit,
        largest,
        total,
        change,
    }))
}
