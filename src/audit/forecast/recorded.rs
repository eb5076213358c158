//! The recorded outcomes of control records.

use std::collections::BTreeMap;

use crate::audit::error::AuditError;
use crate::audit::published::read_all;
use crate::bus::{Log, Topic};
use crate::core::contract::decision::Decision;
use crate::core::contract::records::DeadLetter;
use crate::core::contract::rejection::Rejection;
use crate::core::contract::rules::NEWEST_RULES;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;

/// The recorded outcomes of control records that do not follow from the control topic alone, and the recorded ends of questions.
#[derive(Default)]
pub(super) struct RecordedOutcomes {
    /// Control records below this offset are decided, or asked about.
    pub(super) decided: Offset,
    /// Listings that came too late, with the reasons in their dead letters.
    pub(super) late: BTreeMap<Offset, Rejection>,
    /// The numbers and epochs of closes with a cut.
    pub(super) cuts: Vec<(u16, Epoch)>,
    /// Listings that are accepted.
    pub(super) listed: Vec<Offset>,
    /// Withdrawals, versions of the rules and losses that are accepted.
    pub(super) answered: Vec<Offset>,
    /// Versions of the rules that are accepted.
    rules: BTreeMap<Offset, u64>,
    /// Releases and voids that are accepted.
    pub(super) verdicts: Vec<Offset>,
}

impl RecordedOutcomes {
    pub(super) fn read(bus: &dyn Log, decisions: &[Decision]) -> Result<Self, AuditError> {
        let mut recorded = Self::of(decisions);
        if recorded.late.is_empty() {
            return Ok(recorded);
        }
        read_all::<DeadLetter, AuditError>(bus, None, |_, dead_letter| {
            if let Ok(dead_letter) = dead_letter
                && dead_letter.topic == Topic::Control
                && let Some(late) = recorded.late.get_mut(&dead_letter.offset)
            {
                late.reason = dead_letter.reason.into_owned();
            }
            Ok(())
        })?;
        Ok(recorded)
    }

    /// The version by which a control record at `offset` that names a version is judged. The program that decided it may have known fewer than this one.
    pub(super) fn known_rules(&self, offset: Offset) -> u64 {
        if offset >= self.decided {
            return NEWEST_RULES;
        }
        self.rules.get(&offset).copied().unwrap_or_default()
    }

    fn of(decisions: &[Decision]) -> Self {
        let mut recorded = Self::default();
        let reached = |offset: Offset| offset.saturating_add(1);
        for decision in decisions {
            let to = match decision {
                Decision::ListingRefused {
                    control_offset, code, ..
                } => {
                    recorded
                        .late
                        .insert(*control_offset, code.because("its dead letter is not on the bus"));
                    reached(*control_offset)
                }
                Decision::ListingAccepted { control_offset, .. } => {
                    recorded.listed.push(*control_offset);
                    reached(*control_offset)
                }
                Decision::LossAccepted { control_offset, .. } | Decision::WithdrawalAccepted { control_offset, .. } => {
                    recorded.answered.push(*control_offset);
                    reached(*control_offset)
                }
                Decision::Rules {
                    control_offset: Some(control_offset),
                    version,
                    ..
                } => {
                    recorded.answered.push(*control_offset);
                    recorded.rules.insert(*control_offset, *version);
                    reached(*control_offset)
                }
                Decision::EpochReleased { control_offset, .. } | Decision::EpochVoid { control_offset, .. } => {
                    recorded.verdicts.push(*control_offset);
                    reached(*control_offset)
                }
                Decision::Cut { number, epoch, .. } => {
                    recorded.cuts.push((*number, *epoch));
                    continue;
                }
                Decision::ListingProposed { control_offset, .. }
                | Decision::LossProposed { control_offset, .. }
                | Decision::WithdrawalProposed { control_offset, .. }
                | Decision::RulesProposed { control_offset, .. }
                | Decision::PoolAdjusted { control_offset, .. }
                | Decision::ProgrammeChanged { control_offset, .. }
                | Decision::RewardAdded { control_offset, .. }
                | Decision::CloseAccepted { control_offset, .. }
                | Decision::Refused { control_offset, .. } => reached(*control_offset),
                Decision::ControlRead { to } => *to,
                Decision::SourcesAdded { .. }
                | Decision::EpochHeld { .. }
                | Decision::VerdictWaits { .. }
                | Decision::Rules { .. } => continue,
            };
            recorded.decided = recorded.decided.max(to);
        }
        recorded
    }
}
