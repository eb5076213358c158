//! Programmes (contract, section 3.2): the rules for an asset's rewards.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::core::contract::fields;
use crate::core::contract::fields::{RawField, fields};
use crate::core::contract::gate::Gate;
use crate::core::contract::programme_fields::{factor, invalid, units};
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::amount;
use crate::core::values::ids::Epoch;
use crate::core::values::rate::{Multiplier, Rate};

/// The largest `apr`: a hundred thousand per cent.
pub const MAX_APR: u32 = 1000;
/// The largest multiplier.
const MAX_MULTIPLIER: u32 = 100;
/// The most tiers of a programme: far more than any product has, and few enough for a loop per account.
const MAX_TIERS: usize = 1000;

/// The rules for an asset's rewards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Programme {
    /// The first epoch with these rules.
    pub from_epoch: Epoch,
    pub mode: Mode,
    /// The least average balance that earns, in units.
    pub min_balance: u128,
    /// The average balance above which nothing more is earned, in units.
    pub max_balance: Option<u128>,
    /// The exchange's share of the pool, at most 1.
    pub commission_rate: Rate,
    /// Ascending. The last tier has no upper bound.
    pub tiers: Vec<Tier>,
    pub scope: Scope,
    /// The least amount that is paid, in units of the reward asset. Less is withheld, and added to later rewards.
    pub min_payout: u128,
    /// Payouts have at most so many decimals. What is below is withheld.
    pub payout_decimals: u8,
    /// Whether an account without a status earns.
    pub enrolment: Enrolment,
    /// For late postings that are applied to these epochs.
    pub late_policy: LatePolicy,
    /// When a settlement is held before anything of it is published.
    pub gate: Option<Gate>,
}

/// How rewards are worked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// A pool is shared by weight.
    Pool,
    /// Weight earns a yearly rate.
    Apr { rate: Rate },
    /// Each tier has a yearly rate of its own.
    AprPerTier,
}

impl Mode {
    /// The mode as seals have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Apr { .. } | Self::AprPerTier => "apr",
        }
    }
}

/// What the part of a balance between the bound of the tier before and this one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// The upper bound in units; `None` for the last.
    pub up_to: Option<u128>,
    pub factor: TierFactor,
}

/// What one unit in a tier weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TierFactor {
    Multiplier(Multiplier),
    /// With [`Mode::AprPerTier`]: the yearly rate.
    Apr(Rate),
}

impl TierFactor {
    /// In parts of 10^-6 (a multiplier) or of 10^-18 (a rate).
    #[must_use]
    pub fn parts(self) -> u128 {
        match self {
            Self::Multiplier(multiplier) => multiplier.parts(),
            Self::Apr(rate) => rate.parts(),
        }
    }
}

/// To what minimum, cap and tiers apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    Account,
    /// All accounts of one owner together.
    Owner,
}

/// Whether an account without a status earns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enrolment {
    Automatic,
    OptIn,
}

/// How a late posting counts (contract, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LatePolicy {
    /// From the start of the epoch that it is applied to. The closed epochs that it missed are settled again for its account.
    Resettle,
    /// From its own time: the balance-seconds that it missed are added.
    Carry,
    /// From the start of the epoch that it is applied to.
    Forfeit,
}

impl LatePolicy {
    const ALL: [Self; 3] = [Self::Resettle, Self::Carry, Self::Forfeit];

    /// The policy as reports have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resettle => "resettle",
            Self::Carry => "carry",
            Self::Forfeit => "forfeit",
        }
    }
}

impl Scope {
    const ALL: [Self; 2] = [Self::Account, Self::Owner];

    /// The scope as programmes have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Owner => "owner",
        }
    }
}

impl Enrolment {
    const ALL: [Self; 2] = [Self::Automatic, Self::OptIn];

    /// The enrolment as programmes have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::OptIn => "opt_in",
        }
    }
}

/// The decimals of the amounts in a programme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgrammeDecimals {
    /// Of balances.
    pub asset: u8,
    /// Of payouts.
    pub reward: u8,
}

/// The programme in force in `epoch`. `programmes` must be ascending by `from_epoch`.
#[must_use]
pub fn in_force(programmes: &[Programme], epoch: Epoch) -> Option<&Programme> {
    programmes.iter().rev().find(|programme| programme.from_epoch <= epoch)
}

/// Adds a change. It replaces every change for its first epoch or a later one.
pub fn schedule(programmes: &mut Vec<Programme>, change: Programme) {
    programmes.retain(|scheduled| scheduled.from_epoch < change.from_epoch);
    programmes.push(change);
}

