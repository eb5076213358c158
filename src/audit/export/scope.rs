//! Which records are asked for.

use std::collections::BTreeMap;

use crate::audit::asked::{AskedError, AskedPeriod, EpochProgress, Inventory, ResolvedPeriod};
use crate::core::values::account::AccountName;

/// The accounts that are asked for, each with the number of its records. If none is asked for, all accounts are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AskedAccounts(BTreeMap<Box<str>, u64>);

impl AskedAccounts {
    pub fn new<'a>(names: impl IntoIterator<Item = AccountName<'a>>) -> Self {
        Self(names.into_iter().map(|name| (Box::from(name.as_str()), 0)).collect())
    }

    /// The text that each of their records holds, if only one account is asked for.
    pub(super) fn only(&self) -> Option<String> {
        let mut names = self.0.keys();
        match (names.next(), names.next()) {
            (Some(name), None) => Some(name.to_string()),
            _ => None,
        }
    }

    /// Whether a record of this account is asked for.
    pub(super) fn has(&self, account: &str) -> bool {
        self.0.is_empty() || self.0.contains_key(account)
    }

    /// Counts a record of this account.
    pub(super) fn count(&mut self, account: &str) {
        if let Some(records) = self.0.get_mut(account) {
            *records += 1;
        }
    }

    /// Those that no record was of.
    #[must_use]
    pub fn without_records(&self) -> Vec<&str> {
        let without = self.0.iter().filter(|(_, records)| **records == 0);
        without.map(|(name, _)| &**name).collect()
    }

    /// Whether accounts are asked for, and no record was of any of them.
    #[must_use]
    pub fn are_absent(&self) -> bool {
        !self.0.is_empty() && self.0.values().all(|records| *records == 0)
    }
}

/// What is asked for, and how much of it is there.
#[derive(Debug, Clone)]
pub struct ExportScope {
    pub asked: AskedPeriod,
    pub accounts: AskedAccounts,
    pub(super) inventory: Inventory,
    needed: EpochProgress,
    resolved: ResolvedPeriod,
}

impl ExportScope {
    /// Looks at which epochs are there. They have to be as far as `needed`; `Open` is for records that need no close.
    ///
    /// # Errors
    /// If an asset is not listed, or no epoch is there.
    pub fn new(
        inventory: Inventory,
        asked: AskedPeriod,
        accounts: AskedAccounts,
        needed: EpochProgress,
    ) -> Result<Self, AskedError> {
        let resolved = inventory.resolve_period(asked.clone(), needed)?;
        let scope = Self {
            asked,
            accounts,
            inventory,
            needed,
            resolved,
        };
        if scope.resolved.is_nothing() {
            scope.check_epochs()?;
        }
        Ok(scope)
    }

    /// Checks that all epochs of the question are there.
    ///
    /// # Errors
    /// `Nothing`, `Incomplete` or `NoEpoch`.
    pub fn check_epochs(&self) -> Result<(), AskedError> {
        match self.needed {
            EpochProgress::Open | EpochProgress::Absent => self.resolved.check_exists(),
            EpochProgress::Closed | EpochProgress::Sealed => self.resolved.check(),
        }
    }
}

/// What was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExportedRows {
    /// Rows that were written.
    pub rows: u64,
    /// Records that were asked for, of epochs that were not sealed when the export began.
    pub unsealed: u64,
}
