//! What a replay is told of how things came at the time: which source partitions were found when, and where each of them stood when it answered
//! what it was asked. Everything else the replay works out for itself.

use std::collections::BTreeMap;

use crate::audit::point_in_time::PointInTime;
use crate::audit::replay::ReplayError;
use crate::bus::{Topic, TopicPartition};
use crate::core::contract::decision::{Decision, Offsets};
use crate::core::values::asset::Asset;

/// What the sequencer puts into the inbox, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// These source partitions were found.
    Sources(Vec<TopicPartition>),
    /// Control records from where the step before ended up to this offset.
    Control { to: u64 },
    /// The same; the last of them is a listing, about which this question is asked: not before every source partition has come to where it
    /// stood when it answered.
    Listing { to: u64, question: usize },
}

/// A question that was put to the source partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// What they answered: for a listing where they stood, for a close their part of the cut.
    pub answers: Offsets,
    /// Whether it is about a close.
    pub is_close: bool,
}

/// How things came.
#[derive(Debug)]
pub struct Schedule {
    pub(crate) steps: Vec<Step>,
    pub(crate) questions: Vec<Question>,
    /// The decisions to come to again. That control was read up to somewhere is none: in which portions it is read decides nothing.
    pub(crate) decisions: Vec<Decision>,
    /// For each source partition, by how many questions are decided: the offset up to which it may be read.
    bounds: BTreeMap<TopicPartition, Vec<u64>>,
    /// One past the last control record that is decided.
    pub(crate) control_end: u64,
}

/// Which epochs a replay is wanted for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only this asset.
    pub asset: Option<Asset>,
    /// Only this epoch.
    pub epoch: Option<u64>,
}

impl Wanted {
    /// Whether an asset's epoch is among them.
    #[must_use]
    pub fn has(&self, asset: &str, epoch: u64) -> bool {
        self.asset.is_none_or(|wanted| wanted.as_str() == asset) && self.epoch.is_none_or(|wanted| wanted == epoch)
    }
}

impl Schedule {
    /// What is to be gone through again of a deployment: all of it, or no more than the wanted epochs need.
    ///
    /// # Errors
    /// If the decisions on record do not follow one another as decisions do.
    pub fn new(point: &PointInTime, wanted: Wanted) -> Result<Self, ReplayError> {
        let mut ends = point.taken_in.clone();
        let mut decisions = &point.decisions[..];
        if let Some(epoch) = wanted.epoch {
            let last = decisions.iter().rposition(|decision| {
                matches!(decision, Decision::Cut { asset, epoch: cut, .. }
                    if wanted.has(asset.as_str(), u64::from(*cut)) && u64::from(*cut) == epoch)
            });
            decisions = &decisions[..last.map_or(0, |last| last + 1)];
            let mut needed: BTreeMap<TopicPartition, u64> = BTreeMap::new();
            for decision in decisions {
                if let Decision::Cut { asset, epoch, cut, .. } = decision
                    && wanted.has(asset.as_str(), u64::from(*epoch))
                {
                    for (source, offset) in &cut.0 {
                        let needed = needed.entry(*source).or_default();
                        *needed = (*needed).max(*offset);
                    }
                }
            }
            for (source, end) in &mut ends {
                *end = (*end).min(needed.get(source).copied().unwrap_or(0));
            }
        }
        Self::of(decisions, ends)
    }

