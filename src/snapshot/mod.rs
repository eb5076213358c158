//! Snapshots of the tasks' stores in an object store, so that a new disk need not process the whole log again.
//!
//! 1. [`SnapshottedStore`] makes a checkpoint of a task's store, by hard links to its files.
//! 2. A thread uploads the files that the object store does not have yet, and then the manifest. It removes files that no kept snapshot needs.
//! 3. A task without a store restores the newest complete snapshot, and recovers from there.
//!
//! A store is a fold of the log up to its position. So the snapshots of each task are independent of those of other tasks.
//!
//! **Whose snapshots.** A place belongs to one deployment. A copy of a bus has the same identity, so a manifest also keeps the position with its digests:
//! only equal digests make a snapshot one of this log. A snapshot that is not is never used, and a process that meets one takes no more.
//!
//! The objects, below the configured place:
//!
//! ```text
//! deployment.json                            the deployment that has the place
//! DEPLOYMENT/TASK/snapshots/TIME-SUM.json    the manifest of a snapshot
//! DEPLOYMENT/TASK/files/SHA256               files of the store, named by their SHA-256
//! DEPLOYMENT/TASK/damaged/...                damaged objects that were moved away
//! ```

mod bucket;
mod claim;
mod error;
mod figures;
mod manifest;
mod place;
mod refusal;
mod remote;
mod restore;
mod series;
mod snapshots;
mod store;
mod upload;

pub use error::SnapshotError;
pub use figures::SnapshotFigures;
pub use place::SnapshotPlace;
pub use restore::Usable;
pub use series::SnapshotSeries;
pub use snapshots::{SnapshotSettings, Snapshots};
pub use store::SnapshottedStore;
