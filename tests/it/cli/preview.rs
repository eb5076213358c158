//! `softstake preview`: it foretells what the close then publishes, to the unit, and changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::events::{close, deposit, event, listing, pool};
use crate::common::process::Process;
use crate::common::records::text;
use crate::common::{Place, fail, softstake, succeed};

const DAY: u32 = 86_400;
const DAY_MS: i64 = 86_400_000;

fn preview(place: &Place, words: &[&str]) -> Command {
    let mut command = softstake();
    command.arg("preview").args(words).arg("--state").arg(place.state());
    command
}

fn json_of(command: &mut Command) -> Value {
    serde_json::from_slice(&succeed(command.arg("--json")).stdout).expect("JSON")
}

fn trade_of_days(place: &Place, asset: &str) {
    let accounts = [
        "ann", "ben", "ben/grid", "cy", "dan", "eve", "fay/a", "fay/b", "gus", "hal", "ida", "jon", "kim",
    ];
    let deposits = (0_i64..).zip(accounts).map(|(number, account)| {
        let amount = format!("{}.{:06}", 3 + number * number, number * 37 + 1);
        deposit(
            &format!("d-{asset}-{account}"),
            number * 3_600_000 + 17,
            account,
            asset,
            &amount,
        )
    });
    place.append("exchange.deposits", 0, deposits);
    let status = |id: &str, ms: i64, account: &str, status: &str| {
        let data = json!({"account": account, "status": status});
        event(&format!("{id}-{asset}"), "exchange.account_status.v1", ms, &data)
    };
    let statuses = [
        status("out", -5_000, "cy", "opted_out"),
        status("banned", DAY_MS + 9_000, "dan", "excluded"),
        status("back", DAY_MS + 50_000, "cy", "enrolled"),
    ];
    place.append("exchange.accounts", 0, statuses);
}

/// Late deposits, reward adjustments and new postings, after epoch 0 was settled.
fn second_day(place: &Place, asset: &str) {
    let late = [
        deposit(&format!("late-1-{asset}"), 5_000_000, "ann", asset, "7.5"),
        deposit(&format!("late-2-{asset}"), 9_000_000, "new", asset, "3"),
        deposit(&format!("late-3-{asset}"), 9_000_000, "fay/b", asset, "11"),
        deposit(&format!("now-{asset}"), DAY_MS + 1_000, "kim", asset, "0.000001"),
    ];
    place.append("exchange.deposits", 0, late);
    let adjustment = |account: &str, delta: &str| {
        let data = json!({"account": account, "asset": asset, "delta": delta, "reason": "goodwill"});
        event(
            &format!("adjust-{asset}-{account}"),
            "exchange.reward_adjustment.v1",
            DAY_MS + 2_000,
            &data,
        )
    };
    place.append(
        "exchange.transfers",
        0,
        [
            adjustment("gus", "0.5"),
            adjustment("hal", "-2"),
            adjustment("only", "1"),
        ],
    );
}

/// The programmes that are previewed, and how epoch 1 is closed.
fn programmes() -> Vec<(&'static str, Value, Value, Vec<&'static str>)> {
    vec![
        (
            "POOL",
            json!({"from_epoch": 0, "mode": "pool", "commission_rate": "0.1", "min_balance": "4", "max_balance": "90",
                "tiers": [{"up_to": "20", "multiplier": "1"}, {"up_to": null, "multiplier": "1.25"}],
                "payout_decimals": 3, "min_payout": "0.2"}),
            json!({"reward_pool": "33.3"}),
            vec!["--pool", "33.3"],
        ),
        (
            "OWNER",
            json!({"from_epoch": 0, "mode": "pool", "scope": "owner", "min_balance": "30", "max_balance": "100",
                "gate": {"max_payout": "1000", "max_total": "1000", "max_change": "0.9"}}),
            json!({"reward_pool": "12"}),
            vec!["--pool", "12"],
        ),
        (
            "APR",
            json!({"from_epoch": 0, "mode": "apr", "apr": "0.05", "payout_decimals": 5}),
            json!({"apr": "0.365"}),
            vec!["--apr", "0.365"],
        ),
        (
            "TIERS",
            json!({"from_epoch": 0, "mode": "apr", "tiers": [{"up_to": "50", "apr": "0.73"}, {"up_to": null, "apr": "0.1"}]}),
            json!({}),
            vec![],
        ),
    ]
}

