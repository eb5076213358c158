//! Where the brokers are, who we are to them, and what each of our clients is told.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::bus::error::BusError;

/// The largest record we write or have to read, in bytes: a dead letter holds a source record, escaped.
pub const MAX_RECORD_BYTES: usize = 16 << 20;

/// How a deployment is reached and told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSettings {
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

impl Default for KafkaSettings {
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

/// How long the group waits for a member: also for one that does not come back to a rebalance, as a process killed in the middle of one and started
/// again under its name.
const MAX_POLL_INTERVAL: &str = "max.poll.interval.ms";
const MAX_POLL_INTERVAL_MS: &str = "30000";

/// Properties that exactly-once rests on, with what makes them so.
const OURS: [(&str, &str); 18] = [
    ("bootstrap.servers", "set `kafka.brokers`"),
    ("metadata.broker.list", "set `kafka.brokers`"),
    ("group.id", "set `kafka.deployment`"),
    ("group.instance.id", "set `kafka.instance`"),
    (
        "group.protocol",
        "what is whose is told by the ids that the classic protocol gives its members",
    ),
    (
        "transactional.id",
        "it follows from `kafka.deployment` and `kafka.instance`",
    ),
    ("enable.idempotence", "exactly once rests on it"),
    ("acks", "exactly once rests on it"),
    ("request.required.acks", "exactly once rests on it"),
    ("isolation.level", "exactly once rests on it"),
    ("enable.auto.commit", "positions are committed with what they led to"),
    (
        "enable.auto.offset.store",
        "positions are committed with what they led to",
    ),
    ("auto.offset.reset", "nothing may be skipped"),
    (
        "enable.partition.eof",
        "softstake finds the ends of partitions by itself",
    ),
    (
        "client.rack",
        "a follower may be behind, and cuts need the leader's ends",
    ),
    ("allow.auto.create.topics", "topics are made by `softstake topics`"),
    (
        "partitioner",
        "records of a key have to go where Java's producers would put them",
    ),
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
    let shown = [
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.oauthbearer.method",
    ];
    let authentication = name.starts_with("sasl") || name.starts_with("ssl");
    let marks = ["pas", "secret", "key", "pem", "token", "cred", "auth"];
    let marked = marks.iter().any(|mark| name.contains(mark));
    !shown.contains(&name) && !name.ends_with(".location") && (authentication || marked)
}

/// Properties, by name. Not librdkafka's own collection: it does not give passwords back.
type Properties = BTreeMap<String, String>;

fn set(properties: &mut Properties, values: &[(&str, &str)]) {
    for (name, value) in values {
        properties.insert((*name).to_owned(), (*value).to_owned());
    }
}

fn client_config(properties: Properties) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.extend(properties);
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}

impl KafkaSettings {
    /// What the operator set, secrets from their files included.
    fn theirs(&self) -> Result<Properties, BusError> {
        let mut properties = self.properties.clone();
        for (name, path) in &self.files {
            let text = fs::read_to_string(path).map_err(BusError::io("read", path))?;
            // Whoever writes a password into a file ends the line.
            properties.insert(name.clone(), text.trim_end_matches(['\n', '\r']).to_owned());
        }
        Ok(properties)
    }

    /// Our defaults, what the operator set, and what nobody may set.
    fn layers(&self, defaults: &[(&str, &str)], fixed: &[(&str, &str)]) -> Result<Properties, BusError> {
        let mut properties = Properties::new();
        set(
            &mut properties,
            &[
                ("client.id", self.instance.as_deref().unwrap_or(&self.deployment)),
                ("socket.keepalive.enable", "true"),
                ("reconnect.backoff.ms", "50"),
                ("reconnect.backoff.max.ms", "2000"),
                ("topic.metadata.refresh.interval.ms", "10000"),
                // A broker that went away is a matter for a log line, not for one a second.
                ("log.connection.close", "false"),
            ],
        );
        set(&mut properties, defaults);
        properties.extend(self.theirs()?);
        set(
            &mut properties,
            &[
                ("bootstrap.servers", &self.brokers),
                ("allow.auto.create.topics", "false"),
            ],
        );
        set(&mut properties, fixed);
        Ok(properties)
    }

    /// What a client is told that neither reads nor writes in a deployment.
    ///
    /// # Errors
    /// If the file of a secret cannot be read.
    pub(super) fn client(&self, defaults: &[(&str, &str)]) -> Result<ClientConfig, BusError> {
        Ok(client_config(self.layers(defaults, &[])?))
    }

