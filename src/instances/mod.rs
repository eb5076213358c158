//! The instances of `softstake run`, asked over HTTP: for `softstake top` and for `softstake serve`.
//!
//! [`InstanceClient`] finds the instances and asks them, [`InstancePoll`] keeps what each told under `/status`, and [`problems()`] says what is wrong.

mod address;
mod client;
mod document;
mod facts;
mod figures;
mod followed;
mod marked;
mod poll;
mod problems;
mod sample;
mod waits;

pub use address::InstanceAddress;
pub use client::{InstanceClient, InstancePlace, InstanceQuestion, InstanceReply};
pub use document::{
    CoordinatorDocument, EpochDocument, PartitionDocument, SafeText, SnapshotDocument, StatusDocument, TaskDocument,
};
pub use facts::{
    PartitionAt, coordinators, deployment, instance_state, numbers_by, partitions_without_lag, records_per_second,
    state_severity, statuses, sum_of, tasks_by_state, version, worst_partitions,
};
pub use figures::{UNKNOWN, bytes, count, counted, duration, known, percent, rate};
pub use followed::{FollowedPartition, followed};
pub use marked::{MarkedText, Severity};
pub use poll::{InstancePoll, PollSettings};
pub use problems::{epochs_since, is_seal_late, problems};
pub use sample::{InstanceAnswer, InstanceSample};
pub use waits::{AwaitedPartition, PartitionPlaces};