fields!(ProgrammeFields {
    from_epoch,
    mode,
    apr,
    min_balance,
    max_balance,
    commission_rate,
    tiers,
    scope,
    min_payout,
    payout_decimals,
    enrolment,
    late_policy,
    gate,
});
fields!(TierFields { up_to, multiplier, apr });

impl Programme {
    /// Reads a programme from its JSON.
    ///
    /// # Errors
    /// `invalid_event` if it is no object, `invalid_programme` for every fault inside.
    pub fn read(text: &str, decimals: ProgrammeDecimals) -> Result<Self, Rejection> {
        let fields: ProgrammeFields = fields::closed_object(text, "programme", Code::InvalidProgramme)?;
        Self::read_fields(&fields, decimals).map_err(|fault| invalid(fault.reason))
    }

    fn read_fields(fields: &ProgrammeFields<'_>, decimals: ProgrammeDecimals) -> Result<Self, Rejection> {
        let from_epoch = fields::whole(fields.from_epoch, "from_epoch", u64::MAX, Code::InvalidProgramme)?;
        let mode = fields::text(fields.mode, "mode")?;
        let apr = fields::if_given(fields.apr, "apr", |field, name| factor(field, name, MAX_APR))?;
        let of_asset = |field, name: &str| units(field, name, decimals.asset);
        let of_reward = |field, name: &str| units(field, name, decimals.reward);
        let min_balance = fields::if_given(fields.min_balance, "min_balance", of_asset)?.unwrap_or(0);
        let max_balance = match fields::not_null(fields.max_balance, "max_balance")? {
            Some(_) => Some(of_asset(fields.max_balance, "max_balance")?),
            None => None,
        };
        if max_balance.is_some_and(|most| most == 0 || most < min_balance) {
            return Err(invalid(
                "`max_balance` must be greater than zero and not below `min_balance`",
            ));
        }
        let commission_rate = fields::if_given(fields.commission_rate, "commission_rate", |field, name| {
            factor(field, name, 1)
        })?
        .unwrap_or(Rate::ZERO);
        let tiers = match fields::optional(fields.tiers, "tiers")? {
            Some(raw) => read_tiers(raw, decimals.asset)?,
            None => vec![Tier {
                up_to: None,
                factor: TierFactor::Multiplier(Multiplier::ONE),
            }],
        };
        let mode = read_mode(&mode, apr, &tiers)?;
        if !commission_rate.is_zero() && mode != Mode::Pool {
            return Err(invalid("`commission_rate` must be 0 when `mode` is \"apr\""));
        }
        let scope = choice(fields.scope, "scope", Scope::ALL, Scope::name)?;
        let min_payout = fields::if_given(fields.min_payout, "min_payout", of_reward)?.unwrap_or(0);
        let payout_decimals = fields::if_given(fields.payout_decimals, "payout_decimals", |field, name| {
            fields::whole(field, name, u64::from(decimals.reward), Code::InvalidProgramme)
        })?
        .map_or(decimals.reward, |given| u8::try_from(given).unwrap_or(decimals.reward));
        Ok(Self {
            from_epoch: Epoch::new(from_epoch),
            mode,
            min_balance,
            max_balance,
            commission_rate,
            tiers,
            scope,
            min_payout,
            payout_decimals,
            enrolment: choice(fields.enrolment, "enrolment", Enrolment::ALL, Enrolment::name)?,
            late_policy: choice(fields.late_policy, "late_policy", LatePolicy::ALL, LatePolicy::name)?,
            gate: fields::if_given(fields.gate, "gate", |field, name| {
                Gate::read(fields::required(field, name)?, decimals.reward)
            })?,
        })
    }

    /// The programme as JSON, with every default written out. [`Programme::read`] reads it.
    #[must_use]
    pub fn to_value(&self, decimals: ProgrammeDecimals) -> Value {
        let balance = |units: u128| amount::format_units(units, decimals.asset);
        let payout = |units: u128| amount::format_units(units, decimals.reward);
        let tier = |tier: &Tier| {
            let (name, factor) = match tier.factor {
                TierFactor::Multiplier(multiplier) => ("multiplier", multiplier.to_string()),
                TierFactor::Apr(rate) => ("apr", rate.to_string()),
            };
            json!({"up_to": tier.up_to.map(balance), name: factor})
        };
        let mut written = json!({
            "from_epoch": self.from_epoch,
            "mode": self.mode.name(),
            "min_balance": balance(self.min_balance),
            "max_balance": self.max_balance.map(balance),
            "commission_rate": self.commission_rate.to_string(),
            "tiers": self.tiers.iter().map(tier).collect::<Vec<_>>(),
            "scope": self.scope.name(),
            "min_payout": payout(self.min_payout),
            "payout_decimals": self.payout_decimals,
            "enrolment": self.enrolment.name(),
            "late_policy": self.late_policy.name(),
        });
        if let Mode::Apr { rate } = self.mode {
            written["apr"] = rate.to_string().into();
        }
        if let Some(gate) = &self.gate {
            written["gate"] = gate.to_value(decimals.reward);
        }
        written
    }
}

