//! The protocol between the tasks: ledger records and inbox messages. No other program reads them.

pub mod codec;
pub mod ledger;
pub mod messages;
pub mod totals;
