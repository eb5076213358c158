//! Reading what was published.

use crate::core::values::ids::Epoch;
use ruint::aliases::U512;
use serde::Deserialize;

/// A record of ours, for those who look at its data alone.
#[derive(Deserialize)]
pub(crate) struct Record<D> {
    pub data: D,
}

/// Of a distribution: who was paid what.
#[derive(Deserialize)]
pub(crate) struct Paid {
    pub account: String,
    pub asset: String,
    pub epoch: Epoch,
    pub amount: String,
}

/// The units of a plain decimal amount of an asset with so many decimals, as our records write it; `None` if it is none.
#[must_use]
pub fn units(text: &str, decimals: u8) -> Option<U512> {
    let decimals = usize::from(decimals);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > decimals {
        return None;
    }
    U512::from_str_radix(&format!("{whole}{fraction:0<decimals$}"), 10).ok()
}