    fn of(decisions: &[Decision], ends: BTreeMap<TopicPartition, u64>) -> Result<Self, ReplayError> {
        let (mut steps, mut questions, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        let mut fed = 0;
        let mut rest = decisions.iter();
        while let Some(decision) = rest.next() {
            match decision {
                Decision::SourcesAdded { sources } => steps.push(Step::Sources(sources.clone())),
                Decision::ControlRead { to } => {
                    fed = feed(&mut steps, fed, *to);
                    continue;
                }
                Decision::ProgrammeChanged { control_offset, .. }
                | Decision::RewardAdded { control_offset, .. }
                | Decision::Refused { control_offset, .. } => fed = feed(&mut steps, fed, control_offset + 1),
                Decision::ListingProposed { control_offset, .. } | Decision::CloseAccepted { control_offset, .. } => {
                    // Whatever is asked is answered before anything else is decided; the last question may still be open.
                    let Some(outcome) = rest.next() else { break };
                    let Some(answers) = answers(outcome) else {
                        return Err(out_of_place(outcome));
                    };
                    let is_close = matches!(decision, Decision::CloseAccepted { .. });
                    // Where a source partition has not come to yet, nothing can be asked of it.
                    let end = |source| ends.get(source).copied().unwrap_or(0);
                    if !is_close && answers.0.iter().any(|(source, offset)| *offset > end(source)) {
                        break;
                    }
                    if is_close {
                        fed = feed(&mut steps, fed, control_offset + 1);
                    } else {
                        fed = feed(&mut steps, fed, *control_offset).max(control_offset + 1);
                        steps.push(Step::Listing {
                            to: fed,
                            question: questions.len(),
                        });
                    }
                    questions.push(Question {
                        answers: answers.clone(),
                        is_close,
                    });
                    expected.extend([decision.clone(), outcome.clone()]);
                    continue;
                }
                Decision::ListingAccepted { .. } | Decision::ListingRefused { .. } | Decision::Cut { .. } => {
                    return Err(out_of_place(decision));
                }
            }
            expected.push(decision.clone());
        }
        let bounds = ends
            .iter()
            .map(|(source, end)| (*source, bounds(*source, *end, &questions)))
            .collect();
        Ok(Self {
            steps,
            questions,
            decisions: expected,
            bounds,
            control_end: fed,
        })
    }

    /// Up to which offset a source partition may be read when so many questions are decided.
    pub(crate) fn bound(&self, source: TopicPartition, decided: usize) -> u64 {
        self.bounds
            .get(&source)
            .and_then(|bounds| bounds.get(decided.min(bounds.len().saturating_sub(1))))
            .copied()
            .unwrap_or(0)
    }

    /// The source partitions that were found.
    pub(crate) fn sources(&self) -> impl Iterator<Item = TopicPartition> {
        self.steps.iter().flat_map(|step| match step {
            Step::Sources(sources) => sources.clone(),
            Step::Control { .. } | Step::Listing { .. } => Vec::new(),
        })
    }

    /// The same with other decisions to come to, questions and their order apart: what `change` makes of each.
    #[must_use]
    pub(crate) fn amend(mut self, change: impl FnMut(Decision) -> Vec<Decision>) -> Self {
        self.decisions = self.decisions.into_iter().flat_map(change).collect();
        self
    }

    /// How many decisions are gone through again.
    #[must_use]
    pub const fn decided(&self) -> usize {
        self.decisions.len()
    }

    /// How many source records are read in all.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.bounds.values().filter_map(|bounds| bounds.last()).sum()
    }
}

/// Adds a step that brings control records up to `to`, if there are any; where control stands then.
fn feed(steps: &mut Vec<Step>, fed: u64, to: u64) -> u64 {
    if to > fed {
        steps.push(Step::Control { to });
    }
    fed.max(to)
}

/// A source partition answered each question from where it stood, so at no time may it be further than the earliest answer still to come.
fn bounds(source: TopicPartition, end: u64, questions: &[Question]) -> Vec<u64> {
    let mut bounds = vec![end; questions.len() + 1];
    let mut earliest = end;
    for (question, bound) in questions.iter().zip(&mut bounds).rev() {
        if let Some(offset) = question.answers.0.get(&source) {
            earliest = earliest.min(*offset);
        }
        *bound = earliest;
    }
    bounds
}

/// The answers on which an outcome rests.
fn answers(outcome: &Decision) -> Option<&Offsets> {
    match outcome {
        Decision::ListingAccepted { in_force_from, .. } => Some(in_force_from),
        Decision::ListingRefused { answered_at, .. } => Some(answered_at),
        Decision::Cut { cut, .. } => Some(cut),
        _ => None,
    }
}

fn out_of_place(decision: &Decision) -> ReplayError {
    let written = serde_json::to_string(decision).unwrap_or_default();
    ReplayError::Decisions(format!("{written} does not follow from what is before it"))
}

/// Whether a decision ends a question.
pub(crate) fn is_outcome(decision: &Decision) -> bool {
    answers(decision).is_some()
}

/// Whether a decision is one to come to again.
pub(crate) fn counts(decision: &Decision) -> bool {
    !matches!(decision, Decision::ControlRead { .. })
}

/// The control topic's only partition.
pub(crate) const CONTROL: TopicPartition = Topic::Control.partition(0);
