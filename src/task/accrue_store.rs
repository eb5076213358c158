//! What an accrue task keeps in its store: its state, the changes of a block, and what is left of sealed epochs.

use ethnum::I256;

use crate::bus::TopicPartition;
use crate::core::accrue::resettle::SealedEpoch;
use crate::core::accrue::row::Row;
use crate::core::accrue::{Accrue, Rows, Settling};
use crate::core::fault::Fault;
use crate::core::protocol::codec;
use crate::core::protocol::ledger::StatusEntry;
use crate::core::values::account::AccountName;
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::store::tables::AccountTable;
use crate::store::{Changes, Store, tables};
use crate::task::error::TaskError;
use crate::task::fold::{FoldError, load_state};

/// Loads the state of an accrue task from its store.
pub fn load_accrue(store: &dyn Store) -> Result<Accrue, TaskError> {
    const WHAT: &str = "the state of an accrue task";
    let mut accrue: Accrue = load_state(store, WHAT)?.unwrap_or_default();
    restore_settling(&mut accrue, store).map_err(|error| error.at(WHAT))?;
    Ok(accrue)
}

fn restore_settling(accrue: &mut Accrue, store: &dyn Store) -> Result<(), FoldError> {
    let (from, to) = tables::all_settling();
    let mut scan = store.scan(&from, &to)?;
    while let Some((key, value)) = scan.next()? {
        let settling = codec::decode(value, "an epoch that is not yet emitted")?;
        accrue.restore(tables::settling_epoch(key)?, settling);
    }
    Ok(())
}

/// Writes all of the state into the changes of a new store.
pub fn write_accrue(changes: &mut Changes, accrue: &Accrue) -> Result<(), Fault> {
    for (at, settling) in accrue.settling() {
        put_settling(changes, at, Some(settling))?;
    }
    put_accrue(changes, accrue)
}

pub(super) fn put_accrue(changes: &mut Changes, accrue: &Accrue) -> Result<(), Fault> {
    changes.put(&tables::STATE, &codec::encode(accrue)?);
    Ok(())
}

pub(super) fn put_settling(changes: &mut Changes, at: AssetEpoch, settling: Option<&Settling>) -> Result<(), Fault> {
    match settling {
        Some(settling) => changes.put(&tables::settling(at), &codec::encode(settling)?),
        None => changes.delete(&tables::settling(at)),
    }
    Ok(())
}

/// Turns rows and statuses into changes of the store.
pub(super) struct RowChanges<'a> {
    pub(super) changes: &'a mut Changes,
    pub(super) key: &'a mut Vec<u8>,
    pub(super) postings: u64,
}

impl Rows for RowChanges<'_> {
    fn add(&mut self, at: AssetEpoch, bucket: u16, account: &AccountName<'_>, row: Row) {
        tables::row_key(self.key, at, bucket, account);
        self.changes.add(self.key, row);
        self.postings += 1;
    }

    fn add_late(&mut self, at: AssetEpoch, bucket: u16, account: &AccountName<'_>, missed: Epoch, row: Row) {
        tables::late(self.key, at, bucket, account, missed);
        self.changes.add(self.key, row);
    }

    fn adjust(&mut self, at: AssetEpoch, bucket: u16, account: &AccountName<'_>, delta: I256) {
        tables::adjustments(self.key, at, bucket, account);
        let row = Row {
            delta,
            weighted: I256::ZERO,
        };
        self.changes.add(self.key, row);
        self.postings += 1;
    }

    fn keep(&mut self, source: TopicPartition, status: &StatusEntry<'_>) {
        tables::status(self.key, source, status);
        self.changes.put(self.key, &tables::status_value(status));
    }
}

/// Keeps what `resettle` needs of an epoch that is emitted, and deletes what nothing needs any more.
pub(super) fn keep_sealed(sealed: &SealedEpoch, dedup_days: u64, changes: &mut Changes) -> Result<(), Fault> {
    let at = sealed.settlement.at;
    let calendar = &sealed.settlement.terms.calendar;
    for table in [AccountTable::Adjustments(at), AccountTable::Late(at)] {
        let (from, to) = table.range(0);
        changes.delete_range(&from, &to);
    }
    if sealed.settlement.is_last {
        return drop_listing(calendar.first(), at, changes);
    }
    changes.put(&tables::sealed(at), &codec::encode(sealed)?);
    // A posting into the next epoch can have missed so many epochs.
    let kept = calendar.epochs_of_days(dedup_days);
    let expired = at.epoch().get().checked_sub(kept).map(Epoch::new);
    if let Some(expired) = expired.filter(|expired| *expired >= calendar.first()) {
        let expired = AssetEpoch::new(at.number(), expired)?;
        for table in [AccountTable::Rows(expired), AccountTable::Resettled(expired)] {
            let (from, to) = table.range(0);
            changes.delete_range(&from, &to);
        }
        changes.delete(&tables::sealed(expired));
    }
    Ok(())
}

/// Deletes all that is kept of a withdrawn asset, after its last epoch.
fn drop_listing(first: Epoch, last: AssetEpoch, changes: &mut Changes) -> Result<(), Fault> {
    let number = last.number();
    let first = AssetEpoch::new(number, first)?;
    for table in [
        AccountTable::Rows,
        AccountTable::Adjustments,
        AccountTable::Late,
        AccountTable::Resettled,
    ] {
        let (from, _) = table(first).range(0);
        let (_, to) = table(AssetEpoch::last_of(number)).range(0);
        changes.delete_range(&from, &to);
    }
    let (from, to) = AccountTable::Openings(number).range(0);
    changes.delete_range(&from, &to);
    changes.delete_range(&tables::sealed(first), &tables::sealed(last));
    Ok(())
}
