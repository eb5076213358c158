//! Assesses accounts in one epoch. The sum, the shares and the explanations all use this, so they agree.

use std::collections::BTreeMap;

use ethnum::I256;
use ruint::aliases::U512;

use crate::core::accrue::eligibility::{Eligibility, KeptStatus, StatusScope};
use crate::core::accrue::row::Row;
use crate::core::accrue::settle::{Measure, Rules};
use crate::core::accrue::wide::{divide, magnitude, sum, times};
use crate::core::contract::programme::Scope;
use crate::core::fault::Fault;
use crate::core::protocol::messages::Settlement;
use crate::core::protocol::totals::Subtotal;
use crate::core::values::account::AccountName;

/// All that is known of an account in an epoch that is being settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub bucket: u16,
    pub name: AccountName<'static>,
    /// Its balance at the start of the epoch, in units.
    pub opening: I256,
    /// The part of its due that was not paid before, in units of the reward asset. A debt is negative.
    pub withheld: I256,
    /// The sums of its postings into the epoch.
    pub row: Row,
    /// Sum of its reward adjustments that count in the epoch, in units of the reward asset.
    pub adjusted: I256,
    /// What closed epochs pay more or less because of late postings, in units of the reward asset.
    pub made_good: I256,
    /// All its statuses.
    pub statuses: Vec<KeptStatus>,
    /// All statuses of its owner's own account, if it is a sub-account.
    pub owner_statuses: Vec<KeptStatus>,
    /// How it was measured before, under the same settlement. Then row and statuses are not needed, and may be missing.
    pub measured: Option<Measure>,
}

impl Account {
    /// An account that holds nothing.
    #[must_use]
    pub const fn new(bucket: u16, name: AccountName<'static>) -> Self {
        Self {
            bucket,
            name,
            opening: I256::ZERO,
            withheld: I256::ZERO,
            row: Row::ZERO,
            adjusted: I256::ZERO,
            made_good: I256::ZERO,
            statuses: Vec::new(),
            owner_statuses: Vec::new(),
            measured: None,
        }
    }
}

/// Measures accounts under one settlement.
#[derive(Debug, Clone)]
pub struct Assessor {
    rules: Rules,
    settlement: Settlement,
    start_ms: i128,
    end_ms: i128,
}

impl Assessor {
    /// # Errors
    /// None for a programme that was accepted.
    pub fn new(settlement: &Settlement) -> Result<Self, Fault> {
        let epoch = settlement.at.epoch();
        Ok(Self {
            rules: Rules::new(settlement)?,
            start_ms: settlement.terms.calendar.start_ms(epoch),
            end_ms: settlement.terms.calendar.end_ms(epoch),
            settlement: settlement.clone(),
        })
    }

    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    #[must_use]
    pub const fn settlement(&self) -> &Settlement {
        &self.settlement
    }

    /// Whether minimum, cap and tiers apply to an owner's accounts together.
    #[must_use]
    pub fn is_by_owner(&self) -> bool {
        self.settlement.programme.scope == Scope::Owner
    }

