//! The records that Softstake publishes (contract, section 6), the payout service's answer, and the notes of `softstake redrive`. Each is one type, which is both written and
//! read. Texts are borrowed from the record where it is read.

mod dead_letter;
mod distribution;
mod envelope;
mod late_posting;
mod payout_executed;
mod published;
mod redrive;
mod seal;
#[cfg(test)]
mod tests;

pub use dead_letter::DeadLetter;
pub use distribution::{Distribution, DistributionWriter};
pub use envelope::{parse_id, read_data, read_id, read_with_id};
pub use late_posting::LatePosting;
pub use payout_executed::PayoutExecuted;
pub use published::PublishedRecord;
pub use redrive::{REDRIVE_ATTRIBUTE, REDRIVE_SOURCE, Redrive};
pub use seal::{Ineligible, Seal};
