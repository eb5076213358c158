//! The rules about control events: whether one is accepted, given the listed assets. They are pure, and `softstake check` judges
//! with them as well.

use ethnum::I256;
use serde::{Deserialize, Serialize};

use crate::core::contract::control::{CloseRates, ControlEvent};
use crate::core::contract::envelope::Envelope;
use crate::core::contract::event::EventType;
use crate::core::contract::fields;
use crate::core::contract::listing::{AssetTerms, Listing};
use crate::core::contract::loss::RecordLoss;
use crate::core::contract::programme::{Mode, Programme, in_force};
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::contract::topic::TopicPartition;
use crate::core::coordinate::gate_state::GateState;
use crate::core::protocol::messages::UnlistedTimes;
use crate::core::values::amount::Amount;
use crate::core::values::asset::Asset;
use crate::core::values::calendar::MAX_DAYS_AHEAD;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;
use crate::core::values::time::{TimeMs, timestamp};

/// Listings have numbers of 16 bits.
const MAX_LISTINGS: usize = 1 << 16;

/// What the rules depend on: the listed assets, the source partitions, and the version of the rules in force.
pub trait ListedAssets {
    /// The listings of an asset, in their order. Each but the last one was withdrawn.
    fn listings(&self, asset: Asset) -> Vec<ListingFacts<'_>>;
    /// The number of all listings.
    fn count(&self) -> usize;
    /// Whether the deployment reads this source partition.
    fn has_source(&self, source: TopicPartition) -> bool;
    /// The version of the rules in force.
    fn rules(&self) -> u64;
}

/// What the rules need to know of a listing.
#[derive(Debug, Clone, Copy)]
pub struct ListingFacts<'a> {
    pub number: u16,
    pub terms: &'a AssetTerms,
    pub misdated_from: Option<TimeMs>,
    /// Ascending by their first epoch.
    pub programmes: &'a [Programme],
    pub oldest_open: Epoch,
    /// If it was withdrawn: the first epoch that there is not.
    pub withdrawn: Option<Epoch>,
    /// The epoch that the gate holds, or that is void.
    pub stopped: Option<(Epoch, GateState)>,
}

impl ListingFacts<'_> {
    fn has_epoch(&self, epoch: Epoch) -> bool {
        self.withdrawn.is_none_or(|end| epoch < end)
    }

    /// Whether it was withdrawn from its first epoch on.
    fn has_no_epoch(&self) -> bool {
        !self.has_epoch(self.terms.calendar.first())
    }

    fn is_void(&self, epoch: Epoch) -> bool {
        self.stopped == Some((epoch, GateState::Void))
    }

    fn is_held(&self, epoch: Epoch) -> bool {
        self.stopped == Some((epoch, GateState::Held))
    }
}

/// The answer of a source partition to a proposed listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListingAnswer {
    pub source: TopicPartition,
    /// Its position. An accepted listing is in force from this offset on.
    pub from: Offset,
    /// What it has read of the asset that the listing covers.
    pub unlisted: UnlistedTimes,
}

/// Checks that no source partition has read postings that a listing would cover. Returns the newest time of a posting that does not count for this.
///
/// # Errors
/// `listing_too_late`.
pub fn check_in_time(terms: &AssetTerms, answers: &[ListingAnswer]) -> Result<Option<i64>, Rejection> {
    let is_late = |answer: &&ListingAnswer| answer.unlisted.newest_counted_ms.is_some() || answer.unlisted.has_opening;
    let Some(answer) = answers.iter().find(is_late) else {
        return Ok(answers
            .iter()
            .filter_map(|answer| answer.unlisted.newest_not_counted_ms)
            .max());
    };
    let newest = answer.unlisted.newest_counted_ms.map_or_else(
        || "opening balances".into(),
        |newest| format!("postings up to {}", timestamp(i128::from(newest))),
    );
    Err(Code::ListingTooLate.because(format!(
        "{newest} of {} were passed over on {}, as it was not listed; list it again with a later `anchor`, and send opening balances \
         for that anchor after the listing; if only the times of these records are wrong, list it with `misdated_from`",
        terms.asset, answer.source
    )))
}

/// What a close orders, in units of the reward asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseOrder {
    /// The pool that the close gives.
    pub reward_pool: u128,
    pub rates: CloseRates,
    /// Whether it is the last epoch of a withdrawn asset.
    pub is_last: bool,
    /// The version of the contract's rules that the epoch is settled by.
    pub rules: u64,
}

