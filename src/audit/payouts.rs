//! Compares the acknowledgements of the payout service with the sealed distributions.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

use crate::audit::published::{RecordPlace, read_all};
use crate::audit::replay::schedule::EpochFilter;
use crate::bus::{BrokerError, FileError, Log, ReadError};
use crate::core::contract::records::{Distribution, PayoutExecuted, PublishedRecord, Seal};
use crate::core::values::amount::ExactAmount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;

/// What is wrong with a payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PayoutFindingKind {
    /// The distribution is sealed, but not acknowledged.
    Unpaid,
    /// More was credited than distributed.
    Overpaid,
    /// Less was credited than distributed.
    Underpaid,
    /// The distribution was credited more than once.
    PaidTwice,
    /// The credited distribution does not exist.
    Unknown,
    /// The credited distribution has no seal.
    Unsealed,
    /// Another acknowledgement has the same id and source, but says something else. Only the first is counted.
    Conflicting,
    /// The acknowledgement cannot be read.
    Malformed,
}

impl PayoutFindingKind {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unpaid => "unpaid",
            Self::Overpaid => "overpaid",
            Self::Underpaid => "underpaid",
            Self::PaidTwice => "paid_twice",
            Self::Unknown => "unknown",
            Self::Unsealed => "unsealed",
            Self::Conflicting => "conflicting",
            Self::Malformed => "malformed",
        }
    }
}

/// Where an acknowledgement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum AcknowledgementPlace {
    /// On a line of a file, counted from 1.
    Line {
        /// Its number.
        line: u64,
    },
    /// On a topic.
    Record {
        /// Its partition.
        partition: u32,
        /// Its offset there.
        offset: Offset,
    },
}

impl fmt::Display for AcknowledgementPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line } => write!(f, "line {line}"),
            Self::Record { partition, offset } => write!(f, "partition {partition}, offset {offset}"),
        }
    }
}

/// Takes the place and the bytes of an acknowledgement.
pub type TakeAcknowledgement<'a> = dyn FnMut(AcknowledgementPlace, &[u8]) -> Result<(), PayoutsError> + 'a;

/// The acknowledgements of a payout service.
pub trait Acknowledgements {
    /// Calls `take` with each of them.
    ///
    /// # Errors
    /// If they cannot be read, or the error that `take` returns.
    fn read(self: Box<Self>, take: &mut TakeAcknowledgement<'_>) -> Result<(), PayoutsError>;
}

/// One wrong payout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PayoutFinding {
    pub kind: PayoutFindingKind,
    /// The id of the distribution; empty if the acknowledgement cannot be read.
    pub distribution: String,
    /// The asset of the two amounts; empty if the acknowledgement cannot be read.
    pub reward_asset: String,
    /// The amount of the distribution.
    pub distributed: Option<String>,
    /// The amount of the acknowledgement.
    pub credited: Option<String>,
    /// Where the acknowledgement is.
    #[serde(flatten)]
    pub place: Option<AcknowledgementPlace>,
    /// An explanation, or empty.
    pub note: String,
}

/// The sums of a reward asset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PayoutSums {
    /// All sealed distributions.
    pub distributed: ExactAmount,
    /// The first credit of each sealed distribution.
    pub credited: ExactAmount,
    /// Distributed, but not credited.
    pub unpaid: ExactAmount,
    /// Credited, but not distributed: credits beyond the amount, second credits, and credits without a sealed distribution.
    pub overpaid: ExactAmount,
}

/// The result of a comparison.
#[derive(Debug, Default)]
pub struct Payouts {
    /// How many distributions are sealed.
    pub sealed: u64,
    /// How many distributions were credited with their amount.
    pub right: u64,
    /// How many acknowledgements were repeated. A repetition is no finding.
    pub redelivered: u64,
    /// By reward asset.
    pub sums: BTreeMap<String, PayoutSums>,
    /// How many findings there are of each kind.
    pub counts: BTreeMap<PayoutFindingKind, u64>,
    /// At most [`Self::KEPT`].
    pub findings: Vec<PayoutFinding>,
}

impl Payouts {
    /// How many findings are kept.
    pub const KEPT: usize = 1_000_000;

