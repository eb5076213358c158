//! The state machine over the inbox: it decides control events one after the other, and totals, checks and seals epochs.
//!
//! The inbox puts the input of the coordinator into one order, so a replay of the inbox gives the same decisions. A control event
//! waits while the one before it is undecided. New source partitions wait with it, so they never come between a question and its
//! answers.
//!
//! [`listings`] has the rules about control events, [`control`] applies one, [`questions`] asks the source partitions, and [`seal`]
//! leads an epoch from its subtotals to its seal, through the [`gate`]. [`waiting`] tells what is not finished, and why.
//!
//! Two kinds of control event do not keep to that order. A release or void waits until the epochs of its asset that were closed before it are sealed
//! or held. Meanwhile an event that accepts a loss is decided before it: they may wait for the very records that are lost.

mod control;
mod gate;
pub mod gate_state;
pub mod listings;
mod questions;
mod seal;
mod turn;
pub mod waiting;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ethnum::I256;
use ruint::aliases::U512;
use serde::{Deserialize, Serialize};

use crate::core::accrue::settle::Split;
use crate::core::accrue::wide::magnitude;
use crate::core::contract::appends::Outputs;
use crate::core::contract::decision::{Decision, Offsets};
use crate::core::contract::listing::AssetTerms;
use crate::core::contract::loss::RecordLoss;
use crate::core::contract::merkle::Hash;
use crate::core::contract::programme::Programme;
use crate::core::contract::rejection::RejectionCounts;
use crate::core::contract::rules::{self, FIRST_RULES};
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::coordinate::gate_state::GateState;
use crate::core::coordinate::listings::CloseOrder;
use crate::core::dedup::DedupIndex;
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::messages::{Inbox, Notice, SequencedRecord, UnlistedTimes};
use crate::core::protocol::totals::{Emitted, Subtotal, i256_bytes};
use crate::core::protocol::{codec, ledger};
use crate::core::values::amount::format_units_wide;
use crate::core::values::asset::Asset;
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::offset::Offset;
use crate::core::values::time::TimeMs;

/// The state of the coordinator; the control events it has applied have entries of their own. The order of fields and variants, here
/// and below, is part of the stored format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coordinator {
    /// The number of ledger partitions.
    partitions: u32,
    /// The number of recorded decisions.
    decisions: u64,
    /// The version of the contract's rules in force for closes; the first one before the deployment's first record.
    rules: u64,
    sources: BTreeSet<TopicPartition>,
    queue: VecDeque<QueuedInput>,
    pending: Option<PendingQuestion>,
    /// The release or void that waits, by its offset, once that is on record.
    waits_at: Option<Offset>,
    /// By number.
    assets: Vec<ListedAsset>,
    /// The numbers of an asset's listings, in their order.
    by_name: BTreeMap<Asset, Vec<u16>>,
    counts: ControlCounts,
    #[serde(skip)]
    alarms: Vec<String>,
}

/// Counts of the records of the control topic, by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlCounts {
    /// Events accepted.
    pub accepted: u64,
    /// Identical copies dropped.
    pub duplicates: u64,
    /// Records rejected.
    pub dead_letters: RejectionCounts,
}

/// Input that waits while a question is pending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum QueuedInput {
    Sources(Vec<TopicPartition>),
    Control(SequencedRecord),
    /// The offset up to which the control topic has been read.
    ReadTo(Offset),
    /// Source partitions with their first offsets.
    SourcesFrom(Vec<(TopicPartition, Offset)>),
}

