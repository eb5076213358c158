//! Each route against what is on the bus.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};
use softstake::core::values::amount::ExactAmount;

use super::reads::{assert_has, by, settled, spec, text};
use super::served::Served;
use crate::common::events::{close, deposit, event, listing, pool};
use crate::common::{Place, fail, softstake, succeed};

/// The accounts that were paid, with their distributions.
fn paid(place: &Place) -> BTreeMap<String, Vec<Value>> {
    by(place, "softstake.distributions", |record| {
        text(&record["data"], "account").to_owned()
    })
}

/// A part of a path.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[test]
fn every_account_sees_its_distributions_once_newest_first() {
    let place = settled(&spec());
    let served = Served::start(&place, &[]);
    served.caught_up();
    let mut checked = 0;
    for (account, mut expected) in paid(&place) {
        let path = format!("/v1/accounts/{}/distributions", encoded(&account));
        let found = served.walk(&path, 4);
        expected.sort_by_key(|data| (text(data, "epoch_end").to_owned(), text(data, "asset").to_owned()));
        let order = |item: &Value| text(item, "epoch_end").to_owned();
        assert!(found.iter().map(order).rev().is_sorted(), "{account}");
        let mut sorted = found.clone();
        sorted.sort_by_key(|item| (text(item, "epoch_end").to_owned(), text(item, "asset").to_owned()));
        assert_eq!(sorted.len(), expected.len(), "{account}");
        for (item, data) in sorted.iter().zip(&expected) {
            assert_has(item, data);
            let id = format!("{}:{}:{account}", text(data, "asset"), data["epoch"]);
            assert_eq!((text(item, "id"), &item["sealed"]), (&*id, &json!(true)));
            assert_eq!(
                (&item["credited_at"], &item["credited_amount"]),
                (&Value::Null, &Value::Null)
            );
        }
        checked += found.len();
    }
    assert_eq!(checked, place.records("softstake.distributions").len());
    assert!(checked > 300, "{checked}");
}

#[test]
fn filters_sums_and_csv_agree_with_the_bus() {
    let place = settled(&spec());
    let served = Served::start(&place, &[]);
    served.caught_up();
    let all = paid(&place);
    let (account, expected) = all.iter().max_by_key(|(_, paid)| paid.len()).expect("an account");
    let base = format!("/v1/accounts/{}", encoded(account));
    let asset = text(&expected[0], "asset");
    let ends: BTreeSet<&str> = expected.iter().map(|data| text(data, "epoch_end")).collect();
    let (first, last) = (ends.first().expect("an end"), ends.last().expect("an end"));
    let count = |query: &str| served.walk(&format!("{base}/distributions?{query}"), 500).len();
    let kept = |keep: &dyn Fn(&Value) -> bool| expected.iter().filter(|data| keep(data)).count();
    assert_eq!(
        count(&format!("asset={asset}")),
        kept(&|data| text(data, "asset") == asset)
    );
    assert_eq!(
        count(&format!("from={first}")),
        kept(&|data| text(data, "epoch_end") > *first)
    );
    assert_eq!(
        count(&format!("to={first}")),
        kept(&|data| text(data, "epoch_end") == *first)
    );
    assert_eq!(count(&format!("from={last}")), 0);
    assert_eq!(count(&format!("from=2000-01-01&to={last}")), expected.len());

    let summary = served.value(&format!("{base}/summary?by=day"));
    let mut totals: BTreeMap<(&str, &str), (u64, ExactAmount)> = BTreeMap::new();
    for data in expected {
        let (payouts, amount) = totals
            .entry((text(data, "asset"), text(data, "reward_asset")))
            .or_default();
        *payouts += 1;
        *amount = amount
            .plus(ExactAmount::parse(text(data, "amount")).expect("an amount"))
            .expect("a sum");
    }
    let totals: Vec<Value> = totals
        .into_iter()
        .map(|((asset, reward_asset), (payouts, amount))| {
            json!({"asset": asset, "reward_asset": reward_asset, "payouts": payouts, "amount": amount.to_string()})
        })
        .collect();
    assert_eq!(summary["totals"], json!(totals));
    // Each epoch is a day, so each period is one distribution.
    let periods = summary["periods"].as_array().expect("periods");
    assert_eq!(periods.len(), expected.len());
    for data in expected {
        let day = &text(data, "epoch_start")[..10];
        let period = periods
            .iter()
            .find(|period| text(period, "period") == day && period["asset"] == data["asset"])
            .expect("a period");
        assert_eq!((&period["amount"], &period["payouts"]), (&data["amount"], &json!(1)));
        assert!(
            text(period, "average_balance").starts_with(text(data, "average_balance")),
            "{period} {data}"
        );
    }

    let reply = served.read(&format!("{base}/distributions?format=csv"));
    assert_eq!(reply.header("content-type"), Some("text/csv; charset=utf-8"));
    let mut rows = csv::Reader::from_reader(reply.body.as_bytes());
    let names = rows.headers().expect("a head").clone();
    let rows: Vec<BTreeMap<String, String>> = rows
        .records()
        .map(|row| {
            names
                .iter()
                .map(str::to_owned)
                .zip(row.expect("a row").iter().map(str::to_owned))
                .collect()
        })
        .collect();
    assert_eq!(rows.len(), expected.len());
    for data in expected {
        let is_it = |row: &&BTreeMap<String, String>| {
            row["asset"] == text(data, "asset") && row["epoch"].parse().ok() == data["epoch"].as_u64()
        };
        let row = rows.iter().find(is_it).expect("a row");
        assert_eq!(
            (&*row["amount"], &*row["made_good"]),
            (text(data, "amount"), text(data, "made_good"))
        );
    }
}

