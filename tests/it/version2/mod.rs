//! Version 2 of the contract (`docs/contract-2.md`): its naive model, and the ledger tables that show its rules.
//!
//! The program keeps version 1, which `crate::model` judges. When it follows, this model takes that one's place.

mod conserved;
mod example;
mod history;
mod model;
mod properties;
mod tables;
