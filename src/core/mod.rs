//! The pure core. It takes records, and returns changes and outputs as data. It has no input or output, no clock, no randomness and no
//! threads, and it imports no other folder.
//!
//! Each of these uses only the ones before it: [`fault`], [`values`] (amounts, times, names), [`contract`] (the events and records that others
//! see), [`protocol`] (the messages between the tasks), [`dedup`]. Then come the three state machines, in the order in which money moves:
//! [`ingest`], [`accrue`], [`coordinate`].

pub mod accrue;
pub mod contract;
pub mod coordinate;
pub mod dedup;
pub mod fault;
pub mod ingest;
pub mod protocol;
pub mod values;
