//! The schedule of a replay, made from the recorded decisions: in which order source partitions and control records reached the inbox, and the
//! offset of each source partition when it answered a question. The replay works out everything else itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::error::AuditError;
use crate::audit::point_in_time::PointInTime;
use crate::bus::{Topic, TopicPartition};
use crate::core::contract::decision::{Decision, Offsets, first_offsets};
use crate::core::contract::rejection::Code;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;

/// What the sequencer puts into the inbox next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ScheduleStep {
    /// The first record of the inbox, with the version of the contract's rules.
    Begin { rules: u64 },
    /// New source partitions, each with its first offset. The control topic is among them if it began late.
    Sources(Vec<(TopicPartition, Offset)>),
    /// The control records from the end of the step before to the offset `to`.
    Control { to: Offset },
    /// The same, but the last record asks the source partitions, and is no close. It waits until every asked source partition has reached the offset of its
    /// answer to `question`.
    Question { to: Offset, question: usize },
    /// The control record at this offset, before earlier ones: it accepts a loss, and was decided while one before it waited. If it is a question, it waits
    /// like one.
    Ahead { offset: Offset, question: Option<usize> },
}

/// A step, and how many of the expected decisions come before it. What the coordinator decides next may depend on which control records it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScheduledStep {
    pub after: usize,
    pub step: ScheduleStep,
}

/// A question that the coordinator asked the source partitions: about a listing, a withdrawal, the rules, a close, or a loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScheduledQuestion {
    /// The offset of each source partition when it answered. For a close this is the cut.
    pub answers: Offsets,
    pub is_close: bool,
    /// For a loss: the end of what was skipped.
    pub skipped_to: Option<Offset>,
}

/// In which order the input of a replay arrives.
#[derive(Debug)]
pub struct Schedule {
    pub(crate) steps: Vec<ScheduledStep>,
    /// The control records that were decided before earlier ones.
    pub(crate) ahead: BTreeSet<Offset>,
    pub(crate) questions: Vec<ScheduledQuestion>,
    /// The decisions that the replay must make again. `control_read` is left out: in which portions control is read changes no result.
    pub(crate) decisions: Vec<Decision>,
    /// The epochs that the gate must hold again. When a settlement reaches the gate between other decisions is a matter of time, so they have no place
    /// in the order.
    pub(crate) held: Vec<Decision>,
    /// For each source partition, by the number of decided questions: the offset up to which it may be read.
    read_limits: BTreeMap<TopicPartition, Vec<Offset>>,
    /// The offset up to which every control record has a decision.
    pub(crate) control_end: Offset,
    /// The first offset of each partition that began late.
    starts: BTreeMap<TopicPartition, Offset>,
    /// By the offset of its control record: each version of the rules that was accepted.
    rules: BTreeMap<Offset, u64>,
}

/// Which epochs an audit looks at. The default is all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EpochFilter {
    /// Only this asset.
    pub asset: Option<Asset>,
    /// Only this epoch.
    pub epoch: Option<Epoch>,
}

impl EpochFilter {
    #[must_use]
    pub fn includes(&self, asset: &str, epoch: Epoch) -> bool {
        self.asset.is_none_or(|wanted| wanted.as_str() == asset) && self.epoch.is_none_or(|wanted| wanted == epoch)
    }
}

impl Schedule {
    /// Schedules all of a deployment's log, or only what the epochs of `filter` need.
    ///
    /// # Errors
    /// If the recorded decisions contradict one another.
    pub fn new(point: &PointInTime, filter: EpochFilter) -> Result<Self, AuditError> {
        let mut ends = point.ingested.clone();
        let mut decisions = &point.decisions[..];
        if let Some(epoch) = filter.epoch {
            let is_meant = |asset: &Asset, of: &Epoch| filter.includes(asset.as_str(), *of) && *of == epoch;
            let last = decisions.iter().rposition(|decision| match decision {
                Decision::Cut { asset, epoch, .. }
                | Decision::EpochReleased { asset, epoch, .. }
                | Decision::CloseAccepted {
                    asset,
                    epoch,
                    again: true,
                    ..
                } => is_meant(asset, epoch),
                _ => false,
            });
            decisions = &decisions[..last.map_or(0, |last| last + 1)];
            // Control goes on until a held epoch is released.
            let is_held = |decision: &Decision| matches!(decision, Decision::EpochHeld { asset, epoch, .. } if is_meant(asset, epoch));
            let is_held = point.decisions.iter().any(is_held);
            let mut needed: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
            for decision in decisions {
                if let Decision::Cut { asset, epoch, cut, .. } = decision
                    && filter.includes(asset.as_str(), *epoch)
                {
                    for (source, offset) in &cut.0 {
                        let needed = needed.entry(*source).or_default();
                        *needed = (*needed).max(*offset);
                    }
                }
            }
            for (source, end) in ends.iter_mut().filter(|_| !is_held) {
                *end = (*end).min(needed.get(source).copied().unwrap_or(Offset::START));
            }
        }
        let mut schedule = Self::build(decisions, &ends)?;
        let held = point
            .decisions
            .iter()
            .filter(|decision| matches!(decision, Decision::EpochHeld { .. }));
        schedule.held = held.cloned().collect();
        Ok(schedule)
    }

