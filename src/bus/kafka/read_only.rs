//! A deployment on Kafka as somebody sees it who only reads: no part of the consumer group, and nothing is written.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::bus::error::BusError;
use crate::bus::interface::{Log, Reader};
use crate::bus::kafka::reader::KafkaReader;
use crate::bus::kafka::{Brokers, KafkaSettings};
use crate::bus::position::{Mark, Position, TaskId};
use crate::core::contract::topic::{Topic, TopicPartition};

/// A deployment's topics and positions, to read. It needs Read on the topics, and Describe on the group.
pub struct ReadOnlyKafka {
    identity: String,
    brokers: Arc<Brokers>,
}

impl ReadOnlyKafka {
    /// Connects. Brokers that cannot be reached are waited for, until `stop` is set; `None` if it was.
    ///
    /// # Errors
    /// A property that is none, a secret that cannot be read, brokers that refuse us.
    pub fn open(settings: KafkaSettings, stop: &AtomicBool) -> Result<Option<Self>, BusError> {
        let identity = format!("deployment {}", settings.deployment);
        let connected = Brokers::connect(settings, true, stop)?;
        Ok(connected.map(|(brokers, cluster)| Self {
            identity: format!("kafka {cluster}, {identity}"),
            brokers,
        }))
    }
}

impl Log for ReadOnlyKafka {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, BusError> {
        self.brokers.partitions(topic)
    }

    fn start(&self, partition: TopicPartition) -> Result<u64, BusError> {
        self.brokers.range(partition).map(|(start, _)| start)
    }

    fn readable_end(&self, partition: TopicPartition) -> Result<u64, BusError> {
        self.brokers.range(partition).map(|(_, end)| end)
    }

    fn open(&self, partition: TopicPartition, from: &Mark) -> Result<Box<dyn Reader>, BusError> {
        Ok(Box::new(KafkaReader::open(Arc::clone(&self.brokers), partition, from)?))
    }

    fn committed(&self, task: TaskId) -> Result<Option<Position>, BusError> {
        self.brokers.committed(task)
    }

    fn version(&self) -> u64 {
        self.brokers.signal.version()
    }

    fn wait(&self, seen: u64, at_most: Duration) -> Result<u64, BusError> {
        Ok(self.brokers.signal.wait(seen, at_most))
    }
}
