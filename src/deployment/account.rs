//! Reads what an account holds from the stores in a state directory, beside a running deployment and without changing anything.

use std::path::Path;

use crate::core::accrue::AccrueJob;
use crate::core::accrue::eligibility::StatusVerdict;
use crate::core::accrue::row::Row;
use crate::core::accrue::settle::Rules;
use crate::core::contract::programme::in_force;
use crate::core::coordinate::{Coordinator, ListedAsset};
use crate::core::fault::impossible;
use crate::core::values::account::AccountName;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::{Partitions, bucket};
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::time::timestamp;
use crate::deployment::layout::LedgerLayout;
use crate::deployment::state_directory::{StoreOwner, folder, newest_generation};
use crate::store::rocks::{MemoryLimits, RocksStore, StoreKind, StoreResources};
use crate::store::tables::AccountTable;
use crate::store::{Store, row, tables};
use crate::task::TaskError;
use crate::task::accrue_store::load_accrue;
use crate::task::accrue_task::reached_bucket;
use crate::task::fold::{FoldError, load_state};

/// What an account holds, and of which assets it could hold something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountHoldings {
    /// All listed assets.
    pub listed: Vec<Asset>,
    /// An asset that the account never held is left out.
    pub holdings: Vec<AssetHolding>,
}

/// What an account holds of one asset.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AssetHolding {
    pub asset: String,
    pub decimals: u8,
    /// The balance after all postings so far, of every epoch.
    pub balance: String,
    /// The part of its due that was not paid yet, in the reward asset. A debt is negative.
    pub withheld: String,
    /// The asset that rewards are paid in.
    pub reward_asset: String,
    /// The unsettled epochs in which the account has postings, and the oldest open epoch.
    pub open_epochs: Vec<OpenEpoch>,
}

/// An account in an epoch that is not settled.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct OpenEpoch {
    pub epoch: Epoch,
    /// In UTC.
    pub start: String,
    /// In UTC.
    pub end: String,
    /// The sum of the postings so far.
    pub delta: String,
    /// Balance-seconds at the epoch's end, if no other posting follows.
    pub balance_seconds: String,
}

/// What `account` holds, as of the newest persisted state. RocksDB writes its own log to the folder `scratch`.
///
/// # Errors
/// If the stores cannot be read.
pub fn read_account(state: &Path, account: &AccountName<'_>, scratch: &Path) -> Result<AccountHoldings, TaskError> {
    let resources = StoreResources::new(MemoryLimits {
        cache_bytes: 16 << 20,
        buffer_bytes: 4 << 20,
        ..MemoryLimits::default()
    })?;
    let open = |path: &Path, kind| RocksStore::open_for_reading(path, kind, &resources, scratch);
    let generation = newest_generation(state);
    let coordinator = open(
        &folder(state, StoreOwner::Coordinate(generation)),
        StoreKind::Coordinate,
    )?;
    let coordinator: Option<Coordinator> = load_state(&coordinator, "the state of the coordinator")?;
    let Some(coordinator) = coordinator else {
        return Ok(AccountHoldings::default());
    };
    let partitions = Partitions::new(coordinator.partitions()).map_err(|error| TaskError::Fault {
        at: FAULTS_AT.into(),
        fault: impossible(error.to_string()),
    })?;
    let bucket = bucket(account.as_str());
    let layout = LedgerLayout { generation, partitions };
    let store = open(
        &folder(state, StoreOwner::Accrue(partitions.of(bucket), layout)),
        StoreKind::Accrue,
    )?;
    let mut found = AccountHoldings::default();
    for (number, listed) in (0u16..).zip(coordinator.assets()) {
        found.listed.push(listed.terms.asset);
        let holding = asset_holding(&store, number, listed, bucket, account);
        found.holdings.extend(holding.map_err(|error| error.at(FAULTS_AT))?);
    }
    Ok(found)
}

/// Faults name this place.
const FAULTS_AT: &str = "query";

fn asset_holding(
    store: &dyn Store,
    number: u16,
    listed: &ListedAsset,
    bucket: u16,
    account: &AccountName<'_>,
) -> Result<Option<AssetHolding>, FoldError> {
    let Some(StoredHolding { opening, rows, .. }) = stored_holding(store, number, bucket, account)? else {
        return Ok(None);
    };
    let mut balance = opening.delta;
    let mut open_epochs = Vec::new();
    let oldest = rows
        .first()
        .map_or(listed.oldest_open, |(epoch, _)| listed.oldest_open.min(*epoch));
    let mut rules = None;
    // Rows may be far apart, so the epochs between them are not visited.
    let without_row = rows.first().is_none_or(|(epoch, _)| *epoch > oldest);
    let first = without_row.then(|| (oldest, Row::default()));
    for (epoch, row) in first.into_iter().chain(rows) {
        let Some(in_force) = rules_of_epoch(listed, epoch)? else {
            continue;
        };
        let measure = in_force.hold(balance, row, StatusVerdict::EARNS)?;
        balance = measure.closing;
        let calendar = &listed.terms.calendar;
        open_epochs.push(OpenEpoch {
            epoch,
            start: timestamp(calendar.start_ms(epoch)),
            end: timestamp(calendar.end_ms(epoch)),
            delta: in_force.balance(row.delta).into(),
            balance_seconds: in_force.balance_seconds(measure.held).into(),
        });
        rules = Some(in_force);
    }
    Ok(rules.map(|rules| AssetHolding {
        asset: listed.terms.asset.to_string(),
        decimals: listed.terms.decimals,
        balance: rules.balance(balance).into(),
        withheld: rules.signed_reward(opening.weighted).into(),
        reward_asset: listed.terms.reward_asset().to_string(),
        open_epochs,
    }))
}

