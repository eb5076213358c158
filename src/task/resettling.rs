//! Settles closed epochs again for the late postings of an epoch (contract, section 4: `resettle`), bucket by bucket.
//!
//! What an account held in a sealed epoch is not stored. Its rows are kept for the dedup window, so its opening balance follows: today's, less the
//! deltas of all epochs since. Only accounts with late postings, and with scope `owner` those of the same owner, cost anything.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ethnum::I256;

use crate::core::accrue::assess::Account;
use crate::core::accrue::resettle::{Resettlement, SealedAccount};
use crate::core::accrue::row::{Row, unit_ms};
use crate::core::accrue::wide::{magnitude, signed};
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::codec;
use crate::core::values::account::{AccountName, owner};
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::store::tables::AccountTable;
use crate::store::{Changes, Store, tables};
use crate::task::fold::FoldError;
use crate::task::table_scan::{TableScan, read_statuses};

/// What the late postings of a bucket change.
pub struct Resettling<'a> {
    store: &'a dyn Store,
    /// The epoch that is settled.
    at: AssetEpoch,
    late: TableScan<'a>,
    /// The closed epochs that were needed so far.
    sealed: BTreeMap<Epoch, Rc<Resettlement>>,
    /// The present bucket.
    bucket: Option<[u8; 2]>,
    /// By bucket and account, of the present bucket: what is made good, in units of the reward asset.
    made_good: BTreeMap<Vec<u8>, I256>,
    /// The key of the account handed out last.
    next: Vec<u8>,
    /// By key: what late postings add to S in a closed epoch, and the newest R'.
    corrected: Vec<(Vec<u8>, Row)>,
}

/// Late postings of one account, by the first epoch that they missed.
type LateRows = BTreeMap<Epoch, Row>;

/// The accounts of a bucket with late postings.
type LateAccounts = BTreeMap<AccountName<'static>, LateRows>;

/// The rows of an account in closed epochs, and its balance after the last of them.
struct AccountHistory {
    rows: BTreeMap<Epoch, Row>,
    balance: I256,
}

impl<'a> Resettling<'a> {
    /// For the late postings into the epoch `at`, from bucket `bucket` on.
    pub fn new(store: &'a dyn Store, at: AssetEpoch, bucket: u16) -> Result<Self, FoldError> {
        Ok(Self {
            store,
            at,
            late: TableScan::open(store, AccountTable::Late(at), bucket)?,
            sealed: BTreeMap::new(),
            bucket: None,
            made_good: BTreeMap::new(),
            next: Vec::new(),
            corrected: Vec::new(),
        })
    }

    /// The next account, by bucket and name: `next` of the other tables, or one before it for which something is made good. A late posting has a row in
    /// its bucket, so no bucket is passed over.
    pub fn next_key<'k>(&'k mut self, next: Option<&'k [u8]>) -> Result<Option<&'k [u8]>, FoldError> {
        let bucket = next.and_then(|key| key.first_chunk::<2>());
        if let Some(bucket) = bucket
            && self.made_good.is_empty()
            && self.bucket != Some(*bucket)
        {
            self.bucket = Some(*bucket);
            self.settle_bucket(*bucket)?;
        }
        match (self.made_good.first_key_value(), next) {
            (Some((made_good, _)), Some(next)) if next <= made_good.as_slice() => Ok(Some(next)),
            (Some((made_good, _)), _) => {
                self.next.clone_from(made_good);
                Ok(Some(&self.next))
            }
            (None, next) => Ok(next),
        }
    }

    /// What is made good for an account; it is handed out once.
    pub fn take(&mut self, account_key: &[u8]) -> I256 {
        self.made_good.remove(account_key).unwrap_or_default()
    }

    /// Keeps what was corrected, up to bucket `last`; without it, all.
    pub fn keep(self, last: Option<u16>, changes: &mut Changes) {
        for (key, row) in &self.corrected {
            if last.is_some_and(|last| tables::bucket(key).is_some_and(|bucket| bucket > last)) {
                break;
            }
            changes.put_row(key, *row);
        }
    }

