//! The gate: holds an epoch before anything of it is published, until it is released or void.

use ethnum::I256;

use crate::core::accrue::settle::Rules;
use crate::core::accrue::wide::{magnitude, signed};
use crate::core::contract::appends::Outputs;
use crate::core::contract::decision::Decision;
use crate::core::contract::gate::{GateFigures, GateLimit, RewardChange};
use crate::core::coordinate::gate_state::GateState;
use crate::core::coordinate::{Coordinator, ListedAsset};
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::messages::Notice;
use crate::core::protocol::totals::{Emitted, signed_sum};
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::offset::Offset;

/// What the gate says of an epoch that has reached it.
pub(super) enum GateVerdict {
    Pass(Notice),
    Hold(Decision),
}

impl ListedAsset {
    /// The gate's verdict on the oldest unsealed epoch, with all previews in.
    pub(super) fn pass_gate(&mut self, at: AssetEpoch) -> Result<GateVerdict, Fault> {
        let programme = self.programme(at.epoch())?;
        let gate = programme
            .gate
            .as_ref()
            .ok_or_else(|| impossible("a preview without a gate"))?;
        let closing = self
            .closing
            .get(&at.epoch())
            .ok_or_else(|| impossible("a preview of an epoch that is not closing"))?;
        let payouts = closing
            .previews
            .values()
            .try_fold(Emitted::default(), |sum, one| sum.plus(one))?;
        let figures = GateFigures {
            largest: payouts.largest,
            total: payouts.distributed,
            change: self.change(&payouts)?,
        };
        let limit = gate.broken(&figures);
        let held = limit.map(|limit| self.held(at, limit, &figures)).transpose()?;
        let closing = self.closing.get_mut(&at.epoch());
        let closing = closing.ok_or_else(|| impossible("a gate for an epoch that is not closing"))?;
        Ok(match held {
            Some(decision) => {
                closing.gate = GateState::Held;
                GateVerdict::Hold(decision)
            }
            None => {
                closing.gate = GateState::Passed;
                GateVerdict::Pass(Notice::Emit { at })
            }
        })
    }

    /// The change of the rewards against the newest sealed epoch; `None` if there is none, and if that one had none.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
    pub fn change(&self, payouts: &Emitted) -> Result<Option<RewardChange>, Fault> {
        let Some(before) = self.rewarded_before.filter(|before| !before.is_zero()) else {
            return Ok(None);
        };
        let now = signed_sum(signed(payouts.rewarded)?, payouts.made_good)?;
        let difference = now
            .checked_sub(signed(before)?)
            .ok_or(Fault::Overflow("a change of rewards"))?;
        Ok(Some(RewardChange {
            difference: magnitude(difference),
            before,
        }))
    }

    fn held(&self, at: AssetEpoch, limit: GateLimit, figures: &GateFigures) -> Result<Decision, Fault> {
        let rules = Rules::of_programme(&self.terms, self.programme(at.epoch())?)?;
        let amount = |units: I256| String::from(rules.signed_reward(units));
        Ok(Decision::EpochHeld {
            asset: self.terms.asset,
            number: at.number(),
            epoch: at.epoch(),
            limit,
            largest: amount(figures.largest),
            total: amount(figures.total),
            change: figures.change.map(RewardChange::to_decimal),
        })
    }

    /// Whether the programme of an epoch has a gate.
    pub(super) fn has_gate(&self, epoch: Epoch) -> bool {
        self.programme(epoch).is_ok_and(|programme| programme.gate.is_some())
    }

    /// The epoch that the gate holds, or that is void.
    #[must_use]
    pub fn stopped(&self) -> Option<(Epoch, GateState)> {
        let closing = self.closing.get(&self.next_seal)?;
        matches!(closing.gate, GateState::Held | GateState::Void).then_some((self.next_seal, closing.gate))
    }

    /// Whether a closed epoch is on its way to its seal or to the gate, so that it will be settled or held without another control event.
    pub(super) fn is_settling(&self) -> bool {
        self.closing.get(&self.next_seal).is_some_and(|closing| {
            closing.halted.is_none() && !matches!(closing.gate, GateState::Held | GateState::Void)
        })
    }
}

impl Coordinator {
    /// Keeps what a ledger partition would publish.
    pub(super) fn add_preview(
        &mut self,
        partition: u32,
        at: AssetEpoch,
        payouts: Emitted,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let closing = self.closing_mut(at)?;
        if closing.previews.insert(partition, payouts).is_some() {
            return Err(impossible(format!("a second preview of ledger partition {partition}")));
        }
        self.advance(at.number(), out)
    }

    /// Releases or voids a held epoch.
    pub(super) fn decide_held(
        &mut self,
        control_offset: Offset,
        at: AssetEpoch,
        is_release: bool,
        (by, reason): (String, String),
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let (number, epoch) = (at.number(), at.epoch());
        let asset = self.listed_mut(number)?.terms.asset;
        let closing = self.closing_mut(at)?;
        closing.gate = if is_release { GateState::Passed } else { GateState::Void };
        let decision = if is_release {
            Decision::EpochReleased {
                control_offset,
                asset,
                number,
                epoch,
                by,
                reason,
            }
        } else {
            Decision::EpochVoid {
                control_offset,
                asset,
                number,
                epoch,
                by,
                reason,
            }
        };
        self.record_decision(&decision, out)?;
        if is_release {
            self.broadcast(&Notice::Emit { at }, out)?;
        }
        Ok(())
    }
}