/// Every figure of a preview, and every account of it, is that of the seal and the distributions that follow.
#[test]
fn a_preview_is_what_the_close_publishes() {
    let place = Place::new();
    for (asset, programme, ..) in programmes() {
        place.append("softstake.control", 0, [listing(asset, 6, DAY, &programme)]);
        trade_of_days(&place, asset);
        place.append("softstake.control", 0, [close(asset, 0, DAY, "20")]);
    }
    place.run(Some(4));
    assert_eq!(place.records("softstake.epochs").len(), 4, "epoch 0 is sealed");
    let reward = json!({"asset": "POOL", "amount": "1.5", "validator": "v"});
    place.append(
        "softstake.control",
        0,
        [event("reward", "softstake.validator_reward.v1", DAY_MS + 5, &reward)],
    );
    for (asset, ..) in programmes() {
        second_day(&place, asset);
    }
    place.run(Some(4));
    let published = place.outcome();
    let mut previews = BTreeMap::new();
    for (asset, _, _, flags) in programmes() {
        let csv = place.bus().with_file_name(format!("{asset}.csv"));
        let words: Vec<&str> = [asset].into_iter().chain(flags).collect();
        let shown = json_of(preview(&place, &words).arg("--csv").arg(&csv));
        previews.insert(asset, (shown, fs::read_to_string(csv).expect("a CSV file")));
    }
    assert_eq!(place.outcome(), published, "a preview publishes nothing");
    for (asset, _, order, _) in programmes() {
        let mut data = json!({"asset": asset, "epoch": 1});
        data.as_object_mut()
            .expect("fields")
            .extend(order.as_object().expect("fields").clone());
        place.append(
            "softstake.control",
            0,
            [event(
                &format!("close-1-{asset}"),
                "softstake.epoch_close.v1",
                2 * DAY_MS,
                &data,
            )],
        );
    }
    place.run(Some(4));
    for (asset, (shown, csv)) in &previews {
        compare(&place, asset, shown, csv);
    }
}

/// Compares a preview of epoch 1 with what was published.
fn compare(place: &Place, asset: &str, shown: &Value, csv: &str) {
    let seals = place.records("softstake.epochs");
    let seal = seals
        .iter()
        .find(|seal| seal["id"] == format!("{asset}:1"))
        .unwrap_or_else(|| panic!("no seal of {asset}"));
    let seal = &seal["data"];
    let same = [
        "reward_asset",
        "epoch",
        "epoch_start",
        "epoch_end",
        "mode",
        "reward_pool",
        "commission",
        "carried_in",
        "carried_out",
        "returned",
        "rewarded",
        "made_good",
        "adjusted",
        "withheld_before",
        "withheld_after",
        "distributions",
        "ineligible",
    ];
    for field in same {
        assert_eq!(shown[field], seal[field], "{asset} {field}");
    }
    assert_eq!(shown["total"], seal["distributed"], "{asset}");
    assert_ne!(shown["made_good"], "0", "{asset} has late postings");
    let distributions = place.records("softstake.distributions");
    let paid: BTreeMap<String, &Value> = distributions
        .iter()
        .map(|record| &record["data"])
        .filter(|data| data["asset"] == asset && data["epoch"] == 1)
        .map(|data| (text(&data["account"]).to_owned(), data))
        .collect();
    let mut lines = csv.lines();
    let columns: Vec<&str> = lines.next().expect("columns").split(',').collect();
    let mut count = 0;
    for line in lines {
        let cells: BTreeMap<&str, &str> = columns.iter().copied().zip(line.split(',')).collect();
        match paid.get(cells["account"]) {
            None => assert_eq!(cells["amount"], "0", "{asset} {line}"),
            Some(data) => {
                count += 1;
                for field in [
                    "amount",
                    "rewarded",
                    "made_good",
                    "adjusted",
                    "withheld_before",
                    "average_balance",
                    "balance_seconds",
                ] {
                    assert_eq!(cells[field], text(&data[field]), "{asset} {field} {line}");
                }
            }
        }
    }
    assert_eq!(count, paid.len(), "{asset}");
    let tenths = shown["deciles"].as_array().expect("tenths");
    let accounts: u64 = tenths
        .iter()
        .map(|tenth| tenth["accounts"].as_u64().expect("a number"))
        .sum();
    assert_eq!(accounts, paid.len() as u64, "{asset}");
    assert_eq!(
        tenths.last().expect("a tenth")["largest"],
        shown["largest"]["amount"],
        "{asset}"
    );
    let largest = &paid[text(&shown["largest"]["account"])];
    assert_eq!(shown["largest"]["amount"], largest["amount"], "{asset}");
}

