//! A walk over all accounts of an epoch, in the order of bucket and account.
//!
//! It scans some tables side by side: opening rows, the rows and reward adjustments of the epoch, statuses, and statuses that were set aside if the
//! epoch needs them. Or it hands out what the sum of the epoch has kept of them.

use std::collections::BTreeMap;

use ethnum::I256;

use crate::core::accrue::assess::Account;
use crate::core::accrue::eligibility::KeptStatus;
use crate::core::accrue::row::Row;
use crate::core::accrue::statuses::AsideLimit;
use crate::core::contract::event::Status;
use crate::core::fault::impossible;
use crate::core::values::account::{AccountName, owner};
use crate::core::values::ids::AssetEpoch;
use crate::store::tables::AccountTable;
use crate::store::{Changes, Store, tables};
use crate::task::fold::FoldError;
use crate::task::kept_accounts::{KeptAccounts, KeptScan};
use crate::task::resettling::Resettling;
use crate::task::superseded_statuses::SupersededStatuses;
use crate::task::table_scan::{TableScan, read_statuses};

/// The accounts of an epoch.
pub struct AccountWalk<'a> {
    store: &'a dyn Store,
    /// Whether all accounts of a bucket are handed out at once.
    by_bucket: bool,
    accounts_of: Accounts<'a>,
    /// The tables that the statuses of an account are in.
    status_tables: &'static [AccountTable],
    /// Scans of them, if all statuses are passed.
    statuses: Vec<TableScan<'a>>,
    /// Settles closed epochs again for late postings, if that is to be done.
    resettling: Option<Resettling<'a>>,
    /// Finds the statuses to set aside, if that is to be done.
    superseded: Option<SupersededStatuses>,
    /// Bucket and account of the present account.
    account_key: Vec<u8>,
    /// Of the present bucket: the accounts with an exclusion that are their own owners, with their statuses once they are needed.
    excluded_owners: BTreeMap<Vec<u8>, Option<Vec<KeptStatus>>>,
    /// Memory for the accounts handed out.
    accounts: Vec<Account>,
}

/// Where the accounts come from.
enum Accounts<'a> {
    Stored {
        rows: TableScan<'a>,
        openings: TableScan<'a>,
        adjustments: TableScan<'a>,
    },
    /// Those that the sum has kept, with their measures.
    Kept(KeptScan<'a>),
}

impl<'a> AccountWalk<'a> {
    /// The accounts of an epoch from bucket `bucket` on. With `needs_set_aside`, their statuses include those that were set aside.
    pub fn new(store: &'a dyn Store, at: AssetEpoch, bucket: u16, needs_set_aside: bool) -> Result<Self, FoldError> {
        let open = |table| TableScan::open(store, table, bucket);
        let stored = Accounts::Stored {
            rows: open(AccountTable::Rows(at))?,
            openings: open(AccountTable::Openings(at.number()))?,
            adjustments: open(AccountTable::Adjustments(at))?,
        };
        let mut walk = Self::of(store, stored, needs_set_aside);
        walk.open_statuses(bucket)?;
        Ok(walk)
    }

    /// The accounts that the sum of the epoch has kept, with their measures.
    pub fn of_kept(store: &'a dyn Store, kept: &'a KeptAccounts, needs_set_aside: bool) -> Result<Self, FoldError> {
        Ok(Self::of(store, Accounts::Kept(kept.scan()?), needs_set_aside))
    }

    const fn of(store: &'a dyn Store, accounts_of: Accounts<'a>, needs_set_aside: bool) -> Self {
        Self {
            store,
            by_bucket: false,
            accounts_of,
            status_tables: AccountTable::statuses(needs_set_aside),
            statuses: Vec::new(),
            resettling: None,
            superseded: None,
            account_key: Vec::new(),
            excluded_owners: BTreeMap::new(),
            accounts: Vec::new(),
        }
    }

