//! Who asks, and what they may see.

mod access;
mod caller;
mod key_ring;
mod limiter;
mod read_audit;
mod rights;
mod token;
mod verifying_key;

pub use access::{AccessCheck, AccessSettings, KeySource};
pub use caller::{AskedFrom, Caller};
pub use key_ring::IssuerFigures;
pub use read_audit::ReadAudit;
pub use rights::{Right, Role};
pub use token::TokenRules;
