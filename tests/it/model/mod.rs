//! The naive model: what the contract says must come of a directory bus.
//!
//! Written from the contract and `docs/contract-notes.md` alone, to be read beside them, and sharing no code with the
//! program it judges. It is slow and obvious on purpose: no state is kept between runs, whole files are read at once,
//! and everything past the exact input units is a rational number until the contract names a floor.
//!
//! Two things are decided while the program runs and can only be taken from what it published: where the cut of an
//! accepted close lies (from its seal), and whether a first listing came too late (from its dead letter). The model
//! takes every other listing as in force from offset 0 of every source partition.
#![allow(
    dead_code,
    reason = "each test program that includes the model uses its own part of it"
)]

mod amount;
mod bus;
mod compare;
mod control;
mod event;
mod json;
mod ledger;
mod merkle;
mod outputs;
mod programme;
#[cfg(test)]
mod selfcheck;
mod settle;
mod time;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

pub use compare::differences;

/// What is on, or ought to be on, the output topics: one map a topic, keyed by envelope id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outputs {
    pub distributions: BTreeMap<String, Value>,
    pub seals: BTreeMap<String, Value>,
    pub dead_letters: BTreeMap<String, Value>,
    pub late_postings: BTreeMap<String, Value>,
}

/// What must be on the output topics of this bus, given the cuts in the seals published there.
///
/// The `reason` of a dead letter is free text, so the one here is only an example; its `time` is left out.
///
/// # Errors
/// If an accepted close has no published seal to take the cut from, if a published cut cannot be one, or if the
/// output topics cannot be read at all.
pub fn expected(bus: &Path, dedup_epochs: u64) -> Result<Outputs, String> {
    json::on_deep_stack(|| {
        let published = outputs::published(bus)?;
        let control = control::fold(bus, &published)?;
        let ledger = ledger::fold(bus, &control.assets, dedup_epochs)?;
        let mut outputs = Outputs {
            dead_letters: control.dead_letters,
            late_postings: ledger.late_postings,
            ..Outputs::default()
        };
        outputs.dead_letters.extend(ledger.dead_letters);
        let none = BTreeMap::new();
        for (name, asset) in &control.assets {
            let postings = ledger.postings.get(name).unwrap_or(&none);
            settle::settle(name, asset, postings, &ledger.statuses, &mut outputs)?;
        }
        Ok(outputs)
    })
}

/// What is on the output topics of this bus.
///
/// # Errors
/// If a record is torn or no JSON, or two records of one topic have one id.
pub fn published(bus: &Path) -> Result<Outputs, String> {
    json::on_deep_stack(|| outputs::published(bus))
}
