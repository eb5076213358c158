//! Explanations of payouts: their figures must add up to what was published.

mod letter;
mod own_records;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use num_bigint::BigInt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use softstake::generate::Synthetic;

use super::report;
use crate::common::events::{close, deposit, listing, pool};
use crate::common::kafka::{Cluster, Deployment};
use crate::common::records::text;
use crate::common::{Place, fail, on_bus, softstake, succeed};

fn explain(bus: &Path, asset: &str, epoch: &str, account: &str) -> Command {
    let mut command = on_bus("explain", bus);
    command.args([asset, epoch, account]);
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

/// The payout in units, calculated step by step from the printed figures alone. Every figure is checked on the way.
fn calculated(explanation: &Value) -> BigInt {
    let zero = || BigInt::from(0);
    let length = number(&explanation["epoch_ms"]);
    let opening = number(&explanation["opening_balance"]["units"]);
    let (mut held, mut balance) = (&opening * &length, opening);
    for change in list(&explanation["changes"]) {
        let product = number(&change["delta"]["units"]) * number(&change["counts_for_ms"]);
        assert_eq!(product, number(&change["unit_milliseconds"]), "{change}");
        held += product;
        balance += number(&change["delta"]["units"]);
    }
    assert_eq!(held, number(&explanation["unit_milliseconds"]), "{explanation:#}");
    assert_eq!(
        balance,
        number(&explanation["closing_balance"]["units"]),
        "{explanation:#}"
    );
    let rules = &explanation["programme"];
    let eligible = explanation["eligible"].as_bool().expect("a verdict");
    if eligible {
        assert!(
            held > zero() && held >= number(&rules["min_balance"]["units"]) * &length,
            "{explanation:#}"
        );
    }
    let mut counted = if eligible { held } else { zero() };
    if !rules["max_balance"].is_null() {
        counted = counted.min(number(&rules["max_balance"]["units"]) * &length);
    }
    assert_eq!(
        counted,
        number(&explanation["counted_unit_milliseconds"]),
        "{explanation:#}"
    );
    let (mut parts, mut weight) = (zero(), zero());
    for tier in list(&explanation["tiers"]) {
        let part = number(&tier["unit_milliseconds"]);
        weight += &part * number(&tier["multiplier_scaled"]);
        parts += part;
    }
    assert_eq!(
        (&parts, &weight),
        (&counted, &number(&explanation["weight"])),
        "{explanation:#}"
    );
    let payout = &explanation["payout"];
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
            "{explanation:#}"
        );
        let total = number(&pool["total_weight"]);
        if weight == zero() {
            zero()
        } else {
            to_share * weight / (total * &grain) * &grain
        }
    };
    assert_eq!(reward, number(&payout["reward"]["units"]), "{explanation:#}");
    let before: BigInt = list(&payout["withheld_from"])
        .map(|from| number(&from[1]["units"]))
        .sum();
    assert_eq!(before, number(&payout["withheld_before"]["units"]), "{explanation:#}");
    let due = before + reward;
    assert_eq!(due, number(&payout["due"]["units"]), "{explanation:#}");
    let paid = if due >= number(&rules["min_payout"]["units"]) {
        due.clone()
    } else {
        zero()
    };
    assert_eq!(
        due - &paid,
        number(&payout["withheld_after"]["units"]),
        "{explanation:#}"
    );
    assert_eq!(paid, number(&payout["paid"]["units"]), "{explanation:#}");
    paid
}

