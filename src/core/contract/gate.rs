//! The gate of a programme (contract, sections 3.2 and 5): limits beyond which a settlement is held before anything of it is published.

use std::fmt;

use ethnum::I256;
use ruint::aliases::U512;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::core::contract::fields;
use crate::core::contract::fields::fields;
use crate::core::contract::programme_fields::{factor, invalid, units};
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::amount;
use crate::core::values::rate::Rate;

/// The greatest `max_change`.
const MOST_CHANGE: u32 = 1_000_000_000;

/// When a settlement is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gate {
    /// Every settlement.
    Always,
    /// A settlement that is beyond one of them. At least one is there.
    Limits(GateLimits),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateLimits {
    /// On the largest distribution, in units of the reward asset.
    pub max_payout: Option<u128>,
    /// On the sum of the distributions, in units of the reward asset.
    pub max_total: Option<u128>,
    /// On the change of the rewards against the epoch before.
    pub max_change: Option<Rate>,
}

/// Why a settlement is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateLimit {
    Always,
    MaxPayout,
    MaxTotal,
    MaxChange,
}

impl GateLimit {
    /// The limit as programmes and decisions have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::MaxPayout => "max_payout",
            Self::MaxTotal => "max_total",
            Self::MaxChange => "max_change",
        }
    }
}

impl fmt::Display for GateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the gate compares with its limits. Amounts are in units of the reward asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateFigures {
    /// The largest distribution.
    pub largest: I256,
    /// The sum of the distributions.
    pub total: I256,
    /// The change of the rewards, `abs(now - before) / before`; `None` if there is nothing to compare with.
    pub change: Option<RewardChange>,
}

/// A change of rewards as an exact fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RewardChange {
    /// `abs(now - before)`, in units of the reward asset.
    pub difference: U512,
    /// Greater than zero, in units of the reward asset.
    pub before: U512,
}

impl RewardChange {
    /// As a decimal number, cut to 18 decimals.
    #[must_use]
    pub fn to_decimal(self) -> String {
        let parts = self.difference.saturating_mul(U512::from(Rate::PARTS));
        let parts = parts.checked_div(self.before).unwrap_or_default();
        amount::format_units_wide(false, parts, 18)
    }

    fn is_above(self, most: Rate) -> bool {
        let [difference, most] = [
            self.difference.saturating_mul(U512::from(Rate::PARTS)),
            self.before.saturating_mul(U512::from(most.parts())),
        ];
        difference > most
    }
}

fields!(GateFields {
    max_payout,
    max_total,
    max_change
});

impl Gate {
    /// Reads a gate from its JSON. Its amounts have `decimals` decimals.
    ///
    /// # Errors
    /// `invalid_programme`; other codes for the same faults, which the caller replaces.
    pub fn read(text: &str, decimals: u8) -> Result<Self, Rejection> {
        if text.starts_with('"') {
            return match fields::string(text, "gate", Code::InvalidProgramme)?.as_ref() {
                "always" => Ok(Self::Always),
                _ => Err(invalid("`gate` must be \"always\", or an object with limits")),
            };
        }
        let fields: GateFields = fields::closed_object(text, "gate", Code::InvalidProgramme)?;
        let amount = |field, name: &str| fields::if_given(field, name, |field, name| units(field, name, decimals));
        let limits = GateLimits {
            max_payout: amount(fields.max_payout, "gate.max_payout")?,
            max_total: amount(fields.max_total, "gate.max_total")?,
            max_change: fields::if_given(fields.max_change, "gate.max_change", |field, name| {
                factor(field, name, MOST_CHANGE)
            })?,
        };
        if limits.max_payout.is_none() && limits.max_total.is_none() && limits.max_change.is_none() {
            return Err(invalid(
                "`gate` has no limit; give `max_payout`, `max_total` or `max_change`, or leave `gate` out",
            ));
        }
        Ok(Self::Limits(limits))
    }

    /// The gate as JSON.
    #[must_use]
    pub fn to_value(&self, decimals: u8) -> Value {
        let Self::Limits(limits) = self else {
            return "always".into();
        };
        let mut written = json!({});
        let amounts = [("max_payout", limits.max_payout), ("max_total", limits.max_total)];
        for (name, units) in amounts {
            if let Some(units) = units {
                written[name] = amount::format_units(units, decimals).into();
            }
        }
        if let Some(change) = limits.max_change {
            written["max_change"] = change.to_string().into();
        }
        written
    }

    /// The first limit that the figures are beyond. Equal is within.
    #[must_use]
    pub fn broken(&self, figures: &GateFigures) -> Option<GateLimit> {
        let limits = match self {
            Self::Always => return Some(GateLimit::Always),
            Self::Limits(limits) => limits,
        };
        // Limits are below 2^128.
        let is_above = |value: I256, most: u128| value > I256::from(most);
        if limits.max_payout.is_some_and(|most| is_above(figures.largest, most)) {
            Some(GateLimit::MaxPayout)
        } else if limits.max_total.is_some_and(|most| is_above(figures.total, most)) {
            Some(GateLimit::MaxTotal)
        } else {
            let change = limits.max_change.zip(figures.change);
            let is_broken = change.is_some_and(|(most, change)| change.is_above(most));
            is_broken.then_some(GateLimit::MaxChange)
        }
    }
}
