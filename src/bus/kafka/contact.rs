//! The first connection to the brokers: waits for those that are away, and ends with the reason if no broker accepts this client.
//!
//! A refusal is the decision of a broker, but one broker of several may have wrong settings, and one that starts may refuse for a moment. So a
//! refusal counts only when every configured broker has refused two clients in a row. Brokers that cannot be reached might accept this client:
//! they are waited for, but only for a minute.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::bus::error::BrokerError;
use crate::bus::kafka::client::{AskingContext, ClientLog, RateLimit, take_events};
use crate::bus::kafka::failure::Attempt;
use crate::bus::kafka::listener::look;
use crate::bus::kafka::reasons::join;
use crate::bus::kafka::refusal::{BrokerRefusal, judge};
use crate::bus::kafka::settings::KafkaSettings;
use crate::core::contract::topic::Topic;

/// Time-out of one request.
const REQUEST: Duration = Duration::from_secs(1);
/// The requests of the first client that is tried, and of the last. A slow connection needs more than the first.
const REQUESTS: (u32, u32) = (3, 24);
/// Pause between two clients.
const PAUSE: Duration = Duration::from_secs(1);
/// This many clients in a row must be refused.
const REFUSED_CLIENTS: u32 = 2;
/// How long brokers that cannot be reached are waited for, while the others refuse this client.
const UNREACHED_FOR: Duration = Duration::from_secs(60);
/// The port of a broker without one.
const PORT: u16 = 9092;

/// How long to wait for brokers.
#[derive(Debug, Clone, Copy)]
pub struct Patience<'a> {
    /// Set when the process is to stop.
    pub stop: &'a AtomicBool,
    /// The longest time without progress; `None` for ever.
    pub timeout: Option<Duration>,
}

impl<'a> Patience<'a> {
    pub(super) fn waiting(&self, attempt: Attempt<'a>) -> Waiting<'a> {
        Waiting {
            patience: *self,
            attempt,
            since: Instant::now(),
            rate_limit: RateLimit::default(),
        }
    }

    /// The time-out of a request that may take `at_most`.
    pub(super) fn slice(&self, at_most: Duration) -> Duration {
        self.timeout
            .map_or(at_most, |timeout| timeout.min(at_most))
            .max(REQUEST)
    }
}

/// A wait for brokers, which tells what it waits for.
pub(super) struct Waiting<'a> {
    patience: Patience<'a>,
    attempt: Attempt<'a>,
    since: Instant,
    rate_limit: RateLimit,
}

impl Waiting<'_> {
    /// Whether the process is to stop, or it was waited long enough.
    fn is_over(&self) -> bool {
        let Patience { stop, timeout } = self.patience;
        stop.load(Ordering::Relaxed) || timeout.is_some_and(|timeout| self.since.elapsed() >= timeout)
    }

    fn tell(&self, why: &str) {
        let Attempt { action, brokers, .. } = &self.attempt;
        if self.rate_limit.allows(why) {
            let waited = self.since.elapsed().as_secs();
            tracing::warn!("cannot {action} at {brokers} for {waited} s: {why}; trying again");
        }
    }

    /// Tells why nothing has come yet, and pauses. `false` if the process is to stop.
    ///
    /// # Errors
    /// If it was waited long enough.
    pub(super) fn goes_on(&mut self, why: &str) -> Result<bool, BrokerError> {
        let Attempt { action, brokers, .. } = &self.attempt;
        let waited = self.since.elapsed();
        if self.patience.timeout.is_some_and(|timeout| waited >= timeout) {
            return Err(BrokerError::GaveUp {
                action: format!("{action} at {brokers}"),
                why: why.to_owned(),
                seconds: waited.as_secs(),
            });
        }
        self.tell(why);
        let paused = Instant::now();
        while paused.elapsed() < PAUSE {
            if self.patience.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            std::thread::sleep(PAUSE / 10);
        }
        Ok(true)
    }
}

/// Waits until a broker accepts this client. `false` if the process is to stop first.
///
/// # Errors
/// If no broker accepts it, the client cannot be made, or it was waited long enough.
pub(super) fn reach(settings: &KafkaSettings, patience: &Patience<'_>) -> Result<bool, BrokerError> {
    let attempt = Attempt::new(
        "connect to the brokers",
        &settings.brokers,
        "--operation Describe --cluster",
    );
    let mut waiting = patience.waiting(attempt.clone());
    let mut requests = REQUESTS.0;
    let mut refused_clients = 0;
    let mut refused_since = None;
    loop {
        let trial = Trial::new(settings, &attempt)?;
        let Some(why) = trial.run(requests, &waiting) else {
            return Ok(true);
        };
        if patience.stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let refusals = trial.refusals();
        if refusals.is_empty() {
            (refused_clients, refused_since) = (0, None);
            requests = (requests * 2).min(REQUESTS.1);
        } else {
            refused_clients += 1;
            let since = *refused_since.get_or_insert_with(Instant::now);
            let by_all = trial.brokers.iter().all(|broker| refusals.contains_key(broker));
            if refused_clients >= REFUSED_CLIENTS && (by_all || since.elapsed() > UNREACHED_FOR) {
                return Err(BrokerError::Refused { why: told(&refusals) });
            }
        }
        let why = match refusals.is_empty() {
            true => why,
            false => format!("{why}: {}", told(&refusals)),
        };
        if !waiting.goes_on(&why)? {
            return Ok(false);
        }
    }
}

