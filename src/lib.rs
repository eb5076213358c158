//! Softstake works out soft-staking rewards from an exchange's event log: exact to the last unit, exactly once, and the same on every replay.
//!
//! `docs/architecture.md` is the map. Data flows through the modules in this order: [`bus`] brings records, [`task`] drives the folds of
//! [`core`], [`store`] keeps what they derive, [`cli`] is how people run it.

#![warn(clippy::unwrap_used, clippy::expect_used)]
// They panic if the output is closed: `cli::output` writes.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod audit;
pub mod bus;
pub mod cli;
pub mod config;
pub mod core;
pub mod deployment;
pub mod generate;
pub mod instances;
pub mod listener;
pub mod metrics;
pub mod monitor;
pub mod outage;
pub mod serve;
pub mod snapshot;
pub mod spans;
pub mod store;
pub mod task;
pub mod top;
