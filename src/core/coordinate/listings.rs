//! The rules about control events: whether one is accepted, given the listed assets. They are pure, and `softstake check` judges
//! with them as well.

use crate::core::contract::control::ControlEvent;
use crate::core::contract::envelope::Envelope;
use crate::core::contract::event::EventType;
use crate::core::contract::fields;
use crate::core::contract::listing::{AssetTerms, Listing};
use crate::core::contract::loss::RecordLoss;
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::contract::topic::TopicPartition;
use crate::core::values::amount::Amount;
use crate::core::values::asset::Asset;
use crate::core::values::calendar::MAX_DAYS_AHEAD;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;
use crate::core::values::time::{TimeMs, timestamp};

/// Assets have numbers of 16 bits.
const MAX_ASSETS: usize = 1 << 16;

/// What the rules depend on: the listed assets, and the source partitions.
pub trait ListedAssets {
    fn find(&self, asset: Asset) -> Option<ListingFacts<'_>>;
    fn count(&self) -> usize;
    /// Whether the deployment reads this source partition.
    fn has_source(&self, source: TopicPartition) -> bool;
}

/// What the rules need to know of a listed asset.
#[derive(Debug, Clone, Copy)]
pub struct ListingFacts<'a> {
    pub terms: &'a AssetTerms,
    pub oldest_open: Epoch,
    /// The first epoch of its newest programme.
    pub newest_from: Epoch,
}

/// The answer of a source partition to a proposed listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListingAnswer {
    pub source: TopicPartition,
    /// Its position. An accepted listing is in force from this offset on.
    pub from: Offset,
    /// The newest time of a posting that was ignored because the asset was not listed, in milliseconds since 1970.
    pub newest_unlisted_ms: Option<i64>,
    /// Whether an opening balance was ignored for that reason.
    pub opening_unlisted: bool,
}

/// Checks that no source partition has ignored postings that a listing would cover.
///
/// # Errors
/// `listing_too_late`.
pub fn check_in_time(terms: &AssetTerms, answers: &[ListingAnswer]) -> Result<(), Rejection> {
    let anchor = terms.calendar.anchor().get();
    let late = answers
        .iter()
        .find(|answer| answer.opening_unlisted || answer.newest_unlisted_ms.is_some_and(|newest| newest >= anchor));
    let Some(answer) = late else { return Ok(()) };
    let newest = answer.newest_unlisted_ms.map_or_else(
        || "opening balances".into(),
        |newest| format!("postings up to {}", timestamp(i128::from(newest))),
    );
    Err(Code::ListingTooLate.because(format!(
        "{newest} of {} were passed over on {}, as it was not listed; list it again with a later `anchor`, and send opening balances \
         for that anchor after the listing",
        terms.asset, answer.source
    )))
}

/// A control event that is accepted.
#[derive(Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The first listing of an asset. The source partitions must still agree.
    FirstListing(Listing),
    ProgrammeChange(Listing),
    Reward {
        asset: Asset,
        /// The epoch whose pool the reward goes into.
        epoch: Epoch,
        units: u128,
    },
    Close {
        asset: Asset,
        epoch: Epoch,
        /// The pool that the close gives, in units.
        pool: u128,
    },
    /// The loss of records. Their source partition must still tell what is gone.
    Loss(Box<RecordLoss>),
}

/// Judges the event in an envelope from the control topic. `docs/contract-notes.md` gives the order of the checks.
///
/// # Errors
/// The codes of control events, but for `conflicting_duplicate` and `listing_too_late`.
pub fn judge(envelope: &Envelope<'_>, assets: &impl ListedAssets) -> Result<Accepted, Rejection> {
    let event_type = EventType::of(&envelope.event_type)?;
    if !event_type.is_control() {
        // Always fails: `wrong_topic` comes before `invalid_time`.
        ControlEvent::read(event_type, envelope.data)?;
    }
    let time = fields::time(envelope.time, "time")?;
    match ControlEvent::read(event_type, envelope.data)? {
        ControlEvent::Listing(listing) => judge_listing(*listing, assets),
        ControlEvent::ValidatorReward { asset, amount, .. } => judge_reward(asset, &amount, time, assets),
        ControlEvent::EpochClose {
            asset,
            epoch,
            reward_pool,
        } => judge_close(asset, epoch, reward_pool.as_ref(), time, assets),
        ControlEvent::LossAccepted(loss) if assets.has_source(loss.source()) => Ok(Accepted::Loss(loss)),
        ControlEvent::LossAccepted(loss) => Err(Code::InvalidEvent.because(format!(
            "`partition` is {} of {}, which this deployment does not read",
            loss.partition, loss.topic
        ))),
    }
}

