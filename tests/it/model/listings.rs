//! Listings, changes and withdrawals (contract, section 3.2).

use std::collections::BTreeMap;

use num_bigint::BigInt;
use serde_json::{Value, json};

use super::bus::{Offsets, Place};
use super::calendar::DAY_MS;
use super::control::{Event, Stop, World, words};
use super::ledger::{MOST_DAYS_AHEAD, Passed};
use super::listed::{Listed, Withdrawn};
use super::programme::{Listing, listing};
use super::settle::Book;
use crate::model::parts::amount::plain;
use crate::model::parts::fields::Rejection;
use crate::model::parts::time;

impl World<'_> {
    /// A first listing, a change, or a listing after a withdrawal.
    pub fn list(&mut self, event: &Event) -> Result<(), Stop> {
        let listing = listing(event.data)?;
        let listings = self.assets.get(&listing.asset).map_or(&[][..], Vec::as_slice);
        let from_epoch = listing.programme.from_epoch;
        let Some(last) = listings.last() else {
            if from_epoch != listing.terms.first_epoch {
                return Err(Rejection::programme("from_epoch", "of a first listing is not first_epoch").into());
            }
            return self.add_listing(event, listing);
        };
        let is_repeated = listing.terms == last.terms
            && (listing.misdated_from_ms.is_none() || listing.misdated_from_ms == last.misdated_from_ms);
        if is_repeated && from_epoch > last.oldest_open() && last.has_epoch(from_epoch) {
            return self.change(event, listing);
        }
        if last.withdrawn.is_none() {
            let what = "is not later than the oldest open epoch, or a term differs from the listing's";
            return Err(Rejection::programme("from_epoch", what).into());
        }
        check_relisting(listings, &listing)?;
        self.add_listing(event, listing)
    }

    fn change(&mut self, event: &Event, listing: Listing) -> Result<(), Stop> {
        let from_epoch = listing.programme.from_epoch;
        let number = self.assets[&listing.asset].len() - 1;
        self.listing_mut(&listing.asset, number)?.schedule(listing.programme);
        self.record(json!({
            "decision": "programme_changed", "control_offset": event.offset, "asset": listing.asset,
            "from_epoch": from_epoch,
        }));
        Ok(())
    }

    fn add_listing(&mut self, event: &Event, listing: Listing) -> Result<(), Stop> {
        let in_force = self.offsets_of(event)?;
        self.read_sources(&in_force)?;
        let ledger = &mut self.ledger;
        let named = ledger.passed.get(&listing.asset).map_or(&[][..], Vec::as_slice);
        let nameless = ledger.nameless.iter();
        let nameless = nameless.filter(|one| !ledger.has_name(one.place, &listing.asset));
        let passed: Vec<&Passed> = named.iter().chain(nameless).collect();
        let judged = newest_not_counted(&passed, &in_force, &listing);
        // Opening balances are to be sent again after the listing. These ones stay at this anchor.
        let passed = ledger.passed.entry(listing.asset.clone()).or_default();
        for one in passed.iter_mut().filter(|one| one.offset < in_force.of(one.place)) {
            one.time.get_or_insert(listing.terms.anchor_ms);
        }
        let newest = match judged {
            Ok(newest) => newest,
            Err(rejection) => {
                self.record(json!({
                    "decision": "listing_refused", "control_offset": event.offset, "asset": listing.asset,
                    "code": rejection.code, "answered_at": in_force.to_json(),
                }));
                return Err(rejection.into());
            }
        };
        let mut decision = json!({
            "decision": "listing_accepted", "control_offset": event.offset, "asset": listing.asset,
            "in_force_from": in_force.to_json(),
        });
        if let Some(newest) = newest {
            decision["newest_not_counted"] = Value::from(time::format(newest));
        }
        self.record(decision);
        self.assets.entry(listing.asset).or_default().push(Listed {
            terms: listing.terms,
            misdated_from_ms: listing.misdated_from_ms,
            programmes: vec![listing.programme],
            in_force,
            closes: Vec::new(),
            pools: BTreeMap::new(),
            withdrawn: None,
            book: Book::default(),
        });
        Ok(())
    }

    pub fn withdraw(&mut self, event: &Event) -> Result<(), Stop> {
        let data = event.with_fields(&["asset", "epoch", "reason"])?;
        let asset = data.asset("asset")?;
        let epoch = data.integer("epoch")?;
        words(data, "reason")?;
        let number = self.listed(&asset)?;
        let listed = &self.assets[&asset][number];
        if listed.withdrawn.is_some() {
            return Err(unknown_asset(&asset).into());
        }
        if epoch < listed.oldest_open() {
            return Err(Rejection::new("epoch_already_closed", format!("epoch {epoch} is closed already")).into());
        }
        let in_force = self.offsets_of(event)?;
        let decimals = listed.terms.reward_decimals();
        let listed = self.listing_mut(&asset, number)?;
        let dropped: BigInt = listed.pools.split_off(&epoch).values().sum();
        let in_force_from = in_force.to_json();
        listed.withdrawn = Some(Withdrawn { epoch, in_force });
        self.record(json!({
            "decision": "withdrawal_accepted", "control_offset": event.offset, "asset": asset, "epoch": epoch,
            "in_force_from": in_force_from, "dropped": plain(&dropped, decimals),
        }));
        Ok(())
    }

    /// The number of the newest listing of an asset.
    pub fn listed(&self, asset: &str) -> Result<usize, Rejection> {
        let listings = self.assets.get(asset).map_or(0, Vec::len);
        listings.checked_sub(1).ok_or_else(|| unknown_asset(asset))
    }
}

