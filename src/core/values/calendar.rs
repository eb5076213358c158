//! The calendar of an asset: when its epochs start and end.

use serde::{Deserialize, Serialize};

use crate::core::values::ids::Epoch;
use crate::core::values::time::TimeMs;

/// An asset's epochs: epoch k covers `[anchor + k * length, anchor + (k + 1) * length)` (contract, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    anchor_ms: i64,
    length_ms: u64,
}

impl Calendar {
    /// Epoch 0 starts at `anchor`. The caller must check that `epoch_seconds` is 60 to 2,678,400.
    #[must_use]
    pub const fn new(anchor: TimeMs, epoch_seconds: u32) -> Self {
        // 32 bits of seconds fit into 64 bits of milliseconds.
        Self {
            anchor_ms: anchor.get(),
            length_ms: epoch_seconds as u64 * 1000,
        }
    }

    /// When epoch 0 starts.
    #[must_use]
    pub const fn anchor(&self) -> TimeMs {
        TimeMs::from(self.anchor_ms)
    }

    /// The length of each epoch, in milliseconds.
    #[must_use]
    pub const fn length_ms(&self) -> u64 {
        self.length_ms
    }

    /// The epoch that `time` lies in; `None` before the anchor.
    #[must_use]
    pub const fn epoch_of(&self, time: TimeMs) -> Option<Epoch> {
        if time.get() < self.anchor_ms {
            return None;
        }
        // `time` is not before the anchor, so abs_diff is the difference. The length is never zero.
        Some(Epoch::new(time.get().abs_diff(self.anchor_ms) / self.length_ms))
    }

    /// The first millisecond of `epoch`, in milliseconds since 1970. 128 bits hold it for every epoch.
    #[must_use]
    pub fn start_ms(&self, epoch: Epoch) -> i128 {
        i128::from(self.anchor_ms) + i128::from(epoch.get()) * i128::from(self.length_ms)
    }

    /// The first millisecond after `epoch`.
    #[must_use]
    pub fn end_ms(&self, epoch: Epoch) -> i128 {
        self.start_ms(epoch) + i128::from(self.length_ms)
    }
}
