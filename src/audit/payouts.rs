//! Holds what the payout service says it credited against what was sealed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::BufRead;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::audit::exact::Exact;
use crate::audit::published::{Paid, Record};
use crate::audit::replay::schedule::EpochFilter;
use crate::bus::scan::scan_range;
use crate::bus::{BusError, Log, Mark, Topic};
use crate::core::values::time::TimeMs;

/// The type of an acknowledgement.
pub const TYPE: &str = "payout.executed.v1";

/// What is wrong with a payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PayoutFindingKind {
    /// Sealed, and never acknowledged.
    Unpaid,
    /// More was credited than was distributed.
    Overpaid,
    /// Less was.
    Underpaid,
    /// It was credited more than once.
    PaidTwice,
    /// There is no such distribution.
    Unknown,
    /// It was credited, and its epoch has no seal.
    Unsealed,
    /// The acknowledgement cannot be read.
    Malformed,
}

impl PayoutFindingKind {
    /// Its name, as reports write it.
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

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PayoutFinding {
    /// What.
    pub kind: PayoutFindingKind,
    /// The distribution's id; empty if it cannot be read.
    pub distribution: String,
    /// How much was distributed.
    pub distributed: Option<String>,
    /// How much was credited.
    pub credited: Option<String>,
    /// The line of the acknowledgement, from 1.
    pub line: Option<u64>,
    /// What more there is to say.
    pub note: String,
}

/// The sums of an asset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Sealed distributions.
    pub distributed: Exact,
    /// Credits of sealed distributions, each counted once.
    pub credited: Exact,
    /// Sealed and not acknowledged.
    pub unpaid: Exact,
    /// Credited beyond what was distributed, second credits and those of nothing included.
    pub overpaid: Exact,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Payouts {
    /// How many distributions are sealed.
    pub sealed: u64,
    /// How many were credited as they should be.
    pub right: u64,
    /// How many acknowledgements came a second time.
    pub redelivered: u64,
    /// By asset.
    pub sums: BTreeMap<String, Sums>,
    /// How many findings of each kind.
    pub counts: BTreeMap<PayoutFindingKind, u64>,
    /// The findings, as many as are kept.
    pub findings: Vec<PayoutFinding>,
}

impl Payouts {
    /// How many findings are kept to be shown one by one.
    pub const KEPT: usize = 1_000_000;

