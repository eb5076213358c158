//! Replay: what was published, worked out once more from what it rests on, and the questions that only the whole log can answer.
//!
//! Nothing here writes to the bus it reads.

pub mod read;
