//! The tasks. Each is a fold of the core. One harness reads its input, publishes its outputs, persists its store, and recovers it.

pub mod account_walk;
pub mod accrue_store;
pub mod accrue_task;
pub mod announcer;
pub mod coordinator_task;
pub mod durations;
pub mod error;
pub mod fold;
pub mod harness;
pub mod ingest_task;
mod inputs;
pub mod kept_accounts;
pub mod pool;
mod resettling;
pub mod seen_controls;
pub mod seen_ids;
pub mod sequencer_task;
pub mod settlements;
pub mod stats;
pub mod superseded_statuses;
pub mod table_scan;
pub mod task_board;
mod task_spans;
pub mod task_states;

pub use error::TaskError;
pub use pool::{Progress, Task};
