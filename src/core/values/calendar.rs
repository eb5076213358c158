//! The calendar of an asset: when its epochs start and end.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::core::values::ids::Epoch;
use crate::core::values::time::TimeMs;

/// The shortest and the longest epoch, in seconds.
pub const EPOCH_SECONDS: RangeInclusive<u64> = 60..=2_678_400;

/// The most days that a posting or a reward may lie ahead of the oldest open epoch (contract, section 4).
pub const MAX_DAYS_AHEAD: u64 = 400;

/// The greatest number that a listing may give its first epoch.
pub const MAX_FIRST_EPOCH: u64 = 1_000_000_000;

const DAY_MS: u64 = 86_400_000;

/// An asset's epochs: epoch k covers `[anchor + (k - f) * length, anchor + (k - f + 1) * length)`, where f is the first epoch (contract, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredCalendar")]
pub struct Calendar {
    anchor_ms: i64,
    length_ms: u64,
    first: Epoch,
}

/// A calendar before it is checked.
#[derive(Deserialize)]
struct StoredCalendar {
    anchor_ms: i64,
    length_ms: u64,
    first: Epoch,
}

impl TryFrom<StoredCalendar> for Calendar {
    type Error = String;

    fn try_from(stored: StoredCalendar) -> Result<Self, String> {
        let StoredCalendar {
            anchor_ms,
            length_ms,
            first,
        } = stored;
        let is_whole = length_ms.is_multiple_of(1000);
        if !is_whole || !EPOCH_SECONDS.contains(&(length_ms / 1000)) {
            return Err(format!("an epoch of {length_ms} ms is not possible"));
        }
        if first.get() > MAX_FIRST_EPOCH {
            return Err(format!("epoch {first} cannot be the first"));
        }
        Ok(Self {
            anchor_ms,
            length_ms,
            first,
        })
    }
}

impl Calendar {
    /// Epoch `first` starts at `anchor`. The caller must check that `epoch_seconds` is 60 to 2,678,400, and `first` at most [`MAX_FIRST_EPOCH`].
    #[must_use]
    pub const fn new(anchor: TimeMs, epoch_seconds: u32, first: Epoch) -> Self {
        // 32 bits of seconds fit into 64 bits of milliseconds.
        Self {
            anchor_ms: anchor.get(),
            length_ms: epoch_seconds as u64 * 1000,
            first,
        }
    }

    /// The number of the first epoch.
    #[must_use]
    pub const fn first(&self) -> Epoch {
        self.first
    }

    /// When the first epoch starts.
    #[must_use]
    pub const fn anchor(&self) -> TimeMs {
        TimeMs::from(self.anchor_ms)
    }

    /// The length of each epoch, in milliseconds.
    #[must_use]
    pub const fn length_ms(&self) -> u64 {
        self.length_ms
    }

    /// So many days in whole epochs, rounded up, and at least one.
    #[must_use]
    pub const fn epochs_of_days(&self, days: u64) -> u64 {
        let epochs = days.saturating_mul(DAY_MS).div_ceil(self.length_ms);
        if epochs == 0 { 1 } else { epochs }
    }

    /// The epoch that `time` lies in; `None` before the anchor.
    #[must_use]
    pub const fn epoch_of(&self, time: TimeMs) -> Option<Epoch> {
        if time.get() < self.anchor_ms {
            return None;
        }
        // `time` is not before the anchor, so abs_diff is the difference. The length is never zero, and is at least 60,000.
        let since_first = time.get().abs_diff(self.anchor_ms) / self.length_ms;
        Some(self.first.saturating_add(since_first))
    }

    /// The first millisecond of `epoch`, in milliseconds since 1970. 128 bits hold it for every epoch.
    #[must_use]
    pub fn start_ms(&self, epoch: Epoch) -> i128 {
        let since_first = i128::from(epoch.get()) - i128::from(self.first.get());
        i128::from(self.anchor_ms) + since_first * i128::from(self.length_ms)
    }

    /// The first millisecond after `epoch`.
    #[must_use]
    pub fn end_ms(&self, epoch: Epoch) -> i128 {
        self.start_ms(epoch) + i128::from(self.length_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_in_whole_epochs() {
        for (seconds, days, epochs) in [
            (3_600, 7, 168),
            (86_400, 7, 7),
            (2_678_400, 7, 1),
            (2_678_400, 400, 13),
            (86_401, 7, 7),
            (86_399, 7, 8),
            (60, 400, 576_000),
            (60, 0, 1),
            (60, u64::MAX, u64::MAX / 60_000 + 1),
        ] {
            let calendar = Calendar::new(TimeMs::from(0), seconds, Epoch::FIRST);
            assert_eq!(calendar.epochs_of_days(days), epochs, "{days} days of {seconds} s");
        }
    }

    #[test]
    fn only_possible_calendars_are_read() {
        let read = |length_ms: u64| {
            let json = format!(r#"{{"anchor_ms":-1,"length_ms":{length_ms},"first":7}}"#);
            serde_json::from_str::<Calendar>(&json)
        };
        for seconds in [60, 86_400, 2_678_400] {
            let calendar = Calendar::new(TimeMs::from(-1), seconds, Epoch::new(7));
            assert_eq!(read(u64::from(seconds) * 1000).unwrap(), calendar);
            let stored = postcard::to_stdvec(&calendar).unwrap();
            assert_eq!(postcard::from_bytes::<Calendar>(&stored).unwrap(), calendar);
            assert_eq!(
                stored,
                postcard::to_stdvec(&(-1i64, u64::from(seconds) * 1000, 7u64)).unwrap()
            );
        }
        for length_ms in [0, 1, 999, 59_000, 60_500, 2_678_401_000, u64::MAX] {
            let error = read(length_ms).unwrap_err().to_string();
            assert!(
                error.contains(&format!("an epoch of {length_ms} ms is not possible")),
                "{error}"
            );
        }
        // The last epoch of the longest calendar after the latest anchor.
        let last = Calendar::new(TimeMs::from(i64::MAX), 2_678_400, Epoch::FIRST);
        assert!(last.end_ms(Epoch::new(u64::MAX)) > i128::from(i64::MAX));
        assert_eq!(last.epoch_of(TimeMs::from(i64::MIN)), None);
    }
}
