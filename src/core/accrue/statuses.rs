//! Which statuses later settlements need.
//!
//! An account may have any number of statuses. But a settlement is mostly decided by the newest one before its epoch. So after an epoch, the
//! statuses that were superseded before it are set aside. They are not lost: an asset that is listed later may begin in the past, and needs them
//! then.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::core::accrue::eligibility::KeptStatus;
use crate::core::contract::decision::Offsets;
use crate::core::protocol::messages::Settlement;
use crate::core::values::asset::Asset;
use crate::core::values::offset::Offset;

/// Up to where statuses are set aside: the newest settlement after which that was done. The order of the fields is part of the stored format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsideLimit {
    /// The start of its epoch, in milliseconds since 1970.
    start_ms: i128,
    cut: Offsets,
}

impl AsideLimit {
    #[must_use]
    pub fn after(settlement: &Settlement) -> Self {
        Self {
            start_ms: settlement.terms.calendar.start_ms(settlement.at.epoch()),
            cut: settlement.cut.clone(),
        }
    }

    /// Whether a settlement with the limit `later` needs no status that was set aside: its epoch begins no earlier, and its cut has every status that
    /// superseded others.
    #[must_use]
    pub fn is_before(&self, later: &Self) -> bool {
        let reaches = |(source, offset): (_, &Offset)| later.cut.0.get(source).is_some_and(|cut| cut >= offset);
        self.start_ms <= later.start_ms && self.cut.0.iter().all(reaches)
    }

    /// Of all statuses of an account: whether each is superseded for settlements that are not before this limit. Among those for one asset, and among
    /// those for all, it is every one before the one that decides at the start of the epoch, in the order of [`KeptStatus::rank`].
    #[must_use]
    pub fn superseded(&self, statuses: &[KeptStatus]) -> Vec<bool> {
        let mut deciding: BTreeMap<Option<Asset>, &KeptStatus> = BTreeMap::new();
        for kept in statuses {
            if kept.counts(&self.cut) && i128::from(kept.time_ms) <= self.start_ms {
                let newest = deciding.entry(kept.asset).or_insert(kept);
                if newest.rank() < kept.rank() {
                    *newest = kept;
                }
            }
        }
        let is_superseded = |kept: &KeptStatus| {
            deciding
                .get(&kept.asset)
                .is_some_and(|deciding| kept.rank() < deciding.rank())
        };
        statuses.iter().map(is_superseded).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use crate::core::accrue::eligibility::StatusScope;
    use crate::core::contract::event::Status;
    use crate::core::contract::programme::Enrolment;
    use crate::core::contract::topic::Topic;

    use super::*;

    fn asset_of(name: &str) -> Asset {
        Asset::parse(name).unwrap()
    }

    fn status() -> impl Strategy<Value = KeptStatus> {
        let kinds = prop_oneof![Just(Status::Enrolled), Just(Status::OptedOut), Just(Status::Excluded)];
        (0..20i64, 0..3u8, kinds, 0..2u32, 0..20u64, 0..3usize).prop_map(
            |(time_ms, id, status, partition, offset, asset)| KeptStatus {
                time_ms,
                id: id.to_string(),
                status,
                asset: [None, Some(asset_of("A")), Some(asset_of("B"))][asset],
                source: Topic::Accounts.partition(partition),
                offset: Offset::new(offset),
            },
        )
    }

    fn limit() -> impl Strategy<Value = AsideLimit> {
        // A source that was added later is not in every cut.
        (0..20i128, 0..20u64, proptest::option::of(0..20u64)).prop_map(|(start_ms, first, second)| {
            let mut cut = Offsets::default();
            for (partition, offset) in (0..).zip([Some(first), second]) {
                if let Some(offset) = offset {
                    cut.0.insert(Topic::Accounts.partition(partition), Offset::new(offset));
                }
            }
            AsideLimit { start_ms, cut }
        })
    }

    proptest! {
        /// Statuses arrive between settlements of any assets, in any order.
        #[test]
        fn a_settlement_without_the_statuses_set_aside_is_the_same(
            rounds in vec((vec(status(), 0..4), limit(), 1..6i128, any::<bool>()), 1..8),
        ) {
            let (mut all, mut kept): (Vec<KeptStatus>, Vec<KeptStatus>) = Default::default();
            let mut set_aside: Option<AsideLimit> = None;
            for (new, now, length, automatic) in rounds {
                all.extend(new.clone());
                kept.extend(new);
                let enrolment = if automatic { Enrolment::Automatic } else { Enrolment::OptIn };
                let verdict = |statuses: &[KeptStatus]| {
                    let scope = StatusScope {
                        asset: asset_of("A"),
                        cut: &now.cut,
                        start_ms: now.start_ms,
                        end_ms: now.start_ms + length,
                    };
                    scope.verdict(statuses, &[], enrolment)
                };
                if set_aside.as_ref().is_none_or(|limit| limit.is_before(&now)) {
                    prop_assert_eq!(verdict(&kept), verdict(&all));
                    let mut superseded = now.superseded(&kept).into_iter();
                    kept.retain(|_| !superseded.next().unwrap_or_default());
                    set_aside = Some(now);
                }
            }
        }
    }
}
