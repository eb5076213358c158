//! Why brokers could not be used lately, as librdkafka tells its clients.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;

/// For this long, the last reason of a broker explains the errors of requests. librdkafka repeats the same reason every 30 s.
const LATELY: Duration = Duration::from_secs(60);
/// Why a broker could not be used, in librdkafka's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    /// `None` if it was only logged: mostly a closed connection.
    pub(super) code: Option<Code>,
    pub(super) text: String,
}

/// The last reason of each broker. Errors of requests do not have it: they say `Broker transport failure`.
#[derive(Debug, Default)]
pub(super) struct Reasons(Mutex<BTreeMap<String, (Instant, Reason)>>);

impl Reasons {
    /// Takes a message of librdkafka: `sasl_ssl://host:9093/bootstrap: SSL handshake failed: … (after 3ms in state SSL_HANDSHAKE)`.
    pub(super) fn add(&self, code: Option<Code>, message: &str) {
        // It tells nothing: each broker has its own reason.
        if code == Some(Code::AllBrokersDown) {
            return;
        }
        let (broker, text) = message.split_once(": ").unwrap_or(("the client", message));
        let broker = broker.split_once("://").map_or(broker, |(_, address)| address);
        let broker = broker.split_once('/').map_or(broker, |(address, _)| address);
        let text = text.rsplit_once(" (after ").map_or(text, |(text, _)| text).to_owned();
        let reason = (Instant::now(), Reason { code, text });
        self.lock().insert(broker.to_owned(), reason);
    }

    /// The brokers that could not be used lately, with the reasons.
    pub(super) fn lately(&self) -> Vec<(String, Reason)> {
        let reasons = self.lock();
        let lately = reasons.iter().filter(|(_, (at, _))| at.elapsed() < LATELY);
        lately
            .map(|(broker, (_, reason))| (broker.clone(), reason.clone()))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Instant, Reason)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Brokers with their reasons, as part of a sentence.
pub(super) fn join(reasons: &[(String, Reason)]) -> String {
    let each = reasons
        .iter()
        .map(|(broker, reason)| format!("{broker}: {}", reason.text));
    each.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_kept_for_its_broker() {
        let reasons = Reasons::default();
        reasons.add(
            Some(Code::SSL),
            "sasl_ssl://b1:9093/bootstrap: SSL handshake failed: verify (after 3ms in state SSL_HANDSHAKE, 1 identical error(s) suppressed)",
        );
        reasons.add(None, "plaintext://[::1]:9092/2: Disconnected");
        reasons.add(Some(Code::AllBrokersDown), "2/2 brokers are down");
        reasons.add(Some(Code::Authentication), "Failed to acquire a token");
        let text = join(&reasons.lately());
        assert_eq!(
            text,
            "[::1]:9092: Disconnected; b1:9093: SSL handshake failed: verify; the client: Failed to acquire a token"
        );
    }
}
