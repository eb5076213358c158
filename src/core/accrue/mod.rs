//! The fold over one ledger partition: blocks are added up, and once the barriers of all sources are in, epochs are settled.

pub mod eligibility;
pub mod row;
pub mod settle;

use std::collections::{BTreeMap, BTreeSet};

use ethnum::I256;
use ruint::aliases::U512;
use serde::{Deserialize, Serialize};

use crate::core::accrue::eligibility::KeptStatus;
use crate::core::accrue::row::Row;
use crate::core::accrue::settle::{Eligibility, Holding, Rules};
use crate::core::contract::appends::Outputs;
use crate::core::contract::merkle::{BucketTree, EMPTY_ROOT, Hash, epoch_root};
use crate::core::contract::records::{Distribution, timestamp};
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::codec;
use crate::core::protocol::ledger::{Entry, LedgerRecord, StatusEntry};
use crate::core::protocol::messages::{Inbox, Notice, Settlement};
use crate::core::protocol::totals::{Emitted, Subtotal};
use crate::core::values::bucket::Partitions;
use crate::core::values::ids::AssetEpoch;

/// Where accrual puts what it adds up.
pub trait Rows {
    /// Adds `row` to the row of an account in an epoch.
    fn add(&mut self, at: AssetEpoch, bucket: u16, account: &str, row: Row);
    /// Keeps a status.
    fn keep(&mut self, source: TopicPartition, status: &StatusEntry<'_>);
}

/// The state of an accrue task, but for its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accrue {
    /// Epochs whose settlement has been heard of and is not done.
    settling: BTreeMap<AssetEpoch, Settling>,
    /// The next epoch to settle of each asset; 0 if absent.
    next: BTreeMap<u16, u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Settling {
    settlement: Option<Box<Settlement>>,
    barriers: BTreeSet<TopicPartition>,
    stage: Stage,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// Waiting for barriers.
    #[default]
    Open,
    /// The subtotal is sent.
    Summed { weight: U512 },
    /// The total is known; distributions go out.
    Sharing(Box<Sharing>),
}

/// An emission under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sharing {
    to_share: U512,
    total: U512,
    /// What this partition's weights must add up to at the end.
    expected: U512,
    emitted: Emitted,
    roots: Vec<(u16, Hash)>,
}

/// Work that the records so far have set off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Add up the accounts of an epoch: begin with a [`Summing`], end with [`Accrue::summed`].
    Sum(AssetEpoch),
    /// Emit the distributions of an epoch bucket by bucket: [`Accrue::emitting`], then [`Accrue::emitted`].
    Emit(AssetEpoch),
}

/// An account of an epoch that is being settled: all that is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Its bucket.
    pub bucket: u16,
    /// Its name.
    pub name: String,
    /// Its balance at the epoch's start, in units.
    pub opening: I256,
    /// What was withheld before, in units.
    pub withheld: U512,
    /// What its postings of the epoch add up to.
    pub row: Row,
    /// Its statuses, all of them.
    pub statuses: Vec<KeptStatus>,
}

impl Accrue {
    /// Applies a record of the ledger.
    ///
    /// # Errors
    /// A fault.
    pub fn apply(&mut self, record: &[u8], rows: &mut impl Rows) -> Result<(), Fault> {
        match LedgerRecord::read(record)? {
            LedgerRecord::Block(mut block) => {
                while let Some(entry) = block.next_entry()? {
                    match entry {
                        Entry::Posting(posting) => {
                            let row = Row::posting(posting.delta, posting.before_end_ms)
                                .ok_or(Fault::Overflow("a posting"))?;
                            rows.add(posting.at, posting.bucket, posting.account, row);
                        }
                        Entry::Status(status) => rows.keep(block.source, &status),
                    }
                }
                Ok(())
            }
            LedgerRecord::Notice(notice) => self.notice(notice),
        }
    }

