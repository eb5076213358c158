//! Compares the published records with those of a replay.

pub mod classify;
pub mod compare;
mod detail;
pub mod digest;
pub mod report;
mod scope;
