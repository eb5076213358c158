//! The Kafka settings of a deployment, and the properties of each of our clients.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::bindings::rd_kafka_conf_res_t as ConfigResult;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use url::{Host, Url};

use crate::bus::error::FileError;
use crate::core::values::similar::meant;

/// The largest record that we write or read, in bytes: a dead letter holds a whole source record, escaped.
pub const MAX_RECORD_BYTES: usize = 16 << 20;

/// Where a deployment's brokers are, and its names there.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `bootstrap.servers`: `host:port`, separated by commas.
    pub brokers: String,
    /// The deployment's name: its consumer group, and the start of its transactional ids.
    pub deployment: String,
    /// This instance's name. With a name, a restarted instance gets its partitions back at once. Without one, it is a new member.
    pub instance: Option<String>,
    /// librdkafka properties, for all clients.
    pub properties: BTreeMap<String, String>,
    /// Properties whose values are in files: mostly secrets.
    pub files: BTreeMap<String, PathBuf>,
    /// Whether commits are transactions. They always are, but in benchmarks that measure what transactions cost.
    pub is_transactional: bool,
}

/// Without the values of secrets.
impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value): (&String, &String)| match is_secret(name) {
            true => (name.clone(), "(not shown)".to_owned()),
            false => (name.clone(), value.clone()),
        };
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("deployment", &self.deployment)
            .field("instance", &self.instance)
            .field(
                "properties",
                &self.properties.iter().map(shown).collect::<BTreeMap<_, _>>(),
            )
            .field("files", &self.files)
            .finish()
    }
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            brokers: "localhost:9092".into(),
            deployment: "softstake".into(),
            instance: None,
            properties: BTreeMap::new(),
            files: BTreeMap::new(),
            is_transactional: true,
        }
    }
}

/// How long the group waits for a member. This includes a member that does not return to a rebalance, for example a process that was killed in
/// one and started again under its name.
const MAX_POLL_INTERVAL: &str = "max.poll.interval.ms";
const MAX_POLL_INTERVAL_MS: &str = "30000";

/// Properties that only softstake sets, each with the reason: most of them keep results exactly once.
const RESERVED: [(&str, &str); 18] = [
    ("bootstrap.servers", "set `kafka.brokers`"),
    ("metadata.broker.list", "set `kafka.brokers`"),
    ("group.id", "set `kafka.deployment`"),
    ("group.instance.id", "set `kafka.instance`"),
    (
        "group.protocol",
        "softstake needs the member ids of the classic protocol",
    ),
    (
        "transactional.id",
        "it follows from `kafka.deployment` and `kafka.instance`",
    ),
    ("enable.idempotence", "exactly once depends on it"),
    ("acks", "exactly once depends on it"),
    ("request.required.acks", "exactly once depends on it"),
    ("isolation.level", "exactly once depends on it"),
    (
        "enable.auto.commit",
        "positions are committed together with the outputs",
    ),
    (
        "enable.auto.offset.store",
        "positions are committed together with the outputs",
    ),
    ("auto.offset.reset", "no record may be skipped"),
    (
        "enable.partition.eof",
        "softstake sets it where it needs the end of a partition",
    ),
    (
        "client.rack",
        "a follower may be behind, and cuts need the ends of the leader",
    ),
    ("allow.auto.create.topics", "`softstake topics` creates the topics"),
    (
        "partitioner",
        "the records of a key must go to the partition that Java's producers choose",
    ),
    ("check.crcs", "every record is checked"),
];

/// Properties with which the client would load native code, run programs, or send files elsewhere, each with the reason and what to use instead. A
/// name that ends with a point means all names that begin with it.
const DANGEROUS: [(&str, &str); 7] = [
    (
        "plugin.",
        "it loads native code into this process, and softstake needs no plugin",
    ),
    (
        "ssl.engine.",
        "it loads native code into this process; name the key in `ssl.key.location` or `ssl.key.pem`",
    ),
    (
        "ssl.providers",
        "it loads native code into this process; convert an old PKCS#12 keystore to PEM files, and name them in `ssl.certificate.location` and \
         `ssl.key.location`",
    ),
    (
        "sasl.kerberos.",
        "the client would run it in a shell command, and this client has no Kerberos; use SCRAM, OAUTHBEARER or a client certificate \
         (`ssl.certificate.location`)",
    ),
    (
        "sasl.oauthbearer.assertion.private.key.file",
        "name the file as `sasl.oauthbearer.assertion.private.key.pem` in [kafka.files]",
    ),
    (
        "sasl.oauthbearer.assertion.jwt.template.file",
        "what it reads is sent to another server; set `sasl.oauthbearer.assertion.claim.aud` and so on",
    ),
    (
        "sasl.oauthbearer.assertion.file",
        "what it reads is sent to another server; use `sasl.oauthbearer.assertion.private.key.pem` or `sasl.oauthbearer.client.secret`",
    ),
];

