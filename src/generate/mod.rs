//! Input for Softstake: a synthetic bus with everything that an exchange gets right and wrong, and a bus made from a tape
//! of public trades.
//!
//! The generators share no code with the decoder. They write records as text from the published contract, so a mistake
//! in one is not repeated in the other.

mod accounts;
mod bad;
mod bus;
mod catalogue;
mod control;
mod control_events;
mod draws;
mod error;
mod events;
mod json;
mod spec;
mod stage;
mod synthetic;
mod tape;
mod text;

#[cfg(test)]
mod tests;

pub use bad::{bad_control_kinds, bad_kinds};
pub use error::GenerateError;
pub use spec::{Summary, Synthetic};
pub use synthetic::write;
pub use tape::{Tape, TapeSummary, open, write_tape};