    /// The recorded decision that a held epoch of the replay contradicts. One that is not recorded is none: the deployment may not have come that far.
    pub(crate) fn contradicts(&self, held: &Decision) -> Option<&Decision> {
        let of = |decision: &Decision| match decision {
            Decision::EpochHeld { number, epoch, .. } => Some((*number, *epoch)),
            _ => None,
        };
        let same = self.held.iter().filter(|recorded| of(recorded) == of(held));
        let mut same = same.peekable();
        let first = same.peek().copied();
        if same.any(|recorded| recorded == held) {
            None
        } else {
            first
        }
    }

    fn build(decisions: &[Decision], ends: &BTreeMap<TopicPartition, Offset>) -> Result<Self, AuditError> {
        let mut builder = ScheduleBuilder::default();
        let mut ahead = decided_ahead(decisions).into_iter();
        let mut rest = decisions.iter();
        while let Some(decision) = rest.next() {
            let is_ahead = ahead.next().unwrap_or_default();
            if needs_settlements(decision) && !builder.reaches_cuts(ends) {
                break;
            }
            match decision {
                Decision::Refused { control_offset, .. } if is_ahead => {
                    builder.read_ahead(*control_offset, None);
                    builder.decisions.push(decision.clone());
                }
                Decision::SourcesAdded { sources, starts } => {
                    let control = starts.0.keys().filter(|partition| partition.topic == Topic::Control);
                    let first = |partition: &TopicPartition| starts.0.get(partition).copied().unwrap_or(Offset::START);
                    let all = control.chain(sources).map(|partition| (*partition, first(partition)));
                    builder.push(ScheduleStep::Sources(all.collect()));
                    builder.decisions.push(decision.clone());
                }
                Decision::ControlRead { to } => builder.read_control(*to),
                Decision::Rules {
                    control_offset: None,
                    version,
                    ..
                } => {
                    builder.push(ScheduleStep::Begin { rules: *version });
                    builder.decisions.push(decision.clone());
                }
                Decision::EpochHeld { .. } | Decision::VerdictWaits { .. } => {}
                Decision::ProgrammeChanged { control_offset, .. }
                | Decision::RewardAdded { control_offset, .. }
                | Decision::PoolAdjusted { control_offset, .. }
                | Decision::EpochReleased { control_offset, .. }
                | Decision::EpochVoid { control_offset, .. }
                | Decision::CloseAccepted {
                    control_offset,
                    again: true,
                    ..
                }
                | Decision::Refused { control_offset, .. } => {
                    builder.read_control(control_offset.next()?);
                    builder.decisions.push(decision.clone());
                }
                Decision::ListingProposed { control_offset, .. }
                | Decision::WithdrawalProposed { control_offset, .. }
                | Decision::RulesProposed { control_offset, .. }
                | Decision::LossProposed { control_offset, .. }
                | Decision::CloseAccepted { control_offset, .. } => {
                    // A question is decided before anything else. Only the last one may still be open.
                    let Some(outcome) = rest.next() else { break };
                    ahead.next();
                    if !builder.ask(decision, outcome, (*control_offset, is_ahead), ends)? {
                        break;
                    }
                }
                Decision::ListingAccepted { .. }
                | Decision::ListingRefused { .. }
                | Decision::WithdrawalAccepted { .. }
                | Decision::Rules { .. }
                | Decision::LossAccepted { .. }
                | Decision::Cut { .. } => {
                    return Err(unexpected(decision));
                }
            }
        }
        let limits =
            |(source, end): (&TopicPartition, &Offset)| (*source, read_limits(*source, *end, &builder.questions));
        let accepted = |decision: &Decision| match decision {
            Decision::Rules {
                control_offset: Some(at),
                version,
                ..
            } => Some((*at, *version)),
            _ => None,
        };
        Ok(Self {
            starts: first_offsets(&builder.decisions),
            rules: builder.decisions.iter().filter_map(accepted).collect(),
            read_limits: ends.iter().map(limits).collect(),
            steps: builder.steps,
            ahead: builder.ahead,
            questions: builder.questions,
            decisions: builder.decisions,
            held: Vec::new(),
            control_end: builder.control_end,
        })
    }