/// What the store of a ledger partition has of an account and an asset.
pub(super) struct StoredHolding {
    /// The balance after the last emitted epoch, and what is withheld.
    pub opening: Row,
    /// The epoch after the last emitted one.
    pub unsettled_from: Epoch,
    /// The sums of later epochs that have some.
    pub rows: Vec<(Epoch, Row)>,
}

/// What is stored of an account and the asset with this number; `None` if nothing is.
pub(super) fn stored_holding(
    store: &dyn Store,
    number: u16,
    bucket: u16,
    account: &AccountName<'_>,
) -> Result<Option<StoredHolding>, FoldError> {
    let mut key = Vec::new();
    tables::opening(&mut key, number, bucket, account);
    let stored = store.get(&key)?;
    let unsettled_from = next_unsettled(store, number, bucket)?;
    let rows = rows(store, number, unsettled_from, bucket, account)?;
    if stored.is_none() && rows.is_empty() {
        return Ok(None);
    }
    let opening = stored.map_or(Ok(Row::ZERO), |value| tables::read_row(&value))?;
    Ok(Some(StoredHolding {
        opening,
        unsettled_from,
        rows,
    }))
}

/// The rules of an unsettled epoch; `None` if no programme is in force.
fn rules_of_epoch(listed: &ListedAsset, epoch: Epoch) -> Result<Option<Rules>, FoldError> {
    let Some(programme) = in_force(&listed.programmes, epoch) else {
        return Ok(None);
    };
    Ok(Some(Rules::of_programme(&listed.terms, programme)?))
}

/// The account's rows of an asset in the epochs from `epoch` on. Keys begin with the epoch, so this takes one lookup per epoch; few epochs have rows.
fn rows(
    store: &dyn Store,
    number: u16,
    mut epoch: Epoch,
    bucket: u16,
    account: &AccountName<'_>,
) -> Result<Vec<(Epoch, Row)>, FoldError> {
    let mut found = Vec::new();
    let mut key = Vec::new();
    while let Some(next) = next_epoch(store, number, epoch)? {
        tables::row_key(&mut key, AssetEpoch::new(number, next)?, bucket, account);
        if let Some(value) = store.get(&key)? {
            let row = row::decode(&value).ok_or_else(|| impossible("a row that cannot be read"))?;
            found.push((next, row));
        }
        epoch = next.next()?;
    }
    Ok(found)
}

/// The epoch after the last one that is emitted for the accounts of a bucket; the first of all if none is.
fn next_unsettled(store: &dyn Store, number: u16, bucket: u16) -> Result<Epoch, FoldError> {
    let job = load_accrue(store).map_err(FoldError::Task)?.job();
    match emitted_already(job, &store.position().cursor.reached, number, bucket) {
        Some(epoch) => Ok(epoch.next()?),
        None => next_unsealed(store, number),
    }
}

/// The epoch under emission, if the accounts of this bucket are done: an emission is many commits, and their opening rows have it already.
fn emitted_already(job: Option<AccrueJob>, reached: &[u8], number: u16, bucket: u16) -> Option<Epoch> {
    let Some(AccrueJob::Emit(at)) = job else { return None };
    let is_done = at.number() == number && reached_bucket(reached).is_some_and(|reached| bucket <= reached);
    is_done.then(|| at.epoch())
}

/// The epoch after the last one that is emitted; the first of all if none is.
pub(super) fn next_unsealed(store: &dyn Store, number: u16) -> Result<Epoch, FoldError> {
    let from = tables::sealed(AssetEpoch::new(number, Epoch::FIRST)?);
    let to = tables::sealed(AssetEpoch::last_of(number));
    let mut scan = store.scan(&from, &to)?;
    let mut next = Epoch::FIRST;
    while let Some((key, _)) = scan.next()? {
        next = tables::sealed_epoch(key)?.epoch().next()?;
    }
    Ok(next)
}

/// The first epoch from `epoch` on that has rows.
fn next_epoch(store: &dyn Store, number: u16, epoch: Epoch) -> Result<Option<Epoch>, FoldError> {
    let (from, _) = AccountTable::Rows(AssetEpoch::new(number, epoch)?).range(0);
    let (_, to) = AccountTable::Rows(AssetEpoch::last_of(number)).range(0);
    let mut scan = store.scan(&from, &to)?;
    match scan.next()? {
        Some((key, _)) => Ok(Some(tables::row_epoch(key)?)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_counts_as_settled_once_the_emission_has_passed_its_bucket() {
        let epoch = Epoch::FIRST.next().unwrap();
        let at = AssetEpoch::new(3, epoch).unwrap();
        let emit = Some(AccrueJob::Emit(at));
        for (job, reached, number, bucket, expected) in [
            (emit, Some(7u16), 3, 7, Some(epoch)),
            (emit, Some(7), 3, 0, Some(epoch)),
            (emit, Some(7), 3, 8, None),
            (emit, Some(7), 2, 7, None),
            (emit, None, 3, 0, None),
            (Some(AccrueJob::Sum(at)), Some(7), 3, 0, None),
            (None, Some(7), 3, 0, None),
        ] {
            let reached = reached.map_or_else(Vec::new, |bucket| bucket.to_be_bytes().to_vec());
            assert_eq!(
                emitted_already(job, &reached, number, bucket),
                expected,
                "{job:?} {reached:?} {number} {bucket}"
            );
        }
    }
}
