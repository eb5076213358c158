//! Finds the statuses that later epochs do not need, while a walk over the accounts passes all statuses.

use std::ops::Range;

use crate::core::accrue::eligibility::KeptStatus;
use crate::core::accrue::statuses::AsideLimit;
use crate::store::{Changes, tables};
use crate::task::fold::FoldError;

/// Bytes of statuses to set aside in one transaction, about. What is more waits for the next epoch.
const MAX_BYTES: usize = 64 << 20;

/// Statuses, each with the ranges of its key and value in one buffer: most accounts have one, and it needs no allocation.
#[derive(Debug, Default)]
struct StoredStatuses {
    bytes: Vec<u8>,
    entries: Vec<(Range<usize>, Range<usize>)>,
}

impl StoredStatuses {
    fn push(&mut self, key: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.entries.push((start..middle, middle..self.bytes.len()));
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let part = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        self.entries.iter().map(move |(key, value)| (part(key), part(value)))
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
}

/// The superseded statuses that were found.
#[derive(Debug)]
pub struct SupersededStatuses {
    limit: AsideLimit,
    /// Bucket and name of the account whose statuses are passed.
    account_key: Vec<u8>,
    of_account: StoredStatuses,
    found: StoredStatuses,
}

impl SupersededStatuses {
    pub fn new(limit: AsideLimit) -> Self {
        Self {
            limit,
            account_key: Vec::new(),
            of_account: StoredStatuses::default(),
            found: StoredStatuses::default(),
        }
    }

    /// Passes a status. `account_key` is bucket and name of its account. The statuses of an account follow one another.
    pub fn pass(&mut self, account_key: &[u8], key: &[u8], value: &[u8]) -> Result<(), FoldError> {
        if self.account_key != account_key {
            self.end_account()?;
            self.account_key.clear();
            self.account_key.extend_from_slice(account_key);
        }
        self.of_account.push(key, value);
        Ok(())
    }

    fn end_account(&mut self) -> Result<(), FoldError> {
        if self.of_account.entries.len() > 1 && self.found.bytes.len() < MAX_BYTES {
            let statuses: Vec<KeptStatus> = self
                .of_account
                .iter()
                .map(|(key, value)| tables::read_status(key, value))
                .collect::<Result<_, _>>()?;
            let superseded = self.limit.superseded(&statuses);
            for (is_superseded, (key, value)) in superseded.into_iter().zip(self.of_account.iter()) {
                if is_superseded {
                    self.found.push(key, value);
                }
            }
        }
        self.of_account.clear();
        Ok(())
    }

    /// Moves what was found to the statuses set aside, up to bucket `last`; without it, all of it.
    pub fn set_aside(mut self, last: Option<u16>, changes: &mut Changes) -> Result<(), FoldError> {
        self.end_account()?;
        let mut moved = Vec::new();
        for (key, value) in self.found.iter() {
            if last.is_some_and(|last| tables::bucket(key).is_some_and(|bucket| bucket > last)) {
                break;
            }
            changes.delete(key);
            moved.clear();
            moved.extend_from_slice(key);
            tables::set_aside(&mut moved);
            changes.put(&moved, value);
        }
        Ok(())
    }
}
