//! Publishes the executions in the outbox, each once.
//!
//! Credits are in the database, and executions on a topic of Kafka: two systems, which cannot commit together. So a credit adds its execution to
//! the outbox, in the same transaction of the database. The publisher writes the rows of the outbox in the order of their numbers. One transaction
//! of Kafka writes some rows and moves the *position*, the number of the last row that was written. The position is a committed offset of the
//! group, and its metadata names the database.
//!
//! After a crash, the position tells which rows are on the topic. It is final: registering the transactional id fences a predecessor, and makes
//! the brokers end its transaction.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::Offset;
use tracing::{info, warn};

use super::client::{Access, Log, cannot_start};
use super::database::{Database, Outbox};
use super::failure::Failure;

/// How long one request may take.
const ANSWER: Duration = Duration::from_secs(15);

/// The pauses between attempts while the brokers cannot be reached: the first, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// How often the position is committed again. Brokers forget a position that is not moved for a week (`offsets.retention.minutes`).
const REFRESH: Duration = Duration::from_secs(3600);

/// The partition under which the position is committed.
const HOME: i32 = 0;

/// The publisher. While the brokers cannot be reached, executions wait in the outbox and payments go on.
pub struct Publisher<'a> {
    access: Access<'a>,
    topic: &'a str,
    /// How many executions to publish in one transaction.
    batch: usize,
    registered: Option<Registered>,
    pause: Duration,
    next_attempt: Instant,
}

/// A producer that is registered under the transactional id.
struct Registered {
    producer: ThreadedProducer<Log>,
    group: ConsumerGroupMetadata,
    /// The position's metadata: the id of the database.
    database: String,
    position: i64,
    refreshed: Instant,
}

/// Why an attempt ended.
enum Ended {
    /// A new attempt may succeed.
    Later(String),
    Failed(Failure),
}

impl From<KafkaError> for Ended {
    fn from(error: KafkaError) -> Ended {
        Ended::Later(error.to_string())
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Ended {
        Ended::Failed(failure)
    }
}

impl<'a> Publisher<'a> {
    pub fn new(access: Access<'a>, topic: &'a str, batch: usize) -> Publisher<'a> {
        Publisher {
            access,
            topic,
            batch,
            registered: None,
            pause: PAUSES[0],
            next_attempt: Instant::now(),
        }
    }

    /// Publishes the outbox. Returns whether it is empty now.
    ///
    /// # Errors
    /// If the database fails, or the position is not one of this database.
    pub async fn publish(&mut self, database: &mut Database) -> Result<bool, Failure> {
        if self.registered.is_none() && Instant::now() < self.next_attempt {
            return Ok(false);
        }
        match self.attempt(database).await {
            Ok(()) => {
                self.pause = PAUSES[0];
                Ok(true)
            }
            Err(Ended::Failed(failure)) => Err(failure),
            Err(Ended::Later(why)) => {
                warn!(
                    "executions wait in the outbox: {why}; trying again in {} s",
                    self.pause.as_secs()
                );
                // Nobody knows how far the transaction came. The next producer's registration ends it, and the position tells how.
                self.registered = None;
                self.next_attempt = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(PAUSES[1]);
                Ok(false)
            }
        }
    }

    async fn attempt(&mut self, database: &mut Database) -> Result<(), Ended> {
        let mut registered = match self.registered.take() {
            Some(registered) => registered,
            None => self.register(database).await?,
        };
        let first = registered.position;
        loop {
            let rows = database.next_executions(registered.position, self.batch).await?;
            let Some(last) = rows.last().map(|row| row.number) else {
                break;
            };
            registered.commit(self.topic, &rows, last)?;
        }
        if registered.refreshed.elapsed() > REFRESH {
            registered.commit(self.topic, &[], registered.position)?;
        }
        if registered.position > first {
            info!("{} executions are on {}", registered.position - first, self.topic);
        }
        self.registered = Some(registered);
        Ok(())
    }

