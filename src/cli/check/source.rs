//! What an ingest task would say to a source record, as far as it does not depend on a run.

use std::collections::BTreeMap;

use crate::core::amount::AmountError;
use crate::core::event::{Envelope, Event, Fee, Type};
use crate::core::json::{self, Amount};
use crate::core::name::Asset;
use crate::core::refusal::{Code, Refusal};
use crate::core::time::TimeMs;

use super::control::Listings;

/// The most epochs a posting may lie ahead of the oldest open one (contract, section 4).
const MAX_EPOCHS_AHEAD: u64 = 400;

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
    let opening = matches!(event, Event::OpeningBalance { .. });
    let mut verdict = Verdict::Ignored;
    let mut passed = Vec::new();
    for (asset, amount, field) in postings(&event) {
        let Some(listed) = listings.0.get(&asset) else {
            passed.push(asset);
            continue;
        };
        amount
            .fits(listed.terms.decimals)
            .map_err(|error| json::bad_amount(field, &error))?;
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

/// The amount of a posting.
enum Size<'e> {
    Given(&'e Amount<'e>),
    Product(&'e Amount<'e>, &'e Amount<'e>),
}

impl Size<'_> {
    fn fits(&self, decimals: u8) -> Result<(), AmountError> {
        match self {
            Self::Given(amount) => amount.units(decimals).map(|_| ()),
            Self::Product(price, quantity) => price.product_units(quantity, decimals).map(|_| ()),
        }
    }
}

/// Asset, amount and field of each posting, in the contract's order.
fn postings<'e>(event: &'e Event<'_>) -> Vec<(Asset, Size<'e>, &'static str)> {
    let fee = |fee: &'e Option<Fee<'_>>, field| fee.as_ref().map(|fee| (fee.asset, Size::Given(&fee.amount), field));
    match event {
        Event::Deposit { asset, amount, .. } | Event::OpeningBalance { asset, amount, .. } => {
            vec![(*asset, Size::Given(amount), "amount")]
        }
        Event::Withdrawal {
            asset,
            amount,
            fee: taken,
            ..
        } => {
            let mut postings = vec![(*asset, Size::Given(amount), "amount")];
            postings.extend(fee(taken, "fee.amount"));
            postings
        }
        Event::Trade(trade) => {
            let quote = || match &trade.quote_quantity {
                Some(amount) => (trade.quote, Size::Given(amount), "quote_quantity"),
                None => (
                    trade.quote,
                    Size::Product(&trade.price, &trade.quantity),
                    "price * quantity",
                ),
            };
            let base = || (trade.base, Size::Given(&trade.quantity), "quantity");
            let mut postings = vec![base(), quote(), base(), quote()];
            postings.extend(fee(&trade.buyer.fee, "buyer.fee.amount"));
            postings.extend(fee(&trade.seller.fee, "seller.fee.amount"));
            postings
        }
        Event::Transfer { asset, amount, .. } => {
            vec![
                (*asset, Size::Given(amount), "amount"),
                (*asset, Size::Given(amount), "amount"),
            ]
        }
        Event::Adjustment { asset, amount, .. } => vec![(*asset, Size::Given(amount), "delta")],
        Event::Status { .. } => Vec::new(),
    }
}
