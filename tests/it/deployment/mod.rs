//! The stores of a deployment: snapshots of them, and their layout over ledger partitions.

mod repartition;
mod snapshots;
