//! Listings (contract, section 3.2): which assets earn, and under which rules.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::json;

use crate::core::contract::fields;
use crate::core::contract::fields::fields;
use crate::core::contract::programme::{Programme, ProgrammeDecimals};
use crate::core::contract::programme_fields::invalid;
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::asset::Asset;
use crate::core::values::calendar::{Calendar, EPOCH_SECONDS, MAX_FIRST_EPOCH};
use crate::core::values::ids::Epoch;
use crate::core::values::time::{TimeMs, timestamp};

/// The most decimals an asset may have.
const MAX_DECIMALS: u64 = 18;

/// The data of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub terms: AssetTerms,
    /// Ignored postings dated at or after it do not make the listing too late.
    pub misdated_from: Option<TimeMs>,
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
    /// The asset that rewards are paid in, if it is another one.
    pub reward: Option<RewardAsset>,
}

/// An asset in which another one's rewards are paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewardAsset {
    pub asset: Asset,
    #[serde(deserialize_with = "decimals")]
    pub decimals: u8,
}

impl AssetTerms {
    /// The asset that rewards are paid in.
    #[must_use]
    pub fn reward_asset(&self) -> Asset {
        self.reward.map_or(self.asset, |reward| reward.asset)
    }

    /// The decimals of rewards.
    #[must_use]
    pub fn reward_decimals(&self) -> u8 {
        self.reward.map_or(self.decimals, |reward| reward.decimals)
    }

    /// The decimals of a programme's amounts.
    #[must_use]
    pub fn programme_decimals(&self) -> ProgrammeDecimals {
        ProgrammeDecimals {
            asset: self.decimals,
            reward: self.reward_decimals(),
        }
    }
}

/// Reads a stored number of decimals.
fn decimals<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let decimals = u8::deserialize(deserializer)?;
    if u64::from(decimals) > MAX_DECIMALS {
        return Err(de::Error::custom(format!("{decimals} decimals are not possible")));
    }
    Ok(decimals)
}

fields!(ListingFields {
    asset,
    decimals,
    anchor,
    epoch_seconds,
    first_epoch,
    reward_asset,
    reward_decimals,
    misdated_from,
    programme
});

impl Listing {
    /// Reads the data of a `softstake.asset.v1`.
    ///
    /// # Errors
    /// `invalid_event`, `invalid_time`, `invalid_amount`, `invalid_programme`.
    pub fn read(data: &str) -> Result<Self, Rejection> {
        let fields: ListingFields = fields::closed_object(data, "data", Code::InvalidEvent)?;
        let asset = fields::asset(fields.asset, "asset")?;
        let decimals = read_decimals(fields.decimals, "decimals")?;
        let anchor = fields::time(fields::required(fields.anchor, "anchor")?, "anchor")?;
        let seconds = fields::whole(fields.epoch_seconds, "epoch_seconds", u64::MAX, Code::InvalidProgramme)?;
        if !EPOCH_SECONDS.contains(&seconds) {
            return Err(invalid(format!(
                "`epoch_seconds` is {seconds}, it must be from 60 to 2678400"
            )));
        }
        let seconds = u32::try_from(seconds).map_err(|_| invalid("`epoch_seconds` is too large"))?;
        let first = fields::if_given(fields.first_epoch, "first_epoch", |field, name| {
            fields::whole(field, name, MAX_FIRST_EPOCH, Code::InvalidProgramme)
        })?;
        let reward = read_reward(&fields, asset, decimals)?;
        let misdated_from = fields::if_given(fields.misdated_from, "misdated_from", |field, name| {
            fields::time(fields::required(field, name)?, name)
        })?;
        let terms = AssetTerms {
            asset,
            decimals,
            calendar: Calendar::new(anchor, seconds, Epoch::new(first.unwrap_or(0))),
            reward,
        };
        let programme = fields::required(fields.programme, "programme")?;
        let programme = Programme::read(programme, terms.programme_decimals())?;
        Ok(Self {
            terms,
            misdated_from,
            programme,
        })
    }
}

fn read_decimals(field: fields::RawField<'_>, name: &str) -> Result<u8, Rejection> {
    let decimals = fields::whole(field, name, MAX_DECIMALS, Code::InvalidProgramme)?;
    // At most 18.
    Ok(u8::try_from(decimals).unwrap_or(u8::MAX))
}

/// The reward asset, if it is another one than the asset itself.
fn read_reward(fields: &ListingFields<'_>, asset: Asset, decimals: u8) -> Result<Option<RewardAsset>, Rejection> {
    let given = [
        fields::optional(fields.reward_asset, "reward_asset")?,
        fields::optional(fields.reward_decimals, "reward_decimals")?,
    ];
    if given == [None, None] {
        return Ok(None);
    }
    let reward = RewardAsset {
        asset: fields::asset(fields.reward_asset, "reward_asset")?,
        decimals: read_decimals(fields.reward_decimals, "reward_decimals")?,
    };
    if reward.asset != asset {
        return Ok(Some(reward));
    }
    if reward.decimals != decimals {
        return Err(invalid(format!(
            "`reward_asset` is {asset} itself, so `reward_decimals` must be {decimals}, its `decimals`"
        )));
    }
    Ok(None)
}

impl Listing {
    /// The data of the `softstake.asset.v1` with this listing, with every default written out. [`Listing::read`] reads it.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        let AssetTerms {
            asset,
            decimals,
            calendar,
            reward,
        } = &self.terms;
        let mut written = json!({
            "asset": asset,
            "decimals": decimals,
            "anchor": timestamp(i128::from(calendar.anchor().get())),
            "epoch_seconds": calendar.length_ms() / 1000,
            "first_epoch": calendar.first(),
            "programme": self.programme.to_value(self.terms.programme_decimals()),
        });
        if let Some(reward) = reward {
            written["reward_asset"] = reward.asset.as_str().into();
            written["reward_decimals"] = reward.decimals.into();
        }
        if let Some(from) = self.misdated_from {
            written["misdated_from"] = timestamp(i128::from(from.get())).into();
        }
        written
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
