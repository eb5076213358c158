//! The Merkle root of an epoch, as in its seal: RFC 6962 hashing with SHA-256, one tree per bucket of accounts, and one tree
//! over the roots of the 4,096 buckets.

use sha2::{Digest, Sha256};

/// The number of buckets of accounts.
const BUCKETS: u16 = 4096;

type Hash = [u8; 32];

/// The bucket of an account: the first 12 bits of SHA-256 of its owner's bytes. The owner is the part before the first `/`; an account
/// that begins with `/` is its own owner.
pub fn bucket(account: &str) -> u16 {
    let owner = match account.find('/') {
        None | Some(0) => account,
        Some(at) => &account[..at],
    };
    let hash = Sha256::digest(owner);
    u16::from_be_bytes([hash[0], hash[1]]) >> 4
}

/// The root of an epoch, built distribution by distribution. It holds some dozens of hashes at most.
#[derive(Debug, Default)]
pub struct EpochTree {
    /// The roots of the buckets before `bucket`.
    buckets: Tree,
    bucket: u16,
    current: Tree,
    last: Option<String>,
}

/// A leaf is out of order: leaves are sorted by bucket, then by the bytes of the account. Otherwise the root would be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("account {account:?} is out of order; does the database sort text by bytes?")]
pub struct OutOfOrder {
    account: String,
}

impl EpochTree {
    /// Adds a distribution. Distributions are sorted by bucket, then by the bytes of the account.
    ///
    /// # Errors
    /// If this one is out of order.
    pub fn push(&mut self, id: &str, account: &str, amount: &str) -> Result<(), OutOfOrder> {
        let bucket = bucket(account);
        let last = self.last.as_deref();
        if bucket < self.bucket || (bucket == self.bucket && last.is_some_and(|last| last >= account)) {
            let account = account.to_owned();
            return Err(OutOfOrder { account });
        }
        self.end_buckets_before(bucket);
        self.last = Some(account.to_owned());
        self.current.push(format!("{id}|{amount}").as_bytes());
        Ok(())
    }

    /// The root over all distributions, in lower-case hex.
    pub fn finish(mut self) -> String {
        self.end_buckets_before(BUCKETS);
        hex::encode(self.buckets.root())
    }

    fn end_buckets_before(&mut self, bucket: u16) {
        while self.bucket < bucket {
            self.buckets.push(&std::mem::take(&mut self.current).root());
            self.bucket += 1;
            self.last = None;
        }
    }
}

/// An RFC 6962 tree, built leaf by leaf: the roots of its full subtrees from left to right, whose sizes are the bits of
/// the number of leaves from the highest down.
#[derive(Debug, Default)]
struct Tree {
    subtrees: Vec<Hash>,
    leaves: u64,
}

impl Tree {
    fn push(&mut self, leaf: &[u8]) {
        let mut hash = Sha256::new().chain_update([0]).chain_update(leaf).finalize().into();
        // Each trailing one-bit is a full subtree of the same size as the one built so far.
        let full = self.subtrees.len() - self.leaves.trailing_ones() as usize;
        for left in self.subtrees.drain(full..).rev() {
            hash = node(&left, &hash);
        }
        self.subtrees.push(hash);
        self.leaves += 1;
    }

    fn root(&self) -> Hash {
        match self.subtrees.split_last() {
            None => Sha256::digest([]).into(),
            Some((last, before)) => before.iter().rev().fold(*last, |right, left| node(left, &right)),
        }
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let node = Sha256::new().chain_update([1]).chain_update(left).chain_update(right);
    node.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference leaves and roots of the Certificate Transparency project.
    #[test]
    fn published_vectors() {
        let leaves = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Tree::default();
        assert_eq!(hex::encode(tree.root()), roots[0]);
        for (leaf, root) in leaves.iter().zip(&roots[1..]) {
            tree.push(&hex::decode(leaf).unwrap());
            assert_eq!(hex::encode(tree.root()), *root);
        }
    }

    /// The epochs of the worked example of Softstake's contract.
    #[test]
    fn worked_example() {
        let epochs = [
            (
                vec![("alice", "0.9007"), ("bob", "10.0081"), ("carol", "0.3411")],
                "91c3653106b9783e93bc1fbcb4339a3956a4b1ad2072dcf3fbb7e85874bbe788",
            ),
            (
                vec![
                    ("alice", "0.1928"),
                    ("alice/grid", "0.0964"),
                    ("bob", "4.8221"),
                    ("carol", "0.9716"),
                    ("dave", "0.217"),
                ],
                "d75c34ca2644b47c5ffe1c23e5aa77eaf490232beca566a8d6a304d6d48ff90e",
            ),
            (
                vec![
                    ("alice", "0.213"),
                    ("alice/grid", "0.1065"),
                    ("bob", "5.3274"),
                    ("carol", "1.7736"),
                    ("dave", "0.2131"),
                    ("frank", "0.25"),
                ],
                "e9b148aa473fd2d5eb662e9d3fe8c587f9ae1e86b9259790d09519c0f861ff53",
            ),
        ];
        for (epoch, (mut distributions, root)) in epochs.into_iter().enumerate() {
            distributions.sort_by_key(|(account, _)| (bucket(account), *account));
            let mut tree = EpochTree::default();
            for (account, amount) in distributions {
                tree.push(&format!("ATOM:{epoch}:{account}"), account, amount).unwrap();
            }
            assert_eq!(tree.finish(), root);
        }
    }

    #[test]
    fn a_wrong_order_is_detected() {
        let mut accounts: Vec<String> = (0..20_000).map(|n| format!("u-{n}")).collect();
        accounts.sort_by_key(|account| (bucket(account), account.clone()));
        let root = |accounts: &[String]| {
            let mut tree = EpochTree::default();
            for account in accounts {
                tree.push(account, account, "1")?;
            }
            Ok(tree.finish())
        };
        root(&accounts).unwrap();
        for at in [0, 1, 777, accounts.len() - 2] {
            accounts.swap(at, at + 1);
            let account = accounts[at + 1].clone();
            assert_eq!(root(&accounts), Err(OutOfOrder { account }));
            accounts.swap(at, at + 1);
        }
        accounts[1] = accounts[0].clone();
        root(&accounts).unwrap_err();
    }
}
