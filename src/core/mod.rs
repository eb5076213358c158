//! The pure core: it takes records and returns changes and outputs as data. No input or output, no clock, no randomness, no
//! threads; it imports nothing of the other modules.

pub mod accrue;
pub mod amount;
pub mod control;
pub mod coordinate;
pub mod decision;
pub mod epoch;
pub mod event;
pub mod fault;
pub mod fingerprint;
pub mod ingest;
pub mod json;
pub mod ledger;
pub mod merkle;
pub mod messages;
pub mod name;
pub mod output;
pub mod outputs;
pub mod posting;
pub mod programme;
pub mod refusal;
pub mod row;
pub mod settle;
pub mod standing;
pub mod time;
pub mod topic;
