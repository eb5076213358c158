//! The contract: which output follows from which input.

mod agreement;
mod dead_letters;
mod example;
mod invariance;
mod schemas;
mod tables;
mod unlisted;
