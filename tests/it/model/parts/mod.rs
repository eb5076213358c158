//! What the model needs beside the rules: JSON, times, amounts, the root, and the comparison of outputs.

pub mod amount;
pub mod bus;
mod compare;
pub mod fields;
pub mod json;
pub mod merkle;
mod published;
pub mod time;

use std::collections::BTreeMap;

use serde_json::Value;

pub use compare::differences;
pub use published::published;

/// The records of the output topics, expected or published. One map a topic, by envelope id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outputs {
    pub distributions: BTreeMap<String, Value>,
    pub seals: BTreeMap<String, Value>,
    pub dead_letters: BTreeMap<String, Value>,
    pub late_postings: BTreeMap<String, Value>,
}