    /// How many findings there are.
    #[must_use]
    pub fn wrong(&self) -> u64 {
        self.counts.values().sum()
    }

    fn sums_of(&mut self, reward_asset: &str) -> &mut PayoutSums {
        self.sums.entry(reward_asset.to_owned()).or_default()
    }

    fn add_finding(&mut self, finding: PayoutFinding) {
        *self.counts.entry(finding.kind).or_default() += 1;
        if self.findings.len() < Self::KEPT {
            self.findings.push(finding);
        }
    }
}

/// Why payouts cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum PayoutsError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("cannot read the acknowledgements: {0}")]
    Acknowledgements(#[from] std::io::Error),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A record on the distributions or the epochs that no Softstake wrote.
    #[error("{place}: no record of softstake ({why}); `softstake reconcile` tells more")]
    Record {
        /// Partition and offset.
        place: String,
        why: String,
    },
    #[error("the sums do not fit into 512 bits; no exchange has such amounts")]
    TooMuch,
}

/// A distribution that must be credited.
struct ExpectedPayout {
    amount: Box<str>,
    sealed: bool,
    credited: bool,
}

/// How an epoch is paid.
struct PaidIn {
    reward_asset: Asset,
    sealed: bool,
}

/// The epochs that have a seal or a distribution.
#[derive(Default)]
struct Epochs(BTreeMap<(Asset, Epoch), PaidIn>);

impl Epochs {
    /// The asset that a distribution is paid in. One that does not exist counts as paid like its epoch, or like the last epoch before,
    /// or else in the asset that its id names.
    fn reward_asset<'a>(&'a self, distribution: &'a str) -> &'a str {
        let (name, epoch) = epoch_of(distribution);
        let last = epoch.unwrap_or(Epoch::new(u64::MAX));
        let known = Asset::parse(name).ok().and_then(|asset| {
            let mut epochs = self.0.range((asset, Epoch::new(0))..=(asset, last));
            epochs.next_back()
        });
        known.map_or(name, |(_, paid_in)| paid_in.reward_asset.as_str())
    }
}

/// An acknowledgement that was read.
struct SeenAcknowledgement {
    /// Of all that its copies must have in common.
    fingerprint: u64,
    place: AcknowledgementPlace,
    /// Whether its distribution is among those that are compared.
    is_wanted: bool,
}

/// Compares the sealed distributions on `bus` with acknowledgements. Needs about 120 bytes of memory for each distribution, and 80
/// bytes for each acknowledgement.
///
/// # Errors
/// A failure of the bus, of a file or of a topic. A bad acknowledgement is no error, but a finding.
pub fn compare(
    bus: &dyn Log,
    acknowledgements: Box<dyn Acknowledgements>,
    filter: EpochFilter,
) -> Result<Payouts, PayoutsError> {
    let mut comparison = PayoutComparison {
        bus,
        filter,
        epochs: Epochs::default(),
        expected: HashMap::new(),
        payouts: Payouts::default(),
    };
    comparison.read_distributions()?;
    comparison.read_acknowledgements(acknowledgements)?;
    comparison.find_unpaid()?;
    Ok(comparison.payouts)
}

struct PayoutComparison<'a> {
    bus: &'a dyn Log,
    filter: EpochFilter,
    epochs: Epochs,
    /// By a hash of the distribution's id.
    expected: HashMap<u128, ExpectedPayout>,
    payouts: Payouts,
}

