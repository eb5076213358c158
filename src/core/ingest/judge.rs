//! The rules about an event of a source topic, and about one leg of a listed asset, that need no state. What
//! depends on cuts (too old, late) is in `apply.rs`.

use std::borrow::Cow;

use crate::core::contract::envelope::Envelope;
use crate::core::contract::event::{EventType, SourceEvent};
use crate::core::contract::fields;
use crate::core::contract::fields::JsonObject;
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::ingest::legs::{Leg, LegSort};
use crate::core::values::calendar::{Calendar, MAX_DAYS_AHEAD};
use crate::core::values::ids::Epoch;
use crate::core::values::time::TimeMs;

/// What the rules need to know of a listed asset.
#[derive(Debug, Clone, Copy)]
pub struct AssetFacts {
    pub decimals: u8,
    pub reward_decimals: u8,
    pub calendar: Calendar,
    pub oldest_open: Epoch,
    /// So many epochs a posting may lie ahead of the oldest open one: [`MAX_DAYS_AHEAD`].
    pub epochs_ahead: u64,
}

/// A leg, in the epoch that its time lies in.
#[derive(Debug, Clone, Copy)]
pub struct LocatedLeg {
    /// Signed units; of the reward asset for a reward.
    pub delta: i128,
    /// The time at which it counts.
    pub time: TimeMs,
    pub epoch: Epoch,
}

/// Reads the event in an envelope from a source topic, by the version of the rules in force there. `docs/contract-notes.md`
/// gives the order of the checks. An event without fault was mostly read with its envelope.
///
/// # Errors
/// `unsupported_type`, `wrong_topic`, `invalid_time`, `invalid_event`, `invalid_amount`.
pub fn read_event<'e, 'a>(
    envelope: &'e Envelope<'a>,
    rules: u64,
) -> Result<(TimeMs, Cow<'e, SourceEvent<'a>>), Rejection> {
    if let Some((time, event)) = early_event(envelope, rules) {
        return Ok((time, Cow::Borrowed(event)));
    }
    let data = JsonObject::of_text(envelope.data);
    let event_type = EventType::in_force(&envelope.event_type, rules)?;
    if event_type.is_control() {
        // Always fails: `wrong_topic` comes before `invalid_time`.
        SourceEvent::read(event_type, data)?;
    }
    let time = fields::time(envelope.time, "time")?;
    Ok((time, Cow::Owned(SourceEvent::read(event_type, data)?)))
}

/// The event, if it was read with its envelope and its type is in force.
#[inline]
#[must_use]
pub fn early_event<'e, 'a>(envelope: &'e Envelope<'a>, rules: u64) -> Option<(TimeMs, &'e SourceEvent<'a>)> {
    let read = envelope.source_event.as_ref()?;
    read.event_type.is_in_force(rules).then_some((read.time, &read.event))
}

/// Finds the epoch of a leg of an event from `time`. `None` if that is before the asset's anchor.
///
/// # Errors
/// `invalid_amount`, `too_far_ahead`.
pub fn locate(leg: &Leg<'_>, time: TimeMs, facts: &AssetFacts) -> Result<Option<LocatedLeg>, Rejection> {
    let delta = leg.delta(match leg.sort {
        LegSort::Reward => facts.reward_decimals,
        LegSort::Balance | LegSort::Opening => facts.decimals,
    })?;
    let time = match leg.sort {
        LegSort::Opening => facts.calendar.anchor(),
        LegSort::Balance | LegSort::Reward => time,
    };
    let Some(epoch) = facts.calendar.epoch_of(time) else {
        return Ok(None);
    };
    if epoch > facts.oldest_open.saturating_add(facts.epochs_ahead) {
        return Err(Code::TooFarAhead.because(format!(
            "`time` lies in epoch {epoch} of {}, more than {MAX_DAYS_AHEAD} days ({} epochs) ahead of epoch {}, the oldest open; \
             send it again with the right time",
            leg.asset, facts.epochs_ahead, facts.oldest_open
        )));
    }
    Ok(Some(LocatedLeg { delta, time, epoch }))
}
