//! A bus made from a tape of public trades: the trades as they were, between drawn accounts, with the balances that these
//! accounts need.

mod act;
mod control;
mod csv;
mod deal;
mod extras;
mod funding;
mod plan;
mod records;
mod settings;
mod sides;
mod write;

pub use csv::open;
pub use settings::{Tape, TapeSummary};
pub use write::write_tape;