    /// For judging statuses in this epoch.
    #[must_use]
    pub const fn status_scope(&self) -> StatusScope<'_> {
        StatusScope {
            asset: self.settlement.terms.asset,
            cut: &self.settlement.cut,
            start_ms: self.start_ms,
            end_ms: self.end_ms,
        }
    }

    /// Measures accounts into `measures`, in their order. With scope `owner`, all accounts of an owner must be among them, and either all of them that
    /// hold anything were measured before, or none.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn measure(&self, accounts: &[Account], measures: &mut Vec<Measure>) -> Result<(), Fault> {
        measures.clear();
        for account in accounts {
            if let Some(measured) = account.measured {
                measures.push(measured);
                continue;
            }
            let enrolment = self.settlement.programme.enrolment;
            let verdict = self
                .status_scope()
                .verdict(&account.statuses, &account.owner_statuses, enrolment);
            measures.push(self.rules.hold(account.opening, account.row, verdict)?);
        }
        if self.is_by_owner() {
            return self.weigh_owners(accounts, measures);
        }
        for (_, measure) in unmeasured(accounts, measures) {
            if let Some(held) = measure.positive() {
                measure.eligibility = self.rules.weigh(held)?;
            }
        }
        Ok(())
    }

    /// Measures one account, whose programme has the scope `account`.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn measure_one(&self, account: &Account) -> Result<Measure, Fault> {
        let mut measures = Vec::with_capacity(1);
        self.measure(std::slice::from_ref(account), &mut measures)?;
        measures
            .pop()
            .ok_or_else(|| crate::core::fault::impossible("an account without a measure"))
    }

    /// Applies minimum, cap and tiers to the sum of each owner's positive accounts, and divides what comes of it among them.
    fn weigh_owners(&self, accounts: &[Account], measures: &mut [Measure]) -> Result<(), Fault> {
        let mut owners: BTreeMap<&str, U512> = BTreeMap::new();
        for (account, measure) in unmeasured(accounts, measures) {
            if let Some(held) = measure.positive() {
                let together = owners.entry(account.name.owner()).or_default();
                *together = sum(*together, held, "an owner's balance-milliseconds")?;
            }
        }
        for (account, measure) in unmeasured(accounts, measures) {
            let Some(held) = measure.positive() else { continue };
            let together = owners.get(account.name.owner()).copied().unwrap_or(held);
            measure.eligibility = self.rules.weigh(together)?.part(held, together)?;
        }
        Ok(())
    }
}

/// The accounts that were not measured before, with their measures.
fn unmeasured<'a, 'm>(
    accounts: &'a [Account],
    measures: &'m mut [Measure],
) -> impl Iterator<Item = (&'a Account, &'m mut Measure)> {
    let all = accounts.iter().zip(measures);
    all.filter(|(account, _)| account.measured.is_none())
}

impl Eligibility {
    /// The part of an account that holds `held` of its owner's `together` unit-milliseconds.
    fn part(self, held: U512, together: U512) -> Result<Self, Fault> {
        let Self::Eligible { counted, weight } = self else {
            return Ok(self);
        };
        if held == together {
            return Ok(self);
        }
        let part = |whole: U512| divide(times(whole, held, "an account's part of its owner's weight")?, together);
        Ok(Self::Eligible {
            counted: part(counted)?,
            weight: part(weight)?,
        })
    }
}

impl Measure {
    /// S of an account that may earn, if it is positive; whether it reaches the minimum is not decided.
    fn positive(&self) -> Option<U512> {
        let may_earn = matches!(
            self.eligibility,
            Eligibility::Eligible { .. } | Eligibility::BelowMinimum
        );
        may_earn.then(|| magnitude(self.held))
    }
}

/// The first pass over the accounts of an epoch: their sums.
#[derive(Debug)]
pub struct Summing {
    assessor: Assessor,
    measures: Vec<Measure>,
    sums: Subtotal,
}

impl Summing {
    /// # Errors
    /// None for a programme that was accepted.
    pub fn new(settlement: &Settlement) -> Result<Self, Fault> {
        Ok(Self {
            assessor: Assessor::new(settlement)?,
            measures: Vec::new(),
            sums: Subtotal::default(),
        })
    }

    /// Whether [`Self::add_accounts`] needs all accounts of a bucket at once.
    #[must_use]
    pub fn is_by_owner(&self) -> bool {
        self.assessor.is_by_owner()
    }

    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn add_accounts(&mut self, accounts: &[Account]) -> Result<(), Fault> {
        self.assessor.measure(accounts, &mut self.measures)?;
        for (account, measure) in accounts.iter().zip(&self.measures) {
            self.sums.add_account(account.withheld, measure)?;
        }
        Ok(())
    }

    /// The measures of the last accounts that were added.
    #[must_use]
    pub fn measures(&self) -> &[Measure] {
        &self.measures
    }

    #[must_use]
    pub const fn sums(&self) -> Subtotal {
        self.sums
    }
}