/// A question to all source partitions, and the answers so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PendingQuestion {
    asked: BTreeSet<TopicPartition>,
    answers: BTreeMap<TopicPartition, SourceAnswer>,
    question: SourceQuestion,
    control_offset: Offset,
    /// The control record, for a dead letter.
    payload: Vec<u8>,
    identity: [u8; 16],
    fingerprint: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum SourceQuestion {
    Listing {
        terms: AssetTerms,
        misdated_from: Option<TimeMs>,
        programme: Box<Programme>,
    },
    /// The end of a listing, by its number: the first epoch that there is not.
    Withdrawal {
        number: u16,
        epoch: Epoch,
    },
    /// A version of the rules.
    Rules {
        version: u64,
    },
    Cut(AssetEpoch),
    /// Asks only the source partition that lost records.
    Loss(Box<RecordLoss>),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct SourceAnswer {
    offset: Offset,
    /// To a listing.
    unlisted: UnlistedTimes,
    /// To a loss: the offset of the first record that still exists.
    start: Offset,
}

/// Which question an answer belongs to.
#[derive(Debug, Clone, Copy)]
enum AnswerTo {
    /// The listing at this offset of the control topic.
    Listing(Offset),
    /// The withdrawal, or version of the rules, at this offset of the control topic.
    Position(Offset),
    Cut(AssetEpoch),
    /// The accepted loss at this offset of the control topic.
    Loss(Offset),
}

impl PendingQuestion {
    fn is_answered(&self) -> bool {
        self.answers.len() == self.asked.len()
    }

    fn offsets(&self) -> Offsets {
        Offsets(
            self.answers
                .iter()
                .map(|(source, answer)| (*source, answer.offset))
                .collect(),
        )
    }
}

/// A listed asset, as the coordinator knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedAsset {
    pub terms: AssetTerms,
    pub misdated_from: Option<TimeMs>,
    /// Ascending by their first epoch.
    pub programmes: Vec<Programme>,
    /// The oldest epoch whose close has not been accepted.
    pub oldest_open: Epoch,
    /// The oldest epoch that is not sealed.
    pub next_seal: Epoch,
    /// If it was withdrawn: the first epoch that there is not.
    pub withdrawn: Option<Epoch>,
    /// What rewards and adjustments add to the pools of open epochs.
    added: BTreeMap<Epoch, SignedUnits>,
    /// Closed epochs that are not sealed.
    closing: BTreeMap<Epoch, ClosingEpoch>,
    /// What is carried into the next epoch in `pool` mode, in units of the reward asset. A deficit is negative.
    #[serde(with = "i256_bytes")]
    pub carried: I256,
    /// The amount withheld from all accounts, in units of the reward asset. Debts count negative.
    #[serde(with = "i256_bytes")]
    pub withheld: I256,
    /// Sum of R of the newest sealed epoch.
    rewarded_before: Option<U512>,
    /// Whether an epoch has reached the gate while a question was pending. A question and its outcome stay side by side on record.
    gate_waits: bool,
}

/// Signed units of the reward asset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct SignedUnits(#[serde(with = "i256_bytes")] I256);

impl ListedAsset {
    /// What rewards and adjustments add to the pool of an open epoch, in units of the reward asset.
    #[must_use]
    pub fn added(&self, epoch: Epoch) -> I256 {
        self.added.get(&epoch).copied().unwrap_or_default().0
    }

    /// Sum of R of the newest sealed epoch, in units of the reward asset.
    #[must_use]
    pub const fn rewarded_before(&self) -> Option<U512> {
        self.rewarded_before
    }

    /// Signed units of the reward asset as a decimal number.
    fn reward_amount(&self, units: I256) -> String {
        let decimals = u32::from(self.terms.reward_decimals());
        format_units_wide(units < I256::ZERO, magnitude(units), decimals)
    }
}

/// An epoch between its close and its seal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ClosingEpoch {
    order: CloseOrder,
    /// What rewards and adjustments add to the pool.
    added: SignedUnits,
    cut: Option<Offsets>,
    /// By ledger partition.
    subtotals: BTreeMap<u32, Subtotal>,
    /// The sum of the subtotals, and the split of the pool.
    total: Option<(Subtotal, Split)>,
    /// What would be published, for the gate, by ledger partition.
    previews: BTreeMap<u32, Emitted>,
    gate: GateState,
    /// By ledger partition.
    receipts: BTreeMap<u32, (Emitted, Hash)>,
    /// The alarm that stopped it.
    halted: Option<String>,
}

impl ClosingEpoch {
    const fn new(order: CloseOrder, added: SignedUnits) -> Self {
        Self {
            order,
            added,
            cut: None,
            subtotals: BTreeMap::new(),
            total: None,
            previews: BTreeMap::new(),
            gate: GateState::Before,
            receipts: BTreeMap::new(),
            halted: None,
        }
    }
}

impl Coordinator {
    /// The coordinator of a new deployment with `partitions` ledger partitions.
    #[must_use]
    pub const fn new(partitions: u32) -> Self {
        Self {
            partitions,
            decisions: 0,
            rules: FIRST_RULES,
            sources: BTreeSet::new(),
            queue: VecDeque::new(),
            pending: None,
            waits_at: None,
            assets: Vec::new(),
            by_name: BTreeMap::new(),
            counts: ControlCounts {
                accepted: 0,
                duplicates: 0,
                dead_letters: RejectionCounts::NONE,
            },
            alarms: Vec::new(),
        }
    }

