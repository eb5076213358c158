//! Reads an event of a source topic, as far as no asset needs to be known.

use crate::core::contract::event::{Envelope, Event, Type};
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::contract::{fields, fingerprint};
use crate::core::values::time::TimeMs;

/// A record, read as far as nothing else needs to be known.
#[derive(Debug)]
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
        match Envelope::read(value) {
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

/// Compares the fingerprint of an event with that of the applied event with the same identity.
///
/// # Errors
/// `conflicting_duplicate`, if the event is not an identical copy.
pub fn check_copy(applied: u128, copy: u128) -> Result<(), Rejection> {
    if applied == copy {
        return Ok(());
    }
    Err(Code::ConflictingDuplicate.because(
        "an event with this `id` and `source` was applied already, with another type, time or data; \
         a correction needs an `id` of its own",
    ))
}

/// Reads the event in an envelope from a source topic. `docs/contract-notes.md` gives the order of the checks.
///
/// # Errors
/// `unsupported_type`, `wrong_topic`, `invalid_time`, `invalid_event`, `invalid_amount`.
pub fn read_event<'a>(envelope: &Envelope<'a>) -> Result<(TimeMs, Event<'a>), Rejection> {
    let kind = Type::of(&envelope.kind)?;
    if kind.is_control() {
        // Always `wrong_topic`: it comes before `invalid_time`.
        return Event::read(kind, envelope.data).map(|event| (TimeMs::from(0), event));
    }
    let time = fields::time(envelope.time, "time")?;
    Ok((time, Event::read(kind, envelope.data)?))
}
