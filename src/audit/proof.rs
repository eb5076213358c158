//! Merkle proofs (contract, section 8): that a distribution is among those under a seal's root.

use std::collections::BTreeMap;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{InclusionProof, RootHash};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::bus::{BusError, Log, Mark, Topic};
use crate::core::contract::merkle::{BucketTree, EMPTY_ROOT, Hash, epoch_root, leaf_hash};
use crate::core::values::account::check_account;
use crate::core::values::bucket::bucket;

use crate::audit::published::{Paid, Record};
use crate::bus::scan::scan_range;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::BUCKETS;

/// The format of proof files.
const FORMAT: u32 = 1;

/// A leaf's place in a tree, and the hashes that lead from it to the root, from below (RFC 6962, section 2.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Path {
    /// Which leaf, from 0.
    pub index: u64,
    /// How many leaves there are.
    pub size: u64,
    /// The hashes, in hexadecimal.
    pub hashes: Vec<String>,
}

/// That an account was paid an amount under a root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The format of this file.
    pub format: u32,
    /// The distribution's id.
    pub id: String,
    /// The asset.
    pub asset: String,
    /// The epoch.
    pub epoch: u64,
    /// The account.
    pub account: String,
    /// How much it was paid.
    pub amount: String,
    /// The account's bucket: the first 12 bits of the SHA-256 of its bytes.
    pub bucket: u16,
    /// From the leaf `id|amount` to the root of the bucket.
    pub in_bucket: Path,
    /// The root of the bucket, in hexadecimal.
    pub bucket_root: String,
    /// From the root of the bucket to that of the epoch.
    pub in_epoch: Path,
    /// The root of the epoch, in hexadecimal, as the seal has it.
    pub root: String,
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The epoch has no seal.
    #[error("{asset} epoch {epoch} is not sealed: there is no root yet to prove anything against")]
    NotSealed {
        /// The asset.
        asset: Asset,
        /// The epoch.
        epoch: u64,
    },
    /// There is no such distribution.
    #[error("{account} was paid nothing of {asset} for epoch {epoch}; `softstake explain` tells why")]
    NotPaid {
        /// The asset.
        asset: Asset,
        /// The epoch.
        epoch: u64,
        /// The account.
        account: String,
    },
    /// The distributions are not those that were sealed.
    #[error(
        "the distributions of {asset} epoch {epoch} have root {found}, and its seal has {sealed}: they are not what was sealed; \
         `softstake reconcile` tells what is different"
    )]
    OtherRoot {
        /// The asset.
        asset: Asset,
        /// The epoch.
        epoch: u64,
        /// The root of what is there.
        found: String,
        /// The seal's.
        sealed: String,
    },
}

#[derive(Deserialize)]
struct Sealed {
    asset: String,
    epoch: u64,
    root: String,
}

/// Proves what `account` was paid. It takes some 100 bytes of memory for each account that was paid.
///
/// # Errors
/// If it was paid nothing, if nothing is sealed, or if what is there is not what was sealed.
pub fn prove(bus: &dyn Log, asset: Asset, epoch: u64, account: &str) -> Result<Proof, ProofError> {
    let mut root = None;
    each(bus, Topic::Epochs, |seal: Sealed| {
        if seal.asset == asset.as_str() && seal.epoch == epoch {
            root = Some(seal.root);
        }
    })?;
    let Some(root) = root else {
        return Err(ProofError::NotSealed { asset, epoch });
    };
    let ours = bucket(account);
    // Of the account's own bucket the leaves themselves, of all others their hashes.
    let mut leaves: Vec<(String, String)> = Vec::new();
    let mut hashes: BTreeMap<u16, Vec<(String, Hash)>> = BTreeMap::new();
    let mut amount = None;
    each(bus, Topic::Distributions, |paid: Paid| {
        if paid.asset != asset.as_str() || paid.epoch != epoch {
            return;
        }
        let leaf = format!("{asset}:{epoch}:{}|{}", paid.account, paid.amount);
        let bucket = bucket(&paid.account);
        hashes
            .entry(bucket)
            .or_default()
            .push((paid.account.clone(), leaf_hash(leaf.as_bytes())));
        if paid.account == account {
            amount = Some(paid.amount);
        }
        if bucket == ours {
            leaves.push((paid.account, leaf));
        }
    })?;
    let Some(amount) = amount else {
        let account = account.to_owned();
        return Err(ProofError::NotPaid { asset, epoch, account });
    };
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
    let found = hex::encode(epoch_root(roots.iter().copied()));
    if found != root {
        return Err(ProofError::OtherRoot {
            asset,
            epoch,
            found,
            sealed: root,
        });
    }
    leaves.sort_unstable();
    let index = leaves.partition_point(|(name, _)| name.as_str() < account);
    let bucket_root = roots.get(usize::from(ours)).copied().unwrap_or(EMPTY_ROOT);
    Ok(Proof {
        format: FORMAT,
        id: format!("{asset}:{epoch}:{account}"),
        asset: asset.to_string(),
        epoch,
        account: account.to_owned(),
        amount,
        bucket: ours,
        in_bucket: path(leaves.into_iter().map(|(_, leaf)| leaf.into_bytes()), index),
        bucket_root: hex::encode(bucket_root),
        in_epoch: path(roots.into_iter().map(Vec::from), usize::from(ours)),
        root: found,
    })
}

