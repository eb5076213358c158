//! The events of the control topic.

use crate::generate::catalogue::{ListedCoin, Relisting};
use crate::generate::events::envelope;
use crate::generate::json::Json;
use crate::generate::spec::Synthetic;
use crate::generate::text::timestamp;

/// One asset at the end of one stage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StageClose<'a> {
    pub(crate) spec: &'a Synthetic,
    pub(crate) asset: &'a ListedCoin,
    /// The epoch that the stage closes, in the asset's own count.
    pub(crate) epoch: u32,
    stage: u32,
}

impl<'a> StageClose<'a> {
    /// None if no epoch of the asset ends with the stage.
    pub(crate) fn of(spec: &'a Synthetic, asset: &'a ListedCoin, stage: u32) -> Option<Self> {
        let (first_stage, first_epoch) = match asset.relisting {
            Some(again) if stage >= again.listed => (again.listed, again.first_epoch),
            Some(again) if stage > again.withdrawn => return None,
            _ => (asset.first_stage, asset.first_epoch),
        };
        let epoch = first_epoch + stage.checked_sub(first_stage)?;
        Some(Self {
            spec,
            asset,
            epoch,
            stage,
        })
    }

    /// End of the asset's epoch this many after the closed one, in milliseconds since 1970.
    pub(crate) fn end_ms(&self, ahead: u32) -> i64 {
        self.spec.stage_start_ms(self.stage + ahead + 1)
    }

    pub(crate) fn symbol(&self) -> &str {
        &self.asset.coin.symbol
    }
}

/// The envelope of a control event.
pub(crate) fn control_event(id: String, kind: &'static str, time_ms: i64, data: Json) -> Json {
    envelope(id, "/treasury", kind, timestamp(time_ms), data)
}

/// The `data` of a listing.
pub(crate) fn listing(spec: &Synthetic, asset: &ListedCoin, programme: &str) -> Json {
    let anchor = timestamp(spec.stage_start_ms(asset.first_stage));
    let mut data = Json::object([
        ("asset", Json::text(asset.coin.symbol.clone())),
        ("decimals", Json::Number(asset.coin.decimals.into())),
        ("anchor", Json::text(anchor)),
        ("epoch_seconds", Json::Number(spec.epoch_seconds)),
    ]);
    if asset.first_epoch > 0 {
        data.push("first_epoch", Json::Number(asset.first_epoch.into()));
    }
    if let Some(reward) = &asset.reward {
        data.push("reward_asset", Json::text(reward.symbol.clone()));
        data.push("reward_decimals", Json::Number(reward.decimals.into()));
    }
    data.push("programme", Json::Raw(programme.to_owned().into()));
    data
}

/// The `data` of the listing after a withdrawal. What was ignored in between does not make it too late.
pub(crate) fn relisting(spec: &Synthetic, asset: &ListedCoin, again: Relisting) -> Json {
    let mut data = listing(spec, asset, again.programme);
    let anchor = timestamp(spec.stage_start_ms(again.listed));
    data.set("decimals", Some(Json::Number(again.decimals.into())));
    data.set("anchor", Some(Json::text(anchor.clone())));
    data.set("first_epoch", Some(Json::Number(again.first_epoch.into())));
    data.set("misdated_from", Some(Json::text(anchor)));
    data
}

/// The `data` of a withdrawal.
pub(crate) fn withdrawal(asset: &str, epoch: u32) -> Json {
    Json::object([
        ("asset", Json::text(asset.to_owned())),
        ("epoch", Json::Number(epoch.into())),
        ("reason", Json::text("the programme ends")),
    ])
}

/// The `data` of a release or void.
pub(crate) fn decision(asset: &str, epoch: u32) -> Json {
    Json::object([
        ("asset", Json::text(asset.to_owned())),
        ("epoch", Json::Number(epoch.into())),
        ("by", Json::text("treasury")),
        ("reason", Json::text("the figures were checked")),
    ])
}

/// The `data` of a pool adjustment.
pub(crate) fn adjustment(asset: &str, amount: String) -> Json {
    Json::object([
        ("asset", Json::text(asset.to_owned())),
        ("amount", Json::text(amount)),
        ("reason", Json::text("slashed, or a pool that was wrong")),
    ])
}

/// The `data` of a validator reward.
pub(crate) fn reward(asset: &str, amount: String, validator: u64) -> Json {
    Json::object([
        ("asset", Json::text(asset.to_owned())),
        ("amount", Json::text(amount)),
        ("validator", Json::text(format!("validator-{validator}"))),
    ])
}

/// The `data` of a close.
pub(crate) fn close(asset: &str, epoch: u32, reward_pool: Option<String>) -> Json {
    let mut data = Json::object([
        ("asset", Json::text(asset.to_owned())),
        ("epoch", Json::Number(epoch.into())),
    ]);
    if let Some(pool) = reward_pool {
        data.push("reward_pool", Json::text(pool));
    }
    data
}