pub fn unknown_asset(asset: &str) -> Rejection {
    Rejection::new(
        "unknown_asset",
        format!("the field asset names {asset}, which is not listed for this epoch"),
    )
}

/// Checks a listing of an asset whose last listing was withdrawn.
fn check_relisting(listings: &[Listed], listing: &Listing) -> Result<(), Rejection> {
    let terms = &listing.terms;
    if listing.programme.from_epoch != terms.first_epoch {
        return Err(Rejection::programme(
            "from_epoch",
            "of a first listing is not first_epoch",
        ));
    }
    for earlier in listings {
        let Some(withdrawn) = &earlier.withdrawn else { continue };
        if earlier.oldest_open() < withdrawn.epoch {
            return Err(Rejection::programme("asset", "has an epoch that is not closed"));
        }
        if terms.first_epoch < withdrawn.epoch {
            return Err(Rejection::programme("first_epoch", "is below the withdrawn epoch"));
        }
        let end = earlier.terms.start_of(withdrawn.epoch);
        if !earlier.has_no_epoch() && i128::from(terms.anchor_ms) < end {
            return Err(Rejection::programme(
                "anchor",
                "is before the start of the withdrawn epoch",
            ));
        }
    }
    Ok(())
}

/// Rejects a listing that is too late. Returns the newest time that does not make it too late.
fn newest_not_counted(passed: &[&Passed], in_force: &Offsets, listing: &Listing) -> Result<Option<i64>, Rejection> {
    let terms = &listing.terms;
    let mut newest = None;
    let passed = || passed.iter().copied().filter(|one| one.offset < in_force.of(one.place));
    if let Some(misdated) = listing.misdated_from_ms
        && is_unknown_between(passed(), terms.anchor_ms, misdated)
    {
        return Err(too_late());
    }
    for one in passed() {
        let time = one.time.unwrap_or(terms.anchor_ms);
        let Some(epoch) = terms.epoch_of(time) else { continue };
        let most = terms.first_epoch.saturating_add(terms.epochs_of_days(MOST_DAYS_AHEAD));
        let is_misdated = listing.misdated_from_ms.is_some_and(|from| time >= from);
        if epoch <= most && !is_misdated {
            return Err(too_late());
        }
        newest = newest.max(Some(time));
    }
    Ok(newest)
}

fn too_late() -> Rejection {
    Rejection::new("listing_too_late", "postings that the listing covers were ignored")
}

/// Whether the oldest and the newest time of each partition and UTC day cannot tell whether a posting is between two times of one day (note 21).
fn is_unknown_between<'a>(passed: impl Iterator<Item = &'a Passed>, from: i64, to: i64) -> bool {
    let day = from.div_euclid(DAY_MS);
    if to <= from || (to - 1).div_euclid(DAY_MS) != day {
        return false;
    }
    let mut ends: BTreeMap<Place, (i64, i64)> = BTreeMap::new();
    for one in passed {
        let time = one.time.unwrap_or(from);
        if time.div_euclid(DAY_MS) == day {
            let (oldest, newest) = ends.entry(one.place).or_insert((time, time));
            (*oldest, *newest) = (time.min(*oldest), time.max(*newest));
        }
    }
    ends.values().any(|(oldest, newest)| *oldest < from && to <= *newest)
}
