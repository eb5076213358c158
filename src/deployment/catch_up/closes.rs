//! What the decisions and the seals say of the closes below an offset of the control topic.

use std::collections::BTreeMap;

use crate::core::contract::decision::Decision;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;

/// The closes that count, as far as decisions and seals were read.
#[derive(Debug)]
pub(super) struct Closes {
    /// Only control records below this offset count.
    below: Offset,
    /// All control records below this offset are decided.
    decided: Offset,
    /// Accepted closes without a seal.
    open: BTreeMap<(Asset, Epoch), OpenClose>,
    /// The newest sealed epoch. An asset's epochs are sealed in their order, also if it is listed again.
    sealed: BTreeMap<Asset, Epoch>,
}

/// How far a close without a seal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OpenClose {
    /// It goes on by itself.
    UnderWay,
    /// The gate holds it, or it is void: treasury decides.
    Stopped,
}

impl Closes {
    pub(super) const fn new(below: Offset) -> Self {
        Self {
            below,
            decided: Offset::START,
            open: BTreeMap::new(),
            sealed: BTreeMap::new(),
        }
    }

    pub(super) fn take_decision(&mut self, decision: &Decision) {
        match decision {
            Decision::CloseAccepted {
                control_offset,
                asset,
                epoch,
                ..
            } if *control_offset < self.below => self.note(*asset, *epoch, OpenClose::UnderWay),
            // It was stopped where we look, whatever was decided later.
            Decision::EpochReleased {
                control_offset,
                asset,
                epoch,
                ..
            } if *control_offset < self.below => self.note(*asset, *epoch, OpenClose::UnderWay),
            Decision::EpochHeld { asset, epoch, .. } | Decision::EpochVoid { asset, epoch, .. } => {
                if let Some(close) = self.open.get_mut(&(*asset, *epoch)) {
                    *close = OpenClose::Stopped;
                }
            }
            Decision::ControlRead { to } => self.decided = self.decided.max(*to),
            _ => {}
        }
    }

    fn note(&mut self, asset: Asset, epoch: Epoch, close: OpenClose) {
        if self.sealed.get(&asset).is_none_or(|sealed| *sealed < epoch) {
            self.open.insert((asset, epoch), close);
        }
    }

    pub(super) fn take_seal(&mut self, asset: Asset, epoch: Epoch) {
        let sealed = self.sealed.entry(asset).or_insert(epoch);
        *sealed = epoch.max(*sealed);
        let sealed = *sealed;
        self.open.retain(|(of, closed), _| *of != asset || *closed > sealed);
    }

    /// All control records below this offset are decided.
    pub(super) const fn decided(&self) -> Offset {
        self.decided
    }

    /// The closes that are on their way to a seal, or to the gate. Those behind an epoch that is held or void are none.
    pub(super) fn under_way(&self) -> impl Iterator<Item = (Asset, Epoch)> {
        let mut stopped = None;
        self.open.iter().filter_map(move |((asset, epoch), close)| {
            if *close == OpenClose::Stopped {
                stopped = Some(*asset);
            }
            (stopped != Some(*asset)).then_some((*asset, *epoch))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BELOW: Offset = Offset::new(10);

    fn decision(text: &str) -> Decision {
        let record = format!(
            r#"{{"specversion":"1.0","id":"0","source":"/softstake","type":"softstake.decision.v1","data":{text}}}"#
        );
        Decision::read(record.as_bytes()).unwrap()
    }

    fn close(control_offset: u64, asset: &str, epoch: u64) -> Decision {
        decision(&format!(
            r#"{{"decision":"close_accepted","control_offset":{control_offset},"asset":"{asset}","number":0,"epoch":{epoch},"reward_pool":"1"}}"#
        ))
    }

    fn verdict(name: &str, control_offset: u64, epoch: u64) -> Decision {
        decision(&format!(
            r#"{{"decision":"{name}","control_offset":{control_offset},"asset":"A","number":0,"epoch":{epoch},"by":"j","reason":"r"}}"#
        ))
    }

    fn held(epoch: u64) -> Decision {
        decision(&format!(
            r#"{{"decision":"epoch_held","asset":"A","number":0,"epoch":{epoch},"limit":"max_total","largest":"1","total":"1","change":null}}"#
        ))
    }

    fn asset(name: &str) -> Asset {
        Asset::parse(name).unwrap()
    }

    fn under_way(closes: &Closes) -> Vec<String> {
        closes
            .under_way()
            .map(|(asset, epoch)| format!("{asset}:{epoch}"))
            .collect()
    }

    #[test]
    fn a_close_is_under_way_until_its_seal() {
        let mut closes = Closes::new(BELOW);
        for decision in [close(1, "A", 0), close(2, "A", 1), close(3, "B", 0), close(10, "B", 1)] {
            closes.take_decision(&decision);
        }
        assert_eq!(under_way(&closes), ["A:0", "A:1", "B:0"], "one is from later");
        closes.take_seal(asset("A"), Epoch::new(1));
        assert_eq!(under_way(&closes), ["B:0"]);
        // The seal may be read first.
        closes.take_seal(asset("C"), Epoch::new(7));
        closes.take_decision(&close(4, "C", 7));
        closes.take_seal(asset("B"), Epoch::new(0));
        assert!(under_way(&closes).is_empty());
        assert_eq!(closes.decided(), Offset::START);
        closes.take_decision(&decision(r#"{"decision":"control_read","to":10}"#));
        assert_eq!(closes.decided(), BELOW);
    }

    #[test]
    fn a_held_or_void_epoch_and_those_behind_it_wait_for_treasury() {
        let mut closes = Closes::new(BELOW);
        for decision in [close(1, "A", 0), close(2, "A", 1), close(3, "B", 0), held(0)] {
            closes.take_decision(&decision);
        }
        assert_eq!(under_way(&closes), ["B:0"]);
        // A release from later changes nothing, and one that counts does.
        closes.take_decision(&verdict("epoch_released", 10, 0));
        assert_eq!(under_way(&closes), ["B:0"]);
        closes.take_decision(&verdict("epoch_released", 5, 0));
        assert_eq!(under_way(&closes), ["A:0", "A:1", "B:0"]);
        closes.take_seal(asset("A"), Epoch::new(0));
        closes.take_decision(&held(1));
        closes.take_decision(&verdict("epoch_void", 6, 1));
        assert_eq!(under_way(&closes), ["B:0"]);
        // Closed again, on the same cut.
        closes.take_decision(&close(7, "A", 1));
        assert_eq!(under_way(&closes), ["A:1", "B:0"]);
    }
}
