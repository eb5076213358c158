//! The events of the control topic: listings, validator rewards and closes.

use crate::generate::catalogue::ListedCoin;
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
}

impl StageClose<'_> {
    /// End of the asset's epoch `epoch`, in milliseconds since 1970.
    pub(crate) fn end_ms(&self, epoch: u32) -> i64 {
        self.spec.stage_start_ms(epoch + self.asset.first_stage + 1)
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
    Json::object([
        ("asset", Json::text(asset.coin.symbol.clone())),
        ("decimals", Json::Number(asset.coin.decimals.into())),
        ("anchor", Json::text(anchor)),
        ("epoch_seconds", Json::Number(spec.epoch_seconds)),
        ("programme", Json::Raw(programme.to_owned().into())),
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