/// The audit path of the leaf at `index`, which is among `leaves`.
fn path(leaves: impl Iterator<Item = Vec<u8>>, index: usize) -> Path {
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    leaves.for_each(|leaf| tree.push(leaf));
    let proof = tree.prove_inclusion(index);
    Path {
        index: index as u64,
        size: tree.len(),
        hashes: proof.as_bytes().chunks(size_of::<Hash>()).map(hex::encode).collect(),
    }
}

/// Calls `take` with the data of every record of a topic that can be read as such.
fn each<D: serde::de::DeserializeOwned>(bus: &dyn Log, topic: Topic, mut take: impl FnMut(D)) -> Result<(), BusError> {
    for number in bus.partitions(topic)? {
        let partition = topic.partition(number);
        scan_range(
            bus,
            partition,
            &Mark::default(),
            bus.readable_end(partition)?,
            |record| {
                if let Ok(Record { data }) = serde_json::from_slice(record.value) {
                    take(data);
                }
                Ok::<_, BusError>(())
            },
        )?;
    }
    Ok(())
}

impl Proof {
    /// Checks everything that can be checked without trusting anybody but whoever gave `root`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn verify(&self, root: &str) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("its format is {}, this softstake knows {FORMAT}", self.format));
        }
        // The leaf is a text of several fields: it says one thing only if none of them can hold what separates them.
        Asset::parse(&self.asset).map_err(|error| format!("`asset` {error}"))?;
        check_account(&self.account).map_err(|error| format!("`account` {error}"))?;
        if !is_plain(&self.amount) {
            return Err("`amount` is no plain decimal without needless zeros".into());
        }
        let id = format!("{}:{}:{}", self.asset, self.epoch, self.account);
        if self.id != id {
            return Err(format!("`id` is {}, and not {id}", self.id));
        }
        let bucket = bucket(&self.account);
        if self.bucket != bucket || self.in_epoch.index != u64::from(bucket) {
            return Err(format!("{} belongs into bucket {bucket}", self.account));
        }
        if self.in_epoch.size != u64::from(BUCKETS) {
            return Err(format!("`in_epoch.size` has to be {BUCKETS}"));
        }
        if self.root != root.to_ascii_lowercase() {
            return Err(format!("it is a proof for root {}, and not for {root}", self.root));
        }
        let leaf = format!("{}|{}", self.id, self.amount).into_bytes();
        let bucket_root = hash("bucket_root", &self.bucket_root)?;
        self.in_bucket.verify("in_bucket", leaf, bucket_root)?;
        self.in_epoch
            .verify("in_epoch", bucket_root.to_vec(), hash("root", &self.root)?)
    }
}

impl Path {
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

/// Whether a text is an amount as outputs have it (contract, section 8): digits, and a point and digits after it if there is a fraction.
fn is_plain(amount: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, "1"));
    digits(whole) && (whole == "0" || !whole.starts_with('0')) && digits(fraction) && !fraction.ends_with('0')
}

fn hash(field: &str, text: &str) -> Result<Hash, String> {
    let mut hash = Hash::default();
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("`{field}` has to be in small letters"));
    }
    hex::decode_to_slice(text, &mut hash)
        .map_err(|error| format!("`{field}` is no SHA-256 in hexadecimal: {error}"))?;
    Ok(hash)
}
