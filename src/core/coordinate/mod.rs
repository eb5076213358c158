//! The fold over the inbox: control events are decided one after the other, epochs are totalled, checked and sealed.
//!
//! The inbox puts all that the coordinator learns into one order, so that what it decides can be gone through again. A control event waits while
//! the one before it is undecided; new source partitions wait with it, so that they never come between a question and its answers.

mod control;
mod seal;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ruint::aliases::U512;
use serde::{Deserialize, Serialize};

use crate::core::accrue::settle::Split;
use crate::core::contract::appends::Outputs;
use crate::core::contract::decision::{Decision, Offsets};
use crate::core::contract::listing::{AssetTerms, Programme};
use crate::core::contract::merkle::Hash;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::dedup::DedupIndex;
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::messages::{Inbox, Notice, Settlement};
use crate::core::protocol::totals::{Emitted, Subtotal};
use crate::core::protocol::{codec, ledger};
use crate::core::values::asset::Asset;
use crate::core::values::ids::{AssetEpoch, Epoch};

/// The state of the coordinator, but for the control events it has applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coordinator {
    /// How many ledger partitions there are.
    partitions: u32,
    /// How many decisions are on record.
    decisions: u64,
    sources: BTreeSet<TopicPartition>,
    queue: VecDeque<Queued>,
    pending: Option<Pending>,
    /// By number.
    assets: Vec<ListedAsset>,
    by_name: BTreeMap<Asset, u16>,
    #[serde(skip)]
    alarms: Vec<String>,
}

/// What waits for its turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Queued {
    Sources(Vec<TopicPartition>),
    Control(u64, Vec<u8>),
    ReadTo(u64),
}

/// A question to all source partitions, and their answers so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    asked: BTreeSet<TopicPartition>,
    answers: BTreeMap<TopicPartition, Answer>,
    question: Question,
    control_offset: u64,
    /// The control record, for a dead letter.
    payload: Vec<u8>,
    identity: [u8; 16],
    fingerprint: u128,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Question {
    /// The listing, in the form decisions carry it, and what it says.
    Listing {
        written: String,
        terms: AssetTerms,
        programme: Box<Programme>,
    },
    Cut(AssetEpoch),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    offset: u64,
    newest_passed_ms: Option<i64>,
    opening_passed: bool,
}

/// A listed asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedAsset {
    /// What never changes.
    pub terms: AssetTerms,
    /// Its programmes, by their first epoch.
    pub programmes: Vec<Programme>,
    /// The oldest epoch whose close has not been accepted.
    pub oldest_open: Epoch,
    /// The oldest epoch that is not sealed.
    pub next_seal: Epoch,
    /// Rewards for epochs that are open, in units.
    rewards: BTreeMap<Epoch, U512>,
    /// Closed epochs that are not sealed.
    closing: BTreeMap<Epoch, Closing>,
    /// Dust for the next epoch in `pool` mode, in units.
    pub carried: U512,
    /// What is withheld from all accounts, in units.
    pub withheld: U512,
}

/// An epoch between its close and its seal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Closing {
    pool: U512,
    cut: Option<Offsets>,
    subtotals: BTreeMap<u32, Subtotal>,
    total: Option<(Subtotal, Split)>,
    receipts: BTreeMap<u32, (Emitted, Hash)>,
    halted: Option<String>,
}

impl Coordinator {
    /// A coordinator of a deployment with `partitions` ledger partitions that has heard nothing yet.
    #[must_use]
    pub const fn new(partitions: u32) -> Self {
        Self {
            partitions,
            decisions: 0,
            sources: BTreeSet::new(),
            queue: VecDeque::new(),
            pending: None,
            assets: Vec::new(),
            by_name: BTreeMap::new(),
            alarms: Vec::new(),
        }
    }