impl PayoutComparison<'_> {
    fn read_distributions(&mut self) -> Result<(), PayoutsError> {
        each::<Seal>(self.bus, |_, seal| {
            let paid_in = PaidIn {
                reward_asset: seal.reward_asset,
                sealed: true,
            };
            self.epochs.0.insert((seal.asset, seal.epoch), paid_in);
            Ok(())
        })?;
        each::<Distribution>(self.bus, |place, paid| {
            let id = paid.id();
            let paid_in = self.epochs.0.entry((paid.asset, paid.epoch)).or_insert(PaidIn {
                reward_asset: paid.reward_asset,
                sealed: false,
            });
            if paid_in.reward_asset != paid.reward_asset {
                let (found, right) = (paid.reward_asset, paid_in.reward_asset);
                return Err(PayoutsError::Record {
                    place: place.to_string(),
                    why: format!("`reward_asset` is {found}, but other records of its epoch have {right}"),
                });
            }
            let is_sealed = paid_in.sealed;
            if is_sealed && self.filter.includes(paid.asset.as_str(), paid.epoch) {
                let amount = ExactAmount::parse(&paid.amount).ok_or_else(|| PayoutsError::Record {
                    place: place.to_string(),
                    why: format!("{} is no amount", paid.amount),
                })?;
                self.payouts.sealed += 1;
                add(
                    &mut self.payouts.sums_of(paid.reward_asset.as_str()).distributed,
                    amount,
                )?;
            }
            let payout = ExpectedPayout {
                amount: Box::from(&*paid.amount),
                sealed: is_sealed,
                credited: false,
            };
            match self.expected.insert(xxh3_128(id.as_bytes()), payout) {
                None => Ok(()),
                Some(_) => Err(PayoutsError::Record {
                    place: place.to_string(),
                    why: format!("an earlier distribution has the id {id} as well"),
                }),
            }
        })
    }

    fn read_acknowledgements(&mut self, acknowledgements: Box<dyn Acknowledgements>) -> Result<(), PayoutsError> {
        let mut seen: HashMap<[u8; 16], SeenAcknowledgement> = HashMap::new();
        acknowledgements.read(&mut |place, record| match PayoutExecuted::read(record) {
            Err(why) => {
                self.payouts.add_finding(PayoutFinding {
                    kind: PayoutFindingKind::Malformed,
                    distribution: String::new(),
                    reward_asset: String::new(),
                    distributed: None,
                    credited: None,
                    place: Some(place),
                    note: why.reason,
                });
                Ok(())
            }
            Ok(acknowledgement) => self.take(acknowledgement, place, &mut seen),
        })
    }

    fn take(
        &mut self,
        acknowledgement: PayoutExecuted,
        place: AcknowledgementPlace,
        seen: &mut HashMap<[u8; 16], SeenAcknowledgement>,
    ) -> Result<(), PayoutsError> {
        let is_wanted = self.wants(&acknowledgement.distribution);
        let fingerprint = acknowledgement.fingerprint;
        match seen.entry(acknowledgement.identity) {
            Entry::Occupied(first) if first.get().fingerprint != fingerprint => {
                if is_wanted || first.get().is_wanted {
                    self.conflict(&acknowledgement, place, first.get().place);
                }
            }
            Entry::Occupied(_) => self.payouts.redelivered += u64::from(is_wanted),
            Entry::Vacant(first) => {
                first.insert(SeenAcknowledgement {
                    fingerprint,
                    place,
                    is_wanted,
                });
                if is_wanted {
                    self.credit(&acknowledgement, place)?;
                }
            }
        }
        Ok(())
    }

    /// Reads the distributions again, because only the hashes of their ids are in memory.
    fn find_unpaid(&mut self) -> Result<(), PayoutsError> {
        each::<Distribution>(self.bus, |_, paid| {
            if !self.filter.includes(paid.asset.as_str(), paid.epoch) {
                return Ok(());
            }
            let id = paid.id();
            let expected = self.expected.get(&xxh3_128(id.as_bytes()));
            if expected.is_some_and(|payout| payout.sealed && !payout.credited) {
                let amount = ExactAmount::parse(&paid.amount).ok_or(PayoutsError::TooMuch)?;
                add(&mut self.payouts.sums_of(paid.reward_asset.as_str()).unpaid, amount)?;
                self.payouts.add_finding(PayoutFinding {
                    kind: PayoutFindingKind::Unpaid,
                    distribution: id,
                    reward_asset: paid.reward_asset.to_string(),
                    distributed: Some(paid.amount.into_owned()),
                    credited: None,
                    place: None,
                    note: String::new(),
                });
            }
            Ok(())
        })
    }

    /// Whether a distribution is among those that are compared. With a filter, an id that names no epoch is not.
    fn wants(&self, distribution: &str) -> bool {
        let (asset, epoch) = epoch_of(distribution);
        self.filter == EpochFilter::default() || self.filter.includes(asset, epoch.unwrap_or(Epoch::new(u64::MAX)))
    }

    /// Reports an acknowledgement that contradicts an earlier one.
    fn conflict(&mut self, acknowledgement: &PayoutExecuted, place: AcknowledgementPlace, first: AcknowledgementPlace) {
        let distribution = acknowledgement.distribution.clone();
        let expected = self.expected.get(&xxh3_128(distribution.as_bytes()));
        self.payouts.add_finding(PayoutFinding {
            kind: PayoutFindingKind::Conflicting,
            distributed: expected.map(|payout| payout.amount.to_string()),
            reward_asset: self.epochs.reward_asset(&distribution).to_owned(),
            distribution,
            credited: Some(acknowledgement.written_amount.clone()),
            place: Some(place),
            note: format!("{first} has the same id and source, but another type, time or data"),
        });
    }

    /// Counts an acknowledgement that is no repetition.
    fn credit(&mut self, acknowledgement: &PayoutExecuted, place: AcknowledgementPlace) -> Result<(), PayoutsError> {
        let PayoutExecuted {
            distribution, amount, ..
        } = acknowledgement;
        let reward_asset = self.epochs.reward_asset(distribution);
        let finding = |kind, distributed: Option<&str>, note: &str| PayoutFinding {
            kind,
            distribution: distribution.clone(),
            reward_asset: reward_asset.to_owned(),
            distributed: distributed.map(str::to_owned),
            credited: Some(acknowledgement.written_amount.clone()),
            place: Some(place),
            note: note.to_owned(),
        };
        let payouts = &mut self.payouts;
        let sums = payouts.sums.entry(reward_asset.to_owned()).or_default();
        let Some(payout) = self.expected.get_mut(&xxh3_128(distribution.as_bytes())) else {
            add(&mut sums.overpaid, *amount)?;
            let note = "there is no such distribution";
            payouts.add_finding(finding(PayoutFindingKind::Unknown, None, note));
            return Ok(());
        };
        let distributed = Some(&*payout.amount);
        if !payout.sealed {
            add(&mut sums.overpaid, *amount)?;
            let note = "its epoch has no seal";
            payouts.add_finding(finding(PayoutFindingKind::Unsealed, distributed, note));
            return Ok(());
        }
        if std::mem::replace(&mut payout.credited, true) {
            add(&mut sums.overpaid, *amount)?;
            let note = "it was credited before";
            payouts.add_finding(finding(PayoutFindingKind::PaidTwice, distributed, note));
            return Ok(());
        }
        add(&mut sums.credited, *amount)?;
        let due = ExactAmount::parse(&payout.amount).ok_or(PayoutsError::TooMuch)?;
        if *amount == due {
            payouts.right += 1;
        } else if let Some(more) = amount.minus(due) {
            add(&mut sums.overpaid, more)?;
            let note = format!("by {more}");
            payouts.add_finding(finding(PayoutFindingKind::Overpaid, distributed, &note));
        } else if let Some(less) = due.minus(*amount) {
            add(&mut sums.unpaid, less)?;
            let note = format!("by {less}");
            payouts.add_finding(finding(PayoutFindingKind::Underpaid, distributed, &note));
        }
        Ok(())
    }
}

fn add(sum: &mut ExactAmount, more: ExactAmount) -> Result<(), PayoutsError> {
    *sum = sum.plus(more).ok_or(PayoutsError::TooMuch)?;
    Ok(())
}

/// The asset and the epoch in a distribution's id.
fn epoch_of(id: &str) -> (&str, Option<Epoch>) {
    let mut parts = id.splitn(3, ':');
    let asset = parts.next().unwrap_or_default();
    (asset, parts.next().and_then(|epoch| epoch.parse().ok()))
}

/// Calls `take` with the place and the data of every record of an output topic.
fn each<R: PublishedRecord>(
    bus: &dyn Log,
    mut take: impl FnMut(RecordPlace, R::Borrowed<'_>) -> Result<(), PayoutsError>,
) -> Result<(), PayoutsError> {
    read_all::<R, PayoutsError>(bus, None, |place, data| {
        let data = data.map_err(|error| PayoutsError::Record {
            place: place.to_string(),
            why: error.to_string(),
        })?;
        take(place, data)
    })
}