    fn reading(&self, defaults: &[(&str, &str)]) -> Result<Properties, BusError> {
        let reading = [
            ("fetch.wait.max.ms", "100"),
            ("fetch.queue.backoff.ms", "20"),
            ("queued.min.messages", "1000000"),
            ("queued.max.messages.kbytes", "4096"),
        ];
        self.layers(
            &[&reading, defaults].concat(),
            &[
                ("group.id", &self.deployment),
                ("isolation.level", "read_committed"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("enable.partition.eof", "false"),
                ("auto.offset.reset", "error"),
                ("check.crcs", "true"),
            ],
        )
    }

    /// What a client that reads is told.
    pub(super) fn consumer(&self) -> Result<ClientConfig, BusError> {
        Ok(client_config(self.reading(&[])?))
    }

    /// What the group's consumer is told. It fetches nothing, and asks for ends as they are written, readable or not.
    pub(super) fn member(&self) -> Result<ClientConfig, BusError> {
        let ours = [
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("session.timeout.ms", "10000"),
            ("heartbeat.interval.ms", "2000"),
            (MAX_POLL_INTERVAL, MAX_POLL_INTERVAL_MS),
        ];
        let mut properties = self.reading(&ours)?;
        set(&mut properties, &[("isolation.level", "read_uncommitted")]);
        if let Some(instance) = &self.instance {
            set(&mut properties, &[("group.instance.id", instance)]);
        }
        Ok(client_config(properties))
    }

    /// How long the group waits for a member in a rebalance.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        let ms = self
            .properties
            .get(MAX_POLL_INTERVAL)
            .map_or(MAX_POLL_INTERVAL_MS, String::as_str);
        // One that is no number is refused by librdkafka.
        Duration::from_millis(ms.trim().parse().unwrap_or(1))
    }

    /// What the producer is told.
    pub(super) fn producer(&self, transactional_id: &str) -> Result<ClientConfig, BusError> {
        let largest = MAX_RECORD_BYTES.to_string();
        let properties = self.layers(
            &[
                ("linger.ms", "2"),
                ("batch.size", "1000000"),
                ("compression.type", "lz4"),
                ("queue.buffering.max.messages", "1000000"),
                ("queue.buffering.max.kbytes", "262144"),
                ("transaction.timeout.ms", "10000"),
                // A transaction that follows another at once is refused for a few milliseconds, while the brokers finish that one; at the
                // default each would wait 100 ms for it.
                ("retry.backoff.ms", "5"),
                ("message.max.bytes", &largest),
            ],
            &[
                ("transactional.id", transactional_id),
                ("enable.idempotence", "true"),
                ("acks", "all"),
                // As Java's producers do, so that a key's records stay together whoever writes them.
                ("partitioner", "murmur2_random"),
            ],
        )?;
        Ok(client_config(properties))
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
        for name in [
            "sasl.mechanisms",
            "sasl.username",
            "ssl.ca.location",
            "session.timeout.ms",
            "linger.ms",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn a_secret_comes_from_its_file_and_nothing_of_ours_is_overridden() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "hush\n").unwrap();
        let settings = KafkaSettings {
            properties: [("linger.ms".to_owned(), "7".to_owned())].into(),
            files: [("sasl.password".to_owned(), path)].into(),
            ..KafkaSettings::default()
        };
        let producer = settings.layers(&[("linger.ms", "2")], &[("acks", "all")]).unwrap();
        assert_eq!(producer.get("sasl.password").map(String::as_str), Some("hush"));
        assert_eq!(producer.get("linger.ms").map(String::as_str), Some("7"));
        assert_eq!(producer.get("acks").map(String::as_str), Some("all"));
        assert!(check_property("acks").is_err() && check_property("group.protocol").is_err());
        let member = settings.member().unwrap();
        assert_eq!(member.get("partition.assignment.strategy"), Some("cooperative-sticky"));
        assert_eq!(settings.rebalance_timeout(), Duration::from_secs(30));
        assert!(check_property("linger.ms").is_ok());
        let missing = KafkaSettings {
            files: [("sasl.password".to_owned(), "/nowhere".into())].into(),
            ..KafkaSettings::default()
        };
        assert!(missing.client(&[]).unwrap_err().to_string().contains("/nowhere"));
    }
}
