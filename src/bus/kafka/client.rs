//! What all Kafka clients share: their log lines and errors, and the signal that wakes waiting threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

/// The same message is logged at most this often.
const REPEAT_AFTER: Duration = Duration::from_secs(10);

/// A version that grows whenever there may be something new to read. Threads wait for it.
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
        // A thread that is about to wait has the lock until it waits.
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits until the version is past `seen`, or `at_most` is over.
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

/// Limits how often the same message is logged.
#[derive(Debug, Default)]
pub(super) struct RateLimit(Mutex<Option<(String, Instant)>>);

impl RateLimit {
    pub(super) fn allows(&self, message: &str) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let allowed = last
            .as_ref()
            .is_none_or(|(last, at)| last != message || at.elapsed() > REPEAT_AFTER);
        if allowed {
            *last = Some((message.to_owned(), Instant::now()));
        }
        allowed
    }
}

/// Puts what librdkafka logs into our logs.
#[derive(Debug, Default)]
pub(super) struct ClientLog(RateLimit);

impl ClientLog {
    pub(super) fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // librdkafka retries by itself, and the caller reports the outcome. So nothing here needs more than a log line.
        match level {
            // Every client gets all properties, also those that only concern producers or only consumers.
            _ if facility == "CONFWARN" => tracing::debug!("librdkafka: {message}"),
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!("librdkafka: {facility}: {message}");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                if self.0.allows(facility) {
                    tracing::warn!("librdkafka: {facility}: {message}");
                }
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!("librdkafka: {facility}: {message}");
            }
        }
    }

    pub(super) fn error(&self, error: &KafkaError, reason: &str) {
        let error = crate::bus::kafka::failure::text(error);
        if self.0.allows(&error) {
            tracing::warn!("kafka: {error}: {reason}");
        }
    }
}

/// The context of a client that only logs.
#[derive(Debug, Default)]
pub(super) struct LoggingContext(ClientLog);

impl ClientContext for LoggingContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(&error, reason);
    }
}
