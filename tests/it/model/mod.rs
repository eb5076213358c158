//! The naive model: the output that the contract requires for the input on a directory bus.
//!
//! It is written from the contract and `docs/contract-notes.md` alone, to be read beside them. It shares no code with
//! the program that it judges. It is slow and simple on purpose. It keeps no state between runs and reads whole files
//! at once. After the exact input units, every number is rational until the contract rounds it down.
//!
//! Two decisions depend on the run, so the model takes them from what was published. One is the cut of an accepted
//! close, from its seal. The other is whether a first listing came too late, from its dead letter. Every other listing
//! is in force from offset 0 of every source partition.

mod control;
mod event;
mod ledger;
mod programme;
mod selfcheck;
mod settle;

use std::collections::BTreeMap;
use std::path::Path;

use crate::model_parts::json;
use crate::model_parts::published as read_published;
pub use crate::model_parts::{Outputs, differences};

/// The records that must be on the output topics of this bus, given the cuts in its published seals.
///
/// The `reason` of a dead letter is free text, so the one here is only an example. The `time` of dead letters is left
/// out.
///
/// # Errors
/// If an accepted close has no published seal, if a published cut is impossible, or if the output topics cannot be
/// read.
pub fn expected(bus: &Path, dedup_days: u64) -> Result<Outputs, String> {
    json::on_deep_stack(|| {
        let published = read_published(bus)?;
        let control = control::fold(bus, &published)?;
        let ledger = ledger::fold(bus, &control.assets, dedup_days)?;
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

/// The records on the output topics of this bus.
///
/// # Errors
/// If a record is torn or not JSON, or two records of one topic have the same id.
pub fn published(bus: &Path) -> Result<Outputs, String> {
    json::on_deep_stack(|| read_published(bus))
}
