//! What the coordinator waits for: each control event that is not finished, and what is missing now.

use std::fmt;

use crate::core::contract::decision::Offsets;
use crate::core::contract::topic::TopicPartition;
use crate::core::coordinate::gate_state::GateState;
use crate::core::coordinate::{ClosingEpoch, Coordinator, ListedAsset, PendingQuestion, SourceQuestion};
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;

/// How many partitions a sentence names.
pub const NAMED: usize = 8;

/// A control event that is not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingEvent {
    pub event: UnfinishedEvent,
    pub missing: Missing,
    /// The number of control events that wait behind it.
    pub behind: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnfinishedEvent {
    /// A first listing that is proposed and not decided.
    Listing { asset: Asset, control_offset: Offset },
    /// A close that is accepted and not sealed.
    Close { asset: Asset, epoch: Epoch },
    /// A withdrawal that is proposed and not decided.
    Withdrawal { asset: Asset, control_offset: Offset },
    /// A version of the rules that is proposed and not decided.
    Rules { version: u64, control_offset: Offset },
    /// The loss of records that is to be accepted.
    Loss {
        source: TopicPartition,
        control_offset: Offset,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// The answers of these source partitions.
    Answers(Vec<TopicPartition>),
    /// The seal of this earlier epoch of the asset.
    Seal(Epoch),
    /// The subtotals of these ledger partitions. Each needs the barrier of every source partition in the cut.
    Subtotals { partitions: Vec<u32>, cut: Offsets },
    /// What these ledger partitions would publish, for the gate.
    Previews(Vec<u32>),
    /// The receipts of these ledger partitions, which emit distributions until then.
    Receipts(Vec<u32>),
}

impl Coordinator {
    /// The control events that are accepted or proposed, and not finished. An epoch that an alarm stopped is none: it waits for nothing. Nor is one that
    /// the gate holds, one that is void, or one behind them: they wait for treasury.
    #[must_use]
    pub fn waiting(&self) -> Vec<WaitingEvent> {
        let mut waiting = Vec::new();
        if let Some(pending) = &self.pending
            && let Some(event) = self.event(pending)
        {
            waiting.push(WaitingEvent {
                event,
                missing: Missing::Answers(pending.unanswered()),
                behind: self.queued_control(),
            });
        }
        for listed in &self.assets {
            let open = listed.closing.iter().filter(|(_, closing)| closing.halted.is_none());
            let open = open.filter(|(_, closing)| listed.stopped().is_none() || closing.cut.is_none());
            waiting.extend(open.map(|(epoch, closing)| self.waiting_close(listed, *epoch, closing)));
        }
        waiting
    }

    /// Epochs that the gate holds or that are void, by asset.
    pub fn stopped(&self) -> impl Iterator<Item = (Asset, Epoch, GateState)> {
        self.assets.iter().filter_map(|listed| {
            let (epoch, state) = listed.stopped()?;
            Some((listed.terms.asset, epoch, state))
        })
    }

    /// The event that is asked about; `None` for a close, which is known by its epoch.
    fn event(&self, pending: &PendingQuestion) -> Option<UnfinishedEvent> {
        let control_offset = pending.control_offset;
        match &pending.question {
            SourceQuestion::Listing { terms, .. } => Some(UnfinishedEvent::Listing {
                asset: terms.asset,
                control_offset,
            }),
            SourceQuestion::Withdrawal { number, .. } => {
                let asset = self.assets.get(usize::from(*number))?.terms.asset;
                Some(UnfinishedEvent::Withdrawal { asset, control_offset })
            }
            SourceQuestion::Rules { version } => Some(UnfinishedEvent::Rules {
                version: *version,
                control_offset,
            }),
            SourceQuestion::Loss(loss) => Some(UnfinishedEvent::Loss {
                source: loss.source(),
                control_offset,
            }),
            SourceQuestion::Cut(_) => None,
        }
    }

    fn waiting_close(&self, listed: &ListedAsset, epoch: Epoch, closing: &ClosingEpoch) -> WaitingEvent {
        let without = |has: &dyn Fn(&u32) -> bool| (0..self.partitions).filter(|partition| !has(partition)).collect();
        let (missing, behind) = match &self.pending {
            Some(pending) if closing.cut.is_none() => (Missing::Answers(pending.unanswered()), self.queued_control()),
            _ if epoch > listed.next_seal => (Missing::Seal(listed.next_seal), 0),
            _ if closing.total.is_none() => {
                let has = |partition: &u32| closing.subtotals.contains_key(partition);
                let missing = Missing::Subtotals {
                    partitions: without(&has),
                    cut: closing.cut.clone().unwrap_or_default(),
                };
                (missing, 0)
            }
            _ if closing.gate == GateState::Before && listed.has_gate(epoch) => {
                let has = |partition: &u32| closing.previews.contains_key(partition);
                (Missing::Previews(without(&has)), 0)
            }
            _ => {
                let has = |partition: &u32| closing.receipts.contains_key(partition);
                (Missing::Receipts(without(&has)), 0)
            }
        };
        WaitingEvent {
            event: UnfinishedEvent::Close {
                asset: listed.terms.asset,
                epoch,
            },
            missing,
            behind,
        }
    }
}

impl PendingQuestion {
    /// The source partitions whose answer is missing.
    fn unanswered(&self) -> Vec<TopicPartition> {
        let asked = self.asked.iter();
        asked
            .filter(|source| !self.answers.contains_key(source))
            .copied()
            .collect()
    }
}

impl fmt::Display for UnfinishedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listing { asset, .. } => write!(f, "the listing of {asset}"),
            Self::Withdrawal { asset, .. } => write!(f, "the withdrawal of {asset}"),
            Self::Rules { version, .. } => write!(f, "version {version} of the rules"),
            Self::Close { asset, epoch } => write!(f, "the close of {asset} epoch {epoch}"),
            Self::Loss { source, .. } => write!(f, "the accepted loss of records of {source}"),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answers(sources) => write!(f, "the answers of {}", named(sources)),
            Self::Seal(epoch) => write!(f, "the seal of epoch {epoch}"),
            Self::Subtotals { partitions, .. } => write!(
                f,
                "the subtotals of the ledger partitions {}, each of which needs the barrier of every source partition",
                named(partitions)
            ),
            Self::Previews(partitions) => write!(f, "what the ledger partitions {} would publish", named(partitions)),
            Self::Receipts(partitions) => write!(f, "the receipts of the ledger partitions {}", named(partitions)),
        }
    }
}

/// The first of some partitions, and the number of the others.
fn named<T: fmt::Display>(partitions: &[T]) -> String {
    let mut names: Vec<String> = partitions.iter().take(NAMED).map(ToString::to_string).collect();
    let more = partitions.len().saturating_sub(NAMED);
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}
