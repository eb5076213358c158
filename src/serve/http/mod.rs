//! Serves the paths over HTTP: what every request must pass, and what every answer has.

mod entity_tag;
mod frame;
mod guard;
mod hardening;
mod requests;
mod server;

pub use frame::{Frame, framed};
pub use requests::{RequestCounts, RouteFigures};
pub use server::{ServeError, ServeParts, Serving, TlsFiles, run};
