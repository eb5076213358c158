//! The view: what was published, in a RocksDB of its own, ready to be read by account and by epoch.
//!
//! It follows from the bus, so it may be deleted at any time: the next start builds it again.

mod catalogue;
mod credit_reader;
mod credits;
mod database;
mod error;
mod follower;
mod kept;
mod keys;
mod packed;
mod payouts;
mod progress;
mod proofs;
mod reports;
mod rows;
mod small_topics;
#[cfg(test)]
mod tests;

pub use catalogue::{HeldBack, ListingOnRecord, PublishedState, ViewCatalogue};
pub use credits::{Credit, CreditSource, CreditedSums, CreditsError, TakeCredit};
pub use error::ViewError;
pub use kept::{CatalogueOfView, View, ViewPage};
pub use payouts::{PaidDistribution, PayoutFilter};
pub use progress::{ViewDisk, ViewProgress, ViewedPartition};
pub use proofs::ViewProofError;
pub use reports::{KeptLetterFilter, LateOf};
pub use small_topics::{KeptLatePosting, KeptLetter};
