//! The records that a settlement publishes (contract, sections 6 and 8).

use std::collections::BTreeMap;

use num_bigint::BigInt;
use serde_json::{Value, json};

use super::calendar::owner;
use super::listed::{Close, Listed};
use super::programme::{Mode, Programme};
use super::settle::{Money, Share};
use super::weigh::{ByAccount, Weighed};
use crate::model::parts::amount::{Rational, cut_toward_zero, plain, power_of_ten};
use crate::model::parts::{bus, merkle, time};

/// A rate of at most 18 decimals.
pub fn plain_rate(rate: &Rational) -> String {
    plain(&(rate * power_of_ten(18)).floor().to_integer(), 18)
}

/// The epoch that records are about.
pub struct Report<'a> {
    pub asset: &'a str,
    pub listed: &'a Listed,
    pub close: &'a Close,
    pub programme: &'a Programme,
    pub start: i64,
    pub end: i64,
}

impl Report<'_> {
    fn reward(&self, units: &BigInt) -> String {
        plain(units, self.listed.terms.reward_decimals())
    }

    /// S is in milliseconds, so in asset * seconds it has three decimals more than the asset.
    fn balance_seconds(&self, sum: &BigInt) -> String {
        plain(sum, self.listed.terms.decimals + 3)
    }

    fn reward_asset(&self) -> &str {
        let reward = &self.listed.terms.reward;
        reward.as_ref().map_or(self.asset, |(asset, _)| asset.as_str())
    }

    fn id(&self, account: &str) -> String {
        format!("{}:{}:{account}", self.asset, self.close.epoch)
    }

    pub fn distributions(&self, shares: &BTreeMap<String, Share>, sums: &ByAccount) -> BTreeMap<String, Value> {
        let mut distributions = BTreeMap::new();
        let len = BigInt::from(self.end - self.start);
        for (account, share) in shares.iter().filter(|(_, share)| share.paid > BigInt::from(0)) {
            let id = self.id(account);
            let sum = sums.get(account).cloned().unwrap_or_default();
            let average = plain(&cut_toward_zero(&sum, &len), self.listed.terms.decimals);
            let data = json!({
                "account": account,
                "asset": self.asset,
                "reward_asset": self.reward_asset(),
                "epoch": self.close.epoch,
                "epoch_start": time::format(self.start),
                "epoch_end": time::format(self.end),
                "amount": self.reward(&share.paid),
                "rewarded": self.reward(&share.rewarded),
                "made_good": self.reward(&share.made_good),
                "adjusted": self.reward(&share.adjusted),
                "withheld_before": self.reward(&share.withheld_before),
                "balance_seconds": self.balance_seconds(&sum),
                "average_balance": average,
                "programme_from_epoch": self.programme.from_epoch,
            });
            let record = bus::output("softstake.distribution.v1", &id, &time::format(self.end), data);
            distributions.insert(id, record);
        }
        distributions
    }

    pub fn seal(&self, shares: &BTreeMap<String, Share>, money: &Money, weighed: &Weighed) -> Value {
        let paid = shares.iter().filter(|(_, share)| share.paid > BigInt::from(0));
        let leaf = |account: &str, share: &Share| format!("{}|{}", self.id(account), self.reward(&share.paid));
        let leaves: BTreeMap<String, String> = paid
            .map(|(account, share)| (account.clone(), leaf(account, share)))
            .collect();
        let mut data = json!({
            "asset": self.asset,
            "reward_asset": self.reward_asset(),
            "epoch": self.close.epoch,
            "epoch_start": time::format(self.start),
            "epoch_end": time::format(self.end),
            "mode": self.programme.mode.name(),
            "programme_from_epoch": self.programme.from_epoch,
            "reward_pool": self.reward(&money.pool),
            "commission": self.reward(&money.commission),
            "carried_in": self.reward(&money.carried_in),
            "carried_out": self.reward(&money.carried_out),
            "returned": self.reward(&money.returned),
            "rewarded": self.reward(&money.rewarded),
            "made_good": self.reward(&money.made_good),
            "adjusted": self.reward(&money.adjusted),
            "distributed": self.reward(&money.distributed),
            "withheld_before": self.reward(&money.withheld_before),
            "withheld_after": self.reward(&money.withheld_after),
            "distributions": leaves.len(),
            "ineligible": {
                "status": weighed.not_allowed,
                "negative": weighed.negative,
                "below_minimum": weighed.below_minimum,
            },
            "eligible_balance_seconds": self.balance_seconds(&weighed.capped.values().sum()),
            "closing_balance": plain(&money.closing_balance, self.listed.terms.decimals),
            "cut": self.close.cut.to_json(),
            "root": merkle::root(&leaves, owner),
        });
        if let Some(apr) = self.apr() {
            data["apr"] = json!(plain_rate(apr));
        }
        if let Some(reward_rate) = &self.close.order.reward_rate {
            data["reward_rate"] = json!(plain_rate(reward_rate));
        }
        let id = format!("{}:{}", self.asset, self.close.epoch);
        bus::output("softstake.epoch_settled.v1", &id, &time::format(self.end), data)
    }

    /// The rate that was paid, if there is one for all.
    fn apr(&self) -> Option<&Rational> {
        match &self.programme.mode {
            Mode::Apr(apr) => Some(self.close.order.apr.as_ref().unwrap_or(apr)),
            Mode::Pool | Mode::AprPerTier => None,
        }
    }
}
