//! An epoch that ends at midnight of a month's end is of the month before, whatever shows it.

use std::fs;

use serde_json::{Value, json};

use super::reads::text;
use super::served::Served;
use crate::common::events::{close, deposit, event, listing_from, pool, time};
use crate::common::{Place, softstake, succeed};

const DAY_S: u32 = 86_400;
const DAY_MS: i64 = 86_400_000;

/// ATOM has an epoch for each of 30 and 31 October and 1 November, SOL one for all of December.
fn world() -> Place {
    let place = Place::new();
    let december = 31 * DAY_S;
    place.append(
        "softstake.control",
        0,
        [
            listing_from(-2 * DAY_MS, "ATOM", 6, DAY_S, &pool()),
            listing_from(30 * DAY_MS, "SOL", 9, december, &pool()),
        ],
    );
    place.append(
        "exchange.deposits",
        0,
        [
            deposit("d-1", -2 * DAY_MS, "ann", "ATOM", "5"),
            deposit("d-2", 30 * DAY_MS, "ann", "SOL", "5"),
        ],
    );
    let closes = [0, 1, 2].map(|epoch| close("ATOM", epoch, DAY_S, &format!("{}", 10 + epoch)));
    place.append("softstake.control", 0, closes);
    let data = json!({"asset": "SOL", "epoch": 0, "reward_pool": "7"});
    let end = (30 + 31) * DAY_MS;
    place.append(
        "softstake.control",
        0,
        [event("close-SOL", "softstake.epoch_close.v1", end, &data)],
    );
    place.run(Some(2));
    place
}

/// The rows of an export.
fn exported(place: &Place, line: &str) -> Vec<Value> {
    let mut command = softstake();
    command.arg("export").args(line.split(' ')).args(["--format", "jsonl"]);
    command.arg("--bus").arg(format!("dir:{}", place.bus().display()));
    let output = succeed(&mut command).stdout;
    let lines = String::from_utf8(output).expect("UTF-8");
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// What a command with `--json` answers.
fn json_of(place: &Place, command: &str, line: &str) -> Value {
    let mut asked = softstake();
    asked.arg(command).args(line.split(' ')).arg("--json");
    asked.arg("--bus").arg(format!("dir:{}", place.bus().display()));
    serde_json::from_slice(&succeed(&mut asked).stdout).expect("JSON")
}

fn epochs(rows: &[Value]) -> Vec<u64> {
    let mut epochs: Vec<u64> = rows
        .iter()
        .map(|row| row["epoch"].as_u64().expect("a number"))
        .collect();
    epochs.sort_unstable();
    epochs
}

#[test]
fn a_month_has_the_epoch_that_ends_at_its_midnight() {
    let place = world();
    let ends_at_midnight = |seal: &Value| seal["data"]["epoch_end"] == "2026-11-01T00:00:00.000Z";
    assert!(place.records("softstake.epochs").iter().any(ends_at_midnight));
    let served = Served::start(&place, &[]);
    served.caught_up();
    let items = |path: &str| served.value(path)["items"].as_array().expect("items").clone();
    let october = "--from 2026-10-01 --to 2026-11-01";
    for (flags, query, month, expected) in [
        (
            format!("{october} --asset ATOM"),
            "from=2026-10-01&to=2026-11-01",
            "2026-10",
            vec![0, 1],
        ),
        (
            "--from 2026-11-01 --to 2026-11-02 --asset ATOM".to_owned(),
            "from=2026-11-01&to=2026-11-02",
            "2026-11",
            vec![2],
        ),
    ] {
        assert_eq!(epochs(&exported(&place, &format!("distributions {flags}"))), expected);
        assert_eq!(epochs(&exported(&place, &format!("seals {flags}"))), expected);
        let of_ann = items(&format!("/v1/accounts/ann/distributions?{query}"));
        assert_eq!(epochs(&of_ann), expected);
        let figures = served.value(&format!("/v1/treasury/ATOM?{query}"));
        assert_eq!(epochs(figures["epochs"].as_array().expect("epochs")), expected);

        // Finance, by the period and by the month, is the statement of these epochs.
        let lines = items(&format!("/v1/finance?{query}"));
        let all = items("/v1/finance");
        let whole: Vec<&Value> = all.iter().filter(|line| line["month"] == month).collect();
        assert_eq!(lines.iter().collect::<Vec<_>>(), whole);
        let [line] = &lines[..] else {
            panic!("{lines:?}");
        };
        let (first, last) = (expected[0].to_string(), expected[expected.len() - 1].to_string());
        let numbers = format!("--asset ATOM --from-epoch {first} --to-epoch {last}");
        let statement = json_of(&place, "statement", &flags);
        assert_eq!(statement, json_of(&place, "statement", &numbers));
        assert_eq!(epochs(statement["epochs"].as_array().expect("epochs")), expected);
        let queried = json_of(&place, "query", &format!("distributions ann {flags}"));
        assert_eq!(epochs(queried.as_array().expect("rows")), expected);
        let total = &statement["totals"][0];
        for name in [
            "asset",
            "first_epoch",
            "last_epoch",
            "start",
            "end",
            "commission",
            "distributed",
        ] {
            assert_eq!(line[name], total[name], "{name}");
        }

        // An account's sum of the month and of the period is that of its days.
        let summary = |by: &str| served.value(&format!("/v1/accounts/ann/summary?{query}&by={by}"));
        let by_month = summary("month");
        assert_eq!(by_month["periods"].as_array().expect("periods").len(), 1);
        let period = &by_month["periods"][0];
        assert_eq!(
            (text(period, "period"), &period["amount"]),
            (month, &by_month["totals"][0]["amount"])
        );
        assert_eq!(period["payouts"], expected.len());
        let days = summary("day");
        let days: Vec<&str> = days["periods"]
            .as_array()
            .expect("periods")
            .iter()
            .map(|day| text(day, "period"))
            .collect();
        assert!(days.iter().all(|day| day.starts_with(month)), "{days:?}");
    }
}

#[test]
fn a_year_has_the_epoch_that_ends_at_its_midnight() {
    let place = world();
    let acks = place.bus().with_file_name("acks.jsonl");
    fs::write(&acks, "").expect("no credits");
    let rows = exported(
        &place,
        &format!("tax ann --year 2026 --asset SOL --acks {}", acks.display()),
    );
    assert_eq!(epochs(&rows), [0]);
    assert_eq!(
        (&rows[0]["accrued_at"], &rows[0]["state"]),
        (&json!(time(61 * DAY_MS)), &json!("not_credited"))
    );
    assert_eq!(rows[0]["accrued_at"], "2027-01-01T00:00:00.000Z");
    // What is not credited is listed with each later year, but no earlier one.
    let late = format!("tax ann --year 2026 --by credit --asset SOL --acks {}", acks.display());
    assert_eq!(epochs(&exported(&place, &late)), [0]);
}
