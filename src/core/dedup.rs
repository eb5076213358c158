//! The applied events, by which copies are recognised.

use std::collections::BTreeMap;

use arrayvec::ArrayVec;

use crate::core::contract::event::MAX_LEGS;
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::ids::AssetEpoch;

/// The default of the setting `dedup_days`: for so many days, copies are recognised.
pub const DEFAULT_DEDUP_DAYS: u64 = 7;

/// The epochs of the postings of an event, by their time. A status has none.
pub type PostingEpochs = ArrayVec<AssetEpoch, MAX_LEGS>;

/// An applied event, as the dedup index keeps it under its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenEvent {
    pub fingerprint: u64,
    /// It expires when one of them leaves the dedup window, so one without postings never does.
    pub postings: PostingEpochs,
}

impl SeenEvent {
    /// An event without postings: a status or a control event. It never expires.
    #[must_use]
    pub const fn without_postings(fingerprint: u64) -> Self {
        Self {
            fingerprint,
            postings: PostingEpochs::new_const(),
        }
    }
}

/// Compares the fingerprint of an event with that of the applied event with the same identity.
///
/// # Errors
/// `conflicting_duplicate`, if the event is not an identical copy.
pub fn check_copy(applied: u64, copy: u64) -> Result<(), Rejection> {
    if applied == copy {
        return Ok(());
    }
    Err(Code::ConflictingDuplicate.because(
        "an event with this `id` and `source` was applied already, with another type, time or data; \
         a correction needs an `id` of its own",
    ))
}

/// The events applied so far, by identity (see [`identity`](crate::core::contract::fingerprint::identity)).
pub trait DedupIndex {
    /// The event with this identity that `is_live`. There is at most one, and perhaps others that have expired.
    fn find(&self, identity: &[u8; 16], is_live: impl Fn(&SeenEvent) -> bool) -> Option<SeenEvent>;
    /// Adds an event. An event with the same identity has expired.
    fn insert(&mut self, identity: [u8; 16], seen: SeenEvent);
}

/// All of them in memory.
impl DedupIndex for BTreeMap<[u8; 16], SeenEvent> {
    fn find(&self, identity: &[u8; 16], is_live: impl Fn(&SeenEvent) -> bool) -> Option<SeenEvent> {
        self.get(identity).filter(|seen| is_live(seen)).cloned()
    }

    fn insert(&mut self, identity: [u8; 16], seen: SeenEvent) {
        Self::insert(self, identity, seen);
    }
}