    fn find(&mut self, finding: PayoutFinding) {
        *self.counts.entry(finding.kind).or_default() += 1;
        if self.findings.len() < Self::KEPT {
            self.findings.push(finding);
        }
    }
}

/// Why payouts cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum PayoutsError {
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The acknowledgements.
    #[error("cannot read the acknowledgements: {0}")]
    Acknowledgements(#[from] std::io::Error),
    /// A distribution that is none of softstake's.
    #[error("{place}: not a distribution that softstake writes ({why}); `softstake reconcile` tells more")]
    Distribution {
        /// Where it stands.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// The sums do not fit.
    #[error("the sums do not fit into 512 bits: an amount is not one of an exchange")]
    TooMuch,
}

#[derive(Deserialize)]
struct Seal {
    asset: String,
    epoch: u64,
}

/// A distribution that is waited for.
struct Expected {
    amount: Box<str>,
    sealed: bool,
    credited: bool,
}

/// An acknowledgement.
struct Acknowledgement {
    identity: u128,
    distribution: String,
    amount: Exact,
    written: String,
}

/// Compares the sealed distributions on `bus` with acknowledgements, one a line. It takes about 120 bytes of memory for each distribution and 20 for
/// each acknowledgement.
///
/// # Errors
/// What the bus says. A bad acknowledgement is none: it is found.
pub fn compare(bus: &dyn Log, acknowledgements: impl BufRead, filter: EpochFilter) -> Result<Payouts, PayoutsError> {
    let mut sealed = BTreeSet::new();
    each(bus, Topic::Epochs, |seal: Seal, _| {
        sealed.insert((seal.asset, seal.epoch));
        Ok(())
    })?;
    let mut payouts = Payouts::default();
    let mut expected: HashMap<u128, Expected> = HashMap::new();
    each(bus, Topic::Distributions, |paid: Paid, place| {
        let id = id_of(&paid);
        let is_sealed = sealed.contains(&(paid.asset.clone(), paid.epoch));
        if is_sealed && filter.includes(&paid.asset, paid.epoch) {
            let amount = Exact::parse(&paid.amount).ok_or_else(|| PayoutsError::Distribution {
                place,
                why: format!("amount {} is none", paid.amount),
            })?;
            payouts.sealed += 1;
            add(&mut payouts.sums.entry(paid.asset).or_default().distributed, amount)?;
        }
        let one = Expected {
            amount: paid.amount.into(),
            sealed: is_sealed,
            credited: false,
        };
        expected.insert(xxh3_128(id.as_bytes()), one);
        Ok(())
    })?;
    let mut observed = HashSet::new();
    for (number, line) in acknowledgements.split(b'\n').enumerate() {
        let line = line?;
        let number = number as u64 + 1;
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        match acknowledgement(line) {
            Err(why) => payouts.find(PayoutFinding {
                kind: PayoutFindingKind::Malformed,
                distribution: String::new(),
                distributed: None,
                credited: None,
                line: Some(number),
                note: why,
            }),
            Ok(acknowledgement) => {
                let (asset, epoch) = epoch_of(&acknowledgement.distribution);
                if !filter.includes(asset, epoch.unwrap_or(u64::MAX)) && filter != EpochFilter::default() {
                    continue;
                }
                if !observed.insert(acknowledgement.identity) {
                    payouts.redelivered += 1;
                    continue;
                }
                payouts.credit(&mut expected, &acknowledgement, number)?;
            }
        }
    }
    // Once more, as of those that were not acknowledged only hashes are known.
    each(bus, Topic::Distributions, |paid: Paid, _| {
        if !filter.includes(&paid.asset, paid.epoch) {
            return Ok(());
        }
        let id = id_of(&paid);
        let open = expected.get(&xxh3_128(id.as_bytes()));
        if open.is_some_and(|one| one.sealed && !one.credited) {
            let amount = Exact::parse(&paid.amount).ok_or(PayoutsError::TooMuch)?;
            add(&mut payouts.sums.entry(paid.asset).or_default().unpaid, amount)?;
            payouts.find(PayoutFinding {
                kind: PayoutFindingKind::Unpaid,
                distribution: id,
                distributed: Some(paid.amount),
                credited: None,
                line: None,
                note: String::new(),
            });
        }
        Ok(())
    })?;
    Ok(payouts)
}

impl Payouts {
    /// Takes an acknowledgement that was not heard before.
    fn credit(
        &mut self,
        expected: &mut HashMap<u128, Expected>,
        acknowledgement: &Acknowledgement,
        line: u64,
    ) -> Result<(), PayoutsError> {
        let Acknowledgement {
            distribution,
            amount,
            written,
            ..
        } = acknowledgement;
        let asset = epoch_of(distribution).0.to_owned();
        let finding = |kind, distributed: Option<&str>, note: &str| PayoutFinding {
            kind,
            distribution: distribution.clone(),
            distributed: distributed.map(str::to_owned),
            credited: Some(written.clone()),
            line: Some(line),
            note: note.to_owned(),
        };
        let Some(one) = expected.get_mut(&xxh3_128(distribution.as_bytes())) else {
            add(&mut self.sums.entry(asset).or_default().overpaid, *amount)?;
            self.find(finding(
                PayoutFindingKind::Unknown,
                None,
                "there is no such distribution",
            ));
            return Ok(());
        };
        let sums = self.sums.entry(asset).or_default();
        if !one.sealed {
            add(&mut sums.overpaid, *amount)?;
            self.find(finding(
                PayoutFindingKind::Unsealed,
                Some(&one.amount),
                "its epoch has no seal",
            ));
            return Ok(());
        }
        if std::mem::replace(&mut one.credited, true) {
            add(&mut sums.overpaid, *amount)?;
            self.find(finding(
                PayoutFindingKind::PaidTwice,
                Some(&one.amount),
                "it was credited before",
            ));
            return Ok(());
        }
        add(&mut sums.credited, *amount)?;
        let due = Exact::parse(&one.amount).ok_or(PayoutsError::TooMuch)?;
        if *amount == due {
            self.right += 1;
        } else if let Some(more) = amount.minus(due) {
            add(&mut sums.overpaid, more)?;
            self.find(finding(
                PayoutFindingKind::Overpaid,
                Some(&one.amount),
                &format!("by {more}"),
            ));
        } else if let Some(less) = due.minus(*amount) {
            add(&mut sums.unpaid, less)?;
            self.find(finding(
                PayoutFindingKind::Underpaid,
                Some(&one.amount),
                &format!("by {less}"),
            ));
        }
        Ok(())
    }
}

fn add(sum: &mut Exact, more: Exact) -> Result<(), PayoutsError> {
    *sum = sum.plus(more).ok_or(PayoutsError::TooMuch)?;
    Ok(())
}

fn id_of(paid: &Paid) -> String {
    format!("{}:{}:{}", paid.asset, paid.epoch, paid.account)
}

/// The asset and the epoch in a distribution's id.
fn epoch_of(id: &str) -> (&str, Option<u64>) {
    let mut parts = id.splitn(3, ':');
    let asset = parts.next().unwrap_or_default();
    (asset, parts.next().and_then(|epoch| epoch.parse().ok()))
}

/// Reads an acknowledgement, or says which field is wrong, and how.
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
    let amount = Exact::parse(written).ok_or_else(|| {
        format!("`data.amount` is {written}, which is no plain decimal number of at most 18 decimals")
    })?;
    Ok(Acknowledgement {
        identity: xxh3_128(format!("{source}\0{id}").as_bytes()),
        distribution: text("/data/distribution")?.to_owned(),
        amount,
        written: written.to_owned(),
    })
}

/// Calls `take` with the data of every record of an output topic, and where it stands.
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
                    Err(error) => Err(PayoutsError::Distribution {
                        place,
                        why: error.to_string(),
                    }),
                }
            },
        )?;
    }
    Ok(())
}
