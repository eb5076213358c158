//! Merkle proofs (contract, section 8): a seal's root covers a distribution.

use std::collections::BTreeMap;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{InclusionProof, RootHash};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::bus::{Log, ReadError};
use crate::core::contract::merkle::{BucketTree, EMPTY_ROOT, Hash, epoch_root, leaf_hash};
use crate::core::values::account::AccountName;
use crate::core::values::bucket::bucket;

use crate::audit::published::read_all;
use crate::core::contract::records::{Distribution, PublishedRecord, Seal};
use crate::core::values::amount;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::BUCKETS;
use crate::core::values::ids::Epoch;

/// The format of proof files.
const FORMAT: u32 = 1;

/// The path from a leaf of a tree to its root (RFC 6962, section 2.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MerklePath {
    /// The index of the leaf, from 0.
    pub index: u64,
    /// The number of leaves.
    pub size: u64,
    /// In hexadecimal, from the leaf upwards.
    pub hashes: Vec<String>,
}

/// Proves that an account was paid an amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    pub format: u32,
    /// The id of the distribution.
    pub id: String,
    pub asset: String,
    pub epoch: Epoch,
    pub account: String,
    pub amount: String,
    /// The account's bucket: the first 12 bits of the SHA-256 of its name.
    pub bucket: u16,
    /// From the leaf `id|amount` to the root of the bucket.
    pub in_bucket: MerklePath,
    /// In hexadecimal.
    pub bucket_root: String,
    /// From the root of the bucket to the root of the epoch.
    pub in_epoch: MerklePath,
    /// The root of the epoch, in hexadecimal, as in the seal.
    pub root: String,
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{asset} epoch {epoch} is not sealed, so it has no root to prove anything against")]
    NotSealed { asset: Asset, epoch: Epoch },
    #[error("{account} was paid nothing of {asset} for epoch {epoch}; `softstake explain` tells why")]
    NotPaid {
        asset: Asset,
        epoch: Epoch,
        account: String,
    },
    /// The published distributions are not the sealed ones.
    #[error(
        "the distributions of {asset} epoch {epoch} have root {found}, but its seal has {sealed}: they are not what was sealed; \
         `softstake reconcile` tells what is different"
    )]
    OtherRoot {
        asset: Asset,
        epoch: Epoch,
        found: String,
        sealed: String,
    },
}

/// Proves the payout of `account`. Needs some 100 bytes of memory for each account that was paid.
///
/// # Errors
/// If the account was paid nothing, the epoch is not sealed, or the distributions are not the sealed ones.
pub fn prove(bus: &dyn Log, asset: Asset, epoch: Epoch, account: &str) -> Result<Proof, ProofError> {
    let mut sealed = None;
    each::<Seal>(bus, |seal| {
        if seal.asset == asset && seal.epoch == epoch {
            sealed = Some(seal.root.into_owned());
        }
    })?;
    let Some(sealed) = sealed else {
        return Err(ProofError::NotSealed { asset, epoch });
    };
    let EpochLeaves { mut own_leaves, hashes } = leaves(bus, asset, epoch, account)?;
    if !own_leaves.iter().any(|(name, _)| name == account) {
        let account = account.to_owned();
        return Err(ProofError::NotPaid { asset, epoch, account });
    }
    let roots = bucket_roots(hashes);
    let root = hex::encode(epoch_root(roots.iter().copied()));
    if root != sealed {
        return Err(ProofError::OtherRoot {
            asset,
            epoch,
            found: root,
            sealed,
        });
    }
    own_leaves.sort_unstable();
    let index = own_leaves.partition_point(|(name, _)| name.as_str() < account);
    Ok(Proof::of(ProofParts {
        asset,
        epoch,
        leaves: own_leaves,
        index,
        bucket: bucket(account),
        roots,
        root,
    }))
}

/// What a proof is made of.
#[derive(Debug)]
pub struct ProofParts {
    pub asset: Asset,
    pub epoch: Epoch,
    /// The accounts of the bucket that were paid, with their amounts, in the order of their bytes.
    pub leaves: Vec<(String, String)>,
    /// The account that the proof is for, among them.
    pub index: usize,
    pub bucket: u16,
    /// The roots of all buckets.
    pub roots: Vec<Hash>,
    /// The root over them, in hexadecimal.
    pub root: String,
}

/// The leaves of an epoch, as far as the proof for one account needs them.
#[derive(Default)]
struct EpochLeaves {
    /// The accounts of the account's own bucket, with their amounts.
    own_leaves: Vec<(String, String)>,
    /// The hashes of all leaves, with their accounts, by bucket.
    hashes: BTreeMap<u16, Vec<(String, Hash)>>,
}

fn leaves(bus: &dyn Log, asset: Asset, epoch: Epoch, account: &str) -> Result<EpochLeaves, ReadError> {
    let own = bucket(account);
    let mut leaves = EpochLeaves::default();
    each::<Distribution>(bus, |paid| {
        if paid.asset != asset || paid.epoch != epoch {
            return;
        }
        let leaf = format!("{asset}:{epoch}:{}|{}", paid.account, paid.amount);
        let bucket = bucket(&paid.account);
        let hash = leaf_hash(leaf.as_bytes());
        leaves
            .hashes
            .entry(bucket)
            .or_default()
            .push((paid.account.to_string(), hash));
        if bucket == own {
            leaves
                .own_leaves
                .push((paid.account.into_owned(), paid.amount.into_owned()));
        }
    })?;
    Ok(leaves)
}

