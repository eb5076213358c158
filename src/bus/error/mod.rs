//! What can go wrong on a bus: one error for each operation. Each message says what, where, and what to do next.

mod admin;
mod broker;
mod commit;
mod file;
mod membership;
mod open;
mod reaction;
mod read;

pub use admin::AdminError;
pub use broker::BrokerError;
pub use commit::CommitError;
pub use file::FileError;
pub use membership::MembershipError;
pub use open::OpenError;
pub use reaction::Reaction;
pub use read::{LogName, ReadError};
