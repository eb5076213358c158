//! The synthetic bus. Every record is a function of (seed, stage, index) alone: a second copy is made by making the
//! first one again, and stages may be written one by one, with runs of the processor in between.

use std::ops::Range;
use std::path::Path;

use crate::generate::bus::Bus;
use crate::generate::catalogue::{ANCHOR_MS, assets, unlisted};
use crate::generate::events::{Market, Place};
use crate::generate::stage::{Kind, Stage, copy};
use crate::generate::{GenerateError, bad, control};

/// What a synthetic bus holds. The default is a small exchange with one record in a hundred of each oddity.
#[derive(Debug, Clone)]
pub struct Synthetic {
    /// Records on the source topics, all stages together, odd ones included.
    pub events: u64,
    /// Accounts that take part.
    pub accounts: u64,
    /// Listed assets.
    pub assets: u32,
    /// Partitions of each source topic, 1 to 128.
    pub partitions: u32,
    /// Epochs, and so stages: a stage is what reaches the bus during one epoch, and the closes that end it.
    pub epochs: u32,
    /// Length of an epoch in seconds, 60 to 2,678,400.
    pub epoch_seconds: u64,
    /// Equal settings with an equal seed give equal bytes.
    pub seed: u64,
    /// Share of the source records that are a second copy of an earlier one, 0 to 1. A fifth of them differ from it.
    pub duplicates: f64,
    /// Share of the source records dated into an epoch that is closed already (none in the first stage), 0 to 1.
    pub late: f64,
    /// Share of the source records made to be refused, 0 to 1. Above 0, some control records are, too.
    pub bad: f64,
}

impl Default for Synthetic {
    fn default() -> Self {
        Self {
            events: 100_000,
            accounts: 1_000,
            assets: 4,
            partitions: 2,
            epochs: 5,
            epoch_seconds: 86_400,
            seed: 1,
            duplicates: 0.01,
            late: 0.01,
            bad: 0.01,
        }
    }
}

/// What was appended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records on the source topics; the next counts are of some of them.
    pub events: u64,
    /// Second copies, conflicting ones included.
    pub duplicates: u64,
    /// Second copies that differ from the first in type, time or data.
    pub conflicting: u64,
    /// Records dated into an epoch that is closed already, if what came before has been settled.
    pub late: u64,
    /// Records made to be refused.
    pub bad: u64,
    /// Records on the control topic.
    pub control: u64,
    /// Control records made to be refused, or dropped as second copies.
    pub control_refused: u64,
    /// Blank lines on all topics.
    pub blank_lines: u64,
    /// Bytes appended to all files.
    pub bytes: u64,
}

/// How often progress is reported, in records.
const REPORT_EVERY: u64 = 1 << 14;

/// Appends the stages `stages` to the directory bus at `root`, creating it if need be. Stage 0 wants an empty bus and
/// begins with the listings. `progress` is told the number of source records appended so far.
///
/// All stages at once, or one by one in order, append the same bytes.
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
    let mut bus = Bus::open(root, spec.partitions, stages.start == 0)?;
    let market = Market {
        assets: assets(spec.assets),
        unlisted: unlisted(),
        accounts: spec.accounts,
    };
    let mut summary = Summary::default();
    for number in stages {
        control::begin_stage(&mut bus, &market, spec, number, &mut summary)?;
        write_sources(&mut bus, &market, spec, number, &mut summary, progress)?;
        // Whoever sees a close sees all that came before it.
        bus.flush_sources()?;
        control::end_stage(&mut bus, &market, spec, number, &mut summary)?;
        bus.flush_control()?;
    }
    summary.bytes = bus.bytes;
    progress(summary.events);
    Ok(summary)
}

fn check(spec: &Synthetic, stages: &Range<u32>) -> Result<(), GenerateError> {
    let whole = [
        ("accounts", spec.accounts, 1, 1_000_000_000, "1 to 1,000,000,000"),
        ("assets", u64::from(spec.assets), 1, 100_000, "1 to 100,000"),
        ("partitions", u64::from(spec.partitions), 1, 128, "1 to 128"),
        ("epochs", u64::from(spec.epochs), 1, 10_000, "1 to 10,000"),
        ("epoch_seconds", spec.epoch_seconds, 60, 2_678_400, "60 to 2,678,400"),
        ("events", spec.events, 0, 1_000_000_000_000, "at most 10^12"),
    ];
    for (setting, value, least, most, expected) in whole {
        if !(least..=most).contains(&value) {
            return Err(GenerateError::setting(setting, value, expected));
        }
    }
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

impl Synthetic {
    pub(crate) fn epoch_ms(&self) -> i64 {
        i64::try_from(self.epoch_seconds * 1_000).unwrap_or(i64::MAX)
    }

    /// Start of a stage's epoch, in milliseconds since 1970.
    pub(crate) fn stage_start_ms(&self, stage: u32) -> i64 {
        ANCHOR_MS + i64::from(stage) * self.epoch_ms()
    }
}

fn write_sources(
    bus: &mut Bus,
    market: &Market,
    spec: &Synthetic,
    number: u32,
    summary: &mut Summary,
    progress: &mut dyn FnMut(u64),
) -> Result<(), GenerateError> {
    let stage = Stage::new(spec, market, number);
    let before = number.checked_sub(1).map(|number| Stage::new(spec, market, number));
    let mut faults = bad::Faults::new(market, spec, number, stage.records);
    let mut line = Vec::new();
    for index in 0..stage.records {
        let (kind, mut draws) = stage.kind(index);
        let (topic, partition) = match kind {
            Kind::Regular | Kind::Late => {
                summary.late += u64::from(kind == Kind::Late);
                stage.line(index, kind == Kind::Late, draws, &mut line)
            }
            Kind::Bad => {
                summary.bad += 1;
                let time_ms = stage.time(index, &mut draws);
                let place = Place {
                    stage: number,
                    index,
                    time_ms,
                };
                faults.next(place, &mut draws, &mut line)
            }
            Kind::Duplicate => {
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
