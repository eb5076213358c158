//! Dead letters, and what became of them: which are open, which were published again, and whether an event is on its topic already.
//!
//! - `letters`: the dead letters, those of one event together, with the notes on `softstake.redrives`.
//! - `copies`: the records of an event that came after its dead letter.
//!
//! An event that was rejected twice has two dead letters, and is still one event. So all of them share the identity under which it is published
//! again: a second one is dropped as a copy, or shows as a conflicting duplicate.

mod copies;
mod letters;

pub use copies::{CopySearch, FoundCopy, find_copies};
pub use letters::{DeadLetters, KnownLetter, LetterId, LetterState, RejectedEvent, outcome_of};
