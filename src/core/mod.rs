//! The pure core: it takes records and returns changes and outputs as data. No input or output, no clock, no randomness, no
//! threads; it imports nothing of the other folders.
//!
//! The rooms, from the ground up: [`values`] (amounts, times, names), [`contract`] (the events and records that others see), [`protocol`] (the
//! messages between our own tasks), [`dedup`], and the three state machines in the order in which money moves: [`ingest`], [`accrue`],
//! [`coordinate`].

pub mod accrue;
pub mod contract;
pub mod coordinate;
pub mod dedup;
pub mod fault;
pub mod ingest;
pub mod protocol;
pub mod values;
