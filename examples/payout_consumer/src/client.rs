//! What all Kafka clients of this program have in common.

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{NoCustomPartitioner, ProducerContext};
use tracing::{debug, error, warn};

use super::failure::Failure;

/// How to reach Kafka, and under which name.
#[derive(Debug)]
pub struct Access<'a> {
    pub brokers: &'a str,
    /// Properties of librdkafka.
    pub properties: &'a [(String, String)],
    /// The name of the consumer group, which is never joined, and the transactional id.
    pub name: &'a str,
}

impl Access<'_> {
    /// The configuration of a client: `defaults`, then the operator's properties, then `fixed`. A later value replaces an earlier one.
    pub fn config(&self, defaults: &[(&str, &str)], fixed: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        let operators = self
            .properties
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in defaults.iter().copied().chain(operators).chain(fixed.iter().copied()) {
            config.set(key, value);
        }
        config.set("bootstrap.servers", self.brokers);
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    /// The configuration of a consumer that is in no group, though it has to name one, and that commits nothing by itself.
    pub fn consumer(&self, isolation: &str) -> ClientConfig {
        let fixed = [
            // `properties` must not change these: exactly-once depends on them.
            ("group.id", self.name),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("isolation.level", isolation),
        ];
        self.config(&[("check.crcs", "true")], &fixed)
    }
}

/// The failure of a client that cannot be created. It never holds the value of a property, which may be a secret.
pub fn cannot_start(error: KafkaError) -> Failure {
    let why = match &error {
        KafkaError::ClientConfig(_, why, key, _) if why.contains("No such configuration property") => {
            format!("there is no property {key:?}")
        }
        KafkaError::ClientConfig(_, _, key, _) => format!("the value of the property {key:?} is not valid"),
        _ => error.to_string(),
    };
    Failure::Stop(format!("the Kafka client cannot start: {why}"))
}

/// Writes the client's messages to the log.
pub struct Log;

impl ClientContext for Log {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => error!("Kafka: {message}"),
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => warn!("Kafka: {message}"),
            _ => debug!("Kafka: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        warn!("Kafka: {error}: {reason}");
    }
}

impl ConsumerContext for Log {}

impl ProducerContext<NoCustomPartitioner> for Log {
    type DeliveryOpaque = ();

    /// A record that is not delivered fails its transaction.
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}
