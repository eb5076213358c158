//! Explanations of payouts: their figures must add up to what was published.

mod calculation;
mod every_rule;
mod letter;
mod own_records;

use std::path::Path;
use std::process::Command;

use num_bigint::BigInt;
use serde_json::{Value, json};
use softstake::generate::Synthetic;

use self::calculation::calculated;
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
    // All of the epoch into which it was applied, and 40 seconds of the one that it missed.
    assert_eq!(late["counts_for_ms"], 100_000);
    let corrections: Vec<&Value> = list(&next["corrections"]).collect();
    assert_eq!(corrections.len(), 1, "{next:#}");
    let late = &corrections[0]["late"][0];
    assert_eq!(
        (text(&late["event_id"]), late["counts_for_ms"].as_u64()),
        ("5", Some(40_000))
    );
    // 1 and 2 * 0.5 shared 2; with 3 * 0.4 more, it is 2.2 of 3.2.
    assert_eq!(corrections[0]["as_sealed"]["rewarded"]["amount"], "1");
    assert_eq!(corrections[0]["corrected"]["rewarded"]["amount"], "1.37");
    assert_eq!(next["payout"]["made_good"]["amount"], "0.37");
    let said = succeed(&mut explain(&place.bus(), "A", "1", "ann"));
    let said = String::from_utf8(said.stdout).expect("text");
    for what in [
        "deposit (late, of epoch 0)",
        "40 s",
        "1. What was held",
        "3. What it earns",
        "It is worth 1.37 A instead of 1 A: 0.37 A are made good.",
        "1.33 earned + 0.37 made good + 0 adjusted + 0 withheld before",
        "Paid: ",
    ] {
        assert!(said.contains(what), "{what} is not in\n{said}");
    }
}

#[test]
fn an_epoch_that_is_corrected_twice_pays_the_difference_to_the_first_correction() {
    let place = eventful();
    // Half of epoch 0, which was corrected in epoch 1.
    place.append("exchange.deposits", 0, [deposit("6", 50_000, "ann", "A", "2")]);
    place.append("softstake.control", 0, [close("A", 2, 300, "2")]);
    place.run(None);
    let explanation = explained(&mut explain(&place.bus(), "A", "2", "ann"));
    calculated(&explanation);
    let corrections: Vec<&Value> = list(&explanation["corrections"]).collect();
    assert_eq!(corrections.len(), 2, "it missed epochs 0 and 1: {explanation:#}");
    // Of 2, ann had 1 of 2, then 2.2 of 3.2, and now 3.2 of 4.2.
    assert_eq!(corrections[0]["as_sealed"]["rewarded"]["amount"], "1");
    assert_eq!(corrections[0]["before"]["amount"], "1.37");
    assert_eq!(corrections[0]["corrected"]["rewarded"]["amount"], "1.52");
    assert_eq!(corrections[0]["is_corrected_before"], true);
    // 4 of 6, and now 6 of 8.
    assert_eq!(corrections[1]["before"]["amount"], "1.33");
    assert_eq!(corrections[1]["corrected"]["rewarded"]["amount"], "1.5");
    assert_eq!(corrections[1]["is_corrected_before"], false);
    assert_eq!(explanation["payout"]["made_good"]["amount"], "0.32");
    let said = succeed(&mut explain(&place.bus(), "A", "2", "ann"));
    let said = String::from_utf8(said.stdout).expect("text");
    let sentence =
        "It is worth 1.52 A instead of 1.37 A, which it was when it was settled again before: 0.15 A are made good.";
    assert!(said.contains(sentence), "{sentence} is not in\n{said}");
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
        "/data/reward_asset",
        "/data/amount",
        "/data/rewarded",
        "/data/made_good",
        "/data/adjusted",
        "/data/withheld_before",
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
