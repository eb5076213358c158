//! Writes the bus of a tape.

use std::io::Read;
use std::path::Path;

use crate::generate::bus::BusWriter;
use crate::generate::error::GenerateError;
use crate::generate::tape::act::{Act, TapeEntry};
use crate::generate::tape::csv::read_rows;
use crate::generate::tape::extras::extras;
use crate::generate::tape::plan::TapePlan;
use crate::generate::tape::settings::{Tape, TapeSummary};
use crate::generate::tape::{control, funding, records};

/// Writes a bus for the tape at `root`, which has to be empty. `progress` receives the number of records written so far.
///
/// # Errors
///
/// [`GenerateError::Setting`], [`GenerateError::Row`], [`GenerateError::EmptyTape`] and [`GenerateError::Read`] before
/// anything is written; [`GenerateError::NotEmpty`], [`GenerateError::Io`].
pub fn write_tape(
    root: &Path,
    csv: impl Read,
    tape: &Tape,
    progress: &mut dyn FnMut(u64),
) -> Result<TapeSummary, GenerateError> {
    tape.check()?;
    let plan = TapePlan::new(tape, read_rows(csv)?)?;
    let entries = entries(&plan);
    let openings = funding::openings(&plan, &entries);
    let mut summary = TapeSummary {
        epochs: plan.epochs,
        anchor_ms: plan.anchor_ms,
        ..TapeSummary::default()
    };
    let mut bus = BusWriter::open(root, tape.partitions, true)?;
    summary.control += control::listings(&plan, &mut bus)?;
    bus.flush_control()?;
    for (n, entry) in openings.iter().chain(&entries).enumerate() {
        records::write(&plan, entry, &mut bus, &mut summary)?;
        if n.is_multiple_of(1 << 12) {
            progress(n as u64);
        }
    }
    bus.flush_sources()?;
    let held = funding::held(&openings);
    summary.control += control::closes(&plan, held, &mut bus)?;
    bus.flush_control()?;
    summary.bytes = bus.bytes;
    progress((openings.len() + entries.len()) as u64);
    Ok(summary)
}

/// Everything but the opening balances, in the order in which it is written.
fn entries(plan: &TapePlan) -> Vec<TapeEntry> {
    let mut entries = extras(plan);
    entries.extend(
        plan.rows
            .iter()
            .enumerate()
            .map(|(row, at)| TapeEntry::at(at.time_ms, Act::Trade { row })),
    );
    entries.sort_by_key(|entry| entry.written_ms);
    entries
}
