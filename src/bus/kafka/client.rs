//! What our clients tell us beside records: log lines, errors, statistics. And the one signal that wakes whoever waits for something new.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

/// How often the same trouble is told.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// A number that grows when there may be something new, and those who wait for that.
#[derive(Debug, Default)]
pub(super) struct Signal {
    version: AtomicU64,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Signal {
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn raise(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
        // Whoever is about to wait has the lock until it waits.
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits until the version is past `seen`, at most so long.
    pub(super) fn wait(&self, seen: u64, at_most: Duration) -> u64 {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |_: &mut ()| self.version() <= seen;
        drop(
            self.changed
                .wait_timeout_while(guard, at_most, waiting)
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.version()
    }
}

/// Says the same thing once in a while only.
#[derive(Debug, Default)]
pub(super) struct RateLimit(Mutex<Option<(String, Instant)>>);

impl RateLimit {
    /// Whether to say `what` now.
    pub(super) fn now(&self, what: &str) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let again = last
            .as_ref()
            .is_none_or(|(said, at)| said != what || at.elapsed() > TELL_EVERY);
        if again {
            *last = Some((what.to_owned(), Instant::now()));
        }
        again
    }
}

/// The context of a client that tells of nothing but trouble.
#[derive(Debug, Default)]
pub(super) struct Quiet(Told);

/// What a client logs, put into our logs.
#[derive(Debug, Default)]
pub(super) struct Told(RateLimit);

impl Told {
    pub(super) fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Tried again by librdkafka, and told by whoever waits for the outcome.
        match level {
            // All clients are told all properties; which of them concern a producer or a consumer is librdkafka's to sort out.
            _ if facility == "CONFWARN" => tracing::debug!("librdkafka: {message}"),
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!("librdkafka: {facility}: {message}");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                if self.0.now(facility) {
                    tracing::warn!("librdkafka: {facility}: {message}");
                }
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!("librdkafka: {facility}: {message}");
            }
        }
    }

    pub(super) fn error(&self, error: &KafkaError, reason: &str) {
        let what = crate::bus::kafka::failure::text(error);
        if self.0.now(&what) {
            tracing::warn!("kafka: {what}: {reason}");
        }
    }
}

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(&error, reason);
    }
}
