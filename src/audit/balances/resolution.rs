use std::time::Duration;

/// The steps in which a ledger tells time. Its last balance in a step is the balance at the end of the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeResolution {
    step_ms: i64,
}

impl TimeResolution {
    pub const SECOND: Self = Self { step_ms: 1_000 };
    /// The longest step: a day.
    const LONGEST: Duration = Duration::from_hours(24);

    /// Steps of this length; `None` if they are no whole milliseconds, or longer than a day.
    #[must_use]
    pub fn new(step: Duration) -> Option<Self> {
        let is_whole = step.subsec_nanos().is_multiple_of(1_000_000);
        let step_ms = i64::try_from(step.as_millis()).ok()?;
        (is_whole && step_ms > 0 && step <= Self::LONGEST).then_some(Self { step_ms })
    }

    /// The last millisecond of the step that a time lies in. Both count from 1970.
    #[must_use]
    pub const fn end_ms(self, time_ms: i64) -> i64 {
        let step = time_ms.div_euclid(self.step_ms);
        step.saturating_mul(self.step_ms).saturating_add(self.step_ms - 1)
    }

    /// Whether a time is the start of a step.
    #[must_use]
    pub const fn is_start(self, time_ms: i64) -> bool {
        time_ms.rem_euclid(self.step_ms) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps() {
        for (time, end) in [(0, 999), (999, 999), (1_000, 1_999), (-1, -1), (-1_000, -1)] {
            assert_eq!(TimeResolution::SECOND.end_ms(time), end);
        }
        assert!(TimeResolution::SECOND.is_start(-1_000) && !TimeResolution::SECOND.is_start(-1));
        assert_eq!(
            TimeResolution::new(Duration::from_secs(1)),
            Some(TimeResolution::SECOND)
        );
        assert_eq!(TimeResolution::new(Duration::from_millis(1)).unwrap().end_ms(7), 7);
        for wrong in [
            Duration::ZERO,
            Duration::from_micros(1_500),
            Duration::from_secs(86_401),
            Duration::MAX,
        ] {
            assert_eq!(TimeResolution::new(wrong), None);
        }
    }
}