    fn notice(&mut self, notice: Notice) -> Result<(), Fault> {
        match notice {
            Notice::Barrier { at, source } => {
                if !self.settling.entry(at).or_default().barriers.insert(source) {
                    return Err(impossible(format!(
                        "a second barrier of {source} for epoch {}",
                        at.epoch
                    )));
                }
            }
            Notice::Settle(settlement) => {
                let at = settlement.at;
                self.settling.entry(at).or_default().settlement = Some(settlement);
            }
            Notice::Total { at, to_share, weight } => {
                let settling = self
                    .settling
                    .get_mut(&at)
                    .ok_or_else(|| impossible("a total of an unknown epoch"))?;
                let Stage::Summed { weight: expected } = settling.stage else {
                    return Err(impossible("a total of an epoch that has not been summed"));
                };
                settling.stage = Stage::Sharing(Box::new(Sharing {
                    to_share,
                    total: weight,
                    expected,
                    emitted: Emitted::default(),
                    roots: Vec::new(),
                }));
            }
        }
        Ok(())
    }

    /// The next work to do before another record is applied.
    #[must_use]
    pub fn job(&self) -> Option<Job> {
        self.settling.iter().find_map(|(at, settling)| {
            if self.next.get(&at.number).copied().unwrap_or(0) != at.epoch {
                return None;
            }
            match &settling.stage {
                Stage::Open => {
                    let cut = &settling.settlement.as_ref()?.cut;
                    let complete = cut.0.keys().all(|source| settling.barriers.contains(source));
                    complete.then_some(Job::Sum(*at))
                }
                Stage::Summed { .. } => None,
                Stage::Sharing(_) => Some(Job::Emit(*at)),
            }
        })
    }

    /// The epochs whose settlement has been heard of and is not done.
    pub fn unsettled(&self) -> impl Iterator<Item = AssetEpoch> {
        self.settling.keys().copied()
    }

    /// Whether no settlement is further than waiting for barriers: then all partitions of a ledger that is read to its end are in the same state.
    #[must_use]
    pub fn is_between_settlements(&self) -> bool {
        self.job().is_none() && self.settling.values().all(|settling| settling.stage == Stage::Open)
    }

    fn settlement(&self, at: AssetEpoch) -> Result<&Settlement, Fault> {
        self.settling
            .get(&at)
            .and_then(|settling| settling.settlement.as_deref())
            .ok_or_else(|| impossible("work on an epoch without a settlement"))
    }

    /// Begins to add up the accounts of an epoch.
    ///
    /// # Errors
    /// A fault.
    pub fn summing(&self, at: AssetEpoch) -> Result<Summing, Fault> {
        let settlement = self.settlement(at)?;
        Ok(Summing {
            assessor: Assessor::new(settlement)?,
            sums: Subtotal::default(),
        })
    }

    /// Sends the subtotal of ledger partition `partition`.
    ///
    /// # Errors
    /// A fault.
    pub fn summed(&mut self, at: AssetEpoch, partition: u32, sums: Subtotal, out: &mut Outputs) -> Result<(), Fault> {
        let settling = self
            .settling
            .get_mut(&at)
            .ok_or_else(|| impossible("a subtotal of an unknown epoch"))?;
        settling.stage = Stage::Summed { weight: sums.weight };
        out.push(
            Topic::Inbox.partition(0),
            &[],
            &codec::encode(&Inbox::Subtotal { partition, at, sums })?,
        );
        Ok(())
    }

    /// Begins, or goes on with, the emission of an epoch's distributions.
    ///
    /// # Errors
    /// A fault.
    pub fn emitting(&self, at: AssetEpoch) -> Result<Emitting, Fault> {
        let settlement = self.settlement(at)?;
        let Some(Stage::Sharing(sharing)) = self.settling.get(&at).map(|settling| &settling.stage) else {
            return Err(impossible("an emission without a total"));
        };
        let calendar = &settlement.terms.calendar;
        let epoch = u64::from(at.epoch);
        Ok(Emitting {
            at,
            assessor: Assessor::new(settlement)?,
            asset: settlement.terms.asset,
            programme_from_epoch: settlement.programme.from_epoch,
            start: timestamp(calendar.start_ms(epoch)),
            end: timestamp(calendar.end_ms(epoch)),
            sharing: Sharing::clone(sharing),
            pooled: matches!(settlement.programme.mode, crate::core::contract::listing::Mode::Pool),
            bucket: None,
        })
    }