    /// The offset up to which a source partition may be read after `decided` questions.
    pub(crate) fn read_limit(&self, source: TopicPartition, decided: usize) -> Offset {
        self.read_limits
            .get(&source)
            .and_then(|limits| limits.get(decided.min(limits.len().saturating_sub(1))))
            .copied()
            .unwrap_or(Offset::START)
    }

    /// All source partitions of the schedule.
    pub(crate) fn sources(&self) -> impl Iterator<Item = TopicPartition> {
        let steps = self.steps.iter().flat_map(|scheduled| match &scheduled.step {
            ScheduleStep::Sources(sources) => &sources[..],
            ScheduleStep::Begin { .. }
            | ScheduleStep::Control { .. }
            | ScheduleStep::Question { .. }
            | ScheduleStep::Ahead { .. } => &[],
        });
        let all = steps.map(|(partition, _)| *partition);
        all.filter(|partition| partition.topic != Topic::Control)
    }

    /// Whether a control record has a decision.
    pub(crate) fn is_decided(&self, control: Offset) -> bool {
        control < self.control_end || self.ahead.contains(&control)
    }

    /// The offset after the last control record that the replay reads.
    pub(crate) fn control_read_end(&self) -> Offset {
        let ahead = self.ahead.last().map_or(Offset::START, |last| last.saturating_add(1));
        self.control_end.max(ahead)
    }

    /// The version by which a control record that names one is judged: its own if it was accepted. The program that refused one may have known fewer
    /// than this one.
    pub(crate) fn known_rules(&self, control: Offset) -> u64 {
        self.rules.get(&control).copied().unwrap_or_default()
    }

    /// The offset from which the deployment has read a partition.
    pub(crate) fn start(&self, partition: TopicPartition) -> Offset {
        self.starts.get(&partition).copied().unwrap_or(Offset::START)
    }

    /// Replaces each expected decision by what `change` makes of it. The questions and their order stay.
    #[must_use]
    pub(crate) fn map_decisions(mut self, mut change: impl FnMut(Decision) -> Vec<Decision>) -> Self {
        let mut changed = Vec::with_capacity(self.decisions.len());
        // By the number of recorded decisions: how many of the changed ones they became.
        let mut became = vec![0];
        for decision in self.decisions {
            changed.extend(change(decision));
            became.push(changed.len());
        }
        for step in &mut self.steps {
            step.after = became.get(step.after).copied().unwrap_or(changed.len());
        }
        self.decisions = changed;
        self
    }

    #[must_use]
    pub const fn decision_count(&self) -> usize {
        self.decisions.len()
    }

    /// How many source records the replay reads.
    #[must_use]
    pub fn record_count(&self) -> u64 {
        let last = |limits: &Vec<Offset>| limits.last().copied().unwrap_or(Offset::START);
        let limits = self.read_limits.iter();
        limits
            .map(|(source, limits)| last(limits).since(self.start(*source)))
            .fold(0, u64::saturating_add)
    }
}

#[derive(Default)]
struct ScheduleBuilder {
    steps: Vec<ScheduledStep>,
    ahead: BTreeSet<Offset>,
    questions: Vec<ScheduledQuestion>,
    decisions: Vec<Decision>,
    control_end: Offset,
}

impl ScheduleBuilder {
    /// Whether the source partitions are read up to all cuts so far. If not, the replay cannot settle every closed epoch.
    fn reaches_cuts(&self, ends: &BTreeMap<TopicPartition, Offset>) -> bool {
        let mut cuts = self.questions.iter().filter(|question| question.is_close);
        cuts.all(|cut| {
            let end = |source| ends.get(source).copied().unwrap_or(Offset::START);
            cut.answers.0.iter().all(|(source, offset)| *offset <= end(source))
        })
    }

    fn push(&mut self, step: ScheduleStep) {
        let after = self.decisions.len();
        self.steps.push(ScheduledStep { after, step });
    }

    /// Adds a step that brings a control record before earlier ones.
    fn read_ahead(&mut self, offset: Offset, question: Option<usize>) {
        self.ahead.insert(offset);
        self.push(ScheduleStep::Ahead { offset, question });
    }

    /// Adds a step that brings the control records up to `to`, if there are any.
    fn read_control(&mut self, to: Offset) {
        if to > self.control_end {
            self.push(ScheduleStep::Control { to });
        }
        self.control_end = self.control_end.max(to);
    }

