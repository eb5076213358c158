//! What is accrued and in no statement yet.

use serde_json::{Value, json};

use super::reads::text;
use super::served::Served;
use crate::common::Place;
use crate::common::events::{ago, deposit, event, listing_from, time};

const DAY_S: u32 = 86_400;
const DAY_MS: i64 = 86_400_000;

/// Two days and a half of ATOM, of which the first is sealed, of SOL, which the gate holds, and of DOT, which is paused. Returns when they begin.
fn world() -> (Place, i64) {
    let (place, anchor) = (Place::new(), ago(DAY_MS * 5 / 2));
    let programme = |more: Value| {
        let mut programme = json!({"from_epoch": 0, "mode": "pool"});
        for (name, value) in more.as_object().expect("fields") {
            programme[name] = value.clone();
        }
        programme
    };
    let listed = |asset: &str, more: Value| listing_from(anchor, asset, 6, DAY_S, &programme(more));
    place.append(
        "softstake.control",
        0,
        [
            listed("ATOM", json!({"commission_rate": "0.1"})),
            listed("SOL", json!({"gate": "always"})),
            listed("DOT", json!({"mode": "apr", "apr": "0"})),
        ],
    );
    let deposits = ["ATOM", "SOL", "DOT"].map(|asset| deposit(asset, anchor, "ann", asset, "5"));
    place.append("exchange.deposits", 0, deposits);
    let close = |asset: &str, epoch: i64, reward_pool: &str| {
        let data = json!({"asset": asset, "epoch": epoch, "reward_pool": reward_pool});
        let id = format!("close-{asset}-{epoch}");
        event(&id, "softstake.epoch_close.v1", anchor + (epoch + 1) * DAY_MS, &data)
    };
    place.append(
        "softstake.control",
        0,
        [close("ATOM", 0, "10"), close("SOL", 0, "4"), close("SOL", 1, "6")],
    );
    place.run(Some(2));
    (place, anchor)
}

/// Asset, state, epochs, amount and basis of each line.
fn lines(answer: &Value) -> Vec<String> {
    let lines = answer["items"].as_array().expect("items").iter();
    lines
        .map(|line| {
            format!(
                "{} {} {}-{} {} {} {}",
                text(line, "asset"),
                text(line, "state"),
                line["first_epoch"],
                line["last_epoch"],
                line["amount"].as_str().unwrap_or("-"),
                text(line, "basis"),
                line["like_epoch"],
            )
        })
        .collect()
}

#[test]
fn each_asset_has_what_is_accrued_and_not_sealed() {
    let (place, anchor) = world();
    let served = Served::start(&place, &[]);
    served.caught_up();
    let at = |ms: i64| served.value(&format!("/v1/finance/accrued?at={}", time(anchor + ms)));
    let answer = at(DAY_MS * 9 / 4);
    assert_eq!(answer["as_of"], time(anchor + DAY_MS * 9 / 4));
    assert_eq!(
        lines(&answer),
        [
            // 9 a day, for a day and a quarter.
            "ATOM open 1-2 11.25 like_epoch 0",
            "DOT open 0-2 0 nothing null",
            "SOL held 0-0 4 held null",
            "SOL closing 1-1 6 pool null",
            "SOL open 2-2 - unknown null",
        ]
    );
    assert_eq!(
        answer["totals"],
        json!([
            {"reward_asset": "ATOM", "amount": "11.25", "is_complete": true},
            {"reward_asset": "DOT", "amount": "0", "is_complete": true},
            {"reward_asset": "SOL", "amount": "10", "is_complete": false},
        ])
    );
    // In the middle of the first day, which is sealed now.
    assert_eq!(
        lines(&at(DAY_MS / 2)),
        [
            "ATOM sealed 0-0 4.5 sealed null",
            "DOT open 0-0 0 nothing null",
            "SOL held 0-0 2 held null",
        ]
    );
    assert_eq!(lines(&at(0)), [""; 0]);
    // Now is later, and the same lines.
    let now = served.value("/v1/finance/accrued");
    assert_eq!(lines(&now).len(), 5);
    assert!(text(&now, "as_of") > text(&answer, "as_of"));
    for (query, field, what) in [
        ("at=2999-01-01", "at", "is in the future"),
        ("at=tomorrow", "at", "RFC 3339"),
        ("by=month", "by", "no parameter"),
    ] {
        let reply = served.read(&format!("/v1/finance/accrued?{query}"));
        let said = reply.problem(400);
        assert!(said.contains(what), "{query}: {said}");
        assert_eq!(reply.json()["field"], field);
    }
}