    /// Registers a producer, and learns which executions are on the topic.
    async fn register(&self, database: &mut Database) -> Result<Registered, Ended> {
        let consumer: BaseConsumer<Log> = self
            .access
            .consumer("read_committed")
            .create_with_context(Log)
            .map_err(cannot_start)?;
        // The registration would succeed without the topic, and a transaction would then wait for it.
        let metadata = consumer.fetch_metadata(Some(self.topic), ANSWER)?;
        for found in metadata.topics() {
            match found.error().map(RDKafkaErrorCode::from) {
                None => {}
                Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                    return Err(Ended::Later(format!("the topic {} does not exist", self.topic)));
                }
                Some(code) => return Err(KafkaError::MetadataFetch(code).into()),
            }
        }
        let defaults = [
            // While the brokers finish a transaction, they reject the next one for some milliseconds.
            ("retry.backoff.ms", "5"),
            // As Java's producers, so the records of a key stay in one partition.
            ("partitioner", "murmur2_random"),
        ];
        let fixed = [
            ("transactional.id", self.access.name),
            ("enable.idempotence", "true"),
            ("acks", "all"),
        ];
        let config = self.access.config(&defaults, &fixed);
        let producer: ThreadedProducer<Log> = config.create_with_context(Log).map_err(cannot_start)?;
        producer.init_transactions(ANSWER)?;
        let group = consumer.group_metadata();
        let group = group.ok_or_else(|| Ended::Later("the client has no group".to_owned()))?;
        let outbox = database.outbox().await?;
        let committed = self.committed(&consumer)?;
        let position = position(&outbox, committed, self.access.name)?;
        if outbox.attempted > outbox.published {
            let (first, last) = (outbox.published + 1, outbox.attempted);
            match position == last {
                true => info!("executions {first} to {last} were on the topic before the restart"),
                false => info!("executions {first} to {last} were not on the topic before the restart"),
            }
        }
        let mut registered = Registered {
            producer,
            group,
            database: outbox.database,
            position,
            refreshed: Instant::now(),
        };
        registered.commit(self.topic, &[], position)?;
        Ok(registered)
    }

    /// The committed position: a number and the id of its database. The brokers wait for the end of a transaction before they answer.
    fn committed(&self, consumer: &BaseConsumer<Log>) -> Result<Option<(i64, String)>, KafkaError> {
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition(self.topic, HOME);
        let found = consumer.committed_offsets(wanted, ANSWER)?;
        let Some(element) = found.find_partition(self.topic, HOME) else {
            return Ok(None);
        };
        element.error()?;
        match element.offset() {
            Offset::Offset(number) => Ok(Some((number, element.metadata().to_owned()))),
            _ => Ok(None),
        }
    }
}

impl Registered {
    /// Writes rows and moves the position, in one transaction.
    fn commit(&mut self, topic: &str, rows: &[super::database::Execution], position: i64) -> Result<(), KafkaError> {
        self.producer.begin_transaction()?;
        for row in rows {
            let kind = Header {
                key: "content-type",
                value: Some("application/cloudevents+json"),
            };
            let record = BaseRecord::to(topic).key(&row.distribution).payload(&row.event);
            let record = record.headers(OwnedHeaders::new().insert(kind));
            self.producer.send(record).map_err(|(error, _)| error)?;
        }
        let mut positions = TopicPartitionList::new();
        positions.add_partition_offset(topic, HOME, Offset::Offset(position))?;
        if let Some(mut element) = positions.find_partition(topic, HOME) {
            element.set_metadata(&self.database);
        }
        self.producer
            .send_offsets_to_transaction(&positions, &self.group, ANSWER)?;
        self.producer.commit_transaction(ANSWER)?;
        (self.position, self.refreshed) = (position, Instant::now());
        Ok(())
    }
}

/// The number of the last execution on the topic.
fn position(outbox: &Outbox, committed: Option<(i64, String)>, name: &str) -> Result<i64, Failure> {
    let Outbox {
        database,
        attempted,
        published,
        ..
    } = outbox;
    match committed {
        Some((_, other)) if other != *database => Err(Failure::Stop(format!(
            "the name {name:?} publishes the executions of another database ({other}, and not {database}); give this one another --name"
        ))),
        Some((number, _)) if (*published..=*attempted).contains(&number) => Ok(number),
        Some((number, _)) => Err(Failure::Stop(format!(
            "{number} executions of this database are on the topic, but it knows of {published} to {attempted}: one of the two was restored from an \
             older copy. Compare both with `softstake reconcile payouts`"
        ))),
        None if attempted == published => Ok(*published),
        None => Err(Failure::Stop(format!(
            "executions {} to {attempted} may be on the topic or not: the brokers have forgotten the position of group {name:?}. Look for the \
             last of them on the topic; if it is there, set `published` to {attempted} in the table `publisher`, else set `attempted` to {published}",
            published + 1
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_is_one_of_this_database() {
        let outbox = |added, attempted, published| Outbox {
            database: "this".to_owned(),
            added,
            attempted,
            published,
        };
        let of = |outbox: &Outbox, number: i64| position(outbox, Some((number, "this".to_owned())), "me");
        let in_doubt = outbox(50, 20, 10);
        assert_eq!(of(&in_doubt, 10).unwrap(), 10);
        assert_eq!(of(&in_doubt, 20).unwrap(), 20);
        for (number, why) in [(9, "knows of 10 to 20"), (21, "21 executions of this database")] {
            let said = of(&in_doubt, number).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
        let said = position(&in_doubt, Some((20, "other".to_owned())), "me")
            .unwrap_err()
            .to_string();
        assert!(said.contains("of another database (other, and not this)"), "{said}");
        assert_eq!(position(&outbox(50, 20, 20), None, "me").unwrap(), 20);
        assert_eq!(position(&outbox(0, 0, 0), None, "me").unwrap(), 0);
        let said = position(&in_doubt, None, "me").unwrap_err().to_string();
        assert!(
            said.contains("executions 11 to 20 may be on the topic or not"),
            "{said}"
        );
    }
}
