//! Seals for tests.

use std::borrow::Cow;

use crate::core::contract::decision::Offsets;
use crate::core::contract::records::{Ineligible, Seal};
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::time::TimeMs;

pub const DAY_MS: i64 = 86_400_000;

pub fn asset() -> Asset {
    Asset::parse("ATOM").unwrap()
}

/// The start of a day, counted from 2026-01-01.
pub fn day(number: i64) -> TimeMs {
    let first = TimeMs::parse("2026-01-01T00:00:00Z").unwrap();
    TimeMs::from(first.get() + number * DAY_MS)
}

/// The seal of an epoch of a day in which nothing happened.
pub fn seal(epoch: u64, start: i64) -> Seal<'static> {
    let zero = || Cow::Borrowed("0");
    Seal {
        asset: asset(),
        reward_asset: asset(),
        epoch: Epoch::new(epoch),
        epoch_start: day(start).to_string().into(),
        epoch_end: day(start + 1).to_string().into(),
        mode: "pool".into(),
        programme_from_epoch: Epoch::FIRST,
        apr: None,
        reward_rate: None,
        reward_pool: zero(),
        commission: zero(),
        carried_in: zero(),
        carried_out: zero(),
        returned: zero(),
        rewarded: zero(),
        made_good: zero(),
        adjusted: zero(),
        distributed: zero(),
        withheld_before: zero(),
        withheld_after: zero(),
        distributions: 0,
        ineligible: Ineligible {
            status: 0,
            negative: 0,
            below_minimum: 0,
        },
        eligible_balance_seconds: zero(),
        closing_balance: zero(),
        cut: Cow::Owned(Offsets::default()),
        root: zero(),
    }
}
