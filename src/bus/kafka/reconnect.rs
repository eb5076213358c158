//! Gives our clients their brokers back, after librdkafka has forgotten all of them.
//!
//! A broker that was silent for longer than its session is fenced for a moment when it comes back. If it is the only one, it then answers with the
//! topics, but without any broker. librdkafka (since 2.10, and still in 2.15) takes that as the new list: it drops each broker, also those of
//! `bootstrap.servers`. It plans to begin afresh with these, but a second such answer cancels the plan (`rd_kafka_rebootstrap_tmr_stop`). Such a
//! client neither reads nor fails, for ever: it has nobody to ask. No property of librdkafka avoids this.
//!
//! So a thread asks through each long-lived client every few seconds. If a client has no broker to ask, the thread adds those of
//! `kafka.brokers` to it. Nothing else changes: the client keeps its partitions, its generation and its place in the group, if the group still
//! has it. So fencing is as after any lost connection. While the brokers are really away, this is only one more connection that fails.
//!
//! The producer needs none of this: a transaction that does not end within 15 s is given up, and there is a new producer.

use std::ffi::CString;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::bus::error::OpenError;
use crate::core::contract::topic::Topic;

/// The pause between two rounds.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How long a client may take to find a broker and to get its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// In so many rounds the brokers are added each time. After that, only sometimes: librdkafka keeps each list that it was given.
const EAGER_ROUNDS: u32 = 10;
/// And then in each round with a multiple of this number.
const RARE_ROUNDS: u32 = 4;
/// The name of the thread.
const NAME: &str = "kafka reconnect";

/// A client that lives as long as the bus.
trait LongLived: Send + Sync {
    fn ask(&self) -> Result<(), KafkaError>;

    /// Adds brokers to those that the client knows. Those that it has are not added again.
    fn add_brokers(&self, brokers: &CString);
}

impl<C: ConsumerContext> LongLived for BaseConsumer<C> {
    fn ask(&self) -> Result<(), KafkaError> {
        self.fetch_metadata(Some(Topic::Control.name()), ANSWER_WITHIN)
            .map(drop)
    }

    fn add_brokers(&self, brokers: &CString) {
        let client = self.client().native_ptr();
        // The client lives as long as `self`, and librdkafka copies the text.
        #[allow(unsafe_code, reason = "rdkafka does not wrap this call")]
        unsafe {
            rdkafka::bindings::rd_kafka_brokers_add(client, brokers.as_ptr());
        }
    }
}

struct LookedAfter {
    /// What it is for, in words.
    role: &'static str,
    client: Weak<dyn LongLived>,
    /// The rounds since a broker was last connected.
    missed: AtomicU32,
}

/// The clients that the thread looks after.
#[derive(Default)]
pub(super) struct LongLivedClients(Mutex<Vec<Arc<LookedAfter>>>);

impl LongLivedClients {
    /// Looks after `client` until it is dropped.
    pub(super) fn add<C: ConsumerContext + 'static>(&self, role: &'static str, client: &Arc<BaseConsumer<C>>) {
        let client = Arc::downgrade(client);
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(Arc::new(LookedAfter {
            role,
            client,
            missed: AtomicU32::new(0),
        }));
    }

    fn living(&self) -> Vec<Arc<LookedAfter>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|entry| entry.client.strong_count() > 0);
        entries.clone()
    }
}

/// The thread, ended with this.
pub(super) struct Reconnector {
    running: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Reconnector {
    pub(super) fn start(clients: Arc<LongLivedClients>, brokers: &str) -> Result<Self, OpenError> {
        let (running, ended) = channel();
        // No valid list has a zero byte.
        let brokers = CString::new(brokers).unwrap_or_default();
        let work = move || look_after(&clients, &brokers, &ended);
        let thread = std::thread::Builder::new().name(NAME.into()).spawn(work);
        Ok(Self {
            running: Some(running),
            thread: Some(thread.map_err(|source| OpenError::Thread { name: NAME, source })?),
        })
    }
}

impl Drop for Reconnector {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            // It ends within one question. A panic in it is already logged.
            let _ = thread.join();
        }
    }
}

fn look_after(clients: &LongLivedClients, brokers: &CString, ended: &Receiver<()>) {
    // What is told already.
    let mut told: Vec<&str> = Vec::new();
    while ended.recv_timeout(ASK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let mut without = Vec::new();
        for entry in clients.living() {
            if ended.try_recv() != Err(TryRecvError::Empty) {
                return;
            }
            if !entry.has_broker(brokers) {
                without.push(entry.role);
            }
        }
        if without.iter().any(|role| !told.contains(role)) {
            tracing::warn!(
                "no broker is connected to {}; this process connects to kafka.brokers again until one answers",
                without.join(", ")
            );
            told.clone_from(&without);
        } else if without.is_empty() && !told.is_empty() {
            tracing::info!("brokers answer again");
            told.clear();
        }
    }
}

impl LookedAfter {
    /// Whether its client has a broker to ask. If not, adds the brokers of the settings.
    fn has_broker(&self, brokers: &CString) -> bool {
        let Some(client) = self.client.upgrade() else {
            return true;
        };
        let answer = client.ask();
        // Any other error is the answer of a broker, or of one that is connected and slow.
        if !matches!(answer, Err(KafkaError::MetadataFetch(Code::BrokerTransportFailure))) {
            self.missed.store(0, Ordering::Relaxed);
            return true;
        }
        let missed = self.missed.fetch_add(1, Ordering::Relaxed);
        if missed < EAGER_ROUNDS || missed.is_multiple_of(RARE_ROUNDS) {
            client.add_brokers(brokers);
        }
        false
    }
}
