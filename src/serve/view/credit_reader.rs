//! Reads the payout service's acknowledgements into the view, beside what the view follows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::outage::Outage;
use crate::serve::view::credits::{CreditSource, CreditsError};
use crate::serve::view::error::ViewError;
use crate::serve::view::kept::View;

/// The pause after they could not be reached.
const PAUSE: Duration = Duration::from_secs(1);

/// Reads acknowledgements into the view, now and then. While they cannot be reached, the view goes on without them.
pub(super) struct CreditReader {
    source: Box<dyn CreditSource>,
    next: Instant,
    outage: Outage,
}

impl CreditReader {
    pub(super) fn new(source: Box<dyn CreditSource>) -> Self {
        Self {
            source,
            next: Instant::now(),
            outage: Outage::default(),
        }
    }

    /// Reads on, if it is time. Returns whether there were any.
    ///
    /// # Errors
    /// If an operator has to act, or the view cannot be used.
    pub(super) fn read(&mut self, view: &View, stop: &AtomicBool) -> Result<bool, ViewError> {
        if Instant::now() < self.next {
            return Ok(false);
        }
        let read = view.read_credits(self.source.as_mut());
        let pause = match read {
            Err(_) => self.source.pause().max(PAUSE),
            Ok(_) => self.source.pause(),
        };
        self.next = Instant::now() + pause;
        match read {
            Ok(news) => {
                view.followed().note_credits();
                if let Some(lasted) = self.outage.ends() {
                    tracing::info!(
                        "what the payout service acknowledges is read again after {} s",
                        lasted.as_secs()
                    );
                }
                Ok(news)
            }
            // A wait that the end of the process cuts short is no fault.
            Err(CreditsError::Away(_)) if stop.load(Ordering::Relaxed) => Ok(false),
            Err(CreditsError::Away(why)) => {
                if self.outage.begins() {
                    tracing::warn!(
                        "what the payout service acknowledges cannot be read now: {why}; payouts are shown without newer credits, and it is \
                         tried again"
                    );
                }
                Ok(false)
            }
            Err(CreditsError::Wrong(why)) => Err(ViewError::Credits(why)),
            Err(CreditsError::View(error)) => Err(error),
        }
    }
}