    fn open_statuses(&mut self, bucket: u16) -> Result<(), FoldError> {
        let tables = self.status_tables.iter();
        let scans = tables.map(|table| TableScan::open(self.store, *table, bucket));
        self.statuses = scans.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// The same walk, which hands out all accounts of a bucket at once, or one by one.
    pub const fn by_bucket(mut self, by_bucket: bool) -> Self {
        self.by_bucket = by_bucket;
        self
    }

    /// The same walk, with what is made good for the epoch's late postings.
    pub fn resettling(mut self, at: AssetEpoch, bucket: u16) -> Result<Self, FoldError> {
        self.resettling = Some(Resettling::new(self.store, at, bucket)?);
        Ok(self)
    }

    /// The same walk from `bucket` on, which finds the statuses to set aside on its way: see [`Self::keep_findings`].
    pub fn setting_aside(mut self, limit: Option<AsideLimit>, bucket: u16) -> Result<Self, FoldError> {
        self.superseded = limit.map(SupersededStatuses::new);
        if self.superseded.is_some() && self.statuses.is_empty() {
            self.open_statuses(bucket)?;
        }
        Ok(self)
    }

    /// The next account that has more than statuses, or all of the next bucket; none at the end.
    pub fn next_accounts(&mut self) -> Result<&[Account], FoldError> {
        let mut count = 0;
        while self.find_next()? {
            let bucket = tables::bucket_of_account(&self.account_key);
            if count > 0 && self.accounts.first().map(|first| first.bucket) != bucket {
                break;
            }
            self.take_account(count)?;
            count += 1;
            if !self.by_bucket {
                break;
            }
        }
        if count == 0 {
            self.pass_statuses(None)?;
        }
        Ok(self.accounts.get(..count).unwrap_or_default())
    }

    /// Finds the next account, and leaves bucket and name in `account_key`. Returns false at the end.
    fn find_next(&mut self) -> Result<bool, FoldError> {
        let next = self.accounts_of.account_key();
        let next = match &mut self.resettling {
            Some(resettling) => resettling.next_key(next)?,
            None => next,
        };
        let Some(next) = next else { return Ok(false) };
        if self.account_key.get(..2) != next.get(..2) {
            self.excluded_owners.clear();
        }
        self.account_key.clear();
        self.account_key.extend_from_slice(next);
        Ok(true)
    }

    /// Takes the account that was found, into the memory at `index`.
    fn take_account(&mut self, index: usize) -> Result<(), FoldError> {
        let (bucket, name) = tables::split_account_key(&self.account_key)?;
        if self.accounts.len() <= index {
            self.accounts.push(Account::new(bucket, name.clone().into_owned()));
        }
        let Some(account) = self.accounts.get_mut(index) else {
            return Err(impossible("no memory for an account").into());
        };
        account.bucket = bucket;
        account.name.assign(&name);
        account.statuses.clear();
        account.owner_statuses.clear();
        let is_found = self.accounts_of.take(&self.account_key, account)?;
        account.made_good = match &mut self.resettling {
            Some(resettling) => resettling.take(&self.account_key),
            None => I256::ZERO,
        };
        self.pass_statuses(Some(index))?;
        match self.accounts_of {
            Accounts::Stored { .. } => self.add_owner_statuses(index),
            Accounts::Kept(_) if is_found => Ok(()),
            // Something is made good for an account that holds nothing now. No scan has passed its statuses for the sum.
            Accounts::Kept(_) => self.look_up_statuses(index),
        }
    }

    /// Passes the statuses up to those of the account at `index`, which takes its own; without it, all that are left after the last account.
    fn pass_statuses(&mut self, index: Option<usize>) -> Result<(), FoldError> {
        let mut account = index.and_then(|index| self.accounts.get_mut(index));
        for scan in &mut self.statuses {
            while let Some(key) = scan.account_key() {
                match &mut account {
                    Some(_) if key > self.account_key.as_slice() => break,
                    Some(account) if account.measured.is_none() && key == self.account_key.as_slice() => {
                        account.statuses.push(tables::read_status(scan.key(), scan.value())?);
                    }
                    // Nobody needs the statuses that are left.
                    None if self.superseded.is_none() => break,
                    _ => {}
                }
                if account.is_some()
                    && key.get(..2) == self.account_key.get(..2)
                    && is_owners_exclusion(key, scan.value())
                {
                    self.excluded_owners.insert(key.to_vec(), None);
                }
                // Nothing is set aside while statuses that were set aside are read.
                if let Some(superseded) = &mut self.superseded {
                    superseded.pass(key, scan.key(), scan.value())?;
                }
                scan.advance()?;
            }
        }
        Ok(())
    }

    /// Gives a sub-account the statuses of its owner's own account, if an exclusion is among them. That account comes before it.
    fn add_owner_statuses(&mut self, index: usize) -> Result<(), FoldError> {
        let Some(account) = self.accounts.get_mut(index) else {
            return Ok(());
        };
        let owner = account.name.owner();
        if owner == account.name.as_str() {
            return Ok(());
        }
        let key = self.account_key.get(..2 + owner.len()).unwrap_or_default();
        let Some(found) = self.excluded_owners.get_mut(key) else {
            return Ok(());
        };
        if found.is_none() {
            let owner = tables::split_account_key(key)?.1;
            *found = Some(statuses_of(self.store, self.status_tables, account.bucket, &owner)?);
        }
        account.owner_statuses.extend(found.iter().flatten().cloned());
        Ok(())
    }

    /// Gives the account at `index` its statuses and those of its owner's own account, by lookups.
    fn look_up_statuses(&mut self, index: usize) -> Result<(), FoldError> {
        let Some(account) = self.accounts.get_mut(index) else {
            return Ok(());
        };
        account.statuses = statuses_of(self.store, self.status_tables, account.bucket, &account.name)?;
        let owner = account.name.owner();
        if owner != account.name.as_str() {
            let key = self.account_key.get(..2 + owner.len()).unwrap_or_default();
            let owner = tables::split_account_key(key)?.1;
            account.owner_statuses = statuses_of(self.store, self.status_tables, account.bucket, &owner)?;
        }
        Ok(())
    }

    /// Keeps what the walk has found, up to bucket `last`, or all at its end: superseded statuses are set aside, and for the closed epochs that were
    /// settled again, what they pay now.
    pub fn keep_findings(self, last: Option<u16>, changes: &mut Changes) -> Result<(), FoldError> {
        if let Some(resettling) = self.resettling {
            resettling.keep(last, changes);
        }
        match self.superseded {
            Some(superseded) => superseded.set_aside(last, changes),
            None => Ok(()),
        }
    }
}

impl Accounts<'_> {
    /// Bucket and name of the next account; `None` at the end.
    fn account_key(&self) -> Option<&[u8]> {
        let (rows, openings, adjustments) = match self {
            Self::Kept(kept) => return kept.account_key(),
            Self::Stored {
                rows,
                openings,
                adjustments,
            } => (rows, openings, adjustments),
        };
        let mut next: Option<&[u8]> = None;
        for key in [rows, openings, adjustments].map(TableScan::account_key) {
            next = match (next, key) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        next
    }

    /// Takes the entries of the account with this key, which is the next one, or one before it. Returns whether it has any.
    fn take(&mut self, key: &[u8], account: &mut Account) -> Result<bool, FoldError> {
        account.measured = None;
        account.row = Row::ZERO;
        let mut opening = Row::ZERO;
        account.adjusted = I256::ZERO;
        let mut is_found = false;
        match self {
            Self::Kept(kept) if kept.account_key() == Some(key) => {
                kept.take(account)?;
                return Ok(true);
            }
            Self::Kept(_) => {}
            Self::Stored {
                rows,
                openings,
                adjustments,
            } => {
                if rows.is_at(key) {
                    account.row = rows.row()?;
                    rows.advance()?;
                    is_found = true;
                }
                if openings.is_at(key) {
                    opening = openings.row()?;
                    openings.advance()?;
                    is_found = true;
                }
                if adjustments.is_at(key) {
                    account.adjusted = adjustments.row()?.delta;
                    adjustments.advance()?;
                    is_found = true;
                }
            }
        }
        (account.opening, account.withheld) = (opening.delta, opening.weighted);
        Ok(is_found)
    }
}

/// The statuses of an account in some tables.
fn statuses_of(
    store: &dyn Store,
    tables: &[AccountTable],
    bucket: u16,
    account: &AccountName<'_>,
) -> Result<Vec<KeptStatus>, FoldError> {
    let each = tables.iter();
    let each = each.map(|table| read_statuses(store, *table, bucket, account));
    Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
}

/// Whether a status with this value excludes an account that is its own owner. `account_key` is bucket and name of the account.
fn is_owners_exclusion(account_key: &[u8], value: &[u8]) -> bool {
    let is_exclusion = value.get(8) == Some(&(Status::Excluded as u8));
    is_exclusion
        && account_key
            .get(2..)
            .and_then(|name| std::str::from_utf8(name).ok())
            .is_some_and(|name| owner(name) == name)
}
