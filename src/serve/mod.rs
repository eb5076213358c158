//! The read side, `softstake serve`: what was published, over HTTP, for those who may see it.
//!
//! `docs/serve.md` tells how to run it, and who sees what.

pub mod accrued;
pub mod answer;
pub mod api;
pub mod auth;
pub mod credits;
pub mod figures;
pub mod http;
pub mod metrics;
pub mod pages;
pub mod probes;
pub mod processors;
pub mod reconciliations;
pub mod view;
