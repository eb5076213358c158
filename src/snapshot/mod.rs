//! Snapshots of the tasks' stores in an object store, so that a new disk need not process the whole log again.
//!
//! 1. [`SnapshottedStore`] makes a checkpoint of a task's store, by hard links to its files.
//! 2. A thread uploads the files that the object store does not have yet, and then the manifest. It removes files that no kept snapshot needs.
//! 3. A task without a store restores the newest complete snapshot, and recovers from there.
//!
//! A store is a fold of the log up to its position. So the snapshots of each task are independent of those of other tasks.
//!
//! The objects, below the configured place:
//!
//! ```text
//! BUS/TASK/snapshots/TIME-SUM.json    the manifest of a snapshot
//! BUS/TASK/files/SHA256               files of the store, named by their SHA-256
//! BUS/TASK/damaged/...                damaged objects that were moved away
//! ```

mod error;
mod manifest;
mod remote;
mod restore;
mod series;
mod snapshots;
mod store;
mod upload;

pub use error::SnapshotError;
pub use series::SnapshotSeries;
pub use snapshots::{SnapshotSettings, Snapshots};
pub use store::SnapshottedStore;
