//! Who earns, the capped sums C and the weights W (contract, section 5).

use std::collections::{BTreeMap, BTreeSet};

use num_bigint::BigInt;
use num_traits::{Signed, Zero};

use super::calendar::owner;
use super::programme::{Programme, Tier};

/// Amounts by account.
pub type ByAccount = BTreeMap<String, BigInt>;

/// The eligible accounts, and the number of the others whose S is not zero.
#[derive(Debug, Default)]
pub struct Weighed {
    pub capped: ByAccount,
    pub weights: ByAccount,
    pub not_allowed: u64,
    pub negative: u64,
    pub below_minimum: u64,
}

impl Programme {
    /// The accounts to which minimum, cap and tiers apply together have one group. With scope `account`, each account
    /// is a group of its own. Then the formulas for the accounts of an owner give the same as those for one account.
    pub fn group<'a>(&self, account: &'a str) -> &'a str {
        if self.scope_is_owner { owner(account) } else { account }
    }
}

pub fn weigh(programme: &Programme, len: &BigInt, sums: &ByAccount, allows: impl Fn(&str) -> bool) -> Weighed {
    let mut weighed = Weighed::default();
    let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (account, sum) in sums.iter().filter(|(_, sum)| !sum.is_zero()) {
        if !allows(account) {
            weighed.not_allowed += 1;
        } else if sum.is_negative() {
            weighed.negative += 1;
        } else {
            groups.entry(programme.group(account)).or_default().insert(account);
        }
    }
    for accounts in groups.values() {
        let together: BigInt = accounts.iter().map(|account| &sums[*account]).sum();
        if together < &programme.min_balance * len {
            weighed.below_minimum += accounts.len() as u64;
            continue;
        }
        let capped = match &programme.max_balance {
            Some(max_balance) => (max_balance * len).min(together.clone()),
            None => together.clone(),
        };
        let weight = weight(&capped, &programme.tiers, len);
        for account in accounts {
            let part = |of: &BigInt| of * &sums[*account] / &together; // both are positive: rounded down
            weighed.capped.insert((*account).to_owned(), part(&capped));
            weighed.weights.insert((*account).to_owned(), part(&weight));
        }
    }
    weighed
}

/// The sum over the tiers of the factor times the part of C between the tier's bounds, each times `len`.
fn weight(capped: &BigInt, tiers: &[Tier], len: &BigInt) -> BigInt {
    let mut weight = BigInt::zero();
    let mut lower = BigInt::zero();
    for tier in tiers {
        let upper = match &tier.up_to {
            Some(bound) => (bound * len).min(capped.clone()),
            None => capped.clone(),
        };
        if upper > lower {
            weight += &tier.factor * (&upper - &lower);
            lower = upper;
        }
    }
    weight
}
