//! What an ingest task would say to a source record, as far as it does not depend on a run.

use std::collections::BTreeMap;

use crate::cli::check::control::Listings;
use crate::core::contract::event::{Envelope, Event, Type};
use crate::core::contract::fields;
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::ingest::judge::MAX_EPOCHS_AHEAD;
use crate::core::ingest::posting::legs;
use crate::core::values::asset::Asset;
use crate::core::values::time::TimeMs;

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
) -> Result<Verdict, Rejection> {
    let kind = Type::of(&envelope.kind)?;
    if kind.is_control() {
        return Event::read(kind, envelope.data).map(|_| Verdict::Ignored);
    }
    let time = fields::time(envelope.time, "time")?;
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