    /// How many ledger partitions there are.
    #[must_use]
    pub const fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The same coordinator with so many ledger partitions from now on.
    ///
    /// # Errors
    /// The epochs, in words, of which some partitions have been heard and others have not.
    pub fn repartitioned(mut self, partitions: u32) -> Result<Self, Vec<String>> {
        let under_way: Vec<String> = self
            .assets
            .iter()
            .flat_map(|listed| {
                let heard = |closing: &&Closing| !closing.subtotals.is_empty() || closing.total.is_some();
                listed
                    .closing
                    .iter()
                    .filter(move |(_, closing)| heard(closing))
                    .map(|(epoch, _)| format!("{} epoch {epoch}", listed.terms.asset))
            })
            .collect();
        if !under_way.is_empty() {
            return Err(under_way);
        }
        self.partitions = partitions;
        Ok(self)
    }

    /// The listed assets, by number.
    #[must_use]
    pub fn assets(&self) -> &[ListedAsset] {
        &self.assets
    }

    /// Epochs that are closed and not sealed, with the alarm if one stopped them.
    pub fn unsealed(&self) -> impl Iterator<Item = (Asset, Epoch, Option<&str>)> {
        self.assets.iter().flat_map(|listed| {
            listed
                .closing
                .iter()
                .map(|(epoch, closing)| (listed.terms.asset, *epoch, closing.halted.as_deref()))
        })
    }

