//! One ordered key-value store per task: what the task has derived from its inputs, and the position up to which it has.

mod changes;
mod error;
pub mod memory;
pub mod rocks;
pub mod row;
pub mod tables;

use crate::bus::Position;

pub use changes::Changes;
pub use error::StoreError;

/// A task's store.
///
/// Whoever implements it promises: a commit is there as a whole or not at all after a crash, and commits survive in order (a later one is
/// never there without the earlier ones). Keys are ordered by their bytes.
pub trait Store: Send {
    /// The position that came with the newest commit; the default one for a new store.
    fn position(&self) -> &Position;

    /// Refuses while there is too little room for the commits to come, so that nothing is published that cannot be kept.
    ///
    /// # Errors
    /// `Full`, until there is room again.
    fn has_room(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The value of `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The values of `keys`, in their order. Made for many keys of which few exist.
    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Walks over the keys from `from` (included) to `to` (excluded), ascending, as they stood when the walk began.
    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Box<dyn Scan + '_>, StoreError>;

    /// Called between the steps of its task, however idle: for what a store does beside commits.
    fn maintain(&mut self) {}

    /// Called after the last commit, when its task ends as it should.
    fn close(&mut self) {}

    /// Notes that the store was found damaged by `why`: whoever opens it next does not take it for a store.
    fn quarantine(&self, _why: &StoreError) {}

    /// Makes `changes` and `position` durable in one step. `changes` is empty afterwards and keeps its memory.
    fn commit(&mut self, changes: &mut Changes, position: &Position) -> Result<(), StoreError>;
}

/// A walk over a range of keys.
pub trait Scan {
    /// The next key and its value; `None` at the end. Borrowed until the next call.
    #[allow(
        clippy::type_complexity,
        reason = "a pair of borrowed slices reads better than a named struct here"
    )]
    fn next(&mut self) -> Result<Option<(&[u8], &[u8])>, StoreError>;
}
