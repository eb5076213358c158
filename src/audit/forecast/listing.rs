//! Listings, as far as the rules about control events depend on them.

use crate::core::contract::decision::{Decision, Offsets};
use crate::core::contract::listing::AssetTerms;
use crate::core::contract::programme::Programme;
use crate::core::contract::rules::NEWEST_RULES;
use crate::core::values::ids::Epoch;
use crate::core::values::time::TimeMs;

/// A listing, as far as the rules about control events depend on it.
pub(super) struct ForecastListing {
    pub(super) terms: AssetTerms,
    pub(super) misdated_from: Option<TimeMs>,
    pub(super) programmes: Vec<Programme>,
    pub(super) oldest_open: Epoch,
    pub(super) withdrawn: Option<Epoch>,
    /// The epoch that is void.
    pub(super) void: Option<Epoch>,
}

/// The version of the rules that a deployment begins with. A deployment without decisions begins with the newest one.
pub(super) fn begin_rules(decisions: &mut Vec<Decision>) -> u64 {
    match decisions.first() {
        Some(Decision::Rules { version, .. }) => return *version,
        Some(_) => {}
        None => decisions.push(Decision::Rules {
            control_offset: None,
            version: NEWEST_RULES,
            in_force_from: Offsets::default(),
        }),
    }
    NEWEST_RULES
}
