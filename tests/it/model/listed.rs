//! The listings of an asset, with their programmes, closes and pools (contract, sections 3.2 and 4).

use std::collections::BTreeMap;

use num_bigint::BigInt;

use super::bus::{Offsets, Place};
use super::calendar::Terms;
use super::programme::Programme;
use super::settle::{Book, Settlement};
use crate::model::parts::amount::Rational;

/// By name: the listings of the asset in their order. Each but the last one was withdrawn.
pub type Assets = BTreeMap<String, Vec<Listed>>;

#[derive(Debug)]
pub struct Listed {
    pub terms: Terms,
    pub misdated_from_ms: Option<i64>,
    /// Sorted by `from_epoch`.
    pub programmes: Vec<Programme>,
    pub in_force: Offsets,
    /// The accepted closes, from the first epoch on.
    pub closes: Vec<Close>,
    /// What validators' rewards and adjustments add to the pools.
    pub pools: BTreeMap<u64, BigInt>,
    pub withdrawn: Option<Withdrawn>,
    /// What the settled epochs left.
    pub book: Book,
}

#[derive(Debug)]
pub struct Withdrawn {
    /// The first epoch that there is not.
    pub epoch: u64,
    pub in_force: Offsets,
}

#[derive(Debug)]
pub struct Close {
    pub epoch: u64,
    pub cut: Offsets,
    pub order: CloseOrder,
    pub state: State,
}

/// What treasury says in a close.
#[derive(Debug, Clone)]
pub struct CloseOrder {
    pub reward_pool: BigInt,
    /// In place of the programme's rate.
    pub apr: Option<Rational>,
    pub reward_rate: Option<Rational>,
    /// Whether it is the last epoch of a withdrawn asset, so that every whole grain is paid.
    pub pays_all: bool,
}

#[derive(Debug)]
pub enum State {
    /// Accepted and not settled yet.
    Waiting,
    Held(Box<Settlement>),
    Void,
    Sealed,
}

impl Listed {
    pub fn programme(&self, epoch: u64) -> &Programme {
        self.programmes
            .iter()
            .rfind(|programme| programme.from_epoch <= epoch)
            .unwrap_or(&self.programmes[0])
    }

    /// Replaces every change that is scheduled for the same epoch or later.
    pub fn schedule(&mut self, programme: Programme) {
        self.programmes
            .retain(|scheduled| scheduled.from_epoch < programme.from_epoch);
        self.programmes.push(programme);
    }

    /// The oldest epoch whose close was not accepted.
    pub fn oldest_open(&self) -> u64 {
        self.terms.first_epoch + self.closes.len() as u64
    }

    /// The oldest epoch that no cut closed for a partition below this offset.
    pub fn oldest_open_at(&self, place: Place, offset: u64) -> u64 {
        let closed = self.closes.iter().filter(|close| close.cut.of(place) <= offset);
        self.terms.first_epoch + closed.count() as u64
    }

    /// Whether there is an epoch with this number, now or later.
    pub fn has_epoch(&self, epoch: u64) -> bool {
        self.withdrawn.as_ref().is_none_or(|withdrawn| epoch < withdrawn.epoch)
    }

    /// Whether the listing was withdrawn from its first epoch on.
    pub fn has_no_epoch(&self) -> bool {
        !self.has_epoch(self.terms.first_epoch)
    }

    pub fn close_of(&mut self, epoch: u64) -> Option<&mut Close> {
        self.closes.iter_mut().find(|close| close.epoch == epoch)
    }

    pub fn is_void(&self, epoch: u64) -> bool {
        let mut void = self.closes.iter().filter(|close| matches!(close.state, State::Void));
        void.any(|close| close.epoch == epoch)
    }
}

/// Whose posting of an asset it is, by where it was read and by the time of its event.
pub enum Owner<'a> {
    /// The asset is not listed there.
    Nobody,
    /// An opening balance of a listing whose epochs are all closed for the partition.
    Ended(&'a Listed),
    /// The listing with this number.
    Listing(usize, &'a Listed),
}

pub fn owner_of<'a>(
    assets: &'a Assets,
    asset: &str,
    place: Place,
    offset: u64,
    event_time: i64,
    is_opening: bool,
) -> Owner<'a> {
    for (number, listed) in assets.get(asset).into_iter().flatten().enumerate() {
        if offset < listed.in_force.of(place) {
            return Owner::Nobody;
        }
        let Some(withdrawn) = &listed.withdrawn else {
            return Owner::Listing(number, listed);
        };
        if offset < withdrawn.in_force.of(place) {
            return Owner::Listing(number, listed);
        }
        // A later date is for the next listing, and so is every date if this one had no epoch.
        if listed.has_no_epoch() || i128::from(event_time) >= listed.terms.start_of(withdrawn.epoch) {
            continue;
        }
        if listed.oldest_open_at(place, offset) < withdrawn.epoch {
            return Owner::Listing(number, listed);
        }
        if is_opening {
            return Owner::Ended(listed);
        }
    }
    Owner::Nobody
}
