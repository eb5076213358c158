//! Scans of the tables that are sorted by bucket and account.

use std::ops::Range;

use crate::core::accrue::eligibility::KeptStatus;
use crate::core::accrue::row::Row;
use crate::core::fault::Fault;
use crate::core::values::account::AccountName;
use crate::store::tables::AccountTable;
use crate::store::{Scan, Store, tables};
use crate::task::fold::FoldError;

/// A scan of one table, with the entry that it has reached.
pub(super) struct TableScan<'a> {
    table: AccountTable,
    scan: Box<dyn Scan + 'a>,
    key: Vec<u8>,
    value: Vec<u8>,
    /// Where bucket and account are in the key; `None` at the end.
    account: Option<Range<usize>>,
}

impl<'a> TableScan<'a> {
    pub(super) fn open(store: &'a dyn Store, table: AccountTable, bucket: u16) -> Result<Self, FoldError> {
        let (from, to) = table.range(bucket);
        let mut scan = Self {
            table,
            scan: store.scan(&from, &to)?,
            key: Vec::new(),
            value: Vec::new(),
            account: None,
        };
        scan.advance()?;
        Ok(scan)
    }

    pub(super) fn advance(&mut self) -> Result<(), FoldError> {
        self.account = match self.scan.next()? {
            Some((key, value)) => {
                self.key.clear();
                self.key.extend_from_slice(key);
                self.value.clear();
                self.value.extend_from_slice(value);
                Some(self.table.account_in(key)?)
            }
            None => None,
        };
        Ok(())
    }

    /// Bucket and account of the present entry; `None` at the end.
    pub(super) fn account_key(&self) -> Option<&[u8]> {
        self.account.clone().and_then(|account| self.key.get(account))
    }

    /// The key of the present entry.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The row of the present entry.
    pub(super) fn row(&self) -> Result<Row, Fault> {
        tables::read_row(&self.value)
    }

    /// The value of the present entry.
    pub(super) fn value(&self) -> &[u8] {
        &self.value
    }

    /// Whether the present entry is of this bucket and account.
    pub(super) fn is_at(&self, account_key: &[u8]) -> bool {
        self.account_key() == Some(account_key)
    }
}

/// The statuses of an account in one table.
pub fn read_statuses(
    store: &dyn Store,
    table: AccountTable,
    bucket: u16,
    account: &AccountName<'_>,
) -> Result<Vec<KeptStatus>, FoldError> {
    let (from, to) = table.account_range(bucket, account);
    let mut scan = store.scan(&from, &to)?;
    let mut statuses = Vec::new();
    while let Some((key, value)) = scan.next()? {
        statuses.push(tables::read_status(key, value)?);
    }
    Ok(statuses)
}
