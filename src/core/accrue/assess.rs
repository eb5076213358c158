//! Assesses one account in one epoch. The sum, the shares and the explanations all use this, so they agree.

use ethnum::I256;
use ruint::aliases::U512;

use crate::core::accrue::eligibility::{KeptStatus, is_excluded};
use crate::core::accrue::row::Row;
use crate::core::accrue::settle::{Holding, Measure, Rules};
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
    /// The amount withheld below `min_payout` before, in units.
    pub withheld: U512,
    /// The sums of its postings into the epoch.
    pub row: Row,
    /// All its statuses.
    pub statuses: Vec<KeptStatus>,
}

impl Account {
    /// An account that holds nothing.
    #[must_use]
    pub const fn new(bucket: u16, name: AccountName<'static>) -> Self {
        Self {
            bucket,
            name,
            opening: I256::ZERO,
            withheld: U512::ZERO,
            row: Row::ZERO,
            statuses: Vec::new(),
        }
    }
}

/// Measures accounts under one settlement.
#[derive(Debug)]
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
            rules: Rules::new(&settlement.terms, &settlement.programme)?,
            start_ms: settlement.terms.calendar.start_ms(epoch),
            end_ms: settlement.terms.calendar.end_ms(epoch),
            settlement: settlement.clone(),
        })
    }

    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Measures an account, its statuses included.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn measure(&self, account: &Account) -> Result<Measure, Fault> {
        let excluded = is_excluded(
            &account.statuses,
            self.settlement.programme.enrolment,
            &self.settlement.cut,
            self.start_ms,
            self.end_ms,
        );
        self.rules.measure(&Holding {
            opening: account.opening,
            row: account.row,
            excluded,
        })
    }
}

/// The first pass over the accounts of an epoch: their sums.
#[derive(Debug)]
pub struct Summing {
    assessor: Assessor,
    sums: Subtotal,
}

impl Summing {
    /// # Errors
    /// None for a programme that was accepted.
    pub fn new(settlement: &Settlement) -> Result<Self, Fault> {
        Ok(Self {
            assessor: Assessor::new(settlement)?,
            sums: Subtotal::default(),
        })
    }

    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn add_account(&mut self, account: &Account) -> Result<(), Fault> {
        let measure = self.assessor.measure(account)?;
        self.sums.add_account(account.withheld, &measure)
    }

    #[must_use]
    pub const fn sums(&self) -> Subtotal {
        self.sums
    }
}
