//! The screen of `softstake top`: what all instances of a deployment tell under `/status`, on one terminal.
//!
//! [`instances`](crate::instances) asks and says what is bad, [`compose`] decides what is shown, [`draw`] lays it out, and [`terminal`] has the keys.
//! Only what the instances tell is used, so the screen never reads the bus or a store.

pub mod compose;
pub mod draw;
mod lines;
mod overview;
pub mod screen;
mod sections;
pub mod terminal;
#[cfg(test)]
mod tests;

pub use lines::Palette;
