//! Compares the acknowledgements of the payout service with the sealed distributions.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::BufRead;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::audit::published::{Paid, Record};
use crate::audit::replay::schedule::EpochFilter;
use crate::bus::scan::scan_range;
use crate::bus::{Log, Mark, ReadError, Topic};
use crate::core::values::amount::ExactAmount;
use crate::core::values::ids::Epoch;
use crate::core::values::time::TimeMs;

/// The event type of an acknowledgement.
pub const TYPE: &str = "payout.executed.v1";

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
            Self::Malformed => "malformed",
        }
    }
}

/// One wrong payout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PayoutFinding {
    pub kind: PayoutFindingKind,
    /// The id of the distribution; empty if the acknowledgement cannot be read.
    pub distribution: String,
    /// The amount of the distribution.
    pub distributed: Option<String>,
    /// The amount of the acknowledgement.
    pub credited: Option<String>,
    /// The line of the acknowledgement, counted from 1.
    pub line: Option<u64>,
    /// An explanation, or empty.
    pub note: String,
}

/// The sums of an asset.
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
    /// By asset.
    pub sums: BTreeMap<String, PayoutSums>,
    /// How many findings there are of each kind.
    pub counts: BTreeMap<PayoutFindingKind, u64>,
    /// At most [`Self::KEPT`].
    pub findings: Vec<PayoutFinding>,
}

