//! What every handler answers with: problems, and the pool for reads that block.

mod problem;
mod readers;

pub use problem::{Problem, ProblemBody, ProblemKind};
pub use readers::Readers;
