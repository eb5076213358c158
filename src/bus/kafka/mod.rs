//! The bus on Apache Kafka. Topics and transactions are Kafka's. A consumer group's assignment tells which process runs which task.
//!
//! - `bus`, `read_only`: the two buses; `brokers` has what both share.
//! - `member`, `assignment`, `owners`: this process in the group: which tasks it may run and commit, and who has the others.
//! - `transaction`, `producer`: one transaction for the outputs and positions of many tasks. `untransacted`: none, in benchmarks.
//! - `fetcher`: two consumers for all partitions that are read; `probes`: another, for a look at single records and ends.
//! - `ends`: looks up ends for tasks that do not wait for the answer.
//! - `watch`: whether the records that were read are still there.
//! - `reader`, `decisions`: readers of one partition; `chunk`, `evidence`, `consumer`: what these share.
//! - `foreign_topic`: a topic that is not one of ours, read up to its end.
//! - `reconnect`: gives these clients their brokers back.
//! - `position`, `cloud_events`: how Kafka keeps a position and an event.
//! - `contact`, `reasons`, `refusal`, `listener`: the first connection, and why a broker cannot be used.
//! - [`topics`]: the topics of a deployment, checked and created. [`publish`]: `softstake publish`. [`produce`] and [`transaction_writer`]: what other
//!   commands write.

mod assignment;
mod brokers;
mod bus;
mod chunk;
mod client;
mod cloud_events;
mod consumer;
mod contact;
mod decisions;
mod ends;
mod evidence;
mod failure;
mod fetcher;
mod foreign_topic;
mod listener;
mod member;
mod owners;
mod position;
mod probes;
pub mod produce;
mod producer;
pub mod publish;
mod read_only;
mod reader;
mod reasons;
mod reconnect;
mod refusal;
pub mod settings;
pub mod topics;
mod transaction;
pub mod transaction_writer;
mod untransacted;
mod watch;

pub use bus::KafkaBus;
pub use contact::Patience;
pub use foreign_topic::ForeignTopic;
pub use read_only::ReadOnlyKafka;
pub use settings::KafkaSettings;
