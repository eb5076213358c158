//! The read side, `softstake serve`.

mod access;
mod accrued;
mod answers;
mod bounds;
mod browser;
mod catching_up;
mod described;
mod liabilities;
mod metrics;
pub mod outages;
mod periods;
mod processor;
mod reads;
mod reconciliations;
pub mod served;
mod starting;