#[test]
fn a_thousand_explanations_add_up_to_their_payouts() {
    let spec = Synthetic {
        events: 5_000,
        accounts: 400,
        assets: 5,
        epochs: 5,
        late: 0.1,
        duplicates: 0.05,
        bad: 0.03,
        ..Synthetic::default()
    };
    let place = Place::new();
    place.grow(&spec, Some(4));
    let distributions = place.records("softstake.distributions");
    assert!(distributions.len() > 1_000, "{}", distributions.len());
    let mut dice = ChaCha8Rng::seed_from_u64(7);
    let modes: BTreeMap<&str, usize> = (0..1_000).fold(BTreeMap::new(), |mut modes, _| {
        let at = usize::try_from(dice.next_u64() % distributions.len() as u64).expect("small");
        let data = &distributions[at]["data"];
        let (asset, account) = (text(&data["asset"]), text(&data["account"]));
        let explanation = explained(&mut explain(&place.bus(), asset, &data["epoch"].to_string(), account));
        let paid = calculated(&explanation);
        let decimals = usize::try_from(explanation["decimals"].as_u64().expect("decimals")).expect("small");
        assert_eq!(decimal(&paid, decimals), text(&data["amount"]), "{explanation:#}");
        assert_eq!(explanation["published"], data["amount"]);
        assert_eq!(explanation["agrees"], true);
        for name in ["balance_seconds", "average_balance", "epoch_start", "epoch_end"] {
            assert_eq!(explanation[name], data[name], "{name}");
        }
        let mode = if explanation["programme"]["mode"] == "apr" {
            "apr"
        } else {
            "pool"
        };
        *modes.entry(mode).or_default() += 1;
        modes
    });
    assert!(modes["pool"] > 100, "{modes:?}");
    // An account that was paid nothing has an explanation as well.
    let paid: BTreeSet<&str> = distributions.iter().map(|record| text(&record["id"])).collect();
    let (mut unpaid, mut reasons) = (0, BTreeMap::new());
    // Each of these was paid something else. The plain names are arguments and parts of ids as they are.
    let accounts: BTreeSet<&str> = distributions
        .iter()
        .map(|record| text(&record["data"]["account"]))
        .filter(|account| account.starts_with("u-"))
        .collect();
    for account in accounts {
        if paid.contains(format!("ATOM:3:{account}").as_str()) || unpaid > 50 {
            continue;
        }
        let explanation = explained(&mut explain(&place.bus(), "ATOM", "3", account));
        assert_eq!(calculated(&explanation), BigInt::from(0));
        assert_eq!(explanation["published"], Value::Null);
        *reasons
            .entry(explanation["ineligible_because"].to_string())
            .or_insert(0) += 1;
        unpaid += 1;
    }
    assert!(unpaid > 0, "every account was paid");
}

/// A bus on which ann has every kind of event: applied, duplicate, rejected, ignored and late.
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
    // It belongs to the closed epoch, so it is late.
    place.append("exchange.deposits", 0, [deposit("5", 60_000, "ann", "A", "3")]);
    place.append("softstake.control", 0, [close("A", 1, 200, "2")]);
    place.run(None);
    place
}