    /// Keeps how far an emission has come, at the end of a bucket.
    ///
    /// # Errors
    /// If more went out than there was to share: the money would not be conserved, so nothing of this chunk may go out.
    pub fn emitted_so_far(&mut self, emitting: &mut Emitting) -> Result<(), Fault> {
        emitting.close_bucket();
        emitting.check()?;
        let settling = self
            .settling
            .get_mut(&emitting.at)
            .ok_or_else(|| impossible("an emission of an unknown epoch"))?;
        settling.stage = Stage::Sharing(Box::new(emitting.sharing.clone()));
        Ok(())
    }

    /// Ends an emission: sends the receipt of ledger partition `partition`. The epoch is done here.
    ///
    /// # Errors
    /// A fault.
    pub fn emitted(
        &mut self,
        mut emitting: Emitting,
        partitions: Partitions,
        partition: u16,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        self.emitted_so_far(&mut emitting)?;
        let Emitting { at, sharing, .. } = emitting;
        if sharing.emitted.weight != sharing.expected {
            return Err(impossible(format!(
                "the frozen rows of epoch {} changed between its sum and its shares: weight {} became {}",
                at.epoch, sharing.expected, sharing.emitted.weight
            )));
        }
        self.settling.remove(&at);
        let next = at.epoch.checked_add(1).ok_or(Fault::Overflow("an epoch number"))?;
        self.next.insert(at.number, next);
        let buckets = partitions.buckets(partition);
        let roots: BTreeMap<u16, Hash> = sharing.roots.into_iter().collect();
        let root = epoch_root(buckets.map(|bucket| roots.get(&bucket).copied().unwrap_or(EMPTY_ROOT)));
        let receipt = Inbox::Receipt {
            partition: u32::from(partition),
            at,
            emitted: sharing.emitted,
            root,
        };
        out.push(Topic::Inbox.partition(0), &[], &codec::encode(&receipt)?);
        Ok(())
    }
}

/// Looks at accounts the same way for the sum, for the shares, and for whoever explains them.
#[derive(Debug)]
pub struct Assessor {
    rules: Rules,
    settlement: Settlement,
    start_ms: i128,
    end_ms: i128,
}

impl Assessor {
    /// Whoever looks at accounts under this settlement.
    ///
    /// # Errors
    /// None for a programme that was accepted.
    pub fn new(settlement: &Settlement) -> Result<Self, Fault> {
        let epoch = u64::from(settlement.at.epoch);
        Ok(Self {
            rules: Rules::new(settlement)?,
            start_ms: settlement.terms.calendar.start_ms(epoch),
            end_ms: settlement.terms.calendar.end_ms(epoch),
            settlement: settlement.clone(),
        })
    }

    /// The rules.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What an account brings into the settlement.
    #[must_use]
    pub fn holding(&self, account: &Account) -> Holding {
        let excluded = eligibility::excluded(
            &account.statuses,
            self.settlement.programme.enrolment,
            &self.settlement.cut,
            self.start_ms,
            self.end_ms,
        );
        Holding {
            opening: account.opening,
            withheld: account.withheld,
            row: account.row,
            excluded,
        }
    }
}

/// The first pass over an epoch's accounts.
#[derive(Debug)]
pub struct Summing {
    assessor: Assessor,
    sums: Subtotal,
}

impl Summing {
    /// Adds an account.
    ///
    /// # Errors
    /// A fault.
    pub fn account(&mut self, account: &Account) -> Result<(), Fault> {
        let holding = self.assessor.holding(account);
        let measure = self.assessor.rules.measure(&holding)?;
        self.sums.add(&holding, &measure)
    }

