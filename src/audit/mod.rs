//! Audits: questions that only the whole log can answer. An audit never writes to the bus that it reads.
//!
//! Each line uses only the lines before it:
//!
//! - [`error`]: why an audit cannot be done.
//! - [`asked`]: whether the deployment has the assets and epochs that a command is asked for.
//! - Reading the log: [`point_in_time`] finds a consistent cut through a running deployment, [`history`] collects the listings and cuts from the
//!   decisions, [`trace`] finds the events of [`traced_accounts`], [`published`] reads published records. [`read_counter`] counts what is read,
//!   [`record_fields`] compares two records.
//! - [`replay`] runs the deployment's tasks again over its recorded input.
//! - The audits: [`reconcile`] compares the published records with a replay. [`what_if`] replays under other rules. [`explain`] explains one
//!   payout. [`payouts`] and [`balances`] compare with the books of others. [`proof`] proves that a payout is under a seal. [`archive`] copies
//!   the topics. [`reconciliation`] is what the results of those that compare begin with. [`forecast`] tells what a run would reject. [`control_topic`] tells what was decided on control events. [`redrive`]
//!   tells what became of dead letters. [`statement`] checks seals and adds them up.
//!   [`export`] turns published records into rows.

pub mod archive;
pub mod asked;
pub mod balances;
pub mod control_topic;
pub mod error;
pub mod explain;
pub mod export;
pub mod forecast;
pub mod history;
mod named_accounts;
pub mod payouts;
pub mod point_in_time;
pub mod proof;
pub mod published;
pub mod read_counter;
pub mod reconcile;
pub mod reconciliation;
pub mod record_fields;
pub mod redrive;
pub mod replay;
pub mod statement;
pub mod trace;
pub mod traced_accounts;
pub mod what_if;
