//! A walk over all accounts of an epoch, in the order of bucket and account.
//!
//! It scans some tables side by side: opening rows, the rows of the epoch, statuses, and statuses that were set aside if the epoch needs them.

use ethnum::I256;
use ruint::aliases::U512;

use crate::core::accrue::assess::Account;
use crate::core::accrue::row::Row;
use crate::core::accrue::statuses::AsideLimit;
use crate::core::fault::Fault;
use crate::core::values::ids::AssetEpoch;
use crate::store::tables::AccountTable;
use crate::store::{Changes, Scan, Store, row, tables};
use crate::task::fold::FoldError;
use crate::task::superseded_statuses::SupersededStatuses;

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
    /// The statuses that were set aside, if the epoch needs them.
    set_aside: Option<TableScan<'a>>,
    /// Finds the statuses to set aside, if that is to be done.
    superseded: Option<SupersededStatuses>,
    /// Bucket and account of the present account.
    account_key: Vec<u8>,
    account: Option<Account>,
}

impl<'a> AccountWalk<'a> {
    /// The accounts of an epoch from bucket `bucket` on. With `needs_set_aside`, their statuses include those that were set aside.
    pub fn new(store: &'a dyn Store, at: AssetEpoch, bucket: u16, needs_set_aside: bool) -> Result<Self, FoldError> {
        let open = |table| TableScan::open(store, table, bucket);
        Ok(Self {
            rows: open(AccountTable::Rows(at))?,
            openings: open(AccountTable::Openings(at.number()))?,
            statuses: open(AccountTable::Statuses)?,
            set_aside: needs_set_aside.then(|| open(AccountTable::SetAside)).transpose()?,
            superseded: None,
            account_key: Vec::new(),
            account: None,
        })
    }

    /// The same walk, which finds the statuses to set aside on its way: see [`Self::set_aside`].
    pub fn setting_aside(mut self, limit: Option<AsideLimit>) -> Self {
        self.superseded = limit.map(SupersededStatuses::new);
        self
    }

    /// The next account with a row or an opening row. An account that only has statuses is skipped.
    pub fn next_account(&mut self) -> Result<Option<&Account>, FoldError> {
        let next = match (self.rows.account_key()?, self.openings.account_key()?) {
            (Some(row), Some(opening)) => row.min(opening),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => {
                self.account = None;
                self.pass_statuses()?;
                return Ok(None);
            }
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
        self.pass_statuses()?;
        Ok(self.account.as_ref())
    }

    /// Passes the statuses up to those of the present account, which takes its own; all that are left after the last account.
    fn pass_statuses(&mut self) -> Result<(), FoldError> {
        for scan in [Some(&mut self.statuses), self.set_aside.as_mut()]
            .into_iter()
            .flatten()
        {
            while let Some(key) = scan.account_key()? {
                match &mut self.account {
                    Some(_) if key > self.account_key.as_slice() => break,
                    Some(account) if key == self.account_key.as_slice() => {
                        account.statuses.push(tables::read_status(&scan.key, &scan.value)?);
                    }
                    // Nobody needs the statuses that are left.
                    None if self.superseded.is_none() => break,
                    _ => {}
                }
                // Nothing is set aside while statuses that were set aside are read.
                if let Some(superseded) = &mut self.superseded {
                    superseded.pass(key, &scan.key, &scan.value)?;
                }
                scan.advance()?;
            }
        }
        Ok(())
    }

    /// Sets aside the superseded statuses that the walk has found: up to those of bucket `last`, or all at the end of the walk.
    pub fn set_aside(self, last: Option<u16>, changes: &mut Changes) -> Result<(), FoldError> {
        match self.superseded {
            Some(superseded) => superseded.set_aside(last, changes),
            None => Ok(()),
        }
    }
}
