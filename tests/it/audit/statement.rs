//! `softstake statement`: the sums to book.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use num_bigint::BigInt;
use serde_json::Value;

use super::{distributed, report, settled, without_a_seal};
use crate::common::records::{scaled, text};
use crate::common::{Place, copy, on_bus, succeed};

fn statement(bus: &Path) -> Command {
    on_bus("statement", bus)
}

#[test]
fn a_statement_agrees_with_seals_and_distributions() {
    let place = settled();
    let folder = tempfile::tempdir().expect("a folder");
    let table = folder.path().join("statement.csv");
    let all = report(
        statement(&place.bus())
            .arg("--check-distributions")
            .arg("--csv")
            .arg(&table),
        0,
    );
    let sums = distributed(&place, "asset");
    // An asset whose mode changes has a total for each mode.
    let mut totals = BTreeMap::new();
    for total in all["totals"].as_array().expect("totals") {
        let (distributed, epochs) = totals
            .entry(text(&total["asset"]).to_owned())
            .or_insert((BigInt::ZERO, 0));
        *distributed += scaled(text(&total["distributed"]));
        *epochs += total["epochs"].as_u64().expect("a number");
    }
    let expected: BTreeMap<_, _> = sums.into_iter().map(|(asset, sum)| (asset, (sum, 4))).collect();
    assert_eq!(totals, expected);
    assert_eq!(totals.len(), 5);
    let seals = place.records("softstake.epochs");
    assert_eq!(
        fs::read_to_string(table).expect("a table").lines().count(),
        seals.len() + 1
    );
    let part = report(
        statement(&place.bus()).args(["--asset", "ATOM", "--from-epoch", "1", "--to-epoch", "2"]),
        0,
    );
    let epochs: Vec<_> = part["epochs"]
        .as_array()
        .expect("epochs")
        .iter()
        .map(|seal| seal["epoch"].clone())
        .collect();
    assert_eq!(epochs, [1, 2]);
    let said = succeed(&mut statement(&place.bus()));
    assert!(
        String::from_utf8(said.stdout)
            .expect("text")
            .contains("Everything adds up.")
    );
}

#[test]
fn seals_that_do_not_add_up_are_named() {
    let place = settled();
    let changed = |change: &dyn Fn(&mut Vec<Value>)| {
        let tampered = Place::new();
        copy(&place.bus(), &tampered.bus());
        let mut seals = place.records("softstake.epochs");
        change(&mut seals);
        let lines: String = seals.iter().map(|seal| format!("{seal}\n")).collect();
        fs::write(tampered.bus().join("softstake.epochs/0.jsonl"), lines).expect("seals");
        let found = report(statement(&tampered.bus()).arg("--check-distributions"), 1);
        found["wrong"]
            .as_array()
            .expect("sentences")
            .iter()
            .map(|wrong| text(wrong).to_owned())
            .collect::<Vec<_>>()
    };
    let at = |seals: &[Value], id: &str| seals.iter().position(|seal| seal["id"] == id).expect("a seal");
    let found = changed(&|seals| {
        let seal = at(seals, "ATOM:1");
        let amount = text(&seals[seal]["data"]["distributed"]).to_owned();
        seals[seal]["data"]["distributed"] = format!("1{amount}").into();
    });
    assert!(
        found
            .iter()
            .any(|wrong| wrong.starts_with("ATOM epoch 1: ") && wrong.contains("went out or is kept")),
        "{found:?}"
    );
    assert!(
        found
            .iter()
            .any(|wrong| wrong.starts_with("ATOM epoch 1: ") && wrong.contains("add up to")),
        "{found:?}"
    );
    let found = changed(&|seals| _ = seals.remove(at(seals, "ATOM:1")));
    assert_eq!(found, ["ATOM epoch 2 follows epoch 0: seals are missing"]);
    let found = changed(&|seals| seals.push(seals[at(seals, "SOL:2")].clone()));
    assert_eq!(found, ["SOL epoch 2 has two seals"]);
    let found = changed(&|seals| {
        let seal = at(seals, "ATOM:2");
        for field in ["carried_in", "reward_pool"] {
            seals[seal]["data"][field] = "1".into();
        }
    });
    assert!(
        found.iter().any(|wrong| wrong.contains("the epoch before left")),
        "{found:?}"
    );
}

#[test]
fn closed_epochs_without_a_seal_are_in_the_statement() {
    let place = settled();
    let tampered = without_a_seal(&place);
    let all = report(&mut statement(&tampered.bus()), 0);
    let open = all["not_sealed"]
        .as_array()
        .expect("epochs")
        .iter()
        .find(|one| one["asset"] == "ATOM" && one["epoch"] == 3);
    assert_eq!(open.expect("the epoch")["closed"], true);
    let said = String::from_utf8(succeed(&mut statement(&tampered.bus())).stdout).expect("text");
    assert!(said.starts_with("Not covered below:\n  ATOM epoch 3 ("), "{said}");
}
