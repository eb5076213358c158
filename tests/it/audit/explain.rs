//! Explanations: what they print adds up to what was published.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

mod common;
#[path = "common/deployment.rs"]
mod deployment;
#[path = "common/events.rs"]
mod events;
#[path = "common/kafka/mod.rs"]
mod kafka;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use common::{Place, fail, softstake, succeed};
use deployment::Deployment;
use events::{close, deposit, listing, pool};
use kafka::Cluster;
use num_bigint::BigInt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value;
use softstake::generate::{Synthetic, write};

fn explain(bus: &Path, asset: &str, epoch: &str, account: &str) -> Command {
    let mut command = softstake();
    command
        .args(["explain", asset, epoch, account])
        .arg("--bus")
        .arg(format!("dir:{}", bus.display()));
    command
}

fn explained(command: &mut Command) -> Value {
    let output = succeed(command.arg("--json"));
    serde_json::from_slice(&output.stdout).expect("an explanation")
}

fn number(value: &Value) -> BigInt {
    match value {
        Value::String(text) => text.parse().expect("a number"),
        Value::Number(number) => number.to_string().parse().expect("a number"),
        other => panic!("{other} is no number"),
    }
}

fn list(value: &Value) -> std::slice::Iter<'_, Value> {
    value.as_array().expect("a list").iter()
}

/// An amount in units, as a plain decimal number.
fn decimal(units: &BigInt, decimals: usize) -> String {
    let digits = format!("{units:0>width$}", units = units.to_string(), width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{fraction}")
    }
}

/// Works out from the printed figures alone what is paid, step by step, and checks every figure on the way. In units.
fn worked_out(story: &Value) -> BigInt {
    let zero = || BigInt::from(0);
    let length = number(&story["epoch_ms"]);
    let opening = number(&story["opening_balance"]["units"]);
    let (mut held, mut balance) = (&opening * &length, opening);
    for change in list(&story["changes"]) {
        let product = number(&change["delta"]["units"]) * number(&change["counts_for_ms"]);
        assert_eq!(product, number(&change["unit_milliseconds"]), "{change}");
        held += product;
        balance += number(&change["delta"]["units"]);
    }
    assert_eq!(held, number(&story["unit_milliseconds"]), "{story:#}");
    assert_eq!(balance, number(&story["closing_balance"]["units"]), "{story:#}");
    let rules = &story["programme"];
    let eligible = story["eligible"].as_bool().expect("a verdict");
    if eligible {
        assert!(
            held > zero() && held >= number(&rules["min_balance"]["units"]) * &length,
            "{story:#}"
        );
    }
    let mut counted = if eligible { held } else { zero() };
    if !rules["max_balance"].is_null() {
        counted = counted.min(number(&rules["max_balance"]["units"]) * &length);
    }
    assert_eq!(counted, number(&story["counted_unit_milliseconds"]), "{story:#}");
    let (mut parts, mut weight) = (zero(), zero());
    for tier in list(&story["tiers"]) {
        let part = number(&tier["unit_milliseconds"]);
        weight += &part * number(&tier["multiplier_scaled"]);
        parts += part;
    }
    assert_eq!((&parts, &weight), (&counted, &number(&story["weight"])), "{story:#}");
    let payout = &story["payout"];
    let grain = number(&rules["grain"]["units"]);
    let reward = if rules["mode"] == "apr" {
        let year = BigInt::from(1_000_000) * BigInt::from(365_u64 * 86_400_000) * BigInt::from(10_u64.pow(18));
        weight * number(&rules["apr_scaled"]) / (year * &grain) * &grain
    } else {
        let pool = &payout["pool"];
        let of = |name: &str| number(&pool[name]["units"]);
        let to_share = of("to_share");
        assert_eq!(
            of("reward_pool") - of("commission") + of("carried_in"),
            to_share,
            "{story:#}"
        );
        let total = number(&pool["total_weight"]);
        if weight == zero() {
            zero()
        } else {
            to_share * weight / (total * &grain) * &grain
        }
    };
    assert_eq!(reward, number(&payout["reward"]["units"]), "{story:#}");
    let before: BigInt = list(&payout["withheld_from"])
        .map(|from| number(&from[1]["units"]))
        .sum();
    assert_eq!(before, number(&payout["withheld_before"]["units"]), "{story:#}");
    let due = before + reward;
    assert_eq!(due, number(&payout["due"]["units"]), "{story:#}");
    let paid = if due >= number(&rules["min_payout"]["units"]) {
        due.clone()
    } else {
        zero()
    };
    assert_eq!(due - &paid, number(&payout["withheld_after"]["units"]), "{story:#}");
    assert_eq!(paid, number(&payout["paid"]["units"]), "{story:#}");
    paid
}

