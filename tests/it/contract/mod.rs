//! The contract: which output follows from which input.

mod agreement;
mod dead_letters;
mod example;
mod in_program;
mod invariance;
mod properties;
mod schemas;
mod tables;
mod unlisted;
