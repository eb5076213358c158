//! Sorted runs: files beside the keys of a store that are written once.

use std::collections::BTreeSet;

use crate::store::error::StoreError;

/// The sorted runs of a store. A run has a number, and blocks of bytes by number.
///
/// A run is no part of a commit. It is durable as soon as it is written, and its writer names it in a later commit. So after a crash there may
/// be runs that no commit names, but a run that a commit names is there.
pub trait SortedRuns: Send + Sync {
    /// Writes a run, whose number no run has. Its blocks are numbered from 0 on; there is at least one.
    ///
    /// # Errors
    /// If the disk is full, or RocksDB fails.
    fn add(&self, run: u32, blocks: &mut dyn Iterator<Item = Vec<u8>>) -> Result<(), StoreError>;

    /// Reads a block.
    ///
    /// # Errors
    /// `Damaged` if it is missing.
    fn block(&self, run: u32, block: u32) -> Result<Vec<u8>, StoreError>;

    /// Removes all runs but these. All commits so far are made durable before, as the last of them may say that nothing needs those runs any more.
    ///
    /// # Errors
    /// If RocksDB fails.
    fn keep_only(&self, kept: &BTreeSet<u32>) -> Result<(), StoreError>;
}

/// The key of a block: so the blocks of a run are in their order, and no other run is between them.
pub(super) fn block_key(run: u32, block: u32) -> [u8; 8] {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&run.to_be_bytes());
    key[4..].copy_from_slice(&block.to_be_bytes());
    key
}