    /// The sums.
    #[must_use]
    pub fn sums(&self) -> Subtotal {
        self.sums
    }
}

/// The second pass over an epoch's accounts, in the order of their buckets and names.
#[derive(Debug)]
pub struct Emitting {
    at: AssetEpoch,
    assessor: Assessor,
    asset: crate::core::values::asset::Asset,
    programme_from_epoch: u64,
    start: String,
    end: String,
    sharing: Sharing,
    pooled: bool,
    bucket: Option<(u16, BucketTree)>,
}

/// What an account takes into the next epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// Its balance, in units.
    pub balance: I256,
    /// What is withheld, in units.
    pub withheld: U512,
}

impl Emitting {
    /// Pays an account: puts its distribution out, if there is one, and returns what it takes into the next epoch.
    ///
    /// # Errors
    /// A fault.
    pub fn account(&mut self, account: &Account, out: &mut Outputs) -> Result<Closing, Fault> {
        let holding = self.assessor.holding(account);
        let rules = &self.assessor.rules;
        let measure = rules.measure(&holding)?;
        let weight = match measure.eligibility {
            Eligibility::Eligible { weight, .. } => weight,
            _ => U512::ZERO,
        };
        let share = rules.share(weight, self.sharing.to_share, self.sharing.total)?;
        let (paid, withheld) = rules.pay(share, holding.withheld)?;
        let one = Emitted {
            weight,
            rewarded: share,
            distributed: paid,
            withheld_after: withheld,
            distributions: u64::from(!paid.is_zero()),
        };
        self.sharing.emitted = self.sharing.emitted.plus(&one)?;
        if !paid.is_zero() {
            let id = format!("{}:{}:{}", self.asset, self.at.epoch, account.name);
            let amount = rules.amount(paid);
            let distribution = Distribution {
                account: &account.name,
                asset: self.asset,
                epoch: self.at.epoch,
                epoch_start: &self.start,
                epoch_end: &self.end,
                amount: &amount,
                balance_seconds: &rules.balance_seconds(measure.held),
                average_balance: &rules.average(measure.held),
                programme_from_epoch: self.programme_from_epoch,
            };
            let mut written = Ok(());
            out.push_with(Topic::Distributions.partition(0), account.name.as_bytes(), |record| {
                written = distribution.write(record, &id);
            });
            written?;
            self.leaf(account.bucket, format!("{id}|{amount}").as_bytes());
        }
        Ok(Closing {
            balance: measure.closing,
            withheld,
        })
    }

    fn leaf(&mut self, bucket: u16, leaf: &[u8]) {
        if self.bucket.as_ref().is_none_or(|(current, _)| *current != bucket) {
            self.close_bucket();
            self.bucket = Some((bucket, BucketTree::default()));
        }
        if let Some((_, tree)) = &mut self.bucket {
            tree.push(leaf);
        }
    }

    fn close_bucket(&mut self) {
        if let Some((bucket, tree)) = self.bucket.take() {
            self.sharing.roots.push((bucket, tree.root()));
        }
    }

    /// What went out so far is at most its part of the pot: floors only ever leave something over.
    fn check(&self) -> Result<(), Fault> {
        if !self.pooled {
            return Ok(());
        }
        let emitted = &self.sharing.emitted;
        let given = emitted
            .rewarded
            .checked_mul(self.sharing.total)
            .ok_or(Fault::Overflow("a check of shares"))?;
        let bound = self
            .sharing
            .to_share
            .checked_mul(emitted.weight)
            .ok_or(Fault::Overflow("a check of shares"))?;
        if given > bound {
            return Err(impossible(format!(
                "shares of {} epoch {} add up to {} units, more than their part of {}",
                self.asset, self.at.epoch, emitted.rewarded, self.sharing.to_share
            )));
        }
        Ok(())
    }
}
