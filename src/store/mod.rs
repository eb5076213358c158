//! One ordered key-value store per task: the state derived from its inputs, and the position up to which it is derived.
//!
//! [`tables`] is the schema of all stores; [`rocks`] keeps them on disk.

mod changes;
mod error;
pub mod memory;
pub mod rocks;
pub mod row;
mod runs;
pub mod tables;

use std::sync::Arc;

use crate::bus::Position;

pub use changes::Changes;
pub use error::StoreError;
pub use runs::SortedRuns;

/// The store of a task. Keys are ordered by their bytes.
///
/// An implementation guarantees: after a crash a commit is complete or absent, and if a commit is present, so are all earlier ones.
pub trait Store: Send {
    /// The position of the newest commit; the default position for a new store.
    fn position(&self) -> &Position;

    /// Fails while the disk has too little room for the next commits. A task asks before it publishes anything.
    ///
    /// # Errors
    /// `Full`, until there is room again.
    fn has_room(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The values of `keys`, in the same order. It is fast for many keys of which few exist.
    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Scans the keys from `from` (included) to `to` (excluded), ascending. It does not see later commits.
    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Box<dyn Scan + '_>, StoreError>;

    /// The sorted runs of the store. They keep it open, so they are dropped before it.
    ///
    /// # Errors
    /// `ReadOnly`.
    fn runs(&self) -> Result<Arc<dyn SortedRuns>, StoreError>;

    /// Called between the steps of the task, also of an idle one: for what a store does beside commits.
    fn maintain(&mut self) {}

    /// Called after the last commit, if the task ends without an error.
    fn close(&mut self) {}

    /// Marks the store as one that must not be used. The next open then fails with an error like `why`.
    fn quarantine(&self, _why: &StoreError) {}

    /// Whether nothing speaks against this store being of the log that the task reads. A store that comes from a snapshot is not confirmed before
    /// recovery has shown that it is.
    fn is_confirmed(&self) -> bool {
        true
    }

    /// Called when the store is known to be of the log that the task reads: the evidence of the committed position matches.
    ///
    /// # Errors
    /// An error of the operating system.
    fn confirm(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Commits `changes` and `position` in one step. Afterwards `changes` is empty and keeps its memory.
    fn commit(&mut self, changes: &mut Changes, position: &Position) -> Result<(), StoreError>;
}

/// A scan of a range of keys.
pub trait Scan {
    /// The next key and its value, until the next call; `None` at the end.
    #[allow(
        clippy::type_complexity,
        reason = "a pair of borrowed slices reads better than a named struct here"
    )]
    fn next(&mut self) -> Result<Option<(&[u8], &[u8])>, StoreError>;
}
