//! Listings and programmes (contract, section 3): which assets earn, and under which rules.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::json;

use crate::core::contract::fields;
use crate::core::contract::fields::{RawField, fields};
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::amount;
use crate::core::values::asset::Asset;
use crate::core::values::calendar::{Calendar, EPOCH_SECONDS};
use crate::core::values::ids::Epoch;
use crate::core::values::rate::{Factor, Multiplier, Rate};

/// The largest `apr`: a hundred thousand per cent.
const MAX_APR: u32 = 1000;
/// The largest multiplier.
const MAX_MULTIPLIER: u32 = 100;
/// The most decimals an asset may have.
const MAX_DECIMALS: u64 = 18;
/// The most tiers of a programme: far more than any product has, and few enough for a loop per account.
const MAX_TIERS: usize = 1000;

/// The data of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub terms: AssetTerms,
    /// In force from `programme.from_epoch` on.
    pub programme: Programme,
}

/// The properties of a listed asset that never change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetTerms {
    pub asset: Asset,
    /// Its smallest unit is `10^-decimals`.
    #[serde(deserialize_with = "decimals")]
    pub decimals: u8,
    pub calendar: Calendar,
}

/// Reads a stored number of decimals.
fn decimals<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let decimals = u8::deserialize(deserializer)?;
    if u64::from(decimals) > MAX_DECIMALS {
        return Err(de::Error::custom(format!("{decimals} decimals are not possible")));
    }
    Ok(decimals)
}

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
    /// The least amount that is paid, in units. Less is withheld, and added to later rewards.
    pub min_payout: u128,
    /// Payouts are truncated to this many decimals.
    pub payout_decimals: u8,
    /// Whether an account without a status earns.
    pub enrolment: Enrolment,
    /// For late postings that are applied to these epochs.
    pub late_policy: LatePolicy,
}

/// How rewards are worked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// A pool is shared by weight.
    Pool,
    /// Weight earns a yearly rate.
    Apr { rate: Rate },
}

impl Mode {
    /// The mode as seals have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Apr { .. } => "apr",
        }
    }
}

/// The multiplier for the part of a balance between the bound of the tier before and this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// The upper bound in units; `None` for the last.
    pub up_to: Option<u128>,
    pub multiplier: Multiplier,
}

/// Whether an account without a status earns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enrolment {
    Automatic,
    OptIn,
}

/// How a late posting counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LatePolicy {
    /// From its own time: the balance-seconds that it missed are added.
    Carry,
    /// From the start of the epoch that it is applied to.
    Forfeit,
}

impl LatePolicy {
    /// The policy as reports have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Carry => "carry",
            Self::Forfeit => "forfeit",
        }
    }
}

impl Programme {
    /// Payouts are multiples of this, in units.
    #[must_use]
    pub fn grain(&self, decimals: u8) -> u128 {
        // `payout_decimals` is at most `decimals`, and that is at most 18: Programme::read checks it.
        10u128.pow(u32::from(decimals.saturating_sub(self.payout_decimals)))
    }
}

/// The programme in force in `epoch`. `programmes` must be ascending by `from_epoch`.
#[must_use]
pub fn in_force(programmes: &[Programme], epoch: Epoch) -> Option<&Programme> {
    programmes.iter().rev().find(|programme| programme.from_epoch <= epoch)
}

fields!(ListingFields {
    asset,
    decimals,
    anchor,
    epoch_seconds,
    programme
});
fields!(ProgrammeFields {
    from_epoch,
    mode,
    apr,
    min_balance,
    max_balance,
    commission_rate,
    tiers,
    min_payout,
    payout_decimals,
    enrolment,
    late_policy,
});
fields!(TierFields { up_to, multiplier });

