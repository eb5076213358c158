//! Epochs to pay.

use std::collections::BTreeMap;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use num_bigint::BigInt;
use sha2::{Digest, Sha256};

use super::{DISTRIBUTIONS, EPOCHS};
use crate::common::Dice;
use crate::common::kafka::Cluster;

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
            paid: paid.into_iter().collect(),
        }
    }

    pub fn distributions(&self) -> Vec<String> {
        let Self { asset, epoch, paid } = self;
        let event = |(account, amount): &(String, BigInt)| {
            serde_json::json!({
                "specversion": "1.0", "id": format!("{asset}:{epoch}:{account}"), "source": "/softstake",
                "type": "softstake.distribution.v1", "time": "2026-11-02T00:00:00.000Z",
                "data": {"account": account, "asset": asset, "epoch": epoch, "amount": plain(amount)}
            })
        };
        paid.iter().map(|paid| event(paid).to_string()).collect()
    }

    pub fn seal(&self) -> String {
        let Self { asset, epoch, paid } = self;
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
        serde_json::json!({
            "specversion": "1.0", "id": format!("{asset}:{epoch}"), "source": "/softstake",
            "type": "softstake.epoch_settled.v1", "time": "2026-11-02T00:00:00.000Z",
            "data": {"asset": asset, "epoch": epoch, "distributions": paid.len(), "distributed": plain(&sum),
                "root": hex::encode(tree.root().as_bytes())}
        })
        .to_string()
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

/// The balances after these epochs are paid.
pub fn due(epochs: &[Epoch]) -> BTreeMap<String, BigInt> {
    let mut due = BTreeMap::new();
    for Epoch { asset, paid, .. } in epochs {
        for (account, amount) in paid {
            *due.entry(format!("{asset} {account}")).or_default() += amount;
        }
    }
    due
}
