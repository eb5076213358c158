//! Where the brokers are, who we are to them, and what each of our clients is told.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::bus::BusError;

/// The largest record we write or have to read, in bytes: a dead letter holds a source record, escaped.
pub const MAX_RECORD_BYTES: usize = 16 << 20;

/// How a deployment is reached and told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `bootstrap.servers`: `host:port`, by commas.
    pub brokers: String,
    /// The name of the deployment: its consumer group, and the start of its transactional ids.
    pub deployment: String,
    /// The name of this instance, which it keeps over restarts: it gets its partitions back at once then. Without one it is a new member each time.
    pub instance: Option<String>,
    /// Properties of librdkafka, for all clients.
    pub properties: BTreeMap<String, String>,
    /// Properties whose values are in files: secrets, as a rule.
    pub files: BTreeMap<String, PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            brokers: "localhost:9092".into(),
            deployment: "softstake".into(),
            instance: None,
            properties: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }
}

/// Properties that exactly-once rests on, with what makes them so.
const OURS: [(&str, &str); 18] = [
    ("bootstrap.servers", "set `kafka.brokers`"),
    ("metadata.broker.list", "set `kafka.brokers`"),
    ("group.id", "set `kafka.deployment`"),
    ("group.instance.id", "set `kafka.instance`"),
    ("transactional.id", "it follows from `kafka.deployment` and `kafka.instance`"),
    ("enable.idempotence", "exactly once rests on it"),
    ("acks", "exactly once rests on it"),
    ("request.required.acks", "exactly once rests on it"),
    ("isolation.level", "exactly once rests on it"),
    ("enable.auto.commit", "positions are committed with what they led to"),
    ("enable.auto.offset.store", "positions are committed with what they led to"),
    ("auto.offset.reset", "nothing may be skipped"),
    ("enable.partition.eof", "softstake finds the ends of partitions by itself"),
    ("statistics.interval.ms", "softstake finds the ends of partitions by it"),
    ("client.rack", "a follower may be behind, and cuts need the leader's ends"),
    ("allow.auto.create.topics", "topics are made by `softstake topics`"),
    ("partitioner", "records of a key have to go where Java's producers would put them"),
    ("check.crcs", "records are checked"),
];

/// Refuses a property that softstake sets itself.
///
/// # Errors
/// Why, as a predicate.
pub fn check_property(name: &str) -> Result<(), String> {
    match OURS.iter().find(|(ours, _)| *ours == name) {
        Some((_, why)) => Err(format!("cannot be set: {why}")),
        None => Ok(()),
    }
}

/// Whether the value of a property is never shown. Whatever might be a secret is taken for one, misspelt names included.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let shown = ["sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.oauthbearer.method"];
    let authentication = name.starts_with("sasl") || name.starts_with("ssl");
    let marks = ["pas", "secret", "key", "pem", "token", "cred", "auth"];
    let marked = marks.iter().any(|mark| name.contains(mark));
    !shown.contains(&name) && !name.ends_with(".location") && (authentication || marked)
}

impl Settings {
    /// What every client is told.
    ///
    /// # Errors
    /// If the file of a secret cannot be read.
    pub(super) fn client(&self) -> Result<ClientConfig, BusError> {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        config
            .set("client.id", self.instance.as_deref().unwrap_or(&self.deployment))
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "2000")
            .set("topic.metadata.refresh.interval.ms", "10000")
            // A broker that went away is a matter for a log line, not for one a second.
            .set("log.connection.close", "false");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        for (name, path) in &self.files {
            let text = fs::read_to_string(path).map_err(BusError::io("read", path))?;
            // Whoever writes a password into a file ends the line.
            config.set(name, text.trim_end_matches(['\n', '\r']));
        }
        config
            .set("bootstrap.servers", &self.brokers)
            .set("allow.auto.create.topics", "false");
        Ok(config)
    }

    /// What a client that reads is told.
    pub(super) fn consumer(&self) -> Result<ClientConfig, BusError> {
        let mut config = ClientConfig::new();
        config
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "20")
            .set("queued.min.messages", "1000000")
            .set("queued.max.messages.kbytes", "4096");
        for (name, value) in self.client()?.config_map() {
            config.set(name, value);
        }
        config
            .set("group.id", &self.deployment)
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "false")
            .set("auto.offset.reset", "error")
            .set("check.crcs", "true");
        config.set_log_level(RDKafkaLogLevel::Info);
        Ok(config)
    }

    /// The name this process goes by to the other clients of the group, if it keeps one.
    pub(super) fn member(&self) -> Result<ClientConfig, BusError> {
        let mut config = ClientConfig::new();
        config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "2000")
            .set("max.poll.interval.ms", "300000");
        // The newer protocol leaves assignment and time-outs to the brokers.
        if self.properties.get("group.protocol").is_some_and(|protocol| protocol == "consumer") {
            config = ClientConfig::new();
        }
        for (name, value) in self.consumer()?.config_map() {
            config.set(name, value);
        }
        if let Some(instance) = &self.instance {
            config.set("group.instance.id", instance);
        }
        // It fetches nothing, and asks for ends as they are written, readable or not.
        config.set("isolation.level", "read_uncommitted");
        config.set_log_level(RDKafkaLogLevel::Info);
        Ok(config)
    }

    /// What the producer is told.
    pub(super) fn producer(&self, transactional_id: &str) -> Result<ClientConfig, BusError> {
        let mut config = ClientConfig::new();
        config
            .set("linger.ms", "2")
            .set("batch.size", "1000000")
            .set("compression.type", "lz4")
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", "262144")
            .set("transaction.timeout.ms", "10000")
            .set("message.max.bytes", MAX_RECORD_BYTES.to_string());
        for (name, value) in self.client()?.config_map() {
            config.set(name, value);
        }
        config
            .set("transactional.id", transactional_id)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // As Java's producers do, so that a key's records stay together whoever writes them.
            .set("partitioner", "murmur2_random");
        config.set_log_level(RDKafkaLogLevel::Info);
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_shown_even_if_misspelt() {
        for name in [
            "sasl.password",
            "sasl.pasword",
            "ssl.key.password",
            "ssl.key.pem",
            "sasl.oauthbearer.client.secret",
            "sasl.jaas.config",
            "my.token",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["sasl.mechanisms", "sasl.username", "ssl.ca.location", "session.timeout.ms", "linger.ms"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn a_secret_comes_from_its_file_and_nothing_of_ours_is_overridden() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "hush\n").unwrap();
        let settings = Settings {
            properties: [("linger.ms".to_owned(), "7".to_owned())].into(),
            files: [("sasl.password".to_owned(), path)].into(),
            ..Settings::default()
        };
        let producer = settings.producer("id").unwrap();
        assert_eq!(producer.get("sasl.password"), Some("hush"));
        assert_eq!(producer.get("linger.ms"), Some("7"));
        assert!(check_property("acks").is_err());
        assert!(check_property("linger.ms").is_ok());
        let missing = Settings {
            files: [("sasl.password".to_owned(), "/nowhere".into())].into(),
            ..Settings::default()
        };
        assert!(missing.client().unwrap_err().to_string().contains("/nowhere"));
    }

    #[test]
    fn the_newer_group_protocol_takes_no_assignor_or_time_outs() {
        let settings = Settings {
            properties: [("group.protocol".to_owned(), "consumer".to_owned())].into(),
            ..Settings::default()
        };
        assert_eq!(settings.member().unwrap().get("session.timeout.ms"), None);
        assert_eq!(
            Settings::default().member().unwrap().get("partition.assignment.strategy"),
            Some("cooperative-sticky")
        );
    }
}
