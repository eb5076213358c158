//! Serves the paths over HTTP: what every request must pass, and what every answer has.

mod entity_tag;
mod frame;
mod guard;
mod hardening;
mod server;

pub use frame::{Frame, framed};
pub use server::{ServeError, Serving, TlsFiles, run};
