//! A deployment on Kafka, only read: this process does not join the consumer group and writes nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::bus::error::{OpenError, ReadError};
use crate::bus::interface::{Log, Reader};
use crate::bus::kafka::brokers::Brokers;
use crate::bus::kafka::contact::Patience;
use crate::bus::kafka::reader::KafkaReader;
use crate::bus::kafka::settings::KafkaSettings;
use crate::bus::position::{Mark, Position, TaskId};
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::values::offset::Offset;

/// A deployment's topics and positions, only read. It needs Read access to the topics and Describe access to the group.
pub struct ReadOnlyKafka {
    identity: String,
    brokers: Arc<Brokers>,
}

impl ReadOnlyKafka {
    /// Connects. Retries while the brokers cannot be reached; `None` if it is told to stop meanwhile.
    ///
    /// # Errors
    /// If a property is not valid, a secret cannot be read, no broker accepts this client, or it was waited long enough.
    pub fn open(settings: KafkaSettings, patience: &Patience<'_>) -> Result<Option<Self>, OpenError> {
        let identity = format!("deployment {}", settings.deployment);
        let connected = Brokers::connect(settings, true, patience)?;
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

    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, ReadError> {
        Ok(self.brokers.partitions(topic)?)
    }

    fn start(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        Ok(self.brokers.range(partition)?.0)
    }

    fn readable_end(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        Ok(self.brokers.range(partition)?.1)
    }

    fn open(&self, partition: TopicPartition, from: &Mark) -> Result<Box<dyn Reader>, ReadError> {
        Ok(Box::new(KafkaReader::open(Arc::clone(&self.brokers), partition, from)?))
    }

    fn check(&self, partition: TopicPartition, mark: &Mark) -> Result<(), ReadError> {
        self.brokers.check_offset(partition, mark.offset).map(drop)
    }

    fn committed(&self, task: TaskId) -> Result<Option<Position>, ReadError> {
        self.brokers.committed(task)
    }

    fn version(&self) -> u64 {
        self.brokers.signal.version()
    }

    fn wait(&self, seen: u64, at_most: Duration) -> Result<u64, ReadError> {
        Ok(self.brokers.signal.wait(seen, at_most))
    }
}
