//! The protocol between our own tasks: ledger records and inbox messages. Nobody else reads them.

pub mod codec;
pub mod ledger;
pub mod messages;
pub mod totals;
