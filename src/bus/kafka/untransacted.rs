//! Commits without transactions, to measure what transactions cost. Exactly once is lost: outputs are published first, then positions, and a process
//! that ends between the two publishes the same outputs again.

use std::sync::{Arc, PoisonError};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::producer::Producer;

use crate::bus::kafka::producer::{
    CommitRequest, TransactionError, TransactionalProducer, Transactor, offsets, send, wait_until_delivered,
};
use crate::core::contract::topic::TopicPartition;

impl Transactor {
    /// Publishes the outputs of a group, and then commits its positions to the group of consumers. Returns the producer for the next commit.
    pub(super) fn publish_then_commit(
        &self,
        producer: TransactionalProducer,
        group: &[Arc<CommitRequest>],
    ) -> Result<TransactionalProducer, TransactionError> {
        let homes: Vec<TopicPartition> = group.iter().map(|request| request.task.home()).collect();
        let is_ours = || self.member.generation(&homes).map_err(TransactionError::NotOurs);
        is_ours()?;
        for request in group {
            for (to, key, value) in request.outputs.iter() {
                send(&producer, to, key, value, &self.stop)?;
            }
        }
        wait_until_delivered(&producer);
        let undelivered = &producer.context().undelivered;
        let first = undelivered.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(first) = first {
            return Err(self.not_delivered(&first));
        }
        if producer.in_flight_count() > 0 {
            return Err(TransactionError::Unconfirmed(
                "records were not delivered in time".into(),
            ));
        }
        is_ours()?;
        match self.member.consumer().commit(&offsets(group)?, CommitMode::Sync) {
            Ok(()) => Ok(producer),
            // The committed position tells.
            Err(error) => Err(TransactionError::Unconfirmed(error.to_string())),
        }
    }
}
