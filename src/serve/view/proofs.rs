//! Merkle proofs from the view. The roots of an epoch's buckets are worked out once and kept, so a proof reads one bucket.

use rocksdb::WriteBatch;

use crate::audit::proof::{Proof, ProofParts};
use crate::core::contract::merkle::{BucketTree, EMPTY_ROOT, Hash, epoch_root};
use crate::core::values::asset::Asset;
use crate::core::values::bucket::{BUCKETS, bucket};
use crate::core::values::ids::Epoch;
use crate::serve::view::error::ViewError;
use crate::serve::view::kept::View;
use crate::serve::view::keys;
use crate::serve::view::packed::unpack;

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ViewProofError {
    #[error(transparent)]
    View(#[from] ViewError),
    #[error("{asset} epoch {epoch} is not sealed, so it has no root to prove anything against")]
    NotSealed { asset: Asset, epoch: Epoch },
    #[error("the account was paid nothing of {asset} for epoch {epoch}")]
    NotPaid { asset: Asset, epoch: Epoch },
    /// The published distributions are not the sealed ones.
    #[error(
        "the distributions of {asset} epoch {epoch} have the root {found}, but its seal has {sealed}: they are not what was sealed. \
         Credit nothing of this epoch. `softstake reconcile` tells what is different"
    )]
    OtherRoot {
        asset: Asset,
        epoch: Epoch,
        found: String,
        sealed: String,
    },
}

impl View {
    /// Proves that an account was paid.
    ///
    /// # Errors
    /// If the account was paid nothing, the epoch is not sealed, or the distributions are not the sealed ones.
    pub fn proof(&self, asset: Asset, epoch: Epoch, account: &str) -> Result<Proof, ViewProofError> {
        let seal = self.seal(asset, epoch)?;
        let seal = seal.ok_or(ViewProofError::NotSealed { asset, epoch })?;
        let bucket = bucket(account);
        let leaves = self.bucket_leaves(asset, epoch, bucket)?;
        let index = leaves.iter().position(|(name, _)| name == account);
        let index = index.ok_or(ViewProofError::NotPaid { asset, epoch })?;
        let roots = self.bucket_roots(asset, epoch)?;
        let found = hex::encode(epoch_root(roots.iter().copied()));
        if found != seal.root {
            let sealed = seal.root.into_owned();
            return Err(ViewProofError::OtherRoot {
                asset,
                epoch,
                found,
                sealed,
            });
        }
        Ok(Proof::of(ProofParts {
            asset,
            epoch,
            leaves,
            index,
            bucket,
            roots,
            root: found,
        }))
    }

    /// The accounts of a bucket that were paid, with their amounts, in the order of the tree.
    fn bucket_leaves(&self, asset: Asset, epoch: Epoch, bucket: u16) -> Result<Vec<(String, String)>, ViewError> {
        let all = keys::of_epoch(asset, epoch).0.len();
        let prefix = keys::of_epoch(asset, epoch).u16(bucket).0;
        let mut leaves = Vec::new();
        let mut scan = self.database.scan_prefix(&prefix);
        while let Some((key, value)) = scan.next()? {
            let (_, account, amount) = self.leaf(key, all, value)?;
            leaves.push((account.to_owned(), amount));
        }
        Ok(leaves)
    }

    fn leaf<'a>(&self, key: &'a [u8], prefix: usize, value: &[u8]) -> Result<(u16, &'a str, String), ViewError> {
        let damaged = || self.database.damaged("a distribution");
        let rest = key.get(prefix..).unwrap_or_default();
        let (bucket, account) = keys::read_by_epoch(rest).ok_or_else(damaged)?;
        let [amount] = unpack::<1>(value).ok_or_else(damaged)?;
        Ok((bucket, account, amount))
    }

    /// The roots of all buckets of a sealed epoch.
    fn bucket_roots(&self, asset: Asset, epoch: Epoch) -> Result<Vec<Hash>, ViewError> {
        let key = keys::bucket_roots(asset, epoch);
        if let Some(kept) = self.database.get(&key)? {
            return unfold(&kept).ok_or_else(|| self.database.damaged("the roots of an epoch"));
        }
        let mut roots = vec![EMPTY_ROOT; usize::from(BUCKETS)];
        let prefix = keys::of_epoch(asset, epoch).0;
        let mut tree = BucketTree::new();
        let mut leaf_bytes = Vec::new();
        let mut current = None;
        let mut scan = self.database.scan_prefix(&prefix);
        while let Some((row, value)) = scan.next()? {
            let (bucket, account, amount) = self.leaf(row, prefix.len(), value)?;
            if current != Some(bucket) {
                close(&mut roots, current, &mut tree);
                current = Some(bucket);
            }
            leaf_bytes.clear();
            leaf_bytes.extend_from_slice(format!("{asset}:{epoch}:{account}|{amount}").as_bytes());
            tree.push(&leaf_bytes);
        }
        close(&mut roots, current, &mut tree);
        let mut batch = WriteBatch::default();
        batch.put(key, fold(&roots));
        self.database.write(batch)?;
        Ok(roots)
    }
}

/// Notes the root of a bucket whose leaves are all there.
fn close(roots: &mut [Hash], bucket: Option<u16>, tree: &mut BucketTree) {
    if let Some(root) = bucket.and_then(|bucket| roots.get_mut(usize::from(bucket))) {
        *root = tree.root();
    }
    tree.clear();
}

/// The roots of the buckets that are not empty, each after its number.
fn fold(roots: &[Hash]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, root) in roots.iter().enumerate().filter(|(_, root)| **root != EMPTY_ROOT) {
        bytes.extend_from_slice(&u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(root);
    }
    bytes
}

fn unfold(bytes: &[u8]) -> Option<Vec<Hash>> {
    let mut roots = vec![EMPTY_ROOT; usize::from(BUCKETS)];
    for entry in bytes.chunks(2 + size_of::<Hash>()) {
        let (number, root) = entry.split_first_chunk::<2>()?;
        *roots.get_mut(usize::from(u16::from_be_bytes(*number)))? = root.try_into().ok()?;
    }
    Some(roots)
}
