//! The endpoint for monitoring: metrics, health and status of this process, over plain HTTP on a port of its own.
//!
//! It runs on a thread of its own and only reads what tasks have noted. So it never holds up a task, and it answers even if all tasks are held up.
//! `docs/metrics.md` has its metrics and the fields of its answers.

pub mod families;
mod health;
mod holdings;
mod holdings_access;
mod metrics;
mod monitored;
mod routes;
mod server;
mod status;
mod tasks;
mod traces;

pub use holdings_access::HoldingsAccess;
pub use monitored::{Instance, Monitored};
pub use server::start;
pub use traces::Traces;