    /// Settles closed epochs again for all late postings of a bucket.
    fn settle_bucket(&mut self, bucket: [u8; 2]) -> Result<(), FoldError> {
        let late = self.read_late(bucket)?;
        let bucket = u16::from_be_bytes(bucket);
        let Some(first) = late.values().filter_map(|rows| rows.keys().next()).min().copied() else {
            return Ok(());
        };
        let mut histories: BTreeMap<AccountName<'static>, AccountHistory> = BTreeMap::new();
        for closed in AssetEpoch::new(self.at.number(), first)?.up_to(self.at) {
            let resettlement = self.sealed(closed)?;
            for group in self.groups(bucket, closed, &resettlement, &late, first)? {
                let mut sealed = Vec::with_capacity(group.len());
                for name in group {
                    if !histories.contains_key(&name) {
                        histories.insert(name.clone(), self.history(bucket, &name, first)?);
                    }
                    let history = histories.get(&name).ok_or_else(|| impossible("no history"))?;
                    let late = late.get(&name);
                    sealed.push(self.sealed_account(bucket, closed, name, history, late, &resettlement)?);
                }
                self.settle_group(closed, &resettlement, &sealed)?;
            }
        }
        self.made_good.retain(|_, amount| *amount != I256::ZERO);
        Ok(())
    }

    /// The late postings of a bucket.
    fn read_late(&mut self, bucket: [u8; 2]) -> Result<LateAccounts, FoldError> {
        let mut accounts = LateAccounts::new();
        while let Some(key) = self.late.account_key() {
            let Some(of) = key.first_chunk::<2>().filter(|of| **of <= bucket) else {
                break;
            };
            if *of == bucket {
                let (_, name) = tables::split_account_key(key)?;
                let missed = tables::missed_epoch(self.late.key())?;
                let row = self.late.row()?;
                accounts.entry(name.into_owned()).or_default().insert(missed, row);
            }
            self.late.advance()?;
        }
        Ok(accounts)
    }

    fn sealed(&mut self, at: AssetEpoch) -> Result<Rc<Resettlement>, FoldError> {
        if let Some(resettlement) = self.sealed.get(&at.epoch()) {
            return Ok(Rc::clone(resettlement));
        }
        let stored = self.store.get(&tables::sealed(at))?;
        let stored = stored.ok_or_else(|| {
            impossible(format!(
                "a late posting missed epoch {}, of which nothing is kept",
                at.epoch()
            ))
        })?;
        let resettlement = Rc::new(Resettlement::new(&codec::decode(&stored, "a sealed epoch")?)?);
        self.sealed.insert(at.epoch(), Rc::clone(&resettlement));
        Ok(resettlement)
    }