    /// The version of the contract's rules in force for settlements.
    #[must_use]
    pub const fn rules(&self) -> u64 {
        self.rules
    }

    /// The number of ledger partitions.
    #[must_use]
    pub const fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The same coordinator with another number of ledger partitions.
    ///
    /// # Errors
    /// The epochs, in words, that are between their first subtotal and their seal.
    pub fn repartitioned(mut self, partitions: u32) -> Result<Self, Vec<String>> {
        let under_way: Vec<String> = self
            .assets
            .iter()
            .flat_map(|listed| {
                let is_summing = |closing: &&ClosingEpoch| !closing.subtotals.is_empty() || closing.total.is_some();
                listed
                    .closing
                    .iter()
                    .filter(move |(_, closing)| is_summing(closing))
                    .map(|(epoch, _)| format!("{} epoch {epoch}", listed.terms.asset))
            })
            .collect();
        if !under_way.is_empty() {
            return Err(under_way);
        }
        self.partitions = partitions;
        Ok(self)
    }

    /// The source partitions of the deployment.
    #[must_use]
    pub const fn sources(&self) -> &BTreeSet<TopicPartition> {
        &self.sources
    }

    /// The listed assets, by number.
    #[must_use]
    pub fn assets(&self) -> &[ListedAsset] {
        &self.assets
    }

    /// Epochs that are closed and on their way to a seal, each with the alarm that stopped it, if there is one. One that the gate holds, one that is void,
    /// and those behind them are none.
    pub fn unsealed(&self) -> impl Iterator<Item = (Asset, Epoch, Option<&str>)> {
        self.assets.iter().flat_map(|listed| {
            let is_under_way =
                |(_, closing): &(&Epoch, &ClosingEpoch)| listed.stopped().is_none() || closing.cut.is_none();
            listed
                .closing
                .iter()
                .filter(is_under_way)
                .map(|(epoch, closing)| (listed.terms.asset, *epoch, closing.halted.as_deref()))
        })
    }