/// Why a broker that answers is not enough.
const NO_BROKERS: &str = "a broker answers, but names no broker: it has just come back, and is let in within seconds";

/// One client that tries to reach a broker.
struct Trial<'a> {
    settings: &'a KafkaSettings,
    client: BaseConsumer<AskingContext>,
    /// The configured brokers, each as `host:port`.
    brokers: BTreeSet<String>,
}

impl<'a> Trial<'a> {
    fn new(settings: &'a KafkaSettings, attempt: &Attempt<'_>) -> Result<Self, BrokerError> {
        let config = settings
            .trying()
            .map_err(|error| BrokerError::Misconfigured { why: error.to_string() })?;
        let client = config
            .create_with_context(AskingContext {
                log: ClientLog::default(),
                is_quiet: true,
            })
            .map_err(|error| attempt.failed(&error))?;
        Ok(Self {
            settings,
            client,
            brokers: addresses(&settings.brokers),
        })
    }

    /// Why no broker answers; `None` if one does.
    fn run(&self, requests: u32, waiting: &Waiting<'_>) -> Option<String> {
        let mut why = String::new();
        for _ in 0..requests {
            let found = self.client.fetch_metadata(Some(Topic::Control.name()), REQUEST);
            take_events(&self.client);
            why = match found {
                Ok(metadata) if !metadata.brokers().is_empty() => return None,
                // A client that comes now would forget all brokers: see `reconnect`.
                Ok(_) => NO_BROKERS.into(),
                Err(error) => crate::bus::kafka::failure::text(&error),
            };
            let lately = self.client.context().log.reasons.lately();
            if !lately.is_empty() {
                why = join(&lately);
            }
            let refused = || lately.iter().filter(|(_, reason)| reason.may_be_refusal());
            waiting.tell(&why);
            if waiting.is_over() || refused().count() >= self.brokers.len() {
                break;
            }
        }
        Some(why)
    }

    /// The configured brokers that refuse this client.
    fn refusals(&self) -> BTreeMap<String, BrokerRefusal> {
        let lately = self.client.context().log.reasons.lately();
        let refusals = lately.into_iter().filter_map(|(broker, reason)| {
            let refusal = judge(&reason, self.settings, || look(&broker, self.settings))?;
            Some((broker, refusal))
        });
        refusals.collect()
    }
}

/// Brokers as librdkafka names them.
fn addresses(brokers: &str) -> BTreeSet<String> {
    let each = brokers.split(',').map(str::trim).filter(|broker| !broker.is_empty());
    each.map(|broker| {
        let address = broker.split_once("://").map_or(broker, |(_, address)| address);
        let has_port = address
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if has_port {
            address.to_owned()
        } else {
            format!("{address}:{PORT}")
        }
    })
    .collect()
}

/// Refusals in words: brokers with the same reason are named together.
fn told(refusals: &BTreeMap<String, BrokerRefusal>) -> String {
    let mut by_reason: BTreeMap<&BrokerRefusal, Vec<&str>> = BTreeMap::new();
    for (broker, refusal) in refusals {
        by_reason.entry(refusal).or_default().push(broker);
    }
    let each = by_reason
        .iter()
        .map(|(refusal, brokers)| format!("{}: {refusal}", brokers.join(", ")));
    each.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_have_the_names_that_librdkafka_gives_them() {
        let found = addresses("a:9093, SSL://b:1,c,[::1]:9092");
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            ["[::1]:9092", "a:9093", "b:1", "c:9092"]
        );
    }

    #[test]
    fn brokers_with_one_reason_are_named_together() {
        let refusal = |why: &str| BrokerRefusal {
            why: why.into(),
            remedy: "do it".into(),
        };
        let refusals = [("a:1", "no"), ("b:1", "other"), ("c:1", "no")];
        let refusals = refusals.map(|(broker, why)| (broker.to_owned(), refusal(why))).into();
        assert_eq!(told(&refusals), "a:1, c:1: no; do it; b:1: other; do it");
    }
}