/// A control event that is accepted. `number` is that of a listing.
#[derive(Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The first listing of an asset, or one after a withdrawal. The source partitions must still agree.
    FirstListing(Listing),
    ProgrammeChange {
        number: u16,
        listing: Listing,
    },
    /// The end of a listing. The source partitions must still tell from where.
    Withdrawal {
        number: u16,
        /// The first epoch that there is not.
        epoch: Epoch,
    },
    /// A validator's reward, or an adjustment of a pool.
    PoolChange {
        number: u16,
        /// The epoch whose pool it is.
        epoch: Epoch,
        /// In units of the reward asset; negative if it takes.
        units: I256,
        is_adjustment: bool,
    },
    Close {
        number: u16,
        epoch: Epoch,
        order: CloseOrder,
        /// Whether the epoch was void. Then it has a cut.
        again: bool,
    },
    /// What becomes of a held epoch.
    GateVerdict {
        number: u16,
        epoch: Epoch,
        /// Whether it is paid. Otherwise it is void.
        is_release: bool,
        by: String,
        reason: String,
    },
    /// The loss of records. Their source partition must still tell what is gone.
    Loss(Box<RecordLoss>),
    /// A later version of the rules. The source partitions must still tell from where.
    Rules {
        version: u64,
    },
}

/// Judges the event in an envelope from the control topic. `docs/contract-notes.md` gives the order of the checks. `known_rules` is the newest version of the
/// rules that the program knew which read the record.
///
/// # Errors
/// The codes of control events, but for `conflicting_duplicate` and `listing_too_late`.
pub fn judge(envelope: &Envelope<'_>, known_rules: u64, assets: &impl ListedAssets) -> Result<Accepted, Rejection> {
    let event_type = EventType::in_force(&envelope.event_type, assets.rules())?;
    if !event_type.is_control() {
        // Always fails: `wrong_topic` comes before `invalid_time`.
        ControlEvent::read(event_type, envelope.data)?;
    }
    let time = fields::time(envelope.time, "time")?;
    match ControlEvent::read(event_type, envelope.data)? {
        ControlEvent::Listing(listing) => judge_listing(*listing, assets),
        ControlEvent::Withdrawal { asset, epoch } => judge_withdrawal(asset, epoch, assets),
        ControlEvent::ValidatorReward { asset, amount, .. } => judge_pool(asset, &amount, false, time, false, assets),
        ControlEvent::PoolAdjustment {
            asset,
            negative,
            amount,
        } => judge_pool(asset, &amount, negative, time, true, assets),
        ControlEvent::EpochClose {
            asset,
            epoch,
            reward_pool,
            rates,
        } => judge_close(asset, epoch, reward_pool.as_ref(), rates, time, assets),
        ControlEvent::GateVerdict {
            asset,
            epoch,
            is_release,
            by,
            reason,
        } => {
            let number = judge_verdict(asset, epoch, assets)?;
            Ok(Accepted::GateVerdict {
                number,
                epoch,
                is_release,
                by: by.into_owned(),
                reason: reason.into_owned(),
            })
        }
        ControlEvent::LossAccepted(loss) if assets.has_source(loss.source()) => Ok(Accepted::Loss(loss)),
        ControlEvent::LossAccepted(loss) => Err(Code::InvalidEvent.because(format!(
            "`partition` is {} of {}, which this deployment does not read",
            loss.partition, loss.topic
        ))),
        ControlEvent::Rules { version } => judge_rules(version, known_rules, assets.rules()),
    }
}

fn judge_rules(version: u64, known: u64, in_force: u64) -> Result<Accepted, Rejection> {
    if version > in_force && version <= known {
        return Ok(Accepted::Rules { version });
    }
    // The newest known version is not named: a replay by a newer program gives the same text.
    Err(Code::InvalidEvent.because(format!(
        "`version` is {version}, but version {in_force} is in force; it must be higher, and one that the program knows: upgrade every instance first"
    )))
}

fn unknown(asset: Asset) -> Rejection {
    Code::UnknownAsset.because(format!("`asset` is {asset}, which is not listed; list it first"))
}

fn no_such_epoch(asset: Asset, epoch: Epoch, end: Epoch) -> Rejection {
    Code::UnknownAsset.because(format!(
        "`asset` is {asset}, which is withdrawn from epoch {end} on, so it has no epoch {epoch}"
    ))
}

/// The listings of an asset, and the newest one.
fn find<'a>(
    asset: Asset,
    assets: &'a impl ListedAssets,
) -> Result<(Vec<ListingFacts<'a>>, ListingFacts<'a>), Rejection> {
    let listings = assets.listings(asset);
    let newest = listings.last().copied().ok_or_else(|| unknown(asset))?;
    Ok((listings, newest))
}

fn units(amount: &Amount, name: &str, listed: &ListingFacts<'_>) -> Result<u128, Rejection> {
    amount
        .units(listed.terms.reward_decimals())
        .map_err(|error| fields::bad_amount(name, &error))
}

