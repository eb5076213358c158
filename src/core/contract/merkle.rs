//! RFC 6962 Merkle tree hashing with SHA-256, and the root of an epoch (contract, section 8).

use crate::core::values::sha256::sha256;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// `MTH({})`, the hash of a tree without leaves: SHA-256 of nothing (RFC 6962, section 2.1).
pub const EMPTY_ROOT: Hash = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// A leaf's hash: SHA-256 of 0x00 and the leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    sha256([&[0x00], leaf])
}

/// An inner node's hash: SHA-256 of 0x01 and the hashes of its two subtrees.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256([&[0x01], left, right])
}

/// The Merkle tree of one bucket, built leaf by leaf. It holds only the roots of its full subtrees: one for each bit
/// that is set in the number of leaves.
///
/// Leaves are the bytes `id|amount` of an epoch's distributions in the order of the accounts' bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketTree {
    /// The roots of the full subtrees from left to right: their sizes are the bits of `leaves` from the highest down.
    subtrees: Vec<Hash>,
    leaves: u64,
}

impl BucketTree {
    pub const fn new() -> BucketTree {
        BucketTree {
            subtrees: Vec::new(),
            leaves: 0,
        }
    }

    pub fn push(&mut self, leaf: &[u8]) {
        self.push_hash(leaf_hash(leaf));
    }

    /// Appends a leaf by its [`leaf_hash`].
    pub fn push_hash(&mut self, hash: Hash) {
        self.push_subtree(hash);
    }

    pub const fn len(&self) -> u64 {
        self.leaves
    }

    pub const fn is_empty(&self) -> bool {
        self.leaves == 0
    }

    /// The Merkle tree hash of the leaves so far; [`EMPTY_ROOT`] without any.
    pub fn root(&self) -> Hash {
        // RFC 6962 splits at the largest power of two below the number of leaves, which is the first full subtree.
        let mut from_right = self.subtrees.iter().rev();
        let Some(last) = from_right.next() else {
            return EMPTY_ROOT;
        };
        from_right.fold(*last, |right, left| node_hash(left, &right))
    }

    /// Removes all leaves, and keeps the memory.
    pub fn clear(&mut self) {
        self.subtrees.clear();
        self.leaves = 0;
    }

    /// Appends the hash of a leaf, or the root of a full subtree. All appended subtrees must have the same size.
    fn push_subtree(&mut self, mut hash: Hash) {
        for _ in 0..self.leaves.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.subtrees.push(hash);
        // 2^64 leaves would take centuries.
        self.leaves = self.leaves.saturating_add(1);
    }
}

/// The root of an epoch: the tree whose leaves are the 4,096 bucket roots, 32 raw bytes each, in the order of the
/// buckets. A bucket without distributions has [`EMPTY_ROOT`]. The caller must give all 4,096.
///
/// With the bucket roots of one ledger partition, it is the root of that partition's subtree, for
/// [`join_partition_roots`].
pub fn epoch_root(bucket_roots: impl IntoIterator<Item = Hash>) -> Hash {
    let mut tree = BucketTree::new();
    for root in bucket_roots {
        tree.push(&root);
    }
    tree.root()
}

/// The root of an epoch from the [`epoch_root`] of each ledger partition, in order. It is the same hash as over all
/// buckets, because partitions are equal ranges of buckets and their number is a power of two.
pub fn join_partition_roots(partition_roots: impl IntoIterator<Item = Hash>) -> Hash {
    let mut tree = BucketTree::new();
    for root in partition_roots {
        tree.push_subtree(root);
    }
    tree.root()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::values::bucket::{BUCKETS, Partitions, bucket};
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use sha2::{Digest, Sha256};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The reference leaves and roots of the Certificate Transparency project.
    #[test]
    fn published_vectors() {
        let leaves: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[
                0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f,
            ],
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
        let mut tree = BucketTree::new();
        assert_eq!(hex(&tree.root()), roots[0]);
        for (leaf, root) in leaves.iter().zip(&roots[1..]) {
            tree.push(leaf);
            assert_eq!(hex(&tree.root()), *root);
        }
        tree.clear();
        assert_eq!((tree.is_empty(), tree.root()), (true, EMPTY_ROOT));
        assert_eq!(EMPTY_ROOT, <Hash>::from(Sha256::digest([])));
    }

    #[test]
    fn agrees_with_another_implementation() {
        let mut tree = BucketTree::new();
        let mut judge = MemoryBackedTree::<Sha256, String>::new();
        for i in 0..600u64 {
            assert_eq!(tree.len(), i);
            assert_eq!(tree.root().as_slice(), judge.root().as_bytes().as_slice(), "{i} leaves");
            let leaf = "x".repeat(i as usize) + &i.to_string();
            tree.push(leaf.as_bytes());
            judge.push(leaf);
        }
    }

    /// Epochs 0 and 1 of the worked example that comes with the contract.
    #[test]
    fn worked_example() {
        type Distributions = &'static [(&'static str, &'static str)];
        let epochs: [(Distributions, u64, &str); 2] = [
            (
                &[("alice", "0.9007"), ("bob", "10.0081"), ("carol", "0.3411")],
                0,
                "91c3653106b9783e93bc1fbcb4339a3956a4b1ad2072dcf3fbb7e85874bbe788",
            ),
            (
                &[
                    ("alice", "0.2881"),
                    ("bob", "4.8037"),
                    ("carol", "0.9679"),
                    ("dave", "0.2401"),
                ],
                1,
                "6e40c37dd6a66c69de74149320fbaaa0fd1382bf729a1cee7dc0e448731f021b",
            ),
        ];
        for (distributions, epoch, expected) in epochs {
            let mut trees = vec![BucketTree::new(); usize::from(BUCKETS)];
            for (account, amount) in distributions {
                trees[usize::from(bucket(account))].push(format!("ATOM:{epoch}:{account}|{amount}").as_bytes());
            }
            let roots: Vec<Hash> = trees.iter().map(BucketTree::root).collect();
            assert_eq!(hex(&epoch_root(roots.iter().copied())), expected);
            for count in [1, 2, 8, 4096] {
                let partitions = Partitions::new(count).unwrap();
                let joined = join_partition_roots((0..partitions.count()).map(|partition| {
                    let range = partitions.buckets(partition);
                    epoch_root(roots[usize::from(range.start)..usize::from(range.end)].iter().copied())
                }));
                assert_eq!(hex(&joined), expected, "{count} partitions");
            }
        }
    }
}