    /// Whether a control event waits for answers or for its turn.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.pending.is_some() || !self.queue.is_empty()
    }

    /// The alarms raised since the last call.
    pub fn take_alarms(&mut self) -> Vec<String> {
        std::mem::take(&mut self.alarms)
    }

    /// Applies a record of the inbox.
    ///
    /// # Errors
    /// A fault. A bad control event is none: it becomes a dead letter.
    pub fn apply(&mut self, record: &[u8], memory: &mut impl DedupIndex, out: &mut Outputs) -> Result<(), Fault> {
        match codec::decode(record, "a record of the inbox")? {
            Inbox::Sources(sources) => self.queue.push_back(Queued::Sources(sources)),
            Inbox::Control { records, read_to } => {
                self.queue.extend(
                    records
                        .into_iter()
                        .map(|(offset, record)| Queued::Control(offset, record)),
                );
                self.queue.push_back(Queued::ReadTo(read_to));
            }
            Inbox::ListingAnswer {
                source,
                control_offset,
                from,
                newest_passed_ms,
                opening_passed,
            } => {
                self.answered(source, Some(control_offset), None)?.insert(
                    source,
                    Answer {
                        offset: from,
                        newest_passed_ms,
                        opening_passed,
                    },
                );
            }
            Inbox::CutAnswer { source, at, cut } => {
                self.answered(source, None, Some(at))?.insert(
                    source,
                    Answer {
                        offset: cut,
                        newest_passed_ms: None,
                        opening_passed: false,
                    },
                );
            }
            Inbox::Subtotal { partition, at, sums } => {
                let closing = self.closing(at)?;
                if closing.subtotals.insert(partition, sums).is_some() {
                    return Err(impossible(format!("a second subtotal of ledger partition {partition}")));
                }
                self.advance(at.number(), out)?;
            }
            Inbox::Receipt {
                partition,
                at,
                emitted,
                root,
            } => {
                let closing = self.closing(at)?;
                if closing.receipts.insert(partition, (emitted, root)).is_some() {
                    return Err(impossible(format!("a second receipt of ledger partition {partition}")));
                }
                self.advance(at.number(), out)?;
            }
        }
        self.take_turns(memory, out)
    }

    /// Decides what can be decided: the pending matter if all answers are in, then what waits behind it.
    fn take_turns(&mut self, memory: &mut impl DedupIndex, out: &mut Outputs) -> Result<(), Fault> {
        loop {
            if let Some(pending) = self
                .pending
                .take_if(|pending| pending.answers.len() == pending.asked.len())
            {
                self.conclude(pending, memory, out)?;
            }
            if self.pending.is_some() {
                return Ok(());
            }
            match self.queue.pop_front() {
                None => return Ok(()),
                Some(Queued::Sources(sources)) => {
                    let new: Vec<_> = sources
                        .into_iter()
                        .filter(|source| self.sources.insert(*source))
                        .collect();
                    if !new.is_empty() {
                        self.decide(&Decision::SourcesAdded { sources: new }, out)?;
                    }
                }
                Some(Queued::Control(offset, record)) => self.control(offset, record, memory, out)?,
                Some(Queued::ReadTo(to)) => self.decide(&Decision::ControlRead { to }, out)?,
            }
        }
    }

    /// Puts a decision on record.
    fn decide(&mut self, decision: &Decision, out: &mut Outputs) -> Result<(), Fault> {
        let number = self.decisions;
        self.decisions = number
            .checked_add(1)
            .ok_or(Fault::Overflow("the number of decisions"))?;
        out.push(
            Topic::Decisions.partition(0),
            number.to_string().as_bytes(),
            &decision.write(number)?,
        );
        Ok(())
    }

    /// Puts a notice on every ledger partition.
    fn broadcast(&self, notice: &Notice, out: &mut Outputs) -> Result<(), Fault> {
        let record = ledger::notice(notice)?;
        for partition in 0..self.partitions {
            out.push(Topic::Ledger.partition(partition), &[], &record);
        }
        Ok(())
    }

    /// The answers to the pending question, if `source` was asked just that.
    fn answered(
        &mut self,
        source: TopicPartition,
        listing: Option<u64>,
        cut: Option<AssetEpoch>,
    ) -> Result<&mut BTreeMap<TopicPartition, Answer>, Fault> {
        let stray = || impossible(format!("{source} answers a question that it was not asked"));
        let pending = self.pending.as_mut().ok_or_else(stray)?;
        let meant = match &pending.question {
            Question::Listing { .. } => listing == Some(pending.control_offset),
            Question::Cut(at) => cut == Some(*at),
        };
        if !meant || !pending.asked.contains(&source) || pending.answers.contains_key(&source) {
            return Err(stray());
        }
        Ok(&mut pending.answers)
    }

    fn closing(&mut self, at: AssetEpoch) -> Result<&mut Closing, Fault> {
        self.assets
            .get_mut(usize::from(at.number()))
            .and_then(|listed| listed.closing.get_mut(&at.epoch()))
            .ok_or_else(|| {
                impossible(format!(
                    "sums of epoch {} of asset number {}, which is not closing",
                    at.epoch(),
                    at.number()
                ))
            })
    }

    /// All answers to a question are in: decides it.
    fn conclude(&mut self, pending: Pending, memory: &mut impl DedupIndex, out: &mut Outputs) -> Result<(), Fault> {
        let offsets = Offsets(
            pending
                .answers
                .iter()
                .map(|(source, answer)| (*source, answer.offset))
                .collect(),
        );
        match pending.question.clone() {
            Question::Listing {
                written,
                terms,
                programme,
            } => self.conclude_listing(&pending, &written, terms, *programme, offsets, memory, out),
            Question::Cut(at) => {
                memory.insert(pending.identity, control::applied(pending.fingerprint));
                let listed = self
                    .assets
                    .get_mut(usize::from(at.number()))
                    .ok_or_else(|| impossible("a cut of an asset that is not listed"))?;
                let terms = listed.terms.clone();
                let programme = crate::core::contract::listing::in_force(&listed.programmes, at.epoch())
                    .ok_or_else(|| impossible("an epoch without a programme"))?
                    .clone();
                let closing = listed
                    .closing
                    .get_mut(&at.epoch())
                    .ok_or_else(|| impossible("a cut of an epoch that is not closing"))?;
                closing.cut = Some(offsets.clone());
                let cut = Decision::Cut {
                    asset: terms.asset,
                    number: at.number(),
                    epoch: at.epoch(),
                    cut: offsets.clone(),
                };
                self.decide(&cut, out)?;
                self.broadcast(
                    &Notice::Settle(Box::new(Settlement {
                        at,
                        terms,
                        programme,
                        cut: offsets,
                    })),
                    out,
                )
            }
        }
    }
}