#[test]
fn rejected_late_and_duplicate_events_are_in_the_explanation() {
    let place = eventful();
    let explanation = explained(&mut explain(&place.bus(), "A", "0", "ann"));
    calculated(&explanation);
    let others: Vec<_> = list(&explanation["others"])
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
    calculated(&next);
    let late = list(&next["changes"]).next().expect("a change");
    assert_eq!((text(&late["event_id"]), late["missed_epoch"].as_u64()), ("5", Some(0)));
    // 40 seconds of the epoch that it missed, and all of the epoch into which it was applied.
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
fn an_open_epoch_is_explained_up_to_now() {
    let place = eventful();
    let explanation = explained(&mut explain(&place.bus(), "A", "2", "ann"));
    assert_eq!(explanation["stage"], "open");
    assert_eq!(
        (&explanation["payout"], &explanation["agrees"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(explanation["opening_balance"]["amount"], "4");
    let said = succeed(&mut explain(&place.bus(), "A", "2", "ann"));
    assert!(String::from_utf8(said.stdout).expect("text").contains("not closed"));
}

#[test]
fn a_published_amount_that_is_wrong_is_reported() {
    let place = eventful();
    let file = place.bus().join("softstake.distributions/0.jsonl");
    let lines = std::fs::read_to_string(&file).expect("distributions");
    let explanation = explained(&mut explain(&place.bus(), "A", "0", "ann"));
    let amount = text(&explanation["published"]);
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
fn an_account_without_records_has_a_status_of_its_own_and_invalid_arguments_are_refused() {
    let place = eventful();
    for arguments in [&[][..], &["--json"], &["--for", "customer"]] {
        let said = fail(explain(&place.bus(), "A", "0", "nobody").args(arguments), 3);
        assert_eq!(said, "error: no record names this account: nobody\n");
    }
    // Another spelling is another account.
    fail(&mut explain(&place.bus(), "A", "0", "ann "), 3);
    place.append("exchange.deposits", 0, [deposit("6", 250_000, "nobody", "A", "3")]);
    let said = fail(&mut explain(&place.bus(), "A", "0", "nobody"), 3);
    assert!(said.contains("1 source records are not taken in yet"), "{said}");
    // An account that held nothing is known.
    let ben = explained(&mut explain(&place.bus(), "A", "1", "ben"));
    assert_eq!(ben["stage"], "sealed");
    let said = fail(&mut explain(&place.bus(), "B", "0", "ann"), 3);
    assert!(said.contains("B is not listed"), "{said}");
    let said = fail(&mut explain(&place.bus(), "A", "99999999999", "ann"), 3);
    assert!(said.contains("epoch 99999999999 of A is too far ahead"), "{said}");
    let said = fail(
        explain(&place.bus(), "A", "0", "ann").args(["--json", "--for", "customer"]),
        2,
    );
    assert!(said.contains("--json is for the auditor"), "{said}");
}

#[test]
fn every_published_field_is_compared() {
    let place = eventful();
    let file = place.bus().join("softstake.distributions/0.jsonl");
    let lines = std::fs::read_to_string(&file).expect("distributions");
    let record = place.records("softstake.distributions");
    let record = record
        .iter()
        .find(|record| record["id"] == "A:0:ann")
        .expect("ann's payout");
    for field in [
        "/time",
        "/source",
        "/type",
        "/data/account",
        "/data/epoch_start",
        "/data/epoch_end",
        "/data/amount",
        "/data/balance_seconds",
        "/data/average_balance",
        "/data/programme_from_epoch",
    ] {
        let mut changed = record.clone();
        let value = changed.pointer_mut(field).expect("a field");
        *value = if value.is_string() { json!("7") } else { json!(7) };
        let changed_lines = lines.lines().map(|line| match line.contains(r#""id":"A:0:ann""#) {
            true => format!("{changed}\n"),
            false => format!("{line}\n"),
        });
        std::fs::write(&file, changed_lines.collect::<String>()).expect("a changed record");
        let found = report(&mut explain(&place.bus(), "A", "0", "ann"), 1);
        assert_eq!(found["agrees"], false, "{field}");
        let differences: Vec<_> = list(&found["differences"]).collect();
        assert_eq!(differences.len(), 1, "{field}: {differences:?}");
        assert_eq!(text(&differences[0]["field"]), field[1..].replace('/', "."));
        assert_eq!(differences[0]["published"], "7");
        let right = record.pointer(field).expect("a field");
        let right = right.as_str().map_or_else(|| right.to_string(), str::to_owned);
        assert_eq!(text(&differences[0]["replayed"]), right);
        let said = explain(&place.bus(), "A", "0", "ann")
            .output()
            .expect("the program starts")
            .stdout;
        assert!(String::from_utf8_lossy(&said).contains("THIS IS NOT WHAT WAS PUBLISHED"));
        // Nobody gets a letter about an amount that was not published.
        let said = explain(&place.bus(), "A", "0", "ann")
            .args(["--for", "customer"])
            .output();
        let said = said.expect("the program starts");
        assert_eq!((said.status.code(), said.stdout.len()), (Some(1), 0), "{field}");
    }
    // A second record of the payout, whatever its id.
    for id in ["A:0:ann", "A:0:zed", "A:0:\\u0061nn"] {
        let second = record.to_string().replace("\"A:0:ann\"", &format!("\"{id}\""));
        std::fs::write(&file, format!("{lines}{second}\n")).expect("one record more");
        let found = report(&mut explain(&place.bus(), "A", "0", "ann"), 1);
        assert_eq!(found["differences"][0]["field"], "record (one too many)", "{id}");
    }
    std::fs::write(&file, &lines).expect("as it was");
    let said = succeed(&mut explain(&place.bus(), "A", "0", "ann"));
    let said = String::from_utf8(said.stdout).expect("text");
    assert!(said.contains("This is what was published, in every field."), "{said}");
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
    deployment.place.bring_all(&spec);
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
        let explanation = explained(&mut command);
        calculated(&explanation);
        assert_eq!(explanation["published"], data["amount"]);
        assert_eq!(explanation["agrees"], true);
    }
}
