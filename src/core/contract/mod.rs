//! The contract: the events that come in, the records that go out, and the codes of what is rejected.

pub mod appends;
pub mod control;
pub mod decision;
pub mod decoded;
pub mod envelope;
mod escapes;
pub mod event;
pub mod fields;
pub mod fingerprint;
pub mod gate;
pub mod listing;
pub mod loss;
pub mod members;
pub mod merkle;
pub mod programme;
mod programme_fields;
pub mod records;
pub mod rejection;
pub mod rules;
pub mod skipped;
pub mod topic;