fn grown(spec: &Synthetic) -> Place {
    let place = Place::new();
    for stage in 0..spec.epochs {
        write(&place.bus(), spec, stage..stage + 1, &mut |_| {}).expect("a stage is written");
        place.run(Some(4));
    }
    place
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[test]
fn a_thousand_payouts_are_what_their_own_arithmetic_gives() {
    let spec = Synthetic {
        events: 12_000,
        accounts: 400,
        assets: 5,
        epochs: 5,
        late: 0.1,
        duplicates: 0.05,
        bad: 0.03,
        ..Synthetic::default()
    };
    let place = grown(&spec);
    let distributions = place.records("softstake.distributions");
    assert!(distributions.len() > 1_000, "{}", distributions.len());
    let mut dice = ChaCha8Rng::seed_from_u64(7);
    let modes: BTreeMap<&str, usize> = (0..1_000).fold(BTreeMap::new(), |mut modes, _| {
        let at = usize::try_from(dice.next_u64() % distributions.len() as u64).expect("small");
        let data = &distributions[at]["data"];
        let (asset, account) = (text(&data["asset"]), text(&data["account"]));
        let story = explained(&mut explain(&place.bus(), asset, &data["epoch"].to_string(), account));
        let paid = worked_out(&story);
        let decimals = usize::try_from(story["decimals"].as_u64().expect("decimals")).expect("small");
        assert_eq!(decimal(&paid, decimals), text(&data["amount"]), "{story:#}");
        assert_eq!(story["published"], data["amount"]);
        assert_eq!(story["agrees"], true);
        for name in ["balance_seconds", "average_balance", "epoch_start", "epoch_end"] {
            assert_eq!(story[name], data[name], "{name}");
        }
        let mode = if story["programme"]["mode"] == "apr" {
            "apr"
        } else {
            "pool"
        };
        *modes.entry(mode).or_default() += 1;
        modes
    });
    assert!(modes["pool"] > 100, "{modes:?}");
    // Those who were paid nothing have a story, too, which comes to nothing.
    let paid: std::collections::BTreeSet<&str> = distributions.iter().map(|record| text(&record["id"])).collect();
    let (mut unpaid, mut reasons) = (0, BTreeMap::new());
    for number in 0..spec.accounts {
        let account = format!("u-{number:04}");
        if paid.contains(format!("ATOM:3:{account}").as_str()) || unpaid > 50 {
            continue;
        }
        let story = explained(&mut explain(&place.bus(), "ATOM", "3", &account));
        assert_eq!(worked_out(&story), BigInt::from(0));
        assert_eq!(story["published"], Value::Null);
        *reasons.entry(story["ineligible_because"].to_string()).or_insert(0) += 1;
        unpaid += 1;
    }
    assert!(unpaid > 0, "everybody was paid");
}

/// A bus with one epoch of one asset, in which everything that can happen to an account happens to ann.
fn eventful() -> Place {
    let place = Place::new();
    place.append("softstake.control", 0, [listing("A", 2, 100, &pool())]);
    place.append(
        "exchange.deposits",
        0,
        [
            deposit("1", 0, "ann", "A", "1"),
            deposit("1", 0, "ann", "A", "1"),
            deposit("1", 0, "ann", "A", "2"),
            deposit("2", 10_000, "ann", "A", "0.005"),
            deposit("3", 10_000, "ann", "NONE", "5"),
            deposit("4", 50_000, "ben", "A", "2"),
        ],
    );
    place.append("softstake.control", 0, [close("A", 0, 100, "2")]);
    place.run(Some(1));
    // It belongs to the epoch that was just closed.
    place.append("exchange.deposits", 0, [deposit("5", 60_000, "ann", "A", "3")]);
    place.append("softstake.control", 0, [close("A", 1, 200, "2")]);
    place.run(None);
    place
}

#[test]
fn refused_late_and_second_copies_are_in_the_story() {
    let place = eventful();
    let story = explained(&mut explain(&place.bus(), "A", "0", "ann"));
    worked_out(&story);
    let others: Vec<_> = list(&story["others"])
        .map(|other| {
            (
                text(&other["event_id"]),
                text(&other["outcome"]),
                other["code"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        others,
        [
            ("1", "duplicate", None),
            ("1", "refused", Some("conflicting_duplicate")),
            ("2", "refused", Some("invalid_amount")),
            ("3", "ignored", None),
            ("5", "late", None),
        ]
    );
    let next = explained(&mut explain(&place.bus(), "A", "1", "ann"));
    worked_out(&next);
    let late = list(&next["changes"]).next().expect("a change");
    assert_eq!((text(&late["event_id"]), late["missed_epoch"].as_u64()), ("5", Some(0)));
    // 40 seconds of the epoch it missed, and all of the one it went into.
    assert_eq!(late["counts_for_ms"], 140_000);
    let said = succeed(&mut explain(&place.bus(), "A", "1", "ann"));
    let said = String::from_utf8(said.stdout).expect("text");
    for what in [
        "deposit (late, of epoch 0)",
        "2 min 20 s",
        "1. What was held",
        "3. What it earns",
        "Paid: ",
    ] {
        assert!(said.contains(what), "{what} is not in\n{said}");
    }
}

#[test]
fn an_open_epoch_is_explained_as_of_now() {
    let place = eventful();
    let story = explained(&mut explain(&place.bus(), "A", "2", "ann"));
    assert_eq!(story["stage"], "open");
    assert_eq!((&story["payout"], &story["agrees"]), (&Value::Null, &Value::Null));
    assert_eq!(story["opening_balance"]["amount"], "4");
    let said = succeed(&mut explain(&place.bus(), "A", "2", "ann"));
    assert!(String::from_utf8(said.stdout).expect("text").contains("not closed"));
}

#[test]
fn what_was_not_published_as_it_should_be_is_said_loudly() {
    let place = eventful();
    let file = place.bus().join("softstake.distributions/0.jsonl");
    let lines = std::fs::read_to_string(&file).expect("distributions");
    let story = explained(&mut explain(&place.bus(), "A", "0", "ann"));
    let amount = text(&story["published"]);
    let changed = lines.replacen(&format!(r#""amount":"{amount}""#), r#""amount":"9""#, 1);
    std::fs::write(file, changed).expect("a changed amount");
    let output = explain(&place.bus(), "A", "0", "ann")
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.contains("THIS IS NOT WHAT WAS PUBLISHED, which is 9"), "{said}");
}

#[test]
fn strangers_and_nonsense_are_told_apart() {
    let place = eventful();
    let nobody = explained(&mut explain(&place.bus(), "A", "0", "nobody"));
    assert_eq!(worked_out(&nobody), BigInt::from(0));
    assert_eq!(nobody["ineligible_because"], "nothing was held");
    let said = fail(&mut explain(&place.bus(), "B", "0", "ann"), 2);
    assert!(said.contains("B is not listed"), "{said}");
    let said = fail(&mut explain(&place.bus(), "A", "99999999999", "ann"), 2);
    assert!(said.contains("beyond what can be counted"), "{said}");
}

#[test]
fn payouts_on_kafka_are_explained() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 4, 2);
    let spec = Synthetic {
        events: 3_000,
        accounts: 100,
        assets: 2,
        epochs: 2,
        ..Synthetic::default()
    };
    let mut instance = deployment.start(0);
    write(&deployment.place.bus(), &spec, 0..2, &mut |_| {}).expect("a bus is written");
    deployment.publish();
    deployment.until_sealed(4);
    assert_eq!(instance.stop(), Some(0));
    deployment.dump();
    for record in deployment
        .place
        .records("softstake.distributions")
        .iter()
        .step_by(60)
        .take(5)
    {
        let data = &record["data"];
        let mut command = softstake();
        command.args([
            "explain",
            text(&data["asset"]),
            &data["epoch"].to_string(),
            text(&data["account"]),
        ]);
        command.args(["--bus", "kafka", "--kafka-brokers", &deployment.bootstrap]);
        let story = explained(&mut command);
        worked_out(&story);
        assert_eq!(story["published"], data["amount"]);
        assert_eq!(story["agrees"], true);
    }
}