#[test]
fn epochs_seals_and_proofs_are_those_of_the_bus() {
    let place = settled(&spec());
    let served = Served::start(&place, &[]);
    served.caught_up();
    let seals = by(&place, "softstake.epochs", |record| {
        text(&record["data"], "asset").to_owned()
    });
    let distributions = by(&place, "softstake.distributions", |record| {
        format!("{}:{}", text(&record["data"], "asset"), record["data"]["epoch"])
    });
    let assets = served.walk("/v1/assets", 2);
    assert!(
        seals
            .keys()
            .all(|asset| assets.iter().any(|item| item["asset"] == json!(asset)))
    );
    for (asset, sealed) in &seals {
        let epochs = served.walk(&format!("/v1/assets/{asset}/epochs"), 2);
        let numbers: Vec<u64> = epochs.iter().filter_map(|epoch| epoch["epoch"].as_u64()).collect();
        assert!(numbers.iter().rev().is_sorted(), "{numbers:?}");
        assert_eq!(epochs[0]["state"], "open");
        for seal in sealed {
            let number = &seal["epoch"];
            let epoch = epochs
                .iter()
                .find(|epoch| epoch["epoch"] == *number)
                .expect("the epoch");
            assert_eq!(
                (&epoch["state"], &epoch["seal"], &epoch["pool"]),
                (&json!("sealed"), seal, &seal["reward_pool"])
            );
            let path = format!("/v1/assets/{asset}/epochs/{number}");
            assert_eq!(&served.value(&path), epoch);
            let expected = distributions.get(&format!("{asset}:{number}")).map_or(0, Vec::len);
            let found = served.walk(&format!("{path}/distributions"), 100);
            assert_eq!(
                (found.len(), json!(expected)),
                (expected, seal["distributions"].clone())
            );
            let ids: BTreeSet<&str> = found.iter().map(|item| text(item, "id")).collect();
            assert_eq!(ids.len(), found.len());
        }
    }
    let data = distributions.values().flatten().next().expect("a distribution");
    let (asset, account) = (text(data, "asset"), text(data, "account"));
    let path = format!(
        "/v1/accounts/{}/distributions/{asset}/{}",
        encoded(account),
        data["epoch"]
    );
    let one = served.value(&path);
    assert_has(&one, data);
    let root = text(&one["seal"], "root").to_owned();
    let proof = place.bus().with_file_name("proof.json");
    fs::write(&proof, served.read(&format!("{path}/proof")).body).expect("a file");
    succeed(softstake().arg("verify").arg(&proof).args(["--root", &root]));
    fail(
        softstake().arg("verify").arg(&proof).args(["--root", &"0".repeat(64)]),
        1,
    );
    let positions = served.value("/v1/positions");
    for item in positions["items"].as_array().expect("items") {
        let newest = seals[text(item, "asset")]
            .iter()
            .max_by_key(|seal| seal["epoch"].as_u64())
            .expect("a seal");
        assert_eq!(
            (&item["epoch"], &item["closing_balance"]),
            (&newest["epoch"], &newest["closing_balance"])
        );
        assert_eq!(item["withheld"], newest["withheld_after"]);
    }
    assert_eq!(positions["items"].as_array().map(Vec::len), Some(seals.len()));
}

