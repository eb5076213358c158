//! A record of an input topic, read as far as it can be without the state of a task.

use bumpalo::Bump;

use crate::core::contract::envelope::Envelope;
use crate::core::contract::fingerprint;
use crate::core::contract::rejection::Rejection;

/// A record of an input topic. Its envelope is judged; its fields are judged later, because copies are recognised without them.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every record is an event, and they are read in a row"
)]
pub enum Decoded<'a> {
    /// A blank line.
    Blank,
    /// No envelope can be read.
    Rejected(Rejection),
    /// An envelope, and the identity of its event (see [`identity`](fingerprint::identity)).
    Event(Envelope<'a>, [u8; 16]),
}

impl<'a> Decoded<'a> {
    /// Reads a record, with its fields later.
    #[must_use]
    pub fn read(value: &'a [u8]) -> Self {
        Self::of(value, Envelope::read)
    }

    /// Reads a record of a source topic, with its fields if it has the common shape. `memory` is for texts that it does not have as they are needed.
    #[must_use]
    pub fn read_with_event(value: &'a [u8], memory: &'a Bump) -> Self {
        Self::of(value, |value| Envelope::read_with_event(value, memory))
    }

    #[inline]
    fn of(value: &'a [u8], read: impl FnOnce(&'a [u8]) -> Result<Envelope<'a>, Rejection>) -> Self {
        if value.is_empty() {
            return Self::Blank;
        }
        match read(value) {
            Ok(envelope) => {
                let identity = fingerprint::identity(&envelope.id, &envelope.source);
                Self::Event(envelope, identity)
            }
            Err(rejection) => Self::Rejected(rejection),
        }
    }

    /// The identity to look up in the dedup index before the record is applied.
    #[must_use]
    pub const fn identity(&self) -> Option<&[u8; 16]> {
        match self {
            Self::Event(_, identity) => Some(identity),
            Self::Blank | Self::Rejected(_) => None,
        }
    }
}
