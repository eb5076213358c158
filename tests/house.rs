//! Runs the rules of the house by themselves.

#[path = "it/house/mod.rs"]
mod house;
