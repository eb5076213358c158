//! What the ledger has of an account, read beside the accrue task that has it: for the estimates of the read side.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bus::Topic;
use crate::core::accrue::eligibility::KeptStatus;
use crate::core::values::account::AccountName;
use crate::core::values::bucket::bucket;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;
use crate::deployment::account::{StoredHolding, stored_holding};
use crate::deployment::layout::LedgerLayout;
use crate::deployment::state_directory::{LiveReader, StoreOwner};
use crate::store::Store;
use crate::store::tables::AccountTable;
use crate::task::TaskError;
use crate::task::fold::FoldError;
use crate::task::table_scan::read_statuses;

/// The ledger partitions that this process has, to read them beside their tasks.
#[derive(Clone)]
pub struct LiveLedger {
    stores: LiveReader,
    layout: LedgerLayout,
}

impl fmt::Debug for LiveLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveLedger({})", self.layout)
    }
}

/// What a ledger partition has of an account, as of the newest commit of its accrue task. Numbers are whole, as text: units of the asset, or of the
/// reward asset for `withheld`, and unit-milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerHoldings {
    pub account: String,
    /// The ledger partition.
    pub partition: u16,
    /// The offset of the next ledger record that the task reads.
    pub offset: Offset,
    /// Assets of which it has nothing are left out.
    pub assets: Vec<LedgerHolding>,
    pub statuses: Vec<KeptStatus>,
    /// Those of the owner's own account; none if the account is its own owner.
    pub owner_statuses: Vec<KeptStatus>,
}

/// What a ledger partition has of an account and an asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerHolding {
    /// The number of the asset, in the order of the accepted listings.
    pub number: u16,
    /// The first epoch that is not settled for the account; 0 before any is.
    pub unsettled_from: Epoch,
    /// The balance at the start of that epoch, in units.
    pub opening: String,
    /// The part of the due that was not paid, in units; negative for a debt.
    pub withheld: String,
    /// Unsettled epochs with postings, oldest first.
    pub epochs: Vec<LedgerEpoch>,
}

/// The postings of an account into an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEpoch {
    pub epoch: Epoch,
    /// The sum of the postings, in units.
    pub delta: String,
    /// The sum of each posting times the milliseconds from it to the end of the epoch.
    pub weighted: String,
}

impl LiveLedger {
    pub(super) const fn new(stores: LiveReader, layout: LedgerLayout) -> Self {
        Self { stores, layout }
    }

    /// What the ledger has of an account, of the assets numbered below `assets`. `None` if no task of this process has its partition.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn read(&self, account: &AccountName<'_>, assets: u16) -> Result<Option<LedgerHoldings>, TaskError> {
        let bucket = bucket(account.as_str());
        let partition = self.layout.partitions.of(bucket);
        let owner = StoreOwner::Accrue(partition, self.layout);
        let found = self.stores.read(owner, |store| {
            let offset = store.position().offset(Topic::Ledger.partition(partition.into()));
            let mut holdings = LedgerHoldings {
                account: account.as_str().to_owned(),
                partition,
                offset,
                assets: Vec::new(),
                statuses: statuses(store, bucket, account)?,
                owner_statuses: Vec::new(),
            };
            if account.owner() != account.as_str()
                && let Ok(owner) = AccountName::new(account.owner())
            {
                holdings.owner_statuses = statuses(store, bucket, &owner)?;
            }
            for number in 0..assets {
                if let Some(stored) = stored_holding(store, number, bucket, account)? {
                    holdings.assets.push(LedgerHolding::new(number, &stored));
                }
            }
            Ok(holdings)
        })?;
        let found = found.transpose();
        found.map_err(|error: FoldError| error.at("a look at an account"))
    }
}

fn statuses(store: &dyn Store, bucket: u16, account: &AccountName<'_>) -> Result<Vec<KeptStatus>, FoldError> {
    read_statuses(store, AccountTable::Statuses, bucket, account)
}

impl LedgerHolding {
    fn new(number: u16, stored: &StoredHolding) -> Self {
        let epochs = stored.rows.iter().map(|(epoch, row)| LedgerEpoch {
            epoch: *epoch,
            delta: row.delta.to_string(),
            weighted: row.weighted.to_string(),
        });
        Self {
            number,
            unsettled_from: stored.unsettled_from,
            opening: stored.opening.delta.to_string(),
            withheld: stored.opening.weighted.to_string(),
            epochs: epochs.collect(),
        }
    }
}
