//! What an ingest task would say to a source record, as far as it does not depend on a run.

use std::collections::BTreeMap;

use crate::core::event::{Envelope, Event, Type};
use crate::core::ingest::MAX_EPOCHS_AHEAD;
use crate::core::json;
use crate::core::name::Asset;
use crate::core::posting::legs;
use crate::core::refusal::{Code, Refusal};
use crate::core::time::TimeMs;

use super::control::Listings;

/// What becomes of a record that is not refused.
pub(super) enum Verdict {
    /// Something of it would be applied, so a second copy would be recognised.
    Applied,
    /// All its postings would be ignored.
    Ignored,
}

/// Judges a source event; postings of assets that are not listed are added to `unlisted`.
pub(super) fn judge(
    envelope: &Envelope<'_>,
    listings: &Listings,
    unlisted: &mut BTreeMap<Asset, u64>,
) -> Result<Verdict, Refusal> {
    let kind = Type::of(&envelope.kind)?;
    if kind.is_control() {
        return Event::read(kind, envelope.data).map(|_| Verdict::Ignored);
    }
    let time = json::time(envelope.time, "time")?;
    let event = Event::read(kind, envelope.data)?;
    if matches!(event, Event::Status { .. }) {
        return Ok(Verdict::Applied);
    }
    let opening = matches!(event, Event::OpeningBalance(_));
    let mut verdict = Verdict::Ignored;
    let mut passed = Vec::new();
    for leg in legs(&event) {
        let asset = leg.asset;
        let Some(listed) = listings.0.get(&asset) else {
            passed.push(asset);
            continue;
        };
        leg.delta(listed.terms.decimals)?;
        let calendar = &listed.terms.calendar;
        let time: TimeMs = if opening { calendar.anchor() } else { time };
        let Some(epoch) = calendar.epoch_of(time) else { continue };
        // Even with every close taken that is there.
        if epoch > listed.oldest_open.saturating_add(MAX_EPOCHS_AHEAD) {
            return Err(Code::TooFarAhead.because(format!(
                "`time` lies in epoch {epoch} of {asset}, more than {MAX_EPOCHS_AHEAD} epochs ahead of epoch {}, the oldest open",
                listed.oldest_open
            )));
        }
        verdict = Verdict::Applied;
    }
    for asset in passed {
        *unlisted.entry(asset).or_default() += 1;
    }
    Ok(verdict)
}
