//! A walk over all accounts of an epoch, in the order of bucket and account.
//!
//! It scans three tables side by side: opening rows, the rows of the epoch, and statuses.

use ethnum::I256;
use ruint::aliases::U512;

use crate::core::accrue::assess::Account;
use crate::core::accrue::row::Row;
use crate::core::fault::Fault;
use crate::core::values::ids::AssetEpoch;
use crate::store::tables::AccountTable;
use crate::store::{Scan, Store, row, tables};
use crate::task::fold::FoldError;

/// A scan of one table, with the entry that it has reached.
struct TableScan<'a> {
    table: AccountTable,
    scan: Box<dyn Scan + 'a>,
    key: Vec<u8>,
    value: Vec<u8>,
    ended: bool,
}

impl<'a> TableScan<'a> {
    fn open(store: &'a dyn Store, table: AccountTable, bucket: u16) -> Result<Self, FoldError> {
        let (from, to) = table.range(bucket);
        let mut scan = Self {
            table,
            scan: store.scan(&from, &to)?,
            key: Vec::new(),
            value: Vec::new(),
            ended: false,
        };
        scan.advance()?;
        Ok(scan)
    }

    fn advance(&mut self) -> Result<(), FoldError> {
        match self.scan.next()? {
            Some((key, value)) => {
                self.key.clear();
                self.key.extend_from_slice(key);
                self.value.clear();
                self.value.extend_from_slice(value);
            }
            None => self.ended = true,
        }
        Ok(())
    }

    /// Bucket and account of the present entry; `None` at the end.
    fn account_key(&self) -> Result<Option<&[u8]>, FoldError> {
        if self.ended {
            Ok(None)
        } else {
            Ok(Some(self.table.account_key(&self.key)?))
        }
    }

    fn is_at(&self, account_key: &[u8]) -> Result<bool, FoldError> {
        Ok(self.account_key()? == Some(account_key))
    }
}

/// The accounts of an epoch.
pub struct AccountWalk<'a> {
    rows: TableScan<'a>,
    openings: TableScan<'a>,
    statuses: TableScan<'a>,
    /// Bucket and account of the present account.
    account_key: Vec<u8>,
    account: Option<Account>,
}

impl<'a> AccountWalk<'a> {
    /// The accounts of an epoch from bucket `bucket` on.
    pub fn new(store: &'a dyn Store, at: AssetEpoch, bucket: u16) -> Result<Self, FoldError> {
        Ok(Self {
            rows: TableScan::open(store, AccountTable::Rows(at), bucket)?,
            openings: TableScan::open(store, AccountTable::Openings(at.number()), bucket)?,
            statuses: TableScan::open(store, AccountTable::Statuses, bucket)?,
            account_key: Vec::new(),
            account: None,
        })
    }

    /// The next account with a row or an opening row. An account that only has statuses is skipped.
    pub fn next_account(&mut self) -> Result<Option<&Account>, FoldError> {
        let next = match (self.rows.account_key()?, self.openings.account_key()?) {
            (Some(row), Some(opening)) => row.min(opening),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return Ok(None),
        };
        self.account_key.clear();
        self.account_key.extend_from_slice(next);
        let (bucket, name) = tables::split_account_key(&self.account_key)?;
        let account = self
            .account
            .get_or_insert_with(|| Account::new(bucket, name.clone().into_owned()));
        account.bucket = bucket;
        account.name.assign(&name);
        account.statuses.clear();
        account.row = Row::default();
        if self.rows.is_at(&self.account_key)? {
            account.row = row::decode(&self.rows.value).ok_or_else(|| Fault::Undecodable {
                what: "a row",
                why: "this version does not write such bytes".into(),
            })?;
            self.rows.advance()?;
        }
        (account.opening, account.withheld) = (I256::ZERO, U512::ZERO);
        if self.openings.is_at(&self.account_key)? {
            (account.opening, account.withheld) = tables::read_opening(&self.openings.value)?;
            self.openings.advance()?;
        }
        while self
            .statuses
            .account_key()?
            .is_some_and(|key| key <= self.account_key.as_slice())
        {
            if self.statuses.is_at(&self.account_key)? {
                account
                    .statuses
                    .push(tables::read_status(&self.statuses.key, &self.statuses.value)?);
            }
            self.statuses.advance()?;
        }
        Ok(Some(account))
    }
}
