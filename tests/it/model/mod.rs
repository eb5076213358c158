//! The naive model: the output that the contract requires for a bus and the recorded decisions.
//!
//! It is written from the contract and its notes alone, to be read beside them. It shares no code with the program. It
//! is slow and simple on purpose. It reads the control topic event by event, and the source partitions only as far as
//! the event needs. Numbers are whole units, or exact fractions until the contract rounds them down.

pub mod bus;
mod calendar;
mod control;
pub mod decisions;
mod epochs;
mod event;
pub mod history;
mod ledger;
mod listed;
mod listings;
pub mod parts;
mod programme;
mod records;
mod selfcheck;
mod settle;
mod share;
mod status;
mod weigh;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use bus::Bus;
use decisions::Recorded;
use parts::json;
pub use parts::{Outputs, differences, published};
pub use settle::Share;

/// What a deployment is set to when it begins.
#[derive(Debug, Clone)]
pub struct Settings {
    pub dedup_days: u64,
    /// The versions of the rules that the program knows. Versions above 2 are versions with the same rules.
    pub known_rules: Vec<u64>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            dedup_days: 7,
            known_rules: vec![2],
        }
    }
}

/// What must come of a bus.
#[derive(Debug, Default)]
pub struct Expected {
    pub outputs: Outputs,
    /// The data of the decisions, in the names of the contract. A held epoch is decided when the model settles it,
    /// which may be later than in a run.
    pub decisions: Vec<Value>,
    /// What became of each control event, by its offset: `accepted`, `copy`, or the code of its dead letter.
    pub verdicts: BTreeMap<u64, String>,
    /// By asset, epoch and account, also of accounts that were paid nothing.
    pub shares: BTreeMap<(String, u64, String), Share>,
    pub ignored_postings: u64,
    pub identical_copies: u64,
}

/// The records that must be on the output topics.
///
/// The `reason` of a dead letter is free text, so the one here is only an example.
///
/// # Errors
/// If the decisions on record are impossible, or one is missing.
pub fn expected(bus: &Bus, recorded: &Recorded, settings: &Settings) -> Result<Expected, String> {
    json::on_deep_stack(|| control::World::new(bus, recorded, settings)?.fold())
}

/// The same for a directory bus, with the decisions that are on record there.
///
/// # Errors
/// If the bus or its decisions cannot be read, or the decisions are impossible.
pub fn expected_on(bus: &Path, settings: &Settings) -> Result<Expected, String> {
    let decisions = decisions::on_record(bus)?;
    expected(&Bus::read(bus)?, &Recorded::read(&decisions)?, settings)
}
