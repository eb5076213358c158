//! What all Kafka clients share: their log lines and errors, and the signal that wakes waiting threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;

use crate::bus::kafka::reasons::Reasons;

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

/// Polls of a client's queue. A poll that takes an event looks like one of an empty queue, so their number is fixed.
const POLLS: u32 = 100;

/// The context of a client that is only asked. Its events are taken by [`take_events`].
#[derive(Debug)]
pub(super) struct AskingContext {
    pub(super) log: ClientLog,
    /// Whether the caller tells all reasons itself.
    pub(super) is_quiet: bool,
}

impl ClientContext for AskingContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // `[thrd:…]: broker: reason`.
        let is_close = matches!(
            level,
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info
        );
        if is_close
            && facility == "FAIL"
            && let Some((_, reason)) = message.split_once("]: ")
        {
            self.log.reasons.add(None, reason);
        }
        match self.is_quiet {
            true => tracing::debug!("librdkafka: {facility}: {message}"),
            false => self.log.log(level, facility, message),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match self.is_quiet {
            true => self.log.reasons.add(error.rdkafka_error_code(), reason),
            false => self.log.error(&error, reason),
        }
    }
}

impl ConsumerContext for AskingContext {}

/// Takes the waiting events of a client that reads nothing: its context gets them.
pub(super) fn take_events(client: &BaseConsumer<AskingContext>) {
    for _ in 0..POLLS {
        drop(client.poll(Duration::ZERO));
    }
}

/// Puts what librdkafka logs into our logs, and keeps the reasons of its errors.
#[derive(Debug, Default)]
pub(super) struct ClientLog {
    rate_limit: RateLimit,
    /// How many lines librdkafka has written.
    lines: AtomicU64,
    pub(super) reasons: Arc<Reasons>,
}

impl ClientLog {
    pub(super) fn new(reasons: &Arc<Reasons>) -> Self {
        Self {
            rate_limit: RateLimit::default(),
            lines: AtomicU64::new(0),
            reasons: Arc::clone(reasons),
        }
    }

    pub(super) fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    pub(super) fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.lines.fetch_add(1, Ordering::Relaxed);
        // librdkafka retries by itself, and the caller reports the outcome. So nothing here needs more than a log line.
        match level {
            // Every client gets all properties, also those that only concern producers or only consumers.
            _ if facility == "CONFWARN" => tracing::debug!("librdkafka: {message}"),
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!("librdkafka: {facility}: {message}");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                if self.rate_limit.allows(facility) {
                    tracing::warn!("librdkafka: {facility}: {message}");
                }
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!("librdkafka: {facility}: {message}");
            }
        }
    }

    pub(super) fn error(&self, error: &KafkaError, reason: &str) {
        self.reasons.add(error.rdkafka_error_code(), reason);
        let error = crate::bus::kafka::failure::text(error);
        if self.rate_limit.allows(&error) {
            tracing::warn!("kafka: {error}: {reason}");
        }
    }
}

/// The context of a client that only logs.
#[derive(Debug, Default)]
pub(super) struct LoggingContext(pub(super) ClientLog);

impl ClientContext for LoggingContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(&error, reason);
    }
}
