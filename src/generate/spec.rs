//! The settings of a synthetic bus, and the counts of what was written.

use crate::generate::catalogue::ANCHOR_MS;
use crate::generate::text::DAY_MS;

/// The settings of a synthetic bus. The default is a small exchange with one record in a hundred of each oddity.
#[derive(Debug, Clone)]
pub struct Synthetic {
    /// Records on the source topics in all stages together, odd ones included.
    pub events: u64,
    /// Accounts that take part.
    pub accounts: u64,
    /// Listed assets.
    pub assets: u32,
    /// Partitions of each source topic, 1 to 128.
    pub partitions: u32,
    /// Number of epochs, and so of stages. A stage is what reaches the bus during one epoch, and the closes that end it.
    pub epochs: u32,
    /// Length of an epoch in seconds, 60 to 2,678,400.
    pub epoch_seconds: u64,
    /// Equal settings with an equal seed give equal bytes.
    pub seed: u64,
    /// Share of source records that are a second copy of an earlier record, 0 to 1. A fifth of them differ from the first.
    pub duplicates: f64,
    /// Share of source records dated into an epoch that is already closed, 0 to 1. The first stage has none.
    pub late: f64,
    /// Share of source records made to be rejected, 0 to 1. Above 0, some control records are bad as well.
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

impl Synthetic {
    pub(super) fn epoch_ms(&self) -> i64 {
        i64::try_from(self.epoch_seconds * 1_000).unwrap_or(i64::MAX)
    }

    /// Start of a stage's epoch, in milliseconds since 1970.
    pub(super) fn stage_start_ms(&self, stage: u32) -> i64 {
        ANCHOR_MS + i64::from(stage) * self.epoch_ms()
    }
}

impl Synthetic {
    /// The first time that is more than 400 days, in whole epochs, ahead of a stage's epoch.
    pub(super) fn too_far_ahead_ms(&self, stage: u32) -> i64 {
        let ahead = (400 * DAY_MS).unsigned_abs().div_ceil(self.epoch_ms().unsigned_abs());
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        self.stage_start_ms(stage.saturating_add(ahead).saturating_add(1))
    }
}

/// Counts of what was appended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records on the source topics. The counts down to `bad` are parts of it.
    pub events: u64,
    /// Second copies, conflicting ones included.
    pub duplicates: u64,
    /// Second copies that differ from the first in type, time or data.
    pub conflicting: u64,
    /// Records dated into an epoch that is already closed, provided that the stages before were settled.
    pub late: u64,
    /// Records made to be rejected.
    pub bad: u64,
    /// Records on the control topic.
    pub control: u64,
    /// Control records made to be rejected, or dropped as second copies.
    pub control_refused: u64,
    /// Blank lines on all topics.
    pub blank_lines: u64,
    /// Bytes appended to all files.
    pub bytes: u64,
}
