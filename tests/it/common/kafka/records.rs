//! Topics: creating them, and producing and reading their records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Instant;

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, NoCustomPartitioner, Producer, ProducerContext};
use rdkafka::{ClientContext, Message, Offset, TopicPartitionList};

use super::{BLINK, Cluster, PATIENCE, REQUEST, wait_for, wire};

/// The headers of a record in order. A name may occur more than once.
pub type NamedValues = Vec<(String, Option<Vec<u8>>)>;

/// A record to produce.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: NamedValues,
}

impl Record {
    pub fn new(value: impl AsRef<[u8]>) -> Self {
        Self {
            value: Some(value.as_ref().to_vec()),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Some(key.as_ref().to_vec());
        self
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), Some(value.as_ref().to_vec())));
        self
    }
}

impl<T: AsRef<[u8]>> From<T> for Record {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

/// A record that was read. Sorted by partition and offset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: NamedValues,
}

impl Read {
    /// The value as text.
    pub fn text(&self) -> &str {
        let value = self.value.as_deref().expect("the record has a value");
        std::str::from_utf8(value).expect("the value is text")
    }
}

impl From<&BorrowedMessage<'_>> for Read {
    fn from(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map(|headers| {
            let owned = |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.map(<[u8]>::to_vec));
            headers.iter().map(owned).collect()
        });
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
        }
    }
}

/// Collects the offset of each produced record.
#[derive(Default)]
pub(super) struct Delivered(Mutex<BTreeMap<usize, Result<i64, KafkaError>>>);

impl ClientContext for Delivered {}

impl ProducerContext<NoCustomPartitioner> for Delivered {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<usize>) {
        let outcome = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.clone()),
        };
        self.0.lock().expect("the deliveries").insert(*number, outcome);
    }
}

pub(super) type Sender = BaseProducer<Delivered>;

fn send(
    producer: &Sender,
    topic: &str,
    partition: i32,
    records: impl IntoIterator<Item = impl Into<Record>>,
) -> Vec<i64> {
    producer.context().0.lock().expect("the deliveries").clear();
    let mut sent = 0;
    for record in records {
        let Record { key, value, headers } = record.into();
        let mut to_send = BaseRecord::with_opaque_to(topic, Box::new(sent)).partition(partition);
        to_send.key = key.as_deref();
        to_send.payload = value.as_deref();
        if !headers.is_empty() {
            let add = |owned: OwnedHeaders, (key, value): &(String, Option<Vec<u8>>)| {
                let value = value.as_deref();
                owned.insert(Header { key, value })
            };
            to_send.headers = Some(headers.iter().fold(OwnedHeaders::new(), add));
        }
        let deadline = Instant::now() + PATIENCE;
        while let Err((error, again)) = producer.send(to_send) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            assert!(
                full && Instant::now() < deadline,
                "{topic}-{partition} takes no record: {error}"
            );
            to_send = again;
            producer.poll(BLINK);
        }
        sent += 1;
    }
    producer.flush(PATIENCE).expect("the records arrive");
    let delivered = producer.context().0.lock().expect("the deliveries");
    assert_eq!(delivered.len(), sent, "every record is accounted for");
    let offset = |outcome: &Result<i64, KafkaError>| *outcome.as_ref().expect("the record arrives");
    delivered.values().map(offset).collect()
}

/// Repeats an attempt while its error is retriable.
fn insist(what: &str, mut attempt: impl FnMut() -> KafkaResult<()>) {
    wait_for(what, || match attempt() {
        Ok(()) => Some(()),
        Err(KafkaError::Transaction(error)) if error.is_retriable() => None,
        Err(error) => panic!("{what}: {error}"),
    });
}

/// An open transaction. If it is dropped, it stays open until another producer takes its id or it times out.
pub struct Transaction {
    producer: Sender,
}

impl Transaction {
    /// Records on another partition, in the same transaction.
    pub fn produce(
        &self,
        topic: &str,
        partition: i32,
        records: impl IntoIterator<Item = impl Into<Record>>,
    ) -> Vec<i64> {
        send(&self.producer, topic, partition, records)
    }

    pub fn commit(self) {
        insist("commit", || self.producer.commit_transaction(REQUEST));
    }

    pub fn abort(self) {
        insist("abort", || self.producer.abort_transaction(REQUEST));
    }
}

