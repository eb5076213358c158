//! Writes the synthetic bus.
//!
//! Every record depends only on (seed, stage, index). A second copy is therefore made by making the first copy again.
//! Stages may be written one by one, with runs of the processor in between.

use std::ops::Range;
use std::path::Path;

use crate::generate::bad::BadRecords;
use crate::generate::bus::BusWriter;
use crate::generate::catalogue::{assets, unlisted};
use crate::generate::control;
use crate::generate::error::GenerateError;
use crate::generate::events::{Market, Slot};
use crate::generate::spec::{Summary, Synthetic};
use crate::generate::stage::{RecordKind, SyntheticStage, copy};

/// How often progress is reported, in records.
const REPORT_EVERY: u64 = 1 << 14;

/// Appends the stages `stages` to the directory bus at `root`, and creates the bus if there is none. Stage 0 needs an
/// empty bus and begins with the listings. `progress` receives the number of source records appended so far.
///
/// All stages at once append the same bytes as one stage after the other.
///
/// # Errors
///
/// [`GenerateError::Setting`] before anything is written, [`GenerateError::NotEmpty`], [`GenerateError::Io`].
pub fn write(
    root: &Path,
    spec: &Synthetic,
    stages: Range<u32>,
    progress: &mut dyn FnMut(u64),
) -> Result<Summary, GenerateError> {
    check(spec, &stages)?;
    let mut bus = BusWriter::open(root, spec.partitions, stages.start == 0)?;
    let market = Market {
        assets: assets(spec.assets),
        unlisted: unlisted(),
        accounts: spec.accounts,
    };
    let mut summary = Summary::default();
    for number in stages {
        control::begin_stage(&mut bus, &market, spec, number, &mut summary)?;
        write_sources(&mut bus, &market, spec, number, &mut summary, progress)?;
        // A reader that sees a close must see every record before it.
        bus.flush_sources()?;
        control::end_stage(&mut bus, &market, spec, number, &mut summary)?;
        bus.flush_control()?;
    }
    summary.bytes = bus.bytes;
    progress(summary.events);
    Ok(summary)
}

fn check(spec: &Synthetic, stages: &Range<u32>) -> Result<(), GenerateError> {
    GenerateError::check_ranges([
        ("accounts", spec.accounts, 1, 1_000_000_000, "1 to 1,000,000,000"),
        ("assets", u64::from(spec.assets), 1, 100_000, "1 to 100,000"),
        ("partitions", u64::from(spec.partitions), 1, 128, "1 to 128"),
        ("epochs", u64::from(spec.epochs), 1, 10_000, "1 to 10,000"),
        ("epoch_seconds", spec.epoch_seconds, 60, 2_678_400, "60 to 2,678,400"),
        ("events", spec.events, 0, 1_000_000_000_000, "at most 10^12"),
    ])?;
    let shares = [
        ("duplicates", spec.duplicates),
        ("late", spec.late),
        ("bad", spec.bad),
        ("duplicates + late + bad", spec.duplicates + spec.late + spec.bad),
    ];
    for (setting, share) in shares {
        if !(0.0..=1.0).contains(&share) {
            return Err(GenerateError::setting(setting, share, "a share, 0 to 1"));
        }
    }
    if stages.end > spec.epochs {
        let expected = "not beyond the number of epochs";
        return Err(GenerateError::setting("stages", stages.end, expected));
    }
    Ok(())
}

fn write_sources(
    bus: &mut BusWriter,
    market: &Market,
    spec: &Synthetic,
    number: u32,
    summary: &mut Summary,
    progress: &mut dyn FnMut(u64),
) -> Result<(), GenerateError> {
    let stage = SyntheticStage::new(spec, market, number);
    let before = number
        .checked_sub(1)
        .map(|number| SyntheticStage::new(spec, market, number));
    let mut bad_records = BadRecords::new(market, spec, number, stage.records);
    let mut line = Vec::new();
    for index in 0..stage.records {
        let (kind, mut draws) = stage.kind(index);
        let (topic, partition) = match kind {
            RecordKind::Regular | RecordKind::Late => {
                summary.late += u64::from(kind == RecordKind::Late);
                stage.line(index, kind == RecordKind::Late, draws, &mut line)
            }
            RecordKind::Bad => {
                summary.bad += 1;
                let time_ms = stage.time(index, &mut draws);
                let slot = Slot {
                    stage: number,
                    index,
                    time_ms,
                };
                bad_records.next(slot, &mut draws, &mut line)
            }
            RecordKind::Duplicate => {
                let copy = copy(&stage, before.as_ref(), index, &mut draws, &mut line);
                if let Some((to, conflicting)) = copy {
                    summary.duplicates += 1;
                    summary.conflicting += u64::from(conflicting);
                    to
                } else {
                    stage.line(index, false, draws, &mut line)
                }
            }
        };
        if let Some(blank) = stage.blank_before(index) {
            bus.source(topic, partition, blank)?;
            summary.blank_lines += 1;
        }
        bus.source(topic, partition, &line)?;
        summary.events += 1;
        if summary.events.is_multiple_of(REPORT_EVERY) {
            progress(summary.events);
        }
    }
    Ok(())
}
