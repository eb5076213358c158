//! The applied events, by which copies are recognised.

use arrayvec::ArrayVec;

use crate::core::contract::event::MAX_LEGS;
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::fault::Fault;
use crate::core::values::ids::AssetEpoch;

/// The default of the setting `dedup_days`: for so many days, copies are recognised.
pub const DEFAULT_DEDUP_DAYS: u64 = 7;

/// An applied event, as the dedup index keeps it under its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenEvent {
    pub fingerprint: u64,
    /// The epochs of its postings, by their time. A status has none, and never expires.
    pub postings: ArrayVec<AssetEpoch, MAX_LEGS>,
}

impl SeenEvent {
    /// An event without postings: a status or a control event. It never expires.
    #[must_use]
    pub const fn without_postings(fingerprint: u64) -> Self {
        Self {
            fingerprint,
            postings: ArrayVec::new_const(),
        }
    }

    /// Stored form: the fingerprint in 8 bytes, then number and epoch of each posting in 2 and 4; little-endian.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.fingerprint.to_le_bytes());
        for at in &self.postings {
            out.extend_from_slice(&at.to_le_bytes());
        }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// If the length is wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let undecodable = || Fault::Undecodable {
            what: "a seen event",
            why: "its length is wrong".into(),
        };
        let (fingerprint, mut rest) = bytes.split_first_chunk::<8>().ok_or_else(undecodable)?;
        let mut postings = ArrayVec::new();
        while let Some((at, tail)) = rest.split_first_chunk::<6>() {
            let at = AssetEpoch::from_le_bytes(*at);
            postings.try_push(at).map_err(|_| undecodable())?;
            rest = tail;
        }
        if !rest.is_empty() {
            return Err(undecodable());
        }
        Ok(Self {
            fingerprint: u64::from_le_bytes(*fingerprint),
            postings,
        })
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
    fn get(&self, identity: &[u8; 16]) -> Option<&SeenEvent>;
    /// Adds an event. It replaces one with the same identity.
    fn insert(&mut self, identity: [u8; 16], seen: SeenEvent);
}
