//! Helpers that the tests share.
//!
//! The benchmarks include this folder as well, so nothing here may use a module of the tests outside it.

pub mod conservation;
pub mod dice;
pub mod events;
pub mod files;
pub mod in_memory;
pub mod installed;
pub mod kafka;
pub mod live_terminal;
pub mod made_up_rules;
pub mod place;
pub mod postgres;
pub mod process;
pub mod program;
pub mod records;
pub mod schemas;
pub mod terminal;

pub use dice::Dice;
pub use files::{copy, fixture, json_lines};
pub use place::{OUTPUTS, Place, undisturbed};
pub use program::{fail, on_bus, run_by, setting, softstake, start, succeed};
