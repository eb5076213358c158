//! The event bus as the tasks see it: topics of ordered records, and transactions. All code above [`Log`] and [`Bus`] is the same on every bus.

mod batch;
mod error;
mod identity;
mod interface;
mod outputs;
mod pending;
mod position;
mod running_digest;
mod topic_names;

pub mod archive;
pub mod dir;
pub mod kafka;
pub mod memory;
pub mod patient;
pub mod scan;

pub use crate::core::contract::appends::Outputs;
pub use crate::core::contract::topic::{Topic, TopicKind, TopicPartition};
pub use batch::{Batch, Record};
pub use error::{
    AdminError, BrokerError, CommitError, FileError, LogName, MembershipError, OpenError, Reaction, ReadError,
};
pub use identity::{DeploymentId, DeploymentIdentity};
pub use interface::{Access, Bus, Log, Membership, Reader};
pub use pending::{CommitOutcome, PendingCommit, PendingEnd};
pub use position::{Cursor, Mark, Position, TaskId};
pub use running_digest::{RecordDigest, RunningDigest};