impl Payouts {
    /// How many findings are kept.
    pub const KEPT: usize = 1_000_000;

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

#[derive(Deserialize)]
struct Seal {
    asset: String,
    epoch: Epoch,
}

/// A distribution that must be credited.
struct ExpectedPayout {
    amount: Box<str>,
    sealed: bool,
    credited: bool,
}

struct Acknowledgement {
    /// A hash of source and id.
    identity: u128,
    distribution: String,
    amount: ExactAmount,
    written: String,
}

/// Compares the sealed distributions on `bus` with acknowledgements, one per line. Needs about 120 bytes of memory for each distribution, and 20
/// bytes for each acknowledgement.
///
/// # Errors
/// A failure of the bus or of a file. A bad acknowledgement is no error, but a finding.
pub fn compare(bus: &dyn Log, acknowledgements: impl BufRead, filter: EpochFilter) -> Result<Payouts, PayoutsError> {
    let mut comparison = PayoutComparison {
        bus,
        filter,
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
    /// By a hash of the distribution's id.
    expected: HashMap<u128, ExpectedPayout>,
    payouts: Payouts,
}

impl PayoutComparison<'_> {
    fn read_distributions(&mut self) -> Result<(), PayoutsError> {
        let mut sealed = BTreeSet::new();
        each(self.bus, Topic::Epochs, |seal: Seal, _| {
            sealed.insert((seal.asset, seal.epoch));
            Ok(())
        })?;
        each(self.bus, Topic::Distributions, |paid: Paid, place| {
            let id = id_of(&paid);
            let is_sealed = sealed.contains(&(paid.asset.clone(), paid.epoch));
            if is_sealed && self.filter.includes(&paid.asset, paid.epoch) {
                let amount = ExactAmount::parse(&paid.amount).ok_or_else(|| PayoutsError::Record {
                    place,
                    why: format!("{} is no amount", paid.amount),
                })?;
                self.payouts.sealed += 1;
                add(
                    &mut self.payouts.sums.entry(paid.asset).or_default().distributed,
                    amount,
                )?;
            }
            let payout = ExpectedPayout {
                amount: paid.amount.into(),
                sealed: is_sealed,
                credited: false,
            };
            self.expected.insert(xxh3_128(id.as_bytes()), payout);
            Ok(())
        })
    }

    fn read_acknowledgements(&mut self, acknowledgements: impl BufRead) -> Result<(), PayoutsError> {
        let mut seen = HashSet::new();
        for (number, line) in acknowledgements.split(b'\n').enumerate() {
            let line = line?;
            let number = number as u64 + 1;
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            match acknowledgement(line) {
                Err(why) => self.payouts.add_finding(PayoutFinding {
                    kind: PayoutFindingKind::Malformed,
                    distribution: String::new(),
                    distributed: None,
                    credited: None,
                    line: Some(number),
                    note: why,
                }),
                Ok(acknowledgement) => {
                    let (asset, epoch) = epoch_of(&acknowledgement.distribution);
                    let is_wanted = self.filter.includes(asset, epoch.unwrap_or(Epoch::new(u64::MAX)));
                    if !is_wanted && self.filter != EpochFilter::default() {
                        continue;
                    }
                    if !seen.insert(acknowledgement.identity) {
                        self.payouts.redelivered += 1;
                        continue;
                    }
                    self.credit(&acknowledgement, number)?;
                }
            }
        }
        Ok(())
    }

    /// Reads the distributions again, because only the hashes of their ids are in memory.
    fn find_unpaid(&mut self) -> Result<(), PayoutsError> {
        each(self.bus, Topic::Distributions, |paid: Paid, _| {
            if !self.filter.includes(&paid.asset, paid.epoch) {
                return Ok(());
            }
            let id = id_of(&paid);
            let expected = self.expected.get(&xxh3_128(id.as_bytes()));
            if expected.is_some_and(|payout| payout.sealed && !payout.credited) {
                let amount = ExactAmount::parse(&paid.amount).ok_or(PayoutsError::TooMuch)?;
                add(&mut self.payouts.sums.entry(paid.asset).or_default().unpaid, amount)?;
                self.payouts.add_finding(PayoutFinding {
                    kind: PayoutFindingKind::Unpaid,
                    distribution: id,
                    distributed: Some(paid.amount),
                    credited: None,
                    line: None,
                    note: String::new(),
                });
            }
            Ok(())
        })
    }

    /// Counts an acknowledgement that is no repetition.
    fn credit(&mut self, acknowledgement: &Acknowledgement, line: u64) -> Result<(), PayoutsError> {
        let Acknowledgement {
            distribution, amount, ..
        } = acknowledgement;
        let finding = |kind, distributed: Option<&str>, note: &str| PayoutFinding {
            kind,
            distribution: distribution.clone(),
            distributed: distributed.map(str::to_owned),
            credited: Some(acknowledgement.written.clone()),
            line: Some(line),
            note: note.to_owned(),
        };
        let payouts = &mut self.payouts;
        let sums = payouts.sums.entry(epoch_of(distribution).0.to_owned()).or_default();
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

fn id_of(paid: &Paid) -> String {
    format!("{}:{}:{}", paid.asset, paid.epoch, paid.account)
}

/// The asset and the epoch in a distribution's id.
fn epoch_of(id: &str) -> (&str, Option<Epoch>) {
    let mut parts = id.splitn(3, ':');
    let asset = parts.next().unwrap_or_default();
    (asset, parts.next().and_then(|epoch| epoch.parse().ok()))
}

/// Parses an acknowledgement. The error names the wrong field, and the reason.
fn acknowledgement(line: &[u8]) -> Result<Acknowledgement, String> {
    let event: serde_json::Value = serde_json::from_slice(line).map_err(|error| format!("no JSON: {error}"))?;
    let text = |pointer: &str| {
        let value = event.pointer(pointer).and_then(serde_json::Value::as_str);
        let name = pointer.trim_start_matches('/').replace('/', ".");
        value
            .filter(|text| !text.is_empty())
            .ok_or_else(|| format!("`{name}` is missing, or no text"))
    };
    if text("/type")? != TYPE {
        return Err(format!("`type` is {}, and not {TYPE}", text("/type")?));
    }
    let (id, source) = (text("/id")?, text("/source")?);
    let credited_at = text("/data/credited_at")?;
    TimeMs::parse(credited_at).map_err(|error| format!("`data.credited_at` is {credited_at}: {error}"))?;
    let written = text("/data/amount")?;
    let amount = ExactAmount::parse(written).ok_or_else(|| {
        format!("`data.amount` is {written}, which is no plain decimal number of at most 18 decimals")
    })?;
    Ok(Acknowledgement {
        identity: xxh3_128(format!("{source}\0{id}").as_bytes()),
        distribution: text("/data/distribution")?.to_owned(),
        amount,
        written: written.to_owned(),
    })
}

/// Calls `take` with the data of every record of an output topic, and its partition and offset.
fn each<D: serde::de::DeserializeOwned>(
    bus: &dyn Log,
    topic: Topic,
    mut take: impl FnMut(D, String) -> Result<(), PayoutsError>,
) -> Result<(), PayoutsError> {
    for number in bus.partitions(topic)? {
        let partition = topic.partition(number);
        scan_range(
            bus,
            partition,
            &Mark::default(),
            bus.readable_end(partition)?,
            |record| {
                if record.value.is_empty() {
                    return Ok(());
                }
                let place = format!("{partition}, offset {}", record.offset);
                match serde_json::from_slice::<Record<D>>(record.value) {
                    Ok(Record { data }) => take(data, place),
                    Err(error) => Err(PayoutsError::Record {
                        place,
                        why: error.to_string(),
                    }),
                }
            },
        )?;
    }
    Ok(())
}