fn find(asset: Asset, assets: &impl ListedAssets) -> Result<ListingFacts<'_>, Rejection> {
    assets
        .find(asset)
        .ok_or_else(|| Code::UnknownAsset.because(format!("`asset` is {asset}, which is not listed; list it first")))
}

fn units(amount: &Amount, name: &str, listed: &ListingFacts<'_>) -> Result<u128, Rejection> {
    amount
        .units(listed.terms.decimals)
        .map_err(|error| fields::bad_amount(name, &error))
}

fn judge_listing(listing: Listing, assets: &impl ListedAssets) -> Result<Accepted, Rejection> {
    let (asset, from) = (listing.terms.asset, listing.programme.from_epoch);
    let invalid = |reason: String| Err(Code::InvalidProgramme.because(reason));
    let Some(listed) = assets.find(asset) else {
        if from != Epoch::FIRST {
            return invalid(format!(
                "`from_epoch` of the first listing of {asset} must be 0, it is {from}"
            ));
        }
        if assets.count() >= MAX_ASSETS {
            return invalid(format!("no more than {MAX_ASSETS} assets can be listed"));
        }
        return Ok(Accepted::FirstListing(listing));
    };
    if *listed.terms != listing.terms {
        return invalid(format!(
            "{asset} is listed already; `decimals`, `anchor` and `epoch_seconds` never change"
        ));
    }
    let (open, newest) = (listed.oldest_open, listed.newest_from);
    if from <= open || from <= newest {
        return invalid(format!(
            "`from_epoch` is {from}; it must be later than epoch {open}, the oldest open, and than epoch {newest}, from which the newest \
             programme of {asset} is in force"
        ));
    }
    Ok(Accepted::ProgrammeChange(listing))
}

fn judge_reward(
    asset: Asset,
    amount: &Amount,
    time: TimeMs,
    assets: &impl ListedAssets,
) -> Result<Accepted, Rejection> {
    let listed = find(asset, assets)?;
    let units = units(amount, "amount", &listed)?;
    let (oldest, calendar) = (listed.oldest_open, &listed.terms.calendar);
    let epoch = calendar.epoch_of(time).unwrap_or(oldest).max(oldest);
    if epoch > oldest.saturating_add(calendar.epochs_of_days(MAX_DAYS_AHEAD)) {
        return Err(Code::TooFarAhead.because(format!(
            "`time` lies in epoch {epoch} of {asset}, more than {MAX_DAYS_AHEAD} days ahead of epoch {oldest}, the oldest open; send it \
             again with the right time"
        )));
    }
    Ok(Accepted::Reward { asset, epoch, units })
}

fn judge_close(
    asset: Asset,
    epoch: Epoch,
    pool: Option<&Amount>,
    time: TimeMs,
    assets: &impl ListedAssets,
) -> Result<Accepted, Rejection> {
    let listed = find(asset, assets)?;
    let pool = match pool {
        Some(pool) => units(pool, "reward_pool", &listed)?,
        None => 0,
    };
    let open = listed.oldest_open;
    if epoch < open {
        return Err(Code::EpochAlreadyClosed.because(format!(
            "`epoch` {epoch} of {asset} is closed already; the oldest open is {open}"
        )));
    }
    if epoch > open {
        return Err(Code::EpochOutOfOrder.because(format!(
            "`epoch` is {epoch}, but epoch {open} of {asset} has to be closed first"
        )));
    }
    let end = listed.terms.calendar.end_ms(epoch);
    if i128::from(time.get()) < end {
        return Err(Code::EpochNotOver.because(format!(
            "`time` is before the end of epoch {epoch} of {asset}, which is {}",
            timestamp(end)
        )));
    }
    Ok(Accepted::Close { asset, epoch, pool })
}
