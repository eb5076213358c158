//! A deployment: its stores, snapshots of them, copies of their bus, their layout over ledger partitions, and its monitoring.

mod alerts;
mod copies;
pub mod monitor;
mod places;
mod repartition;
mod snapshots;
