//! What was decided about an epoch that the gate held, or about the one that it waits for.

use crate::audit::explain::explanation::{EpochStage, GateDecision};
use crate::core::contract::decision::Decision;
use crate::core::values::ids::{AssetEpoch, Epoch};

/// The stage of an epoch, with the decisions that led to it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GateCourse {
    pub stage: EpochStage,
    pub decisions: Vec<GateDecision>,
}

impl GateCourse {
    pub(crate) fn of(decisions: &[Decision], at: AssetEpoch, is_sealed: bool, is_cut: bool) -> Self {
        let own = decisions_on(decisions, at.number(), |epoch| epoch == at.epoch());
        let stage = match (is_sealed, is_cut, own.last()) {
            (true, _, _) => EpochStage::Sealed,
            (false, false, _) => EpochStage::Open,
            (_, _, Some(GateDecision::EpochHeld { .. })) => EpochStage::Held,
            (_, _, Some(GateDecision::EpochVoid { .. })) => EpochStage::Void,
            (_, _, Some(_)) => EpochStage::Closed,
            (_, _, None) => {
                let earlier = Self::blocking(decisions, at);
                if !earlier.is_empty() {
                    return Self {
                        stage: EpochStage::Waiting,
                        decisions: earlier,
                    };
                }
                EpochStage::Closed
            }
        };
        Self { stage, decisions: own }
    }

    /// The decisions on the first earlier epoch that is held or void; none if there is no such epoch.
    fn blocking(decisions: &[Decision], at: AssetEpoch) -> Vec<GateDecision> {
        let mut earlier = decisions_on(decisions, at.number(), |epoch| epoch < at.epoch());
        earlier.sort_by_key(GateDecision::epoch);
        let of_epoch = earlier.chunk_by(|a, b| a.epoch() == b.epoch());
        let blocking = of_epoch.into_iter().find(|decisions| {
            matches!(
                decisions.last(),
                Some(GateDecision::EpochHeld { .. } | GateDecision::EpochVoid { .. })
            )
        });
        blocking.map(<[GateDecision]>::to_vec).unwrap_or_default()
    }
}

impl GateDecision {
    const fn epoch(&self) -> Epoch {
        match self {
            Self::EpochHeld { epoch, .. }
            | Self::EpochReleased { epoch, .. }
            | Self::EpochVoid { epoch, .. }
            | Self::ClosedAgain { epoch } => *epoch,
        }
    }
}

/// The gate's decisions on some epochs of a listing, in order.
fn decisions_on(decisions: &[Decision], listing: u16, is_meant: impl Fn(Epoch) -> bool) -> Vec<GateDecision> {
    let of_gate = decisions.iter().filter_map(|decision| match decision {
        Decision::EpochHeld {
            number,
            epoch,
            limit,
            largest,
            total,
            change,
            ..
        } if *number == listing => Some(GateDecision::EpochHeld {
            epoch: *epoch,
            limit: limit.name(),
            largest: largest.clone(),
            total: total.clone(),
            change: change.clone(),
        }),
        Decision::EpochReleased {
            number,
            epoch,
            by,
            reason,
            ..
        } if *number == listing => Some(GateDecision::EpochReleased {
            epoch: *epoch,
            by: by.clone(),
            reason: reason.clone(),
        }),
        Decision::EpochVoid {
            number,
            epoch,
            by,
            reason,
            ..
        } if *number == listing => Some(GateDecision::EpochVoid {
            epoch: *epoch,
            by: by.clone(),
            reason: reason.clone(),
        }),
        Decision::CloseAccepted {
            number,
            epoch,
            again: true,
            ..
        } if *number == listing => Some(GateDecision::ClosedAgain { epoch: *epoch }),
        _ => None,
    });
    of_gate.filter(|decision| is_meant(decision.epoch())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::contract::gate::GateLimit;
    use crate::core::values::asset::Asset;
    use crate::core::values::offset::Offset;

    fn held(epoch: u64) -> Decision {
        Decision::EpochHeld {
            asset: Asset::parse("A").unwrap(),
            number: 0,
            epoch: Epoch::new(epoch),
            limit: GateLimit::MaxTotal,
            largest: "1".into(),
            total: "2".into(),
            change: None,
        }
    }

    fn decided(epoch: u64, is_void: bool) -> Decision {
        let (asset, by, reason) = (Asset::parse("A").unwrap(), "ann".to_owned(), "seen".to_owned());
        let (control_offset, number, epoch) = (Offset::START, 0, Epoch::new(epoch));
        if is_void {
            return Decision::EpochVoid {
                control_offset,
                asset,
                number,
                epoch,
                by,
                reason,
            };
        }
        Decision::EpochReleased {
            control_offset,
            asset,
            number,
            epoch,
            by,
            reason,
        }
    }

    fn closed_again(epoch: u64) -> Decision {
        Decision::CloseAccepted {
            control_offset: Offset::START,
            asset: Asset::parse("A").unwrap(),
            number: 0,
            epoch: Epoch::new(epoch),
            reward_pool: "0".into(),
            apr: None,
            reward_rate: None,
            is_last: false,
            again: true,
        }
    }

    #[test]
    fn the_last_decision_gives_the_stage() {
        let stage = |decisions: &[Decision], epoch: u64, is_sealed: bool, is_cut: bool| {
            let at = AssetEpoch::new(0, Epoch::new(epoch)).unwrap();
            let course = GateCourse::of(decisions, at, is_sealed, is_cut);
            (course.stage, course.decisions.len())
        };
        let void = [held(2), decided(2, true)];
        assert_eq!(stage(&[], 2, false, false), (EpochStage::Open, 0));
        assert_eq!(stage(&[], 2, false, true), (EpochStage::Closed, 0));
        assert_eq!(stage(&[held(2)], 2, false, true), (EpochStage::Held, 1));
        assert_eq!(stage(&[held(2)], 3, false, true), (EpochStage::Waiting, 1));
        assert_eq!(stage(&[held(2)], 3, false, false), (EpochStage::Open, 0));
        assert_eq!(
            stage(&[held(2), decided(2, false)], 2, false, true),
            (EpochStage::Closed, 2)
        );
        assert_eq!(
            stage(&[held(2), decided(2, false)], 2, true, true),
            (EpochStage::Sealed, 2)
        );
        assert_eq!(
            stage(&[held(2), decided(2, false)], 3, false, true),
            (EpochStage::Closed, 0)
        );
        assert_eq!(stage(&void, 2, false, true), (EpochStage::Void, 2));
        assert_eq!(stage(&void, 4, false, true), (EpochStage::Waiting, 2));
        let again = [&void[..], &[closed_again(2)]].concat();
        assert_eq!(stage(&again, 2, false, true), (EpochStage::Closed, 3));
        assert_eq!(
            stage(&[&again[..], &[held(2)]].concat(), 2, false, true),
            (EpochStage::Held, 4)
        );
        // Those of another listing do not matter.
        let other = AssetEpoch::new(1, Epoch::new(2)).unwrap();
        assert_eq!(GateCourse::of(&void, other, false, true).stage, EpochStage::Closed);
    }
}
