use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::snapshot::error::SnapshotError;

/// The time between two log lines about it.
const REMIND_EVERY: Duration = Duration::from_secs(600);

/// Why this process takes no more snapshots: the place has some of another deployment or log. The tasks continue without snapshots, which is safe: the
/// log has everything.
#[derive(Debug, Default)]
pub(super) struct Refusal(Mutex<Option<(Instant, String)>>);

impl Refusal {
    fn lock(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_set(&self) -> bool {
        self.lock().is_some()
    }

    /// Sets it, for the rest of this process.
    pub fn set(&self, error: &SnapshotError) {
        tracing::error!("{error}; the tasks continue, but this process takes no more snapshots");
        *self.lock() = Some((Instant::now(), error.to_string()));
    }

    /// Logs it again, if that was long ago.
    pub fn remind(&self) {
        if let Some((logged, why)) = self.lock().as_mut()
            && logged.elapsed() > REMIND_EVERY
        {
            *logged = Instant::now();
            tracing::error!("this process still takes no snapshots: {why}");
        }
    }
}
