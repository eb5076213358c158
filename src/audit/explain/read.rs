//! Reads the published records that an explanation needs.

use std::collections::{BTreeMap, BTreeSet};

use ethnum::I256;
use ruint::aliases::U512;

use crate::audit::error::AuditError;
use crate::audit::point_in_time::PointInTime;
use crate::bus::scan::scan_range;
use crate::bus::{Log, Mark, Topic};
use crate::core::contract::records::{Distribution, Seal, read_data, read_with_id};
use crate::core::protocol::codec;
use crate::core::protocol::messages::Inbox;
use crate::core::protocol::totals::Subtotal;
use crate::core::values::amount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// The pool of a sealed epoch, in units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EpochPool {
    pub reward_pool: I256,
    pub commission: I256,
    pub carried_in: I256,
    pub returned: I256,
    /// N of the contract: the pool without the commission, plus what was carried in. A deficit is negative.
    pub net: I256,
}

impl EpochPool {
    /// The pool that a seal has. The error says what is wrong with the seal.
    pub(crate) fn of(seal: &Seal<'_>, decimals: u8) -> Result<Self, String> {
        let units = |field: &str, text: &str| {
            amount::parse_signed_units(text, decimals)
                .ok_or_else(|| format!("{field} is {text}, which is no amount of {}", seal.reward_asset))
        };
        let reward_pool = units("reward_pool", &seal.reward_pool)?;
        let commission = units("commission", &seal.commission)?;
        let carried_in = units("carried_in", &seal.carried_in)?;
        let returned = units("returned", &seal.returned)?;
        let net = reward_pool
            .checked_sub(commission)
            .and_then(|rest| rest.checked_add(carried_in))
            .ok_or_else(|| "its pool is beyond what can be counted".to_owned())?;
        Ok(Self {
            reward_pool,
            commission,
            carried_in,
            returned,
            net,
        })
    }
}

/// The sealed epochs of a listing.
pub(crate) struct SealsOnRecord {
    pub seals: BTreeMap<Epoch, Seal<'static>>,
    /// The sum of W of each epoch.
    pub weights: BTreeMap<Epoch, U512>,
}

impl SealsOnRecord {
    /// Reads those of the listing with this number.
    pub(crate) fn read(bus: &dyn Log, point: &PointInTime, (asset, number): (Asset, u16)) -> Result<Self, AuditError> {
        Ok(Self {
            weights: total_weights(bus, number)?,
            seals: seals(bus, point, asset)?,
        })
    }
}

/// The sums of W over all ledger partitions, from their subtotals on the inbox.
fn total_weights(bus: &dyn Log, number: u16) -> Result<BTreeMap<Epoch, U512>, AuditError> {
    let inbox = Topic::Inbox.partition(0);
    let start = Mark::at(bus.start(inbox)?);
    let mut sums: BTreeMap<Epoch, Subtotal> = BTreeMap::new();
    let mut previewed: BTreeSet<Epoch> = BTreeSet::new();
    scan_range(bus, inbox, &start, bus.readable_end(inbox)?, |record| {
        match codec::decode(record.value, "a record of the inbox")? {
            Inbox::Subtotal { at, sums: subtotal, .. } if at.number() == number => {
                // An epoch that was void is summed again. All previews of the first time are before that.
                if previewed.remove(&at.epoch()) {
                    sums.remove(&at.epoch());
                }
                let sum = sums.entry(at.epoch()).or_default();
                *sum = sum.plus(&subtotal)?;
            }
            Inbox::Preview { at, .. } if at.number() == number => {
                previewed.insert(at.epoch());
            }
            _ => {}
        }
        Ok::<_, AuditError>(())
    })?;
    Ok(sums.into_iter().map(|(epoch, sum)| (epoch, sum.weight)).collect())
}

/// The seals of an asset, by epoch.
fn seals(bus: &dyn Log, point: &PointInTime, asset: Asset) -> Result<BTreeMap<Epoch, Seal<'static>>, AuditError> {
    let mut seals = BTreeMap::new();
    scan_output(bus, point, Topic::Epochs, |record| {
        if let Ok(seal) = read_data::<Seal<'_>>(record)
            && seal.asset == asset
        {
            seals.insert(seal.epoch, seal.into_owned());
        }
    })?;
    Ok(seals)
}

/// All published records of one account's payout: those with this id, and those whose data are of the same asset, epoch and account.
pub(crate) fn distributions(
    bus: &dyn Log,
    point: &PointInTime,
    (asset, epoch, account): (Asset, Epoch, &str),
) -> Result<Vec<Vec<u8>>, AuditError> {
    let id = format!("{asset}:{epoch}:{account}");
    // Most records are of others. A record with an escape may be of this account however it looks.
    let words = [&id, account].map(|word| serde_json::to_string(word).unwrap_or_default());
    let finders = words.each_ref().map(memchr::memmem::Finder::new);
    let mut found = Vec::new();
    scan_output(bus, point, Topic::Distributions, |record| {
        let may_be = finders.iter().any(|finder| finder.find(record).is_some());
        if !may_be && memchr::memchr(b'\\', record).is_none() {
            return;
        }
        let is_of_payout = read_with_id::<Distribution<'_>>(record).is_ok_and(|(found, data)| {
            found == id || (data.asset == asset && data.epoch == epoch && data.account == account)
        });
        let is_damaged = || read_data::<Distribution<'_>>(record).is_err();
        if is_of_payout || (finders[0].find(record).is_some() && is_damaged()) {
            found.push(record.to_vec());
        }
    })?;
    Ok(found)
}

fn scan_output(
    bus: &dyn Log,
    point: &PointInTime,
    topic: Topic,
    mut take: impl FnMut(&[u8]),
) -> Result<(), AuditError> {
    for (partition, end) in &point.output_ends {
        if partition.topic == topic {
            scan_range(bus, *partition, &Mark::default(), *end, |record| {
                take(record.value);
                Ok::<_, AuditError>(())
            })?;
        }
    }
    Ok(())
}
