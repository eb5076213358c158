//! Explains one payout, or its absence: each number of an explanation follows from the numbers before it.
//!
//! [`parts`] are parts that several others show. [`read`] reads the published records, [`owner_trace`] has the events of the account and of its owner's other accounts. [`figures`] settles the
//! epochs one after the other, with the state machines' own rules. [`show`] turns the figures of the last one into an [`Explanation`],
//! [`show_correction`] those of the closed epochs that were settled again. [`gate`] tells what was decided about an epoch that is held.

mod correction;
mod error;
mod explainer;
mod explanation;
mod figures;
mod gate;
mod owner_trace;
mod parts;
mod published;
mod read;
mod show;
mod show_correction;
pub mod words;

pub use correction::{CorrectedFigures, CorrectedPool, ExplainedCorrection, ExplainedLatePosting, OwnerFigures};
pub use error::ExplainError;
pub use explainer::Explainer;
pub use explanation::{
    EpochStage, ExplainedAdjustment, ExplainedChange, ExplainedOwner, ExplainedPayout, ExplainedPool,
    ExplainedProgramme, ExplainedStatus, ExplainedTier, Explanation, GateDecision, OtherRecord, OwnedAccount,
};
pub use parts::{ExplainedAmount, ExplainedEvent, ExplainedRate};
pub use show::{MULTIPLIER_SCALE, RATE_SCALE};