    /// The accounts that a closed epoch is settled again for, in groups that are settled together.
    fn groups(
        &self,
        bucket: u16,
        closed: AssetEpoch,
        resettlement: &Resettlement,
        late: &LateAccounts,
        first: Epoch,
    ) -> Result<Vec<Vec<AccountName<'static>>>, FoldError> {
        let missed = |rows: &LateRows| rows.keys().next().is_some_and(|first| *first <= closed.epoch());
        let accounts = late.iter().filter(|(_, rows)| missed(rows)).map(|(name, _)| name);
        if !resettlement.assessor().is_by_owner() {
            return Ok(accounts.map(|name| vec![name.clone()]).collect());
        }
        let mut owners: BTreeMap<&str, BTreeSet<AccountName<'static>>> = BTreeMap::new();
        for name in accounts {
            owners.entry(name.owner()).or_default().insert(name.clone());
        }
        for (owner, members) in &mut owners {
            self.add_members(bucket, owner, first, members)?;
        }
        Ok(owners
            .into_values()
            .map(|members| members.into_iter().collect())
            .collect())
    }

    /// Adds the accounts of an owner that have a balance now, or a row since `first`. All that held something since then are among them.
    fn add_members(
        &self,
        bucket: u16,
        owner: &str,
        first: Epoch,
        members: &mut BTreeSet<AccountName<'static>>,
    ) -> Result<(), FoldError> {
        let of_rows = AssetEpoch::new(self.at.number(), first)?
            .up_to(self.at)
            .map(AccountTable::Rows);
        let own = AccountName::written_before(owner).map_err(|_| impossible("an owner without a name"))?;
        members.insert(own.into_owned());
        for table in [AccountTable::Openings(self.at.number())].into_iter().chain(of_rows) {
            let (from, to) = table.sub_account_range(bucket, owner);
            let mut scan = self.store.scan(&from, &to)?;
            while let Some((key, _)) = scan.next()? {
                let (_, name) = tables::split_account_key(table.account_key(key)?)?;
                members.insert(name.into_owned());
            }
        }
        Ok(())
    }

    fn history(&self, bucket: u16, name: &AccountName<'_>, first: Epoch) -> Result<AccountHistory, FoldError> {
        let mut key = Vec::new();
        tables::opening(&mut key, self.at.number(), bucket, name);
        let opening = self.row(&key)?.unwrap_or_default();
        let mut rows = BTreeMap::new();
        for at in AssetEpoch::new(self.at.number(), first)?.up_to(self.at) {
            tables::row_key(&mut key, at, bucket, name);
            if let Some(row) = self.row(&key)? {
                rows.insert(at.epoch(), row);
            }
        }
        Ok(AccountHistory {
            rows,
            balance: opening.delta,
        })
    }

    fn row(&self, key: &[u8]) -> Result<Option<Row>, FoldError> {
        let value = self.store.get(key)?;
        Ok(value.map(|value| tables::read_row(&value)).transpose()?)
    }

    fn sealed_account(
        &self,
        bucket: u16,
        closed: AssetEpoch,
        name: AccountName<'static>,
        history: &AccountHistory,
        late: Option<&LateRows>,
        resettlement: &Resettlement,
    ) -> Result<SealedAccount, FoldError> {
        let mut key = Vec::new();
        tables::resettled(&mut key, closed, bucket, &name);
        let before = self.row(&key)?;
        let length_ms = resettlement.assessor().settlement().terms.calendar.length_ms();
        let added = late_part(late, closed.epoch(), length_ms)?;
        let late = before.map_or(I256::ZERO, |row| row.delta).checked_add(added);
        let statuses = |account: &AccountName<'_>| -> Result<_, FoldError> {
            let mut all = read_statuses(self.store, AccountTable::Statuses, bucket, account)?;
            all.extend(read_statuses(self.store, AccountTable::SetAside, bucket, account)?);
            Ok(all)
        };
        let mut account = Account::new(bucket, name);
        account.opening = history.opening(closed.epoch())?;
        account.row = history.rows.get(&closed.epoch()).copied().unwrap_or_default();
        account.statuses = statuses(&account.name)?;
        let of_owner = owner(account.name.as_str());
        if of_owner != account.name.as_str() {
            let of_owner = AccountName::written_before(of_owner).map_err(|_| impossible("an owner without a name"))?;
            account.owner_statuses = statuses(&of_owner)?;
        }
        Ok(SealedAccount {
            account,
            late: late.ok_or(Fault::Overflow("an account's balance-milliseconds"))?,
            rewarded_again: before.map(|row| magnitude(row.weighted)),
        })
    }

    fn settle_group(
        &mut self,
        closed: AssetEpoch,
        resettlement: &Resettlement,
        group: &[SealedAccount],
    ) -> Result<(), FoldError> {
        let corrections = resettlement.settle_again(group)?;
        for (one, correction) in group.iter().zip(corrections) {
            let resettled = correction.resettled;
            if one.late == I256::ZERO && resettled.made_good == I256::ZERO && one.rewarded_again.is_none() {
                continue;
            }
            let Account { bucket, name, .. } = &one.account;
            let mut account_key = bucket.to_be_bytes().to_vec();
            account_key.extend_from_slice(name.as_str().as_bytes());
            let sum = self.made_good.entry(account_key).or_default();
            *sum = sum
                .checked_add(resettled.made_good)
                .ok_or(Fault::Overflow("what is made good"))?;
            let mut key = Vec::new();
            tables::resettled(&mut key, closed, *bucket, name);
            let row = Row {
                delta: one.late,
                weighted: signed(resettled.rewarded)?,
            };
            self.corrected.push((key, row));
        }
        Ok(())
    }
}

/// What late postings add to S in the closed epoch `closed`, in unit-milliseconds: from their time in the epoch that it lies in, and all of each later
/// one.
fn late_part(late: Option<&LateRows>, closed: Epoch, length_ms: u64) -> Result<I256, Fault> {
    let mut sum = I256::ZERO;
    for (missed, row) in late.into_iter().flatten().take_while(|(missed, _)| **missed <= closed) {
        let added = if *missed == closed {
            Some(row.weighted)
        } else {
            unit_ms(row.delta, length_ms)
        };
        sum = added
            .and_then(|added| sum.checked_add(added))
            .ok_or(Fault::Overflow("late balance-milliseconds"))?;
    }
    Ok(sum)
}

impl AccountHistory {
    /// The balance at the start of a closed epoch.
    fn opening(&self, epoch: Epoch) -> Result<I256, Fault> {
        let mut since = self.rows.range(epoch..);
        since
            .try_fold(self.balance, |balance, (_, row)| balance.checked_sub(row.delta))
            .ok_or(Fault::Overflow("an account's balance"))
    }
}
