//! Explains one payout, or its absence: each number of an explanation follows from the ones before it.

pub mod explainer;
pub mod explanation;

pub use explainer::{ExplainError, Explainer, MULTIPLIER_SCALE, RATE_SCALE};
pub use explanation::{
    ExplainedAmount, ExplainedChange, ExplainedPayout, ExplainedPool, ExplainedProgramme, ExplainedStatus,
    ExplainedTier, Explanation, OtherRecord, Stage,
};