impl Cluster {
    fn admin<T>(
        &self,
        work: impl AsyncFnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) -> KafkaResult<T>,
    ) -> T {
        let admin = self.client().create().expect("a client");
        let options = AdminOptions::new()
            .request_timeout(Some(PATIENCE))
            .operation_timeout(Some(PATIENCE));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(work(&admin, &options)).expect("the brokers answer")
    }

    /// Creates a topic with a replica on each broker, up to three. Returns when all its partitions have leaders.
    pub fn create_topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let replicas = i32::try_from(self.len().min(3)).expect("a small number");
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas));
        topic.config.extend_from_slice(configs);
        let results = self.admin(async |admin, options| admin.create_topics([&topic], options).await);
        if let Err((name, code)) = &results[0] {
            panic!("{name} is not created: {code}");
        }
        self.metadata(&format!("leaders of {name}"), Some(name), |metadata| {
            let known = &metadata.topics.first()?.partitions;
            let led = known.iter().filter(|partition| partition.leader >= 0).count();
            (i32::try_from(led) == Ok(partitions)).then_some(())
        });
    }

    /// Deletes a topic. Returns when the brokers do not list it any more.
    pub fn delete_topic(&self, name: &str) {
        let results = self.admin(async |admin, options| admin.delete_topics(&[name], options).await);
        if let Err((name, code)) = &results[0] {
            panic!("{name} is not deleted: {code}");
        }
        self.metadata(&format!("{name} to be gone"), None, |metadata| {
            (!metadata.topics.iter().any(|topic| topic.name == name)).then_some(())
        });
    }

    /// Sets a property of a topic.
    pub fn configure_topic(&self, name: &str, key: &str, value: &str) {
        let change = AlterConfig::new(ResourceSpecifier::Topic(name)).set(key, value);
        let results = self.admin(async |admin, options| admin.alter_configs([&change], options).await);
        if let Err((_, code)) = &results[0] {
            panic!("{key} of {name} is not set: {code}");
        }
    }

    /// Deletes the records of a partition below an offset, as limited retention does.
    pub fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut before = TopicPartitionList::new();
        before
            .add_partition_offset(topic, partition, Offset::Offset(offset))
            .expect("a partition");
        self.admin(async |admin, options| admin.delete_records(&before, options).await);
    }

    /// The number of partitions of a topic.
    pub fn partitions(&self, topic: &str) -> i32 {
        let count = self.metadata(&format!("partitions of {topic}"), Some(topic), |metadata| {
            let topic = metadata.topics.first()?;
            (topic.error == 0).then_some(topic.partitions.len())
        });
        i32::try_from(count).expect("a number of partitions")
    }

    /// Appends records to a partition. Returns their offsets.
    pub fn produce(
        &self,
        topic: &str,
        partition: i32,
        records: impl IntoIterator<Item = impl Into<Record>>,
    ) -> Vec<i64> {
        let producer = self.appender.get_or_init(|| {
            let mut config = self.client();
            config.set("enable.idempotence", "true").set("linger.ms", "0");
            config.create_with_context(Delivered::default()).expect("a producer")
        });
        send(producer, topic, partition, records)
    }

    /// Opens a transaction, which fences the earlier producer with this id, and appends records to a partition.
    pub fn begin(
        &self,
        id: &str,
        topic: &str,
        partition: i32,
        records: impl IntoIterator<Item = impl Into<Record>>,
    ) -> Transaction {
        let producer: Sender = self
            .client()
            .set("transactional.id", id)
            .set("linger.ms", "0")
            .create_with_context(Delivered::default())
            .expect("a producer");
        insist("a producer id", || producer.init_transactions(REQUEST));
        producer.begin_transaction().expect("a transaction");
        send(&producer, topic, partition, records);
        Transaction { producer }
    }

    /// The end of each partition: the last stable offset if `committed`, otherwise the high watermark.
    fn ends(&self, topic: &str, committed: bool) -> Vec<i64> {
        let end = |partition| {
            wait_for(&format!("the end of {topic}-{partition}"), || {
                let leader = self.leader_of(topic, partition);
                let port = self.broker(leader).ports.internal;
                wire::end_of(port, topic, partition, committed).ok()?.ok()
            })
        };
        (0..self.partitions(topic)).map(end).collect()
    }

    /// All committed records. It first waits for the end of every transaction that is open when it is called.
    pub fn read_committed(&self, topic: &str) -> Vec<Read> {
        let all = self.ends(topic, false);
        wait_for(&format!("the transactions open on {topic} to be over"), || {
            let decided = self.ends(topic, true);
            all.iter()
                .zip(&decided)
                .all(|(all, decided)| decided >= all)
                .then_some(())
        });
        self.read(topic, "read_committed")
    }

    /// The committed records up to the first open transaction.
    pub fn read_decided(&self, topic: &str) -> Vec<Read> {
        self.read(topic, "read_committed")
    }

    /// All records, including those of aborted and open transactions.
    pub fn read_uncommitted(&self, topic: &str) -> Vec<Read> {
        self.read(topic, "read_uncommitted")
    }

    fn read(&self, topic: &str, isolation: &str) -> Vec<Read> {
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", "softstake-tests")
            .set("isolation.level", isolation)
            .set("enable.partition.eof", "true")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "10")
            .set("check.crcs", "true")
            .create()
            .expect("a consumer");
        let mut unfinished: BTreeSet<i32> = (0..self.partitions(topic)).collect();
        let mut partitions = TopicPartitionList::new();
        for partition in &unfinished {
            partitions
                .add_partition_offset(topic, *partition, Offset::Beginning)
                .expect("a partition");
        }
        consumer.assign(&partitions).expect("an assignment");
        let mut records = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while !unfinished.is_empty() {
            assert!(Instant::now() < deadline, "gave up reading {topic}");
            match consumer.poll(REQUEST) {
                None => {}
                Some(Ok(message)) => records.push(Read::from(&message)),
                // It may come more than once for a partition.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    unfinished.remove(&partition);
                }
                // A broker is down for a moment; the client tries again.
                Some(Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure,
                ))) => {}
                Some(Err(error)) => panic!("{topic} cannot be read: {error}"),
            }
        }
        records.sort();
        records
    }
}
