//! The screen of `softstake top`: what all instances of a deployment tell under `/status`, on one terminal.
//!
//! [`poll`] asks, [`compose`] decides what is shown and what is bad, [`draw`] lays it out, and [`terminal`] has the keys. Only what the instances
//! tell is used, so the screen never reads the bus or a store.

mod address;
pub mod compose;
mod document;
pub mod draw;
mod figures;
mod followed;
mod lines;
mod overview;
mod poll;
mod problems;
mod sample;
pub mod screen;
mod sections;
pub mod terminal;
#[cfg(test)]
mod tests;

pub use address::InstanceAddress;
pub use document::{SafeText, StatusDocument};
pub use lines::Palette;
pub use poll::{InstancePoll, PollSettings};
pub use sample::{InstanceAnswer, InstanceSample};
