//! The integration tests: they run the real program and judge its output from outside.
//!
//! `tests/README.md` lists what is tested where and how to run one part alone.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;
mod judge;
mod model;

mod audit;
mod cli;
mod contract;
mod deployment;
mod directory;
mod hostile;
mod house;
mod kafka;
mod lint;
mod local_files;
mod mutations;
mod payout;
mod recovery;
mod serve;
