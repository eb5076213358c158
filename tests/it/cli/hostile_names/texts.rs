//! The hostile texts, and records that are full of them.

use serde_json::{Value, json};

use crate::common::events::{deposit, event, listing, time};

/// The seconds of an epoch.
pub const DAY: u32 = 86_400;

/// Texts that no terminal may get as they are.
pub const HOSTILE: [&str; 8] = [
    "\u{1b}[2J\u{1b}]0;title\u{7}",
    "a\nFORGED: all right",
    "a\r\nFORGED",
    "\u{202e}gnp.elif",
    "\u{9b}31mred\u{8}\u{7f}",
    "tab\there\u{0}",
    "\u{2066}a\u{2069}\u{200f}\u{61c}",
    "\u{2028}FORGED\u{2029}\u{e0001}\u{feff}",
];

/// Names of accounts that are valid, and begin a formula or look like others.
pub const ACCOUNTS: [&str; 12] = [
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "+49 123",
    "-ann",
    "'quoted",
    "ann;=1+1",
    "ann\u{a0}\u{3000}b",
    "ann\u{3164}\u{fe0f}",
    "\"客户\",<b>&amp;",
    "＝1+1",
    "ann/=1+1",
    "/../ann",
];

/// Names of assets that are valid, and begin a formula, look like others, or are paths or flags.
pub const ASSETS: [&str; 11] = [
    "=1+1",
    "@SUM(1+1)",
    "+49",
    "-SOL",
    "'quoted",
    "A;=1+1",
    "../../A",
    "A\u{3164}\u{fe0f}",
    "\"币安人生\",<b>&amp;",
    "＝1+1",
    "================================",
];

/// Events of one account, with hostile texts where an event may have any text.
pub fn own_events(number: usize, account: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (index, hostile) in HOSTILE.iter().enumerate() {
        let mut event: Value = serde_json::from_str(&deposit(
            &format!("{number}-{index}{hostile}"),
            1_000,
            account,
            "ATOM",
            "2",
        ))
        .expect("an event");
        event["source"] = json!(format!("/{hostile}"));
        event["data"]["note"] = json!(hostile);
        all.push(event.to_string());
    }
    let status = json!({"account": account, "status": "enrolled"});
    all.push(event(
        &format!("status-{number}"),
        "exchange.account_status.v1",
        5,
        &status,
    ));
    all
}

/// Records that become dead letters: hostile texts in every field.
pub fn bad_events() -> Vec<String> {
    let mut all = Vec::new();
    for (index, hostile) in HOSTILE.iter().enumerate() {
        let right: Value =
            serde_json::from_str(&deposit(&format!("bad-{index}"), 1_000, "ann", "ATOM", "2")).expect("an event");
        for field in [
            "/type",
            "/time",
            "/specversion",
            "/data/account",
            "/data/asset",
            "/data/amount",
            "/data",
        ] {
            let mut wrong = right.clone();
            wrong["id"] = json!(format!("bad-{index}{field}{hostile}"));
            *wrong.pointer_mut(field).expect("a field") = json!(hostile);
            all.push(wrong.to_string());
        }
        let status = json!({"account": "ann", "status": hostile});
        all.push(event(
            &format!("bad-status-{index}"),
            "exchange.account_status.v1",
            5,
            &status,
        ));
        // A field that is there twice is named in the reason.
        let name = json!(hostile);
        all.push(right.to_string().replace(
            "\"data\":{",
            &format!("\"data\":{{{name}:1,{name}:2,\"account\":\"b\","),
        ));
        // A conflicting copy.
        all.push(right.to_string().replace("\"2\"", "\"3\""));
    }
    // JSON must stay on its line.
    all.push("\u{1b}[2J\u{202e} is no JSON".into());
    all
}

pub fn control_events() -> Vec<String> {
    let mut all = Vec::new();
    for (index, hostile) in HOSTILE.iter().enumerate() {
        for (field, data) in [
            ("asset", json!({"asset": hostile, "epoch": 0})),
            ("epoch", json!({"asset": "ATOM", "epoch": hostile})),
            ("pool", json!({"asset": "ATOM", "epoch": 0, "reward_pool": hostile})),
        ] {
            all.push(event(
                &format!("{field}-{index}{hostile}"),
                "softstake.epoch_close.v1",
                90_000_000,
                &data,
            ));
        }
        let reward = json!({"asset": "ATOM", "amount": "1", "validator": hostile});
        all.push(event(
            &format!("reward-{index}{hostile}"),
            "softstake.validator_reward.v1",
            5,
            &reward,
        ));
        all.push(event(&format!("type-{index}"), hostile, 5, &reward));
        let mode = json!({"from_epoch": 0, "mode": hostile});
        all.push(listing("SOL", 6, DAY, &mode).replace("list-SOL", &format!("list-{index}")));
    }
    all
}

/// Acknowledgements with hostile texts in every field.
pub fn acknowledgements() -> String {
    let mut lines = Vec::new();
    for (index, hostile) in HOSTILE.into_iter().chain(ACCOUNTS).enumerate() {
        let right = json!({
            "specversion": "1.0", "id": format!("p-{index}"), "source": "/payouts", "type": "payout.executed.v1", "time": time(0),
            "data": {"distribution": format!("ATOM:0:{hostile}"), "amount": "1", "credited_at": time(0)},
        });
        lines.push(right.to_string());
        for field in [
            "/id",
            "/type",
            "/time",
            "/data/distribution",
            "/data/amount",
            "/data/credited_at",
        ] {
            let mut wrong = right.clone();
            wrong["source"] = json!(field);
            *wrong.pointer_mut(field).expect("a field") = json!(hostile);
            lines.push(wrong.to_string());
        }
        lines.push(format!("{} is no JSON", hostile.replace('\n', " ")));
    }
    lines.join("\n") + "\n"
}
