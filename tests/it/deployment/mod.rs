//! The stores of a deployment: snapshots of them, copies of their bus, and their layout over ledger partitions.

mod copies;
mod places;
mod repartition;
mod snapshots;