impl Listing {
    /// Reads the data of a `softstake.asset.v1`.
    ///
    /// # Errors
    /// `invalid_event`, `invalid_time`, `invalid_amount`, `invalid_programme`.
    pub fn read(data: &str) -> Result<Self, Rejection> {
        let fields: ListingFields = fields::closed_object(data, "data", Code::InvalidEvent)?;
        let asset = fields::asset(fields.asset, "asset")?;
        let decimals = fields::whole(fields.decimals, "decimals", MAX_DECIMALS, Code::InvalidProgramme)?;
        // At most 18.
        let decimals = u8::try_from(decimals).unwrap_or(u8::MAX);
        let anchor = fields::time(fields::required(fields.anchor, "anchor")?, "anchor")?;
        let seconds = fields::whole(fields.epoch_seconds, "epoch_seconds", u64::MAX, Code::InvalidProgramme)?;
        if !EPOCH_SECONDS.contains(&seconds) {
            return Err(invalid(format!(
                "`epoch_seconds` is {seconds}, it must be from 60 to 2678400"
            )));
        }
        let seconds = u32::try_from(seconds).map_err(|_| invalid("`epoch_seconds` is too large"))?;
        let programme = fields::required(fields.programme, "programme")?;
        let programme = Programme::read(programme, decimals)?;
        Ok(Self {
            terms: AssetTerms {
                asset,
                decimals,
                calendar: Calendar::new(anchor, seconds),
            },
            programme,
        })
    }
}

impl Programme {
    /// Reads a programme of an asset with `decimals` decimals from its JSON.
    ///
    /// # Errors
    /// `invalid_event` if it is no object, `invalid_programme` for every fault inside.
    pub fn read(text: &str, decimals: u8) -> Result<Self, Rejection> {
        let fields: ProgrammeFields = fields::closed_object(text, "programme", Code::InvalidProgramme)?;
        Self::read_fields(&fields, decimals).map_err(|fault| invalid(fault.reason))
    }

