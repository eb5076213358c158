//! The demo's late deposits: they arrive after the closes, for a day that is already settled.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::bus::Topic;
use crate::cli::outcome::{Failure, Outcome};
use crate::core::values::time::timestamp;
use crate::generate::TapeSummary;

/// Half a day, in milliseconds.
const HALF_A_DAY_MS: i128 = 43_200_000;

/// Appends the late deposits: one in XRP, one in ETH, one of them twice.
pub(super) fn arrive(root: &Path, summary: &TapeSummary) -> Outcome {
    let closed_to = i128::from(summary.anchor_ms) + i128::from(summary.epochs) * 2 * HALF_A_DAY_MS;
    let time = timestamp(closed_to - HALF_A_DAY_MS);
    let deposit = |number: u8, asset: &str, amount: &str| {
        let data = serde_json::json!({
            "specversion": "1.0",
            "id": format!("demo-late-{number}"),
            "source": "/demo",
            "type": "exchange.deposit.v1",
            "time": time,
            "data": { "account": "late-larry", "asset": asset, "amount": amount },
        });
        format!("{data}\n")
    };
    let lines = [
        deposit(1, "XRP", "2500"),
        deposit(2, "ETH", "3.25"),
        deposit(1, "XRP", "2500"),
    ]
    .concat();
    let path = root.join(Topic::Deposits.name()).join("0.jsonl");
    let appended = OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(lines.as_bytes()));
    appended.map_err(|error| Failure::Failed(format!("cannot append to {}: {error}", path.display())))
}