#[test]
fn dead_letters_and_late_postings_are_listed_filtered_and_counted() {
    let place = settled(&spec());
    let served = Served::start(&place, &[]);
    served.caught_up();
    let letters = by(&place, "softstake.dead-letters", |record| {
        format!("{} {}", text(&record["data"], "topic"), text(&record["data"], "code"))
    });
    let number: usize = letters.values().map(Vec::len).sum();
    assert!(number > 50, "{number}");
    let place_of = |item: &Value| format!("{}:{}:{}", item["topic"], item["partition"], item["offset"]);
    let found = served.walk("/v1/dead-letters", 40);
    assert_eq!(found.iter().map(place_of).collect::<BTreeSet<_>>().len(), number);
    let counts = served.value("/v1/dead-letters/counts");
    for (kind, expected) in &letters {
        let (topic, code) = kind.split_once(' ').expect("two words");
        let found = served.walk(&format!("/v1/dead-letters?topic={topic}&code={code}"), 3);
        assert_eq!(found.len(), expected.len(), "{kind}");
        for letter in expected {
            let item = found
                .iter()
                .find(|item| place_of(item) == place_of(letter))
                .expect("the letter");
            assert_eq!((&item["code"], &item["reason"]), (&letter["code"], &letter["reason"]));
        }
        let count = json!({"topic": topic, "code": code, "count": expected.len()});
        assert!(counts["items"].as_array().expect("items").contains(&count), "{count}");
    }
    let late = by(&place, "softstake.late-postings", |record| {
        text(&record["data"], "account").to_owned()
    });
    let number: usize = late.values().map(Vec::len).sum();
    assert!(number > 50, "{number}");
    assert_eq!(served.walk("/v1/late-postings", 37).len(), number);
    for (account, expected) in late.iter().take(20) {
        let found = served.walk(&format!("/v1/accounts/{}/late-postings", encoded(account)), 3);
        assert_eq!(found.len(), expected.len(), "{account}");
        for data in expected {
            let item = found
                .iter()
                .find(|item| item["event_id"] == data["event_id"] && item["delta"] == data["delta"]);
            assert_has(item.expect("the posting"), data);
        }
    }
    let counted = served.value("/v1/late-postings/counts");
    let sum: u64 = counted["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|item| item["count"].as_u64())
        .sum();
    assert_eq!(sum, number as u64);
}

const DAY: u32 = 86_400;

#[test]
fn a_payout_is_explained_from_the_balance_to_what_waits() {
    let place = Place::new();
    let programme = json!({
        "from_epoch": 0, "mode": "apr", "apr": "0.0365", "min_balance": "1", "max_balance": "1000", "payout_decimals": 2,
    });
    place.append("softstake.control", 0, [listing("ATOM", 6, DAY, &programme)]);
    let deposits = [
        deposit("a", 0, "ann", "ATOM", "123.456"),
        deposit("b", 0, "ben", "ATOM", "4000"),
    ];
    place.append("exchange.deposits", 0, deposits);
    place.append("softstake.control", 0, [close("ATOM", 0, DAY, "0")]);
    place.run(Some(2));
    let served = Served::start(&place, &[]);
    served.caught_up();
    // 123.456 * 3.65 % / 365 is 0.0123456, and 1000 * 3.65 % / 365 is 0.1.
    let explained = served.value("/v1/accounts/ann/distributions/ATOM/0/explanation");
    assert_eq!(
        explained["sentences"],
        json!([
            "From 1 November 2026, 00:00 to 2 November 2026, 00:00 (UTC) you held 123.456 ATOM on average.",
            "All of it counts, as it is not less than 1 ATOM.",
            "It earns 3.65 % a year. For 1 day of 365 days that is 0.012345 ATOM.",
            "0.01 ATOM were paid.",
            "Payouts are rounded down to multiples of 0.01 ATOM: 0.002345 ATOM are kept for you, and paid with a later reward.",
        ])
    );
    let last = explained["steps"].as_array().expect("steps").last().expect("a step");
    assert_eq!(
        (&last["name"], &last["value"], &last["unit"]),
        (&json!("paid"), &json!("0.01"), &json!("ATOM"))
    );
    let capped = served.value("/v1/accounts/ben/distributions/ATOM/0/explanation");
    assert_eq!(
        capped["sentences"][1],
        "Of this, 1000 ATOM count, which is the most that can."
    );
    assert_eq!(capped["sentences"][3], "0.1 ATOM were paid.");
}

#[test]
fn a_share_of_a_pool_is_explained() {
    let place = Place::new();
    let programme = json!({"from_epoch": 0, "mode": "pool", "commission_rate": "0.1"});
    place.append("softstake.control", 0, [listing("ATOM", 6, DAY, &programme)]);
    let deposits = [
        deposit("a", 0, "ann", "ATOM", "30"),
        deposit("b", 0, "ben", "ATOM", "10"),
    ];
    place.append("exchange.deposits", 0, deposits);
    place.append("softstake.control", 0, [close("ATOM", 0, DAY, "4")]);
    place.run(Some(1));
    let served = Served::start(&place, &[]);
    served.caught_up();
    let explained = served.value("/v1/accounts/ann/distributions/ATOM/0/explanation");
    assert_eq!(
        explained["sentences"].as_array().expect("sentences")[1..],
        [
            json!("All of it counts."),
            json!("The rewards of this period were 4 ATOM. The exchange keeps 10 % of them, which is 0.4 ATOM."),
            json!("3.6 ATOM were shared among all customers by how much each of them held, and for how long."),
            json!("Your share was 75 %, which is 2.7 ATOM."),
            json!("2.7 ATOM were paid."),
        ]
    );
}

#[test]
fn a_held_epoch_shows_its_figures_and_what_waits_for_it() {
    let place = Place::new();
    let programme = json!({"from_epoch": 0, "mode": "pool", "gate": "always"});
    place.append("softstake.control", 0, [listing("ATOM", 6, DAY, &programme)]);
    let deposits = [
        deposit("a", 0, "ann", "ATOM", "30"),
        deposit("b", 0, "ben", "ATOM", "10"),
    ];
    place.append("exchange.deposits", 0, deposits);
    let reward = json!({"asset": "ATOM", "amount": "0.5", "validator": "v"});
    place.append(
        "softstake.control",
        0,
        [
            event("reward", "softstake.validator_reward.v1", 1_000, &reward),
            close("ATOM", 0, DAY, "4"),
            close("ATOM", 1, DAY, "4"),
        ],
    );
    place.run(Some(1));
    let served = Served::start(&place, &[]);
    served.caught_up();
    let held = json!({"limit": "always", "largest": "3.375", "total": "4.5", "change": null});
    let listed = served.value("/v1/held");
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
    assert_has(&listed["items"][0], &held);
    assert_eq!(
        (&listed["items"][0]["asset"], &listed["items"][0]["epoch"]),
        (&json!("ATOM"), &json!(0))
    );
    let epochs = served.walk("/v1/assets/ATOM/epochs", 2);
    let states: Vec<&str> = epochs.iter().map(|epoch| text(epoch, "state")).collect();
    assert_eq!(states, ["open", "closing", "held"]);
    assert_eq!(epochs[1]["waits_for"], "Waits for epoch 0, which is held.");
    assert_eq!((&epochs[2]["held"], &epochs[2]["pool"]), (&held, &json!("4.5")));
    assert_eq!(served.value("/v1/accounts/ann/distributions")["items"], json!([]));
    let asset = served.value("/v1/assets/ATOM");
    assert_eq!(
        (&asset["next_epoch"], &asset["programme"]["gate"]),
        (&json!(2), &json!("always"))
    );
    assert_eq!(asset["programmes"][0]["state"], "in_force");
    // Released, it is paid: the view follows while it serves.
    let release = json!({"asset": "ATOM", "epoch": 0, "by": "j.doe", "reason": "checked"});
    let release = event(
        "release",
        "softstake.epoch_release.v1",
        i64::from(DAY) * 3_000,
        &release,
    );
    place.append("softstake.control", 0, [release]);
    place.run(Some(1));
    crate::common::process::until("the payout is there", || {
        served.value("/v1/accounts/ann/distributions")["items"][0]["amount"] == "3.375"
    });
    // The next one is held in its turn.
    assert_eq!(served.value("/v1/held")["items"][0]["epoch"], 1);
}

#[test]
fn what_the_payout_service_credited_is_shown() {
    let place = Place::new();
    place.append("softstake.control", 0, [listing("ATOM", 6, DAY, &pool())]);
    place.append("exchange.deposits", 0, [deposit("a", 0, "ann", "ATOM", "30")]);
    place.append("softstake.control", 0, [close("ATOM", 0, DAY, "4")]);
    place.run(Some(1));
    let served = Served::start(&place, &["--executions".into(), "payout.executions".into()]);
    served.caught_up();
    let credited = || served.value("/v1/accounts/ann/distributions")["items"][0].clone();
    assert_eq!(credited()["credited_at"], Value::Null);
    let executed = |id: &str, amount: &str| {
        let data = json!({"distribution": "ATOM:0:ann", "amount": amount, "credited_at": "2026-11-02T01:00:00Z"});
        event(id, "payout.executed.v1", 0, &data)
    };
    place.append("payout.executions", 0, [executed("x", "4"), executed("y", "5")]);
    crate::common::process::until("the credit is there", || credited()["credited_at"] != Value::Null);
    let item = credited();
    assert_eq!(
        (&item["credited_at"], &item["credited_amount"]),
        (&json!("2026-11-02T01:00:00.000Z"), &json!("4"))
    );
    // Finance counts each credit: this payout was credited twice.
    let line = served.value("/v1/finance")["items"][0].clone();
    assert_has(
        &line,
        &json!({"distributed": "4", "executed": "9", "not_credited": "-5", "over_credited_epochs": [0]}),
    );
    served.process.stop();
    let served = Served::start(&place, &[]);
    let line = served.value("/v1/finance")["items"][0].clone();
    assert_has(
        &line,
        &json!({"distributed": "4", "executed": null, "not_credited": null, "over_credited_epochs": null}),
    );
    served.process.stop();
    // Where the events of one topic are read to tells nothing of another topic.
    let mut command = super::served::serve(&place);
    let said = fail(
        command.args(["--listen", "127.0.0.1:0", "--executions", "other.executions"]),
        1,
    );
    assert!(
        said.contains("has the credits of the topic payout.executions"),
        "{said}"
    );
}

#[test]
fn wrong_requests_are_told_what_is_wrong_with_them() {
    let place = settled(&spec());
    let served = Served::start(&place, &[]);
    served.caught_up();
    let all = paid(&place);
    let account = encoded(all.iter().max_by_key(|(_, paid)| paid.len()).expect("an account").0);
    let path = format!("/v1/accounts/{account}/distributions");
    let first = served.value(&format!("{path}?limit=1"));
    let cursor = text(&first, "next");
    for (wrong, status, field, what) in [
        (format!("{path}?limit=501"), 400, "limit", "from 1 to 500"),
        (format!("{path}?limit=0"), 400, "limit", "from 1 to 500"),
        (format!("{path}?limit=x"), 400, "limit", "from 1 to 500"),
        (format!("{path}?cursor={}", &cursor[1..]), 400, "cursor", "torn"),
        (
            format!("{path}?asset=ATOM&cursor={cursor}"),
            400,
            "cursor",
            "another list",
        ),
        (format!("/v1/assets?cursor={cursor}"), 400, "cursor", "another list"),
        (format!("{path}?from=yesterday"), 400, "from", "RFC 3339"),
        (
            format!("{path}?from=2026-11-02&to=2026-11-01"),
            400,
            "to",
            "later than `from`",
        ),
        (format!("{path}?format=xml"), 400, "format", "json, csv"),
        (format!("{path}?colour=red"), 400, "colour", "no parameter"),
        (format!("{path}?limit=1&limit=2"), 400, "limit", "twice"),
        ("/v1/dead-letters?code=bad".into(), 400, "code", "invalid_json"),
        ("/v1/assets/A%20B/epochs".into(), 400, "asset", "no asset name"),
        ("/v1/assets/NONE/epochs".into(), 404, "", "never was"),
        (
            format!("/v1/accounts/{account}/distributions/NONE/1"),
            404,
            "",
            "paid nothing",
        ),
        (
            format!("/v1/accounts/{account}/distributions/ATOM/x"),
            400,
            "epoch",
            "number of an epoch",
        ),
        (
            format!("/v1/accounts/{}/distributions", "a".repeat(129)),
            400,
            "account",
            "129 bytes",
        ),
        ("/v1/nowhere".into(), 404, "", "openapi"),
    ] {
        let reply = served.read(&wrong);
        let detail = reply.problem(status);
        assert!(detail.contains(what), "{wrong}: {detail}");
        assert_eq!(
            reply.json()["field"].as_str().unwrap_or_default(),
            field,
            "{wrong}: {detail}"
        );
    }
}

#[test]
fn an_answer_that_is_known_is_not_sent_again() {
    let place = settled(&spec());
    let served = Served::start(&place, &[]);
    served.caught_up();
    let reply = served.read("/v1/assets");
    let tag = reply.header("etag").expect("a tag").to_owned();
    assert_eq!(reply.header("cache-control"), Some("private, no-cache"));
    assert_eq!(reply.header("softstake-behind-records"), Some("0"));
    let again = served.ask("GET", "/v1/assets", &[&format!("If-None-Match: {tag}")]);
    assert_eq!(
        (again.status, &*again.body, again.header("etag")),
        (304, "", Some(&*tag))
    );
    let other = served.ask("GET", "/v1/assets?limit=1", &[&format!("If-None-Match: {tag}")]);
    assert_eq!(other.status, 200);
    let session = served.value("/v1/session");
    assert_eq!(
        (&session["subject"], &session["account"]),
        (&json!("local"), &Value::Null)
    );
    assert_eq!(session["roles"].as_array().map(Vec::len), Some(6));
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/metrics", 200)] {
        assert_eq!(served.read(path).status, status, "{path}");
    }
    assert!(served.read("/metrics").body.contains("softstake_view_ready 1\n"));
}

#[test]
fn the_description_names_every_path_that_answers() {
    let place = settled(&spec());
    let served = Served::start(&place, &[]);
    let description = served.value("/v1/openapi.json");
    assert!(
        text(&description, "openapi").starts_with("3.1"),
        "{}",
        description["openapi"]
    );
    let paths = description["paths"].as_object().expect("paths");
    assert!(paths.len() >= 20, "{}", paths.len());
    for (path, described) in paths {
        let real = path
            .replace("{account}", "u")
            .replace("{asset}", "NONE")
            .replace("{epoch}", "0");
        let status = served.read(&real).status;
        let known = described["get"]["responses"].get(status.to_string());
        assert!(known.is_some(), "{path} answers {status}, which is not described");
    }
}