    /// Whether a control event waits for answers or for its turn.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.pending.is_some() || !self.queue.is_empty()
    }

    /// The number of control records that wait behind the pending question.
    fn queued_control(&self) -> usize {
        let is_control = |input: &&QueuedInput| matches!(input, QueuedInput::Control(..));
        self.queue.iter().filter(is_control).count()
    }

    #[must_use]
    pub const fn counts(&self) -> ControlCounts {
        self.counts
    }

    /// The alarms raised since the last call.
    pub fn take_alarms(&mut self) -> Vec<String> {
        std::mem::take(&mut self.alarms)
    }

    /// Takes a record of the inbox. [`Self::take_turn`] follows until there is nothing left to decide.
    ///
    /// # Errors
    /// A record that cannot be decoded, or that the protocol rules out.
    pub fn receive(&mut self, record: &[u8], out: &mut Outputs) -> Result<(), Fault> {
        let message = codec::decode(record, "a record of the inbox")?;
        if matches!(message, Inbox::Begin { .. }) != (self.decisions == 0) {
            return Err(impossible(
                "the inbox does not begin with the version of the rules, or names it again",
            ));
        }
        match message {
            Inbox::Begin { rules } => {
                rules::check_known(rules)?;
                self.rules = rules;
                let first = Decision::Rules {
                    control_offset: None,
                    version: rules,
                    in_force_from: Offsets::default(),
                };
                self.record_decision(&first, out)?;
            }
            Inbox::Sources(sources) => self.queue.push_back(QueuedInput::Sources(sources)),
            Inbox::SourcesFrom(sources) => self.queue.push_back(QueuedInput::SourcesFrom(sources)),
            Inbox::Control { records, read_to } => {
                self.queue.extend(records.into_iter().map(QueuedInput::Control));
                self.queue.push_back(QueuedInput::ReadTo(read_to));
            }
            Inbox::ListingAnswer {
                source,
                control_offset,
                from,
                unlisted,
            } => {
                let answer = SourceAnswer {
                    offset: from,
                    unlisted,
                    ..SourceAnswer::default()
                };
                self.add_answer(source, AnswerTo::Listing(control_offset), answer)?;
            }
            Inbox::PositionAnswer {
                source,
                control_offset,
                from,
            } => {
                let answer = SourceAnswer {
                    offset: from,
                    ..SourceAnswer::default()
                };
                self.add_answer(source, AnswerTo::Position(control_offset), answer)?;
            }
            Inbox::CutAnswer { source, at, cut } => {
                let answer = SourceAnswer {
                    offset: cut,
                    ..SourceAnswer::default()
                };
                self.add_answer(source, AnswerTo::Cut(at), answer)?;
            }
            Inbox::LossAnswer {
                source,
                control_offset,
                at,
                start,
            } => {
                let answer = SourceAnswer {
                    offset: at,
                    start,
                    ..SourceAnswer::default()
                };
                self.add_answer(source, AnswerTo::Loss(control_offset), answer)?;
            }
            Inbox::Subtotal { partition, at, sums } => self.add_subtotal(partition, at, sums, out)?,
            Inbox::Preview { partition, at, payouts } => self.add_preview(partition, at, payouts, out)?,
            Inbox::Receipt {
                partition,
                at,
                emitted,
                root,
            } => self.add_receipt(partition, at, emitted, root, out)?,
        }
        Ok(())
    }

    /// Decides the pending question if all answers are in; otherwise the next input, if none is pending. Returns whether there was anything to
    /// decide.
    ///
    /// # Errors
    /// What the protocol rules out. A bad control event is none: it becomes a dead letter.
    pub fn take_turn(&mut self, seen_events: &mut impl DedupIndex, out: &mut Outputs) -> Result<bool, Fault> {
        if let Some(pending) = self.pending.take_if(|pending| pending.is_answered()) {
            self.conclude(pending, seen_events, out)?;
            self.open_gates(out)?;
            return Ok(true);
        }
        if self.pending.is_none() && self.record_wait(out)? {
            return Ok(true);
        }
        let Some(next) = self.next_input() else {
            return Ok(false);
        };
        match self.queue.remove(next) {
            None => return Ok(false),
            Some(QueuedInput::Sources(sources)) => {
                let sources = sources.into_iter().map(|source| (source, Offset::START));
                self.add_sources(sources, out)?;
            }
            Some(QueuedInput::SourcesFrom(sources)) => self.add_sources(sources.into_iter(), out)?,
            Some(QueuedInput::Control(record)) => self.apply_control(record, seen_events, out)?,
            Some(QueuedInput::ReadTo(to)) => self.record_decision(&Decision::ControlRead { to }, out)?,
        }
        Ok(true)
    }

    /// Lets the epochs reach the gate that waited for the end of a question.
    fn open_gates(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        for number in 0..self.assets.len() {
            if self.pending.is_none() && self.assets.get(number).is_some_and(|listed| listed.gate_waits) {
                let number = u16::try_from(number).map_err(|_| Fault::Overflow("the number of a listing"))?;
                self.advance(number, out)?;
            }
        }
        Ok(())
    }

    /// Records the partitions that are new. The sequencer names all of them again after a restart; their first offsets stay those of the first time.
    fn add_sources(
        &mut self,
        found: impl Iterator<Item = (TopicPartition, Offset)>,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let (mut sources, mut starts) = (Vec::new(), Offsets::default());
        for (partition, first) in found {
            // The sequencer announces the control topic only once. It is nobody's source, and no question goes to it.
            let is_control = partition.topic == Topic::Control;
            if !is_control && !self.sources.insert(partition) {
                continue;
            }
            if !is_control {
                sources.push(partition);
            }
            if first > Offset::START {
                starts.0.insert(partition, first);
            }
        }
        if sources.is_empty() && starts.is_empty() {
            return Ok(());
        }
        self.record_decision(&Decision::SourcesAdded { sources, starts }, out)
    }

    fn record_decision(&mut self, decision: &Decision, out: &mut Outputs) -> Result<(), Fault> {
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

    /// Writes a notice to every ledger partition.
    fn broadcast(&self, notice: &Notice, out: &mut Outputs) -> Result<(), Fault> {
        let record = ledger::notice(notice)?;
        for partition in 0..self.partitions {
            out.push(Topic::Ledger.partition(partition), &[], &record);
        }
        Ok(())
    }
}
