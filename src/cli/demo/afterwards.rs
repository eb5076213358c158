//! What happens in the demo after its two days of trades: late deposits, a rebate, a sub-account, and a day that the gate holds.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::bus::Topic;
use crate::cli::outcome::{Failure, Outcome};
use crate::core::values::time::timestamp;
use crate::generate::TapeSummary;

/// Half a day, in milliseconds.
const HALF_A_DAY_MS: i128 = 43_200_000;
/// The gate holds a day whose rewards differ from the day before by more than half.
const MAX_CHANGE: &str = "0.5";

/// The days after the tape.
pub(super) struct Afterwards<'a> {
    root: &'a Path,
    summary: &'a TapeSummary,
}

impl<'a> Afterwards<'a> {
    pub(super) const fn new(root: &'a Path, summary: &'a TapeSummary) -> Self {
        Self { root, summary }
    }

    /// The middle of an epoch.
    fn noon(&self, epoch: u32) -> i128 {
        i128::from(self.summary.anchor_ms) + (i128::from(epoch) * 2 + 1) * HALF_A_DAY_MS
    }

    /// Publishes what comes after the closes: deposits that are late for the last settled day, one of them twice; on the next day a transfer to a
    /// sub-account, and a trade with a rebate whose seller is no customer.
    pub(super) fn late_events(&self) -> Outcome {
        let (settled, open) = (self.summary.epochs.saturating_sub(1), self.summary.epochs);
        let deposit = |number: u8, asset: &str, amount: &str| {
            let data = json!({"account": "late-larry", "asset": asset, "amount": amount});
            event(
                &format!("demo-late-{number}"),
                "exchange.deposit.v1",
                self.noon(settled),
                data,
            )
        };
        self.append(
            Topic::Deposits,
            &[
                deposit(1, "XRP", "2500"),
                deposit(2, "ETH", "3.25"),
                deposit(1, "XRP", "2500"),
            ],
        )?;
        let transfer = json!({
            "from_account": "late-larry", "to_account": "late-larry/bot", "asset": "XRP", "amount": "500",
        });
        let transfer = event("demo-transfer", "exchange.transfer.v1", self.noon(open), transfer);
        self.append(Topic::Transfers, &[transfer])?;
        let trade = json!({
            "base_asset": "XRP", "quote_asset": "ETH", "price": "0.0015", "quantity": "100",
            "buyer": {"account": "late-larry/bot", "fee": {"asset": "XRP", "amount": "-0.2"}},
        });
        let trade = event("demo-rebate", "exchange.trade.v1", self.noon(open), trade);
        self.append(Topic::Trades, &[trade])
    }

    /// Publishes a gate for the day after the next, and closes both days. The pool of the second one is three times that of the first.
    pub(super) fn closes(&self) -> Outcome {
        let (open, gated) = (self.summary.epochs, self.summary.epochs + 1);
        let mut listing = self.data_of("softstake.asset.v1", "XRP")?;
        listing["programme"]["from_epoch"] = gated.into();
        listing["programme"]["gate"] = json!({ "max_change": MAX_CHANGE });
        let pool = self.data_of("softstake.epoch_close.v1", "XRP")?["reward_pool"].clone();
        let pool = pool.as_str().unwrap_or("1").to_owned();
        let close = |asset: &str, epoch: u32, pool: Option<String>| {
            let mut data = json!({"asset": asset, "epoch": epoch});
            if let Some(pool) = pool {
                data["reward_pool"] = pool.into();
            }
            let id = format!("demo-close-{asset}-{epoch}");
            event(&id, "softstake.epoch_close.v1", self.noon(epoch) + HALF_A_DAY_MS, data)
        };
        let tripled = ["", "", ""].map(|_| pool.as_str());
        let tripled = crate::core::values::amount::SignedAmount::sum(tripled);
        self.append(
            Topic::Control,
            &[
                event("demo-gate", "softstake.asset.v1", self.noon(open), listing),
                close("XRP", open, Some(pool.clone())),
                close("ETH", open, None),
                close("XRP", gated, tripled.map(|sum| sum.to_string())),
            ],
        )
    }

    /// Releases the day that the gate holds.
    pub(super) fn release(&self) -> Outcome {
        let held = self.summary.epochs + 1;
        let data = json!({
            "asset": "XRP", "epoch": held, "by": "demo treasury", "reason": "the pool is meant: a bonus day",
        });
        let release = event(
            "demo-release",
            "softstake.epoch_release.v1",
            self.noon(held) + 2 * HALF_A_DAY_MS,
            data,
        );
        self.append(Topic::Control, &[release])
    }

    /// The data of the first control event of a type about an asset.
    fn data_of(&self, event_type: &str, asset: &str) -> Result<Value, Failure> {
        let path = self.root.join(Topic::Control.name()).join("0.jsonl");
        let text = fs::read_to_string(&path)
            .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))?;
        let mut events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events
            .find(|event| event["type"] == event_type && event["data"]["asset"] == asset)
            .map(|mut event| event["data"].take())
            .ok_or_else(|| Failure::Failed(format!("{} has no {event_type} of {asset}", path.display())))
    }

    fn append(&self, topic: Topic, events: &[Value]) -> Outcome {
        let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
        let path = self.root.join(topic.name()).join("0.jsonl");
        let appended = OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(lines.as_bytes()));
        appended.map_err(|error| Failure::Failed(format!("cannot append to {}: {error}", path.display())))
    }
}

fn event(id: &str, event_type: &str, time_ms: i128, data: Value) -> Value {
    json!({
        "specversion": "1.0",
        "id": id,
        "source": "/demo",
        "type": event_type,
        "time": timestamp(time_ms),
        "data": data,
    })
}
