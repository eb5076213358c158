//! A record of an input topic, read as far as it can be without the state of a task.

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
    #[must_use]
    pub fn read(value: &'a [u8]) -> Self {
        if value.is_empty() {
            return Self::Blank;
        }
        match Envelope::read_with_event(value) {
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