fn judge_listing(listing: Listing, assets: &impl ListedAssets) -> Result<Accepted, Rejection> {
    let (asset, from) = (listing.terms.asset, listing.programme.from_epoch);
    let invalid = |reason: String| Err(Code::InvalidProgramme.because(reason));
    let listings = assets.listings(asset);
    let Some(newest) = listings.last() else {
        return first_listing(listing, assets);
    };
    let is_repeated = listing.terms == *newest.terms
        && (listing.misdated_from.is_none() || listing.misdated_from == newest.misdated_from);
    if is_repeated && from > newest.oldest_open && newest.has_epoch(from) {
        let number = newest.number;
        return Ok(Accepted::ProgrammeChange { number, listing });
    }
    if newest.withdrawn.is_some() {
        check_relisting(&listings, &listing)?;
        return first_listing(listing, assets);
    }
    if !is_repeated {
        return invalid(format!(
            "the terms of {asset} differ from its listing; a change repeats `decimals`, `anchor`, `epoch_seconds`, `first_epoch`, the reward \
             asset and `misdated_from`, and only `programme` may differ; a listing with a mistake is mended with \
             `softstake.asset_withdrawn.v1` and a new listing"
        ));
    }
    let open = newest.oldest_open;
    invalid(format!(
        "`from_epoch` is {from}; it must be later than epoch {open} of {asset}, the oldest open"
    ))
}

/// A listing of an asset that has no epoch now.
fn first_listing(listing: Listing, assets: &impl ListedAssets) -> Result<Accepted, Rejection> {
    let (first, from) = (listing.terms.calendar.first(), listing.programme.from_epoch);
    if from != first {
        return Err(Code::InvalidProgramme.because(format!(
            "`from_epoch` of the first programme of {} must be {first}, its `first_epoch`; it is {from}",
            listing.terms.asset
        )));
    }
    if assets.count() >= MAX_LISTINGS {
        return Err(Code::InvalidProgramme.because(format!("no more than {MAX_LISTINGS} listings are possible")));
    }
    Ok(Accepted::FirstListing(listing))
}

/// Checks a listing of an asset whose newest listing was withdrawn.
fn check_relisting(listings: &[ListingFacts<'_>], listing: &Listing) -> Result<(), Rejection> {
    let (asset, calendar) = (listing.terms.asset, &listing.terms.calendar);
    let invalid = |reason: String| Err(Code::InvalidProgramme.because(reason));
    for earlier in listings {
        let Some(end) = earlier.withdrawn else { continue };
        if earlier.oldest_open < end {
            return invalid(format!(
                "{asset} was withdrawn from epoch {end} on, but its epoch {} is not closed; close its epochs first",
                earlier.oldest_open
            ));
        }
        if calendar.first() < end {
            return invalid(format!(
                "`first_epoch` is {}; {asset} was withdrawn from epoch {end} on, so it must be {end} or later",
                calendar.first()
            ));
        }
        let starts = earlier.terms.calendar.start_ms(end);
        if !earlier.has_no_epoch() && i128::from(calendar.anchor().get()) < starts {
            return invalid(format!(
                "`anchor` is before {}, the start of epoch {end}, from which {asset} was withdrawn",
                timestamp(starts)
            ));
        }
    }
    Ok(())
}

fn judge_withdrawal(asset: Asset, epoch: Epoch, assets: &impl ListedAssets) -> Result<Accepted, Rejection> {
    let (_, newest) = find(asset, assets)?;
    if let Some(end) = newest.withdrawn {
        return Err(Code::UnknownAsset.because(format!(
            "`asset` is {asset}, which is withdrawn already, from epoch {end} on"
        )));
    }
    if epoch < newest.oldest_open {
        return Err(Code::EpochAlreadyClosed.because(format!(
            "`epoch` {epoch} of {asset} is closed already; the first epoch that can be withdrawn is {}",
            newest.oldest_open
        )));
    }
    let number = newest.number;
    Ok(Accepted::Withdrawal { number, epoch })
}

/// A validator's reward, or an adjustment of a pool.
fn judge_pool(
    asset: Asset,
    amount: &Amount,
    negative: bool,
    time: TimeMs,
    is_adjustment: bool,
    assets: &impl ListedAssets,
) -> Result<Accepted, Rejection> {
    let (listings, newest) = find(asset, assets)?;
    // What is dated in a void epoch goes into it.
    let void = listings.iter().find_map(|listed| {
        let epoch = listed.terms.calendar.epoch_of(time)?;
        listed.is_void(epoch).then_some((*listed, epoch))
    });
    let (listed, epoch) = void.unwrap_or_else(|| {
        let oldest = newest.oldest_open;
        let epoch = newest.terms.calendar.epoch_of(time).unwrap_or(oldest);
        (newest, epoch.max(oldest))
    });
    if let Some(end) = listed.withdrawn.filter(|end| epoch >= *end) {
        return Err(no_such_epoch(asset, epoch, end));
    }
    let units = units(amount, "amount", &listed)?;
    let (oldest, calendar) = (listed.oldest_open, &listed.terms.calendar);
    if epoch > oldest.saturating_add(calendar.epochs_of_days(MAX_DAYS_AHEAD)) {
        return Err(Code::TooFarAhead.because(format!(
            "`time` lies in epoch {epoch} of {asset}, more than {MAX_DAYS_AHEAD} days ahead of epoch {oldest}, the oldest open; send it \
             again with the right time"
        )));
    }
    // At most 10^30.
    let units = I256::from(units);
    Ok(Accepted::PoolChange {
        number: listed.number,
        epoch,
        units: if negative { -units } else { units },
        is_adjustment,
    })
}

/// The listing that an epoch is of: the newest whose first epoch is not above it. An epoch before all is of the first.
fn listing_of<'a>(asset: Asset, epoch: Epoch, assets: &'a impl ListedAssets) -> Result<ListingFacts<'a>, Rejection> {
    let (listings, newest) = find(asset, assets)?;
    let of_epoch = listings
        .iter()
        .rev()
        .find(|listed| listed.terms.calendar.first() <= epoch);
    let listed = of_epoch.or(listings.first()).copied().unwrap_or(newest);
    match listed.withdrawn {
        Some(end) if epoch >= end && epoch >= listed.terms.calendar.first() => Err(no_such_epoch(asset, epoch, end)),
        _ => Ok(listed),
    }
}

