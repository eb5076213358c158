//! Replays a deployment: runs its tasks again over the recorded input, and observes what they publish.

pub mod bus;
pub mod run;
pub mod schedule;
pub mod sequencer;

pub use bus::{Deviation, OutputObserver, ReplayBus};
pub use run::{ReplayOutcome, ReplayPlan, ReplayResources, replay};
pub use schedule::{EpochFilter, Schedule};
pub use sequencer::ControlRewrite;