/// The gate's verdict is that of the run, with the same figures.
#[test]
fn the_verdict_of_the_gate_is_foretold() {
    let gate = |limits: Value| json!({"from_epoch": 0, "mode": "pool", "gate": limits});
    for (limits, limit) in [
        (json!("always"), Some("always")),
        (json!({"max_payout": "5"}), Some("max_payout")),
        (json!({"max_total": "9.999999"}), Some("max_total")),
        (json!({"max_total": "10", "max_payout": "6"}), None),
    ] {
        let place = Place::new();
        place.append("softstake.control", 0, [listing("ATOM", 6, DAY, &gate(limits.clone()))]);
        let deposits = [deposit("1", 0, "ann", "ATOM", "6"), deposit("2", 0, "ben", "ATOM", "4")];
        place.append("exchange.deposits", 0, deposits);
        place.run(Some(2));
        let shown = json_of(&mut preview(&place, &["ATOM", "--pool", "10"]));
        assert_eq!(shown["gate"]["held_by"], json!(limit), "{limits}");
        let words = String::from_utf8(succeed(&mut preview(&place, &["ATOM", "--pool", "10"])).stdout).expect("text");
        let verdict = limit.map_or_else(
            || "The gate would let it pass".into(),
            |limit| format!("The gate would hold it, by {limit}"),
        );
        assert!(words.contains(&verdict), "{words}");
        assert!(
            words.contains("Nothing is published, and nothing of it is final."),
            "{words}"
        );
        place.append("softstake.control", 0, [close("ATOM", 0, DAY, "10")]);
        place.run(Some(2));
        let decisions = place.records("softstake.decisions");
        let held = decisions
            .iter()
            .map(|record| &record["data"])
            .find(|data| data["decision"] == "epoch_held");
        assert_eq!(held.map(|data| text(&data["limit"])), limit, "{limits}");
        if let Some(held) = held {
            for field in ["largest", "total", "change"] {
                assert_eq!(shown["gate"][field], held[field], "{limits} {field}");
            }
            // What the held epoch leaves is not known.
            let said = fail(&mut preview(&place, &["ATOM"]), 3);
            assert!(
                said.contains("epoch 0 of ATOM is closed and held by the gate"),
                "{said}"
            );
        }
    }
}

#[test]
fn what_a_close_could_not_order_is_wrong_usage() {
    let place = Place::new();
    place.append("softstake.control", 0, [listing("ATOM", 6, DAY, &pool())]);
    place.run(Some(2));
    for (words, expected) in [
        (vec!["ATOM", "--apr", "0.1"], "`apr` has no use"),
        (vec!["ATOM", "--pool", "0.0000001"], "`reward_pool`"),
        (vec!["ATOM", "--pool", "-1"], "unexpected argument"),
        (vec!["ATOM", "--reward-rate", "1"], "`reward_rate` has no use"),
    ] {
        let said = fail(&mut preview(&place, &words), 2);
        assert!(said.contains(expected), "{words:?}: {said}");
    }
    let said = fail(&mut preview(&place, &["ATMO"]), 3);
    assert!(said.contains("ATMO is not listed; did you mean ATOM?"), "{said}");
    let empty = json_of(&mut preview(&place, &["ATOM", "--pool", "5"]));
    assert_eq!(
        (&empty["returned"], &empty["distributions"], &empty["largest"]),
        (&json!("5"), &json!(0), &Value::Null)
    );
    assert_eq!(empty["deciles"], json!([]));
}

/// It reads the stores of a process that works on them.
#[test]
fn a_running_deployment_is_not_disturbed() {
    let place = Place::new();
    place.append("softstake.control", 0, [listing("ATOM", 6, DAY, &pool())]);
    place.append("exchange.deposits", 0, [deposit("1", 0, "ann", "ATOM", "6")]);
    place.run(Some(2));
    let running = Process::running(&place, Some(2));
    // While the process opens its stores, an earlier state of one of them may be read.
    let shown = (0..100).find_map(|_| {
        let shown = json_of(&mut preview(&place, &["ATOM", "--pool", "10"]));
        let is_read = shown["read_to"]["sources"]["exchange.deposits:0"] == 1;
        (is_read && shown["total"] == "10").then_some(shown)
    });
    let shown = shown.expect("a preview of all that was read before");
    assert_eq!(shown["largest"]["account"], "ann");
    assert_eq!(running.stop(), Some(0));
}