fn judge_close(
    asset: Asset,
    epoch: Epoch,
    pool: Option<&Amount>,
    rates: CloseRates,
    time: TimeMs,
    assets: &impl ListedAssets,
) -> Result<Accepted, Rejection> {
    let listed = listing_of(asset, epoch, assets)?;
    let reward_pool = match pool {
        Some(pool) => units(pool, "reward_pool", &listed)?,
        None => 0,
    };
    let open = listed.oldest_open;
    let again = listed.is_void(epoch);
    if epoch < open && !again {
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
    let mode = in_force(listed.programmes, epoch).map_or(Mode::Pool, |programme| programme.mode);
    check_rates(mode, listed.terms, &rates)?;
    Ok(Accepted::Close {
        number: listed.number,
        epoch,
        order: CloseOrder {
            reward_pool,
            rates,
            is_last: listed.withdrawn == Some(epoch.saturating_add(1)),
            rules: assets.rules(),
        },
        again,
    })
}

/// Checks that a close has the rates that its epoch needs, and no other.
///
/// # Errors
/// `invalid_event`.
pub fn check_rates(mode: Mode, terms: &AssetTerms, rates: &CloseRates) -> Result<(), Rejection> {
    let invalid = |reason: &str| Err(Code::InvalidEvent.because(reason));
    match mode {
        Mode::Pool if rates.apr.is_some() => {
            return invalid("`apr` has no use: the epoch's programme has mode \"pool\"");
        }
        Mode::AprPerTier if rates.apr.is_some() => {
            return invalid("`apr` has no use: the epoch's programme has a rate in every tier");
        }
        _ => {}
    }
    let needs_rate = terms.reward.is_some() && mode != Mode::Pool;
    match rates.reward_rate {
        None if needs_rate => invalid(
            "`reward_rate` is missing: rewards are paid in another asset, so the close tells how much of it one unit of the asset is worth",
        ),
        Some(_) if !needs_rate => {
            invalid("`reward_rate` has no use: it belongs to mode \"apr\" with rewards in another asset")
        }
        _ => Ok(()),
    }
}

/// The number of the listing whose epoch the gate holds.
fn judge_verdict(asset: Asset, epoch: Epoch, assets: &impl ListedAssets) -> Result<u16, Rejection> {
    let (listings, _) = find(asset, assets)?;
    let held = listings.iter().find(|listed| listed.is_held(epoch));
    held.map(|listed| listed.number).ok_or_else(|| {
        let held: Vec<String> = listings
            .iter()
            .filter_map(|listed| listed.stopped.filter(|(_, state)| *state == GateState::Held))
            .map(|(epoch, _)| epoch.to_string())
            .collect();
        let others = if held.is_empty() {
            "no epoch of it is held".to_owned()
        } else {
            format!("held is epoch {}", held.join(", "))
        };
        Code::EpochNotHeld.because(format!("`epoch` {epoch} of {asset} is not held by the gate; {others}"))
    })
}