/// The roots of all buckets.
fn bucket_roots(hashes: BTreeMap<u16, Vec<(String, Hash)>>) -> Vec<Hash> {
    let mut roots = vec![EMPTY_ROOT; usize::from(BUCKETS)];
    for (bucket, mut accounts) in hashes {
        accounts.sort_unstable();
        let mut tree = BucketTree::new();
        for (_, hash) in &accounts {
            tree.push_hash(*hash);
        }
        if let Some(root) = roots.get_mut(usize::from(bucket)) {
            *root = tree.root();
        }
    }
    roots
}

/// The path from the leaf at `index` to the root of the tree of `leaves`.
fn path(leaves: impl Iterator<Item = Vec<u8>>, index: usize) -> MerklePath {
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    leaves.for_each(|leaf| tree.push(leaf));
    let proof = tree.prove_inclusion(index);
    MerklePath {
        index: index as u64,
        size: tree.len(),
        hashes: proof.as_bytes().chunks(size_of::<Hash>()).map(hex::encode).collect(),
    }
}

/// Calls `take` with the data of every record of an output topic. Skips records that cannot be read.
fn each<R: PublishedRecord>(bus: &dyn Log, mut take: impl FnMut(R::Borrowed<'_>)) -> Result<(), ReadError> {
    read_all::<R, ReadError>(bus, None, |_, data| {
        if let Ok(data) = data {
            take(data);
        }
        Ok(())
    })
}

impl Proof {
    /// Puts a proof together. The parts are not checked.
    #[must_use]
    pub fn of(parts: ProofParts) -> Self {
        let ProofParts {
            asset,
            epoch,
            leaves,
            index,
            bucket,
            roots,
            root,
        } = parts;
        let (account, amount) = leaves.get(index).cloned().unwrap_or_default();
        let bucket_root = roots.get(usize::from(bucket)).copied().unwrap_or(EMPTY_ROOT);
        let leaf = |(account, amount): (String, String)| format!("{asset}:{epoch}:{account}|{amount}").into_bytes();
        Self {
            format: FORMAT,
            id: format!("{asset}:{epoch}:{account}"),
            asset: asset.to_string(),
            epoch,
            account,
            amount,
            bucket,
            in_bucket: path(leaves.into_iter().map(leaf), index),
            bucket_root: hex::encode(bucket_root),
            in_epoch: path(roots.into_iter().map(Vec::from), usize::from(bucket)),
            root,
        }
    }

    /// Verifies the proof. Only `root` must be trusted.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn verify(&self, root: &str) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!(
                "its format is {}; this softstake knows format {FORMAT}",
                self.format
            ));
        }
        // The leaf joins several fields. It has one meaning only if no field can hold a separator.
        Asset::parse(&self.asset).map_err(|error| format!("`asset` {error}"))?;
        AccountName::new(&self.account).map_err(|error| format!("`account` {error}"))?;
        if !amount::is_canonical(&self.amount) {
            return Err("`amount` is not a plain decimal number, or it has needless zeros".into());
        }
        let id = format!("{}:{}:{}", self.asset, self.epoch, self.account);
        if self.id != id {
            return Err(format!("`id` is {}; it must be {id}", self.id));
        }
        let bucket = bucket(&self.account);
        if self.bucket != bucket || self.in_epoch.index != u64::from(bucket) {
            return Err(format!("the bucket of {} must be {bucket}", self.account));
        }
        if self.in_epoch.size != u64::from(BUCKETS) {
            return Err(format!("`in_epoch.size` must be {BUCKETS}"));
        }
        if self.root != root.to_ascii_lowercase() {
            return Err(format!("it is a proof for root {}, not for {root}", self.root));
        }
        let leaf = format!("{}|{}", self.id, self.amount).into_bytes();
        let bucket_root = hash("bucket_root", &self.bucket_root)?;
        self.in_bucket.verify("in_bucket", leaf, bucket_root)?;
        self.in_epoch
            .verify("in_epoch", bucket_root.to_vec(), hash("root", &self.root)?)
    }
}

impl MerklePath {
    fn verify(&self, field: &str, leaf: Vec<u8>, root: Hash) -> Result<(), String> {
        let mut hashes = Vec::new();
        for text in &self.hashes {
            hashes.extend(hash(&format!("{field}.hashes"), text)?);
        }
        let proof = InclusionProof::<Sha256>::try_from_bytes(hashes).map_err(|error| format!("`{field}`: {error}"))?;
        RootHash::<Sha256>::new(root.into(), self.size)
            .verify_inclusion(&leaf, self.index, &proof)
            .map_err(|error| format!("`{field}` does not lead to its root: {error}"))
    }
}

fn hash(field: &str, text: &str) -> Result<Hash, String> {
    let mut hash = Hash::default();
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("`{field}` must be in lower case"));
    }
    hex::decode_to_slice(text, &mut hash)
        .map_err(|error| format!("`{field}` is not a SHA-256 in hexadecimal: {error}"))?;
    Ok(hash)
}