    /// Adds a question and its outcome. Returns `false` if the schedule ends before the question.
    fn ask(
        &mut self,
        question: &Decision,
        outcome: &Decision,
        (control_offset, is_ahead): (Offset, bool),
        ends: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<bool, AuditError> {
        let Some(answers) = answers(outcome) else {
            return Err(unexpected(outcome));
        };
        let is_close = matches!(question, Decision::CloseAccepted { .. });
        // A source partition that ends before the offset of its answer never gives this answer.
        let end = |source| ends.get(source).copied().unwrap_or(Offset::START);
        if !is_close && answers.0.iter().any(|(source, offset)| *offset > end(source)) {
            return Ok(false);
        }
        if is_ahead {
            self.read_ahead(control_offset, Some(self.questions.len()));
        } else if is_close {
            self.read_control(control_offset.next()?);
        } else {
            self.read_control(control_offset);
            self.control_end = self.control_end.max(control_offset.next()?);
            self.push(ScheduleStep::Question {
                to: self.control_end,
                question: self.questions.len(),
            });
        }
        self.questions.push(ScheduledQuestion {
            is_close,
            skipped_to: match outcome {
                Decision::LossAccepted { skipped_to, .. } => Some(*skipped_to),
                _ => None,
            },
            answers,
        });
        self.decisions.extend([question.clone(), outcome.clone()]);
        Ok(true)
    }
}

/// The read limits of a source partition. It answered each question at some offset, so it must not read past the earliest answer still to come.
fn read_limits(source: TopicPartition, end: Offset, questions: &[ScheduledQuestion]) -> Vec<Offset> {
    let mut limits = vec![end; questions.len() + 1];
    let mut earliest = end;
    for (question, limit) in questions.iter().zip(&mut limits).rev() {
        if let Some(offset) = question.answers.0.get(&source) {
            earliest = earliest.min(*offset);
        }
        *limit = earliest;
    }
    limits
}

/// Whether a decision waits for the settlements of epochs that were closed before: it is about a release or void.
const fn needs_settlements(decision: &Decision) -> bool {
    matches!(
        decision,
        Decision::EpochReleased { .. }
            | Decision::EpochVoid { .. }
            | Decision::Refused {
                code: Code::EpochNotHeld,
                ..
            }
    )
}

/// Whether each decision is about a control record after a release or void that waits.
fn decided_ahead(decisions: &[Decision]) -> Vec<bool> {
    let mut waits_at = None;
    let mut ahead = Vec::with_capacity(decisions.len());
    for decision in decisions {
        if let Decision::VerdictWaits { control_offset, .. } = decision {
            waits_at = Some(*control_offset);
        }
        let offset = control_offset(decision);
        if offset.is_some() && offset == waits_at {
            waits_at = None;
        }
        let is_ahead = |offset: Offset| waits_at.is_some_and(|waiting| waiting < offset);
        ahead.push(offset.is_some_and(is_ahead));
    }
    ahead
}

/// The place of the control record that a decision is about. An outcome is left out, because its question was decided before.
const fn control_offset(decision: &Decision) -> Option<Offset> {
    match decision {
        Decision::ListingProposed { control_offset, .. }
        | Decision::WithdrawalProposed { control_offset, .. }
        | Decision::RulesProposed { control_offset, .. }
        | Decision::LossProposed { control_offset, .. }
        | Decision::CloseAccepted { control_offset, .. }
        | Decision::ProgrammeChanged { control_offset, .. }
        | Decision::RewardAdded { control_offset, .. }
        | Decision::PoolAdjusted { control_offset, .. }
        | Decision::EpochReleased { control_offset, .. }
        | Decision::EpochVoid { control_offset, .. }
        | Decision::Refused { control_offset, .. } => Some(*control_offset),
        _ => None,
    }
}

/// The answers that an outcome is based on; `None` if the decision is no outcome.
fn answers(outcome: &Decision) -> Option<Offsets> {
    match outcome {
        Decision::ListingAccepted { in_force_from, .. }
        | Decision::WithdrawalAccepted { in_force_from, .. }
        | Decision::Rules {
            control_offset: Some(_),
            in_force_from,
            ..
        } => Some(in_force_from.clone()),
        Decision::ListingRefused { answered_at, .. } => Some(answered_at.clone()),
        Decision::Cut { cut, .. } => Some(cut.clone()),
        Decision::LossAccepted { loss, skipped_from, .. } => {
            Some(Offsets(BTreeMap::from([(loss.source(), *skipped_from)])))
        }
        _ => None,
    }
}

fn unexpected(decision: &Decision) -> AuditError {
    let written = serde_json::to_string(decision).unwrap_or_default();
    AuditError::Decisions(format!("{written} does not follow from the decisions before it"))
}

/// Whether a decision is the outcome of a question.
pub(crate) fn is_outcome(decision: &Decision) -> bool {
    answers(decision).is_some()
}

/// Whether the replay must make this decision again.
pub(crate) const fn is_expected(decision: &Decision) -> bool {
    !matches!(
        decision,
        Decision::ControlRead { .. } | Decision::EpochHeld { .. } | Decision::VerdictWaits { .. }
    )
}
