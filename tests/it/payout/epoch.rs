//! Epochs to pay.

use std::collections::BTreeMap;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use num_bigint::BigInt;
use sha2::{Digest, Sha256};

use super::{DISTRIBUTIONS, EPOCHS};
use crate::common::Dice;
use crate::common::kafka::Cluster;
use crate::common::schemas::check_record;

/// Units of 10^-18 as a decimal number.
pub fn plain(units: &BigInt) -> String {
    let digits = format!("{:0>19}", units.to_string());
    let (whole, fraction) = digits.split_at(digits.len() - 18);
    format!("{whole}.{fraction}")
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}

/// The records that Softstake publishes for an epoch, made without it.
pub struct Epoch {
    pub asset: &'static str,
    pub epoch: u32,
    /// The asset that the amounts are of.
    pub reward_asset: &'static str,
    /// Account and amount.
    pub paid: Vec<(String, BigInt)>,
}

impl Epoch {
    /// Accounts whose names sort differently by bytes and by language, with amounts of all sizes.
    pub fn random(asset: &'static str, epoch: u32, accounts: usize, dice: &mut Dice) -> Self {
        let mut paid = BTreeMap::new();
        while paid.len() < accounts {
            let number = dice.throw(accounts as u64 * 2);
            let prefix = ["u-", "U-", "ü:", "|_", "\u{1f980} "][usize::try_from(number % 5).expect("small")];
            let amount = BigInt::from(1 + dice.throw(1 << 31)).pow(1 + u32::try_from(dice.throw(5)).expect("small"));
            let sub_account = ["", "", "/grid"][usize::try_from(number % 3).expect("small")];
            paid.insert(format!("{prefix}{number}{sub_account}"), amount);
        }
        Self {
            asset,
            epoch,
            reward_asset: asset,
            paid: paid.into_iter().collect(),
        }
    }

    /// The same, but paid in another asset.
    pub fn paid_in(self, reward_asset: &'static str) -> Self {
        Self { reward_asset, ..self }
    }

    /// The distributions. Each account had a debt, which is made up.
    pub fn distributions(&self) -> Vec<String> {
        let Self {
            asset,
            epoch,
            reward_asset,
            paid,
        } = self;
        let event = |(account, amount): &(String, BigInt)| {
            serde_json::json!({
                "specversion": "1.0", "id": format!("{asset}:{epoch}:{account}"), "source": "/softstake",
                "type": "softstake.distribution.v1", "time": "2026-11-02T00:00:00.000Z",
                "data": {
                    "account": account, "asset": asset, "reward_asset": reward_asset, "epoch": epoch,
                    "epoch_start": "2026-11-01T00:00:00.000Z", "epoch_end": "2026-11-02T00:00:00.000Z",
                    "amount": plain(amount), "rewarded": plain(&(amount + 3)), "made_good": "0.000000000000000002",
                    "adjusted": "-0.000000000000000004", "withheld_before": "-0.000000000000000001",
                    "balance_seconds": "-1.5", "average_balance": "0", "programme_from_epoch": 0,
                }
            })
        };
        let events: Vec<_> = paid.iter().map(event).collect();
        // Only one of them is checked: the schemas are slow, and there are epochs of millions.
        events
            .first()
            .map(check_record)
            .transpose()
            .expect("a distribution by its schema");
        events.iter().map(ToString::to_string).collect()
    }

    /// The right seal: in odd epochs of an `apr` programme with rates per tier, or else of a pool with a deficit.
    pub fn seal(&self) -> String {
        let Self {
            asset,
            epoch,
            reward_asset,
            paid,
        } = self;
        let mut buckets: Vec<MemoryBackedTree<Sha256, String>> = (0..4096).map(|_| MemoryBackedTree::new()).collect();
        // `paid` is sorted by bytes.
        for (account, amount) in paid {
            // None of these accounts begins with a slash.
            let owner = account.split('/').next().unwrap_or_default();
            let hash = Sha256::digest(owner);
            let bucket = usize::from(hash[0]) << 4 | usize::from(hash[1]) >> 4;
            buckets[bucket].push(format!("{asset}:{epoch}:{account}|{}", plain(amount)));
        }
        let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        for bucket in &buckets {
            tree.push(bucket.root().as_bytes().to_vec());
        }
        let sum: BigInt = paid.iter().map(|(_, amount)| amount).sum();
        let mode = if epoch % 2 == 1 { "apr" } else { "pool" };
        let seal = serde_json::json!({
            "specversion": "1.0", "id": format!("{asset}:{epoch}"), "source": "/softstake",
            "type": "softstake.epoch_settled.v1", "time": "2026-11-02T00:00:00.000Z",
            "data": {
                "asset": asset, "reward_asset": reward_asset, "epoch": epoch,
                "epoch_start": "2026-11-01T00:00:00.000Z", "epoch_end": "2026-11-02T00:00:00.000Z", "mode": mode,
                "reward_pool": "-1", "commission": "0", "carried_in": "-0.5", "carried_out": "-1.5", "returned": "0",
                "rewarded": "0", "made_good": "-2", "adjusted": "-0.25", "distributed": plain(&sum),
                "withheld_before": "-1", "withheld_after": "-7.25", "distributions": paid.len(),
                "ineligible": {"status": 1, "negative": 0, "below_minimum": 2}, "eligible_balance_seconds": "0",
                "closing_balance": "0", "programme_from_epoch": 0, "cut": {"exchange.deposits": {"0": 8}},
                "root": hex::encode(tree.root().as_bytes()),
            }
        });
        check_record(&seal).expect("a seal by its schema");
        seal.to_string()
    }

    /// Publishes the epoch as Softstake does: distributions in transactions on several partitions, then the seal in a
    /// later transaction. Between them there are aborted transactions with wrong amounts.
    pub fn publish(&self, cluster: &Cluster) {
        let distributions = self.distributions();
        for (partition, part) in (0..).zip(distributions.chunks(distributions.len().div_ceil(3))) {
            let wrong = Self {
                paid: vec![(self.paid[0].0.clone(), BigInt::from(7_u8))],
                ..*self
            };
            cluster
                .begin("payout", DISTRIBUTIONS, partition, wrong.distributions())
                .abort();
            cluster.begin("payout", DISTRIBUTIONS, partition, part).commit();
        }
        let wrong = Self {
            paid: Vec::new(),
            ..*self
        };
        cluster.begin("payout", EPOCHS, 0, [wrong.seal()]).abort();
        cluster.begin("payout", EPOCHS, 0, [self.seal()]).commit();
    }
}

/// The balances by reward asset and account after these epochs are paid.
pub fn due(epochs: &[Epoch]) -> BTreeMap<String, BigInt> {
    let mut due = BTreeMap::new();
    for Epoch { reward_asset, paid, .. } in epochs {
        for (account, amount) in paid {
            *due.entry(format!("{reward_asset} {account}")).or_default() += amount;
        }
    }
    due
}