/// The mode, with its rate. The tiers tell whether each has one of its own.
fn read_mode(mode: &str, apr: Option<Rate>, tiers: &[Tier]) -> Result<Mode, Rejection> {
    let has_rates = tiers.iter().any(|tier| matches!(tier.factor, TierFactor::Apr(_)));
    match (mode, apr, has_rates) {
        ("pool", None, false) => Ok(Mode::Pool),
        ("pool", _, _) => Err(invalid("`apr` is given, but `mode` is \"pool\"")),
        ("apr", Some(rate), false) => Ok(Mode::Apr { rate }),
        ("apr", None, true) => Ok(Mode::AprPerTier),
        ("apr", Some(_), true) => Err(invalid(
            "`apr` is given twice, in the programme and in its tiers; keep one of them",
        )),
        ("apr", None, false) => Err(invalid(
            "`mode` is \"apr\", so `apr` is required, in the programme or in every tier",
        )),
        _ => Err(invalid("`mode` must be \"pool\" or \"apr\"")),
    }
}

/// The value that an optional field names; the first if the field is missing.
fn choice<T: Copy, const N: usize>(
    field: RawField<'_>,
    name: &str,
    values: [T; N],
    word: impl Fn(T) -> &'static str,
) -> Result<T, Rejection> {
    let given = fields::if_given(field, name, fields::text)?;
    let given = given.as_deref().unwrap_or(word(values[0]));
    let found = values.into_iter().find(|value| word(*value) == given);
    found.ok_or_else(|| {
        let words = values.map(|value| format!("\"{}\"", word(value)));
        invalid(format!("`{name}` must be {}", words.join(" or ")))
    })
}

fn read_tiers(text: &str, decimals: u8) -> Result<Vec<Tier>, Rejection> {
    let raw: Vec<&serde_json::value::RawValue> = serde_json::from_str(text)
        .map_err(|_| Code::InvalidEvent.because("`tiers` must be a JSON array of objects"))?;
    if raw.is_empty() || raw.len() > MAX_TIERS {
        return Err(invalid(format!("`tiers` must hold 1 to {MAX_TIERS} tiers")));
    }
    let mut tiers: Vec<Tier> = Vec::with_capacity(raw.len());
    for (index, tier) in raw.iter().enumerate() {
        let what = format!("tiers[{index}]");
        let fields: TierFields = fields::closed_object(tier.get(), &what, Code::InvalidProgramme)?;
        let bound = fields::required(fields.up_to, &format!("{what}.up_to"))?;
        let up_to = match bound {
            "null" => None,
            _ => Some(units(fields.up_to, &format!("{what}.up_to"), decimals)?),
        };
        if up_to.is_none() != (index + 1 == raw.len()) {
            return Err(invalid("`tiers`: the last `up_to`, and no other, must be null"));
        }
        let below = tiers.last().and_then(|tier| tier.up_to).unwrap_or(0);
        if up_to.is_some_and(|bound| bound <= below) {
            return Err(invalid(
                "`tiers`: each `up_to` must be greater than the one before, the first than zero",
            ));
        }
        let factor = tier_factor(&fields, &what)?;
        tiers.push(Tier { up_to, factor });
    }
    let is_rate = |tier: &Tier| matches!(tier.factor, TierFactor::Apr(_));
    if tiers.iter().any(is_rate) && !tiers.iter().all(is_rate) {
        return Err(invalid(
            "`tiers`: some have an `apr`, others a `multiplier`; give all the same",
        ));
    }
    Ok(tiers)
}

fn tier_factor(fields: &TierFields<'_>, what: &str) -> Result<TierFactor, Rejection> {
    let multiplier = fields::if_given(fields.multiplier, &format!("{what}.multiplier"), |field, name| {
        factor(field, name, MAX_MULTIPLIER)
    })?;
    let apr = fields::if_given(fields.apr, &format!("{what}.apr"), |field, name| {
        factor(field, name, MAX_APR)
    })?;
    match (multiplier, apr) {
        (Some(multiplier), None) => Ok(TierFactor::Multiplier(multiplier)),
        (None, Some(rate)) => Ok(TierFactor::Apr(rate)),
        (Some(_), Some(_)) => Err(invalid(format!("`{what}` has both `multiplier` and `apr`; keep one"))),
        (None, None) => Err(invalid(format!(
            "`{what}` needs a `multiplier`, or an `apr` in mode \"apr\""
        ))),
    }
}
