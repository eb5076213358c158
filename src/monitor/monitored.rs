//! What the endpoint looks at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::deployment::observed::Observed;
use crate::monitor::holdings_access::HoldingsAccess;

/// The name of this process, for those who watch several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    /// `dir:PATH`, or `kafka`.
    pub bus: String,
    /// The name of the deployment on Kafka.
    pub deployment: Option<String>,
    /// The name of this process in the consumer group, if it has one.
    pub name: Option<String>,
}

/// The process that the endpoint tells about.
#[derive(Debug)]
pub struct Monitored {
    pub observed: Arc<Observed>,
    pub instance: Instance,
    /// Who may ask for an account's holdings; `None` if nobody may.
    pub holdings: Option<HoldingsAccess>,
    began: Instant,
    /// Whether the process was told to stop.
    stop: Arc<AtomicBool>,
}

impl Monitored {
    /// A process that starts now.
    #[must_use]
    pub fn new(observed: Arc<Observed>, instance: Instance, stop: Arc<AtomicBool>) -> Self {
        Self {
            observed,
            instance,
            holdings: None,
            began: Instant::now(),
            stop,
        }
    }

    pub(super) fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether the process was told to stop.
    pub(super) fn is_ending(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
