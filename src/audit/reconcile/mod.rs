//! Compares the published records with a replay's.

pub mod compare;
mod detail;
pub mod digest;
pub mod report;
