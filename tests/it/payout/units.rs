//! The payout example's own tests: Cargo runs none that stand in an example, so its modules are taken in here.

#![allow(dead_code, reason = "the example uses what its tests leave out")]

#[path = "../examples/payout_consumer/amount.rs"]
mod amount;
#[path = "../examples/payout_consumer/database/mod.rs"]
mod database;
#[path = "../examples/payout_consumer/failure.rs"]
mod failure;
#[path = "../examples/payout_consumer/merkle.rs"]
mod merkle;
#[path = "../examples/payout_consumer/reader.rs"]
mod reader;
#[path = "../examples/payout_consumer/record.rs"]
mod record;