    fn read_fields(fields: &ProgrammeFields<'_>, decimals: u8) -> Result<Self, Rejection> {
        let from_epoch = fields::whole(fields.from_epoch, "from_epoch", u64::MAX, Code::InvalidProgramme)?;
        let mode = fields::text(fields.mode, "mode")?;
        let apr = fields::if_given(fields.apr, "apr", |field, name| factor(field, name, MAX_APR))?;
        let mode = match (mode.as_ref(), apr) {
            ("pool", None) => Mode::Pool,
            ("apr", Some(rate)) => Mode::Apr { rate },
            ("pool", Some(_)) => return Err(invalid("`apr` is given, but `mode` is \"pool\"")),
            ("apr", None) => return Err(invalid("`mode` is \"apr\", so `apr` is required")),
            _ => return Err(invalid("`mode` must be \"pool\" or \"apr\"")),
        };
        let of_asset = |field, name: &str| units(field, name, decimals);
        let min_balance = fields::if_given(fields.min_balance, "min_balance", of_asset)?.unwrap_or(0);
        let max_balance = match fields::not_null(fields.max_balance, "max_balance")? {
            Some(_) => Some(units(fields.max_balance, "max_balance", decimals)?),
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
        if !commission_rate.is_zero() && mode != Mode::Pool {
            return Err(invalid("`commission_rate` must be 0 when `mode` is \"apr\""));
        }
        let tiers = match fields::optional(fields.tiers, "tiers")? {
            Some(raw) => tiers(raw, decimals)?,
            None => vec![Tier {
                up_to: None,
                multiplier: Multiplier::ONE,
            }],
        };
        let min_payout = fields::if_given(fields.min_payout, "min_payout", of_asset)?.unwrap_or(0);
        let payout_decimals = fields::if_given(fields.payout_decimals, "payout_decimals", |field, name| {
            fields::whole(field, name, u64::from(decimals), Code::InvalidProgramme)
        })?
        .map_or(decimals, |given| u8::try_from(given).unwrap_or(decimals));
        let enrolment = match choice(fields.enrolment, "enrolment", ["automatic", "opt_in"])? {
            0 => Enrolment::Automatic,
            _ => Enrolment::OptIn,
        };
        let late_policy = match choice(fields.late_policy, "late_policy", ["carry", "forfeit"])? {
            0 => LatePolicy::Carry,
            _ => LatePolicy::Forfeit,
        };
        Ok(Self {
            from_epoch: Epoch::new(from_epoch),
            mode,
            min_balance,
            max_balance,
            commission_rate,
            tiers,
            min_payout,
            payout_decimals,
            enrolment,
            late_policy,
        })
    }
}

fn invalid(reason: impl Into<String>) -> Rejection {
    Code::InvalidProgramme.because(reason)
}

/// An amount, zero included, in units.
fn units(field: RawField<'_>, name: &str, decimals: u8) -> Result<u128, Rejection> {
    fields::amount_or_zero(field, name)?
        .units(decimals)
        .map_err(|error| fields::bad_amount(name, &error))
}

/// A factor from 0 to `most`.
fn factor<const DECIMALS: u8>(field: RawField<'_>, name: &str, most: u32) -> Result<Factor<DECIMALS>, Rejection> {
    let text = fields::text(field, name)?;
    Factor::parse(&text, most).map_err(|error| invalid(format!("`{name}` {error}")))
}

/// The index of an optional field's word; 0 if the field is missing.
fn choice(field: RawField<'_>, name: &str, words: [&str; 2]) -> Result<usize, Rejection> {
    let Some(text) = fields::if_given(field, name, fields::text)? else {
        return Ok(0);
    };
    words
        .iter()
        .position(|word| *word == text)
        .ok_or_else(|| invalid(format!("`{name}` must be \"{}\" or \"{}\"", words[0], words[1])))
}

fn tiers(text: &str, decimals: u8) -> Result<Vec<Tier>, Rejection> {
    let raw: Vec<&serde_json::value::RawValue> = serde_json::from_str(text)
        .map_err(|_| Code::InvalidEvent.because("`tiers` must be a JSON array of objects"))?;
    if raw.is_empty() || raw.len() > MAX_TIERS {
        return Err(invalid(format!("`tiers` must hold 1 to {MAX_TIERS} tiers")));
    }
    let mut tiers: Vec<Tier> = Vec::with_capacity(raw.len());
    for (index, tier) in raw.iter().enumerate() {
        let what = format!("tiers[{index}]");
        let fields: TierFields = fields::closed_object(tier.get(), &what, Code::InvalidProgramme)?;
        let bound = fields::required(fields.up_to, &format!("tiers[{index}].up_to"))?;
        let up_to = match bound {
            "null" => None,
            _ => Some(units(fields.up_to, &format!("tiers[{index}].up_to"), decimals)?),
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
        let name = format!("tiers[{index}].multiplier");
        let multiplier = factor(fields.multiplier, &name, MAX_MULTIPLIER)?;
        tiers.push(Tier { up_to, multiplier });
    }
    Ok(tiers)
}

impl Listing {
    /// The data of the `softstake.asset.v1` with this listing, with every default written out. [`Listing::read`] reads it.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        let AssetTerms {
            asset,
            decimals,
            calendar,
        } = &self.terms;
        let programme = &self.programme;
        let units = |units: u128| amount::format_units(units, *decimals);
        let tiers: Vec<_> = programme
            .tiers
            .iter()
            .map(|tier| {
                json!({
                    "up_to": tier.up_to.map(units),
                    "multiplier": tier.multiplier.to_string(),
                })
            })
            .collect();
        let mut written = json!({
            "from_epoch": programme.from_epoch,
            "mode": programme.mode.name(),
            "min_balance": units(programme.min_balance),
            "max_balance": programme.max_balance.map(units),
            "commission_rate": programme.commission_rate.to_string(),
            "tiers": tiers,
            "min_payout": units(programme.min_payout),
            "payout_decimals": programme.payout_decimals,
            "enrolment": match programme.enrolment { Enrolment::Automatic => "automatic", Enrolment::OptIn => "opt_in" },
            "late_policy": programme.late_policy.name(),
        });
        if let Mode::Apr { rate } = programme.mode {
            written["apr"] = rate.to_string().into();
        }
        json!({
            "asset": asset,
            "decimals": decimals,
            "anchor": crate::core::values::time::timestamp(i128::from(calendar.anchor().get())),
            "epoch_seconds": calendar.length_ms() / 1000,
            "programme": written,
        })
    }
}

impl Serialize for Listing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Listing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Self::read(&value.to_string()).map_err(|rejection| de::Error::custom(format!("the listing: {rejection}")))
    }
}
