//! Questions that only the whole log can answer: replay, reconciliation, explanations, proofs, archives. Nothing here writes to the bus it
//! reads.

pub mod archive;
pub mod balances;
pub mod exact;
pub mod explain;
pub mod history;
pub mod payouts;
pub mod point_in_time;
pub mod proof;
pub mod published;
pub mod reconcile;
pub mod replay;
pub mod what_if;
