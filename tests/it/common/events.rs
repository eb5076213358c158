//! Input events. Their times count from 2026-11-01T00:00:00Z, the origin.

use serde_json::{Value, json};

/// 2026-11-01T00:00:00Z, in milliseconds since 1970.
const ORIGIN_MS: i64 = 1_793_491_200_000;

/// The time `ms` milliseconds after the origin, as outputs write it.
pub fn time(ms: i64) -> String {
    let instant = jiff::Timestamp::from_millisecond(ORIGIN_MS + ms).expect("a time within the calendar");
    format!("{instant:.3}")
}

/// So many milliseconds before now, counted from the origin.
pub fn ago(ms: i64) -> i64 {
    jiff::Timestamp::now().as_millisecond() - ORIGIN_MS - ms
}

/// A record in structured mode; `ms` counts from the origin.
pub fn event(id: &str, kind: &str, ms: i64, data: &Value) -> String {
    json!({"specversion": "1.0", "id": id, "source": "/test", "type": kind, "time": time(ms), "data": data}).to_string()
}

pub fn deposit(id: &str, ms: i64, account: &str, asset: &str, amount: &str) -> String {
    event(
        id,
        "exchange.deposit.v1",
        ms,
        &json!({"account": account, "asset": asset, "amount": amount}),
    )
}

/// A listing whose epochs begin at the origin.
pub fn listing(asset: &str, decimals: u32, epoch_seconds: u32, programme: &Value) -> String {
    listing_from(0, asset, decimals, epoch_seconds, programme)
}

/// A listing whose epochs begin `ms` milliseconds after the origin.
pub fn listing_from(ms: i64, asset: &str, decimals: u32, epoch_seconds: u32, programme: &Value) -> String {
    let data = json!({
        "asset": asset, "decimals": decimals, "anchor": time(ms), "epoch_seconds": epoch_seconds, "programme": programme,
    });
    event(&format!("list-{asset}"), "softstake.asset.v1", ms, &data)
}

/// The programme with the fewest fields.
pub fn pool() -> Value {
    json!({"from_epoch": 0, "mode": "pool"})
}

/// A close at the end of its epoch.
pub fn close(asset: &str, epoch: u32, epoch_seconds: u32, reward_pool: &str) -> String {
    let end = (i64::from(epoch) + 1) * i64::from(epoch_seconds) * 1000;
    let data = json!({"asset": asset, "epoch": epoch, "reward_pool": reward_pool});
    event(
        &format!("close-{asset}-{epoch}"),
        "softstake.epoch_close.v1",
        end,
        &data,
    )
}

/// Accepts that records of a source partition are gone, from one offset up to, not including, another.
pub fn loss(id: &str, topic: &str, partition: u32, from: u64, to: u64) -> String {
    let data = json!({
        "topic": topic, "partition": partition, "from_offset": from, "to_offset": to, "by": "ops", "reason": "retention",
    });
    event(id, "softstake.loss_accepted.v1", 0, &data)
}
