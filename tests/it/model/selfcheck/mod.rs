//! The model, checked part by part, so that the ledger tables cannot pass for nothing.

mod parts;
mod settlement;
mod sources;
mod values;
