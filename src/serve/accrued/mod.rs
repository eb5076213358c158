//! What an account has accrued in epochs that are not settled yet, as an estimate.
//!
//! The processor has the balances. It is asked over HTTP ([`Processors`](crate::serve::processors::Processors)), because its stores are on disks of other machines, and only the process
//! that has a store open can read its newest state without opening all its files again. The rules are those of the view ([`estimates`]).

mod estimate;

pub use estimate::{AccruedEpoch, AccruedEstimate, estimates};
