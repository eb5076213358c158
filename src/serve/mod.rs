//! The read side: answers to people and programs that look at what was published. It never writes to the bus.
//!
//! - [`figures`]: pure: the figures of treasury and finance, from seals.

pub mod figures;
