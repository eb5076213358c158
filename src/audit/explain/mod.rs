//! Explains one payout, or its absence: each number of an explanation follows from the numbers before it.

mod account_trace;
mod error;
mod explainer;
mod explanation;
mod figures;
mod published;
mod read;

pub use error::ExplainError;
pub use explainer::{Explainer, MULTIPLIER_SCALE, RATE_SCALE};
pub use explanation::{
    EpochStage, ExplainedAmount, ExplainedChange, ExplainedPayout, ExplainedPool, ExplainedProgramme, ExplainedStatus,
    ExplainedTier, Explanation, OtherRecord,
};
