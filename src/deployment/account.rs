//! What an account has, as of the newest persisted state: read beside a running deployment, changing nothing.

use std::path::Path;

use ethnum::I256;
use ruint::aliases::U512;

use crate::core::coordinate::Coordinator;
use crate::core::values::bucket::bucket;
use crate::core::values::ids::{AssetEpoch, Epoch};

use crate::core::accrue::row::Row;
use crate::core::accrue::settle::{Holding, Rules};
use crate::core::contract::listing;
use crate::core::contract::records::timestamp;
use crate::core::values::bucket::Partitions;
use crate::deployment::record::Layout;
use crate::deployment::state_directory::{Owner, folder, newest_generation};
use crate::store::rocks::{MemoryLimits, RocksStore, Shared, StoreKind};
use crate::store::{Store, row, tables};
use crate::task::harness::Stop;
use crate::task::{TaskError, seen_events};

/// An account's holding of one asset.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AccountView {
    /// The asset.
    pub asset: String,
    /// Its decimals.
    pub decimals: u8,
    /// The balance with all postings read so far, of whatever epoch.
    pub balance: String,
    /// Earned and withheld, as it is below `min_payout`.
    pub withheld: String,
    /// Epochs that are not settled and in which the account has a balance or postings; the oldest open one at least.
    pub open_epochs: Vec<EpochView>,
}

/// An account in an epoch that is not settled.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct EpochView {
    /// The epoch.
    pub epoch: Epoch,
    /// When it starts.
    pub start: String,
    /// When it ends.
    pub end: String,
    /// What its postings so far add up to.
    pub delta: String,
    /// S as things stand: asset times seconds up to the epoch's end, if nothing more happens.
    pub balance_seconds: String,
}

/// What the account `account` has of each asset; nothing for an asset it never had.
///
/// # Errors
/// If the stores cannot be read.
pub fn account(state: &Path, account: &str) -> Result<Vec<AccountView>, TaskError> {
    let shared = Shared::new(MemoryLimits {
        cache_bytes: 16 << 20,
        buffer_bytes: 4 << 20,
        ..MemoryLimits::default()
    })?;
    let scratch = Scratch::new()?;
    let open = |path: &Path, kind| RocksStore::open_for_reading(path, kind, &shared, scratch.0.path());
    let generation = newest_generation(state);
    let coordinator = open(&folder(state, Owner::Coordinate(generation)), StoreKind::Coordinate)?;
    let coordinator: Option<Coordinator> = seen_events::state(&coordinator, "the state of the coordinator")?;
    let Some(coordinator) = coordinator else {
        return Ok(Vec::new());
    };
    let impossible = |what: String| TaskError::Fault {
        at: "query".into(),
        fault: crate::core::fault::impossible(what),
    };
    let partitions = Partitions::new(coordinator.partitions()).map_err(|error| impossible(error.to_string()))?;
    let bucket = bucket(account);
    let layout = Layout { generation, partitions };
    let store = open(
        &folder(state, Owner::Accrue(partitions.of(bucket), layout)),
        StoreKind::Accrue,
    )?;
    view(&coordinator, &store, bucket, account).map_err(|stop| stop.of("query"))
}

/// A folder of this process, for RocksDB's own log.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Result<Self, TaskError> {
        let folder = tempfile::tempdir().map_err(|source| TaskError::Io {
            action: "create",
            path: std::env::temp_dir().display().to_string(),
            source,
        })?;
        Ok(Self(folder))
    }
}

fn view(coordinator: &Coordinator, store: &dyn Store, bucket: u16, account: &str) -> Result<Vec<AccountView>, Stop> {
    let mut views = Vec::new();
    for (number, listed) in (0u16..).zip(coordinator.assets()) {
        let mut key = Vec::new();
        tables::opening(&mut key, number, bucket, account);
        let kept = store.get(&key)?;
        let (opening, withheld) = match &kept {
            Some(value) => tables::read_opening(value)?,
            None => (I256::ZERO, U512::ZERO),
        };
        let rows = rows(store, number, bucket, account)?;
        if kept.is_none() && rows.is_empty() {
            continue;
        }
        let mut balance = opening;
        let mut open_epochs = Vec::new();
        let oldest = rows
            .first()
            .map_or(listed.oldest_open, |(epoch, _)| listed.oldest_open.min(*epoch));
        let newest = rows.last().map_or(oldest, |(epoch, _)| oldest.max(*epoch));
        let mut rules = None;
        for epoch in oldest.through(newest) {
            let row = rows.iter().find(|(at, _)| *at == epoch).map(|(_, row)| *row);
            if row.is_none() && epoch != oldest {
                continue;
            }
            let row = row.unwrap_or_default();
            let Some(programme) = listing::in_force(&listed.programmes, epoch) else {
                continue;
            };
            let in_force = Rules::new(&listed.terms, programme)?;
            let holding = Holding {
                opening: balance,
                row,
                excluded: false,
            };
            let measure = in_force.measure(&holding)?;
            balance = measure.closing;
            let calendar = &listed.terms.calendar;
            open_epochs.push(EpochView {
                epoch,
                start: timestamp(calendar.start_ms(epoch)),
                end: timestamp(calendar.end_ms(epoch)),
                delta: in_force.signed_amount(row.delta),
                balance_seconds: in_force.balance_seconds(measure.held),
            });
            rules = Some(in_force);
        }
        let Some(rules) = rules else { continue };
        views.push(AccountView {
            asset: listed.terms.asset.to_string(),
            decimals: listed.terms.decimals,
            balance: rules.signed_amount(balance),
            withheld: rules.amount(withheld),
            open_epochs,
        });
    }
    Ok(views)
}

/// The account's rows of an asset, by epoch. One lookup an epoch: rows are kept by epoch first, and few epochs have any.
fn rows(store: &dyn Store, number: u16, bucket: u16, account: &str) -> Result<Vec<(Epoch, Row)>, Stop> {
    let mut found = Vec::new();
    let mut key = Vec::new();
    let mut epoch = Epoch::FIRST;
    while let Some(next) = next_epoch(store, number, epoch)? {
        tables::row(&mut key, AssetEpoch::new(number, next)?, bucket, account);
        if let Some(value) = store.get(&key)? {
            let row = row::decode(&value).ok_or_else(|| crate::core::fault::impossible("a row that cannot be read"))?;
            found.push((next, row));
        }
        epoch = next.next()?;
    }
    Ok(found)
}

/// The first epoch from `epoch` on of which there are rows.
fn next_epoch(store: &dyn Store, number: u16, epoch: Epoch) -> Result<Option<Epoch>, Stop> {
    let (from, _) = tables::Table::Rows(AssetEpoch::new(number, epoch)?).range(0);
    let (_, to) = tables::Table::Rows(AssetEpoch::last_of(number)).range(0);
    let mut scan = store.scan(&from, &to)?;
    match scan.next()? {
        Some((key, _)) => Ok(Some(tables::row_epoch(key)?)),
        None => Ok(None),
    }
}