/// The property whose URL gets the client's secret.
const TOKEN_URL: &str = "sasl.oauthbearer.token.endpoint.url";

/// Rejects a property that only softstake sets, or that nobody may set.
///
/// # Errors
/// The reason, as a predicate.
pub fn check_property(name: &str) -> Result<(), String> {
    let is_named = |entry: &str| entry == name || entry.ends_with('.') && name.starts_with(entry);
    match RESERVED.iter().chain(&DANGEROUS).find(|(entry, _)| is_named(entry)) {
        Some((_, why)) => Err(format!("cannot be set: {why}")),
        None => Ok(()),
    }
}

/// Rejects a value of a property.
///
/// # Errors
/// The reason, as a predicate. It does not quote the value, which may hold credentials.
pub fn check_value(name: &str, value: &str) -> Result<(), String> {
    check_name(name)?;
    if name != TOKEN_URL {
        return match ClientConfig::new().set(name, value).create_native_config() {
            Err(_) if name == "security.protocol" => Err("must be plaintext, ssl, sasl_plaintext or sasl_ssl".into()),
            // Some messages of librdkafka hold the value.
            Err(KafkaError::ClientConfig(_, why, ..)) if !is_secret(name) || !why.contains(value) => {
                Err(format!("is not valid: {why}"))
            }
            Err(_) => Err("has a value that is not valid".into()),
            Ok(_) => Ok(()),
        };
    }
    let is_here = |host: Host<&str>| match host {
        Host::Domain(name) => name == "localhost",
        // The metadata server of a cloud has a link-local address.
        Host::Ipv4(address) => address.is_loopback() || address.is_link_local(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    let is_safe = Url::parse(value).is_ok_and(|url| match url.scheme() {
        "https" => true,
        "http" => url.host().is_some_and(is_here),
        _ => false,
    });
    if is_safe {
        return Ok(());
    }
    Err("must begin with https://, because the client sends its secret there (http:// is possible to this machine alone)".into())
}

/// Rejects a property that cannot come from a file.
///
/// # Errors
/// The reason, as a predicate.
pub fn check_file(name: &str) -> Result<(), String> {
    check_name(name)?;
    if name == TOKEN_URL {
        return Err("cannot come from a file: set it in [kafka.properties]".into());
    }
    Ok(())
}

/// Rejects a name that librdkafka does not know.
fn check_name(name: &str) -> Result<(), String> {
    match ClientConfig::new().set(name, "").create_native_config() {
        Err(KafkaError::ClientConfig(ConfigResult::RD_KAFKA_CONF_UNKNOWN, ..)) => {}
        _ => return Ok(()),
    }
    let is_file = name.strip_suffix(".file").filter(|name| COMMON.contains(name));
    Err(match (is_file, meant(name, COMMON)) {
        (Some(name), _) => {
            format!("is no property of librdkafka: name the file of a secret as `{name}` in [kafka.files]")
        }
        (None, Some(meant)) => format!("is no property of librdkafka; did you mean `{meant}`?"),
        (None, None) => "is no property of librdkafka; its CONFIGURATION.md has them all (Java's names differ)".into(),
    })
}

/// Properties that operators set, for "did you mean".
const COMMON: [&str; 36] = [
    "client.id",
    "compression.type",
    "connections.max.idle.ms",
    "debug",
    "fetch.max.bytes",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "heartbeat.interval.ms",
    "linger.ms",
    "max.in.flight.requests.per.connection",
    "max.poll.interval.ms",
    "message.max.bytes",
    "message.timeout.ms",
    "metadata.max.age.ms",
    "queue.buffering.max.kbytes",
    "queued.max.messages.kbytes",
    "reconnect.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.mechanism",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.method",
    TOKEN_URL,
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.keepalive.enable",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "transaction.timeout.ms",
];

/// Whether the value of a property is never shown. Every name that could be a secret's counts as one, also if it is misspelt.
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

/// Properties by name. `ClientConfig` does not return passwords, so it cannot be used for this.
pub(super) type Properties = BTreeMap<String, String>;

fn set(properties: &mut Properties, values: &[(&str, &str)]) {
    for (name, value) in values {
        properties.insert((*name).to_owned(), (*value).to_owned());
    }
}

fn client_config(properties: Properties) -> ClientConfig {
    let mut config = ClientConfig::new();
    // The lines that `debug` asks for come only at the lowest level of librdkafka.
    let level = match properties.contains_key("debug") {
        true => RDKafkaLogLevel::Debug,
        false => RDKafkaLogLevel::Info,
    };
    config.extend(properties);
    config.set_log_level(level);
    config
}

impl KafkaSettings {
    /// The properties that the operator set, with the secrets read from their files.
    pub(super) fn operator_properties(&self) -> Result<Properties, FileError> {
        let mut properties = self.properties.clone();
        for (name, path) in &self.files {
            let text = fs::read_to_string(path).map_err(FileError::io("read", path))?;
            // A file with a password mostly ends in a line feed.
            properties.insert(name.clone(), text.trim_end_matches(['\n', '\r']).to_owned());
        }
        Ok(properties)
    }

    /// Our defaults, then the operator's properties, then the fixed ones: a later value replaces an earlier one.
    fn merged(&self, defaults: &[(&str, &str)], fixed: &[(&str, &str)]) -> Result<Properties, FileError> {
        let mut properties = Properties::new();
        set(
            &mut properties,
            &[
                ("client.id", self.instance.as_deref().unwrap_or(&self.deployment)),
                ("socket.keepalive.enable", "true"),
                ("reconnect.backoff.ms", "50"),
                ("reconnect.backoff.max.ms", "2000"),
                ("topic.metadata.refresh.interval.ms", "10000"),
                // A broker that is away would otherwise log a line every second.
                ("log.connection.close", "false"),
            ],
        );
        set(&mut properties, defaults);
        properties.extend(self.operator_properties()?);
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

    /// For a client that does not take part in the deployment.
    ///
    /// # Errors
    /// If the file of a secret cannot be read.
    pub(super) fn client(&self, defaults: &[(&str, &str)]) -> Result<ClientConfig, FileError> {
        Ok(client_config(self.merged(defaults, &[])?))
    }

    /// For a client that only tries to reach the brokers. Every closed connection is told to it.
    pub(super) fn trying(&self) -> Result<ClientConfig, FileError> {
        Ok(client_config(self.merged(&[], &[("log.connection.close", "true")])?))
    }

    fn reading(&self, defaults: &[(&str, &str)]) -> Result<Properties, FileError> {
        let reading = [
            ("fetch.wait.max.ms", "100"),
            ("fetch.queue.backoff.ms", "20"),
            ("queued.min.messages", "1000000"),
            // For all partitions together.
            ("queued.max.messages.kbytes", "16384"),
        ];
        self.merged(
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

    /// For the consumer that looks things up.
    pub(super) fn consumer(&self) -> Result<ClientConfig, FileError> {
        Ok(client_config(self.reading(&[])?))
    }

    /// For the consumer of all records. It reports ends of partitions.
    pub(super) fn fetcher(&self) -> Result<ClientConfig, FileError> {
        let mut properties = self.reading(&[])?;
        set(&mut properties, &[("enable.partition.eof", "true")]);
        Ok(client_config(properties))
    }

    /// For the consumer that looks at single records. It reports ends of partitions, and fetches little at a time.
    pub(super) fn prober(&self) -> Result<ClientConfig, FileError> {
        let mut properties = self.reading(&[])?;
        set(
            &mut properties,
            &[
                ("enable.partition.eof", "true"),
                ("fetch.wait.max.ms", "5"),
                ("fetch.min.bytes", "1"),
                ("fetch.message.max.bytes", "32768"),
                ("queued.min.messages", "1"),
                ("fetch.queue.backoff.ms", "1"),
            ],
        );
        // The operator may have set the other name of the same property.
        properties.remove("max.partition.fetch.bytes");
        Ok(client_config(properties))
    }

    /// For the group's consumer. It fetches no records, and looks up written ends (high watermarks).
    pub(super) fn member(&self) -> Result<ClientConfig, FileError> {
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
        // librdkafka rejects a value that is not a number.
        Duration::from_millis(ms.trim().parse().unwrap_or(1))
    }

    /// For the transactional producer.
    pub(super) fn producer(&self, transactional_id: &str) -> Result<ClientConfig, FileError> {
        let largest = MAX_RECORD_BYTES.to_string();
        let mut properties = self.merged(
            &[
                ("linger.ms", "2"),
                ("batch.size", "1000000"),
                ("compression.type", "lz4"),
                ("queue.buffering.max.messages", "1000000"),
                ("queue.buffering.max.kbytes", "262144"),
                ("transaction.timeout.ms", "10000"),
                // While the brokers finish a transaction, they reject the next one for a few milliseconds. With the default, each
                // transaction would wait 100 ms.
                ("retry.backoff.ms", "2"),
                ("message.max.bytes", &largest),
            ],
            &[
                ("enable.idempotence", "true"),
                ("acks", "all"),
                // The default of Java's producers: the records of a key stay in one partition, whichever producer writes them.
                ("partitioner", "murmur2_random"),
            ],
        )?;
        if self.is_transactional {
            set(&mut properties, &[("transactional.id", transactional_id)]);
        }
        Ok(client_config(properties))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debug_form_holds_no_secret() {
        let settings = KafkaSettings {
            properties: [("sasl.password", "hush"), ("linger.ms", "7")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..KafkaSettings::default()
        };
        let shown = format!("{settings:?}");
        assert!(
            shown.contains("sasl.password") && shown.contains("\"7\"") && !shown.contains("hush"),
            "{shown}"
        );
    }

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
    fn properties_that_load_code_or_run_programs_are_refused() {
        let plugins = ["plugin", "library", "paths"].join(".");
        for name in [
            plugins.as_str(),
            "ssl.engine.location",
            "ssl.engine.id",
            "ssl.providers",
            "sasl.kerberos.kinit.cmd",
            "sasl.kerberos.keytab",
            "sasl.kerberos.principal",
            "sasl.kerberos.service.name",
            "sasl.kerberos.min.time.before.relogin",
            "sasl.oauthbearer.assertion.file",
            "sasl.oauthbearer.assertion.private.key.file",
            "sasl.oauthbearer.assertion.jwt.template.file",
        ] {
            let why = check_property(name).unwrap_err();
            assert!(why.starts_with("cannot be set: "), "{name}: {why}");
        }
        for name in [
            "sasl.oauthbearer.assertion.private.key.pem",
            "sasl.oauthbearer.client.secret",
            "ssl.key.location",
            "ssl.ca.location",
        ] {
            check_property(name).unwrap();
        }
    }

    #[test]
    fn a_token_comes_from_an_encrypted_server_or_this_machine() {
        for url in [
            "https://login.example/token",
            "http://localhost:8080/token",
            "http://127.0.0.1/token",
            "http://[::1]/token",
            "http://169.254.169.254/metadata/identity/oauth2/token",
        ] {
            check_value(TOKEN_URL, url).unwrap();
        }
        for url in [
            "http://login.example/hush",
            "file:///etc/hush",
            "ftp://hush/token",
            "login.example/hush",
            "http://localhost.hush.example/",
            "http://10.0.0.1/hush",
            "",
        ] {
            let why = check_value(TOKEN_URL, url).unwrap_err();
            assert!(
                why.starts_with("must begin with https://") && !why.contains("hush"),
                "{why}"
            );
        }
        check_value("client.id", "http://anything").unwrap();
        assert!(check_file(TOKEN_URL).is_err() && check_file("sasl.password").is_ok());
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
        let producer = settings.merged(&[("linger.ms", "2")], &[("acks", "all")]).unwrap();
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
