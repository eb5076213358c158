//! The commands for finance, auditors and support, which only read.

mod archive;
mod balances;
mod explain;
mod export;
mod numbers;
mod payouts;
mod prove;
mod reconcile;
mod statement;
mod what_if;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use num_bigint::BigInt;
use serde_json::Value;
use softstake::generate::Synthetic;

use crate::common::records::{scaled, text};
use crate::common::{Place, copy};

/// A bus with four settled epochs of five assets.
fn settled() -> Place {
    let place = Place::new();
    let spec = Synthetic {
        events: 10_000,
        accounts: 200,
        assets: 5,
        epochs: 4,
        ..Synthetic::default()
    };
    place.grow(&spec, Some(2));
    place
}

/// Runs a command that must end with this status. Returns its report.
fn report(command: &mut Command, status: i32) -> Value {
    let output = command.arg("--json").output().expect("the program starts");
    assert_eq!(
        output.status.code(),
        Some(status),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("a report")
}

/// The sum of the distributions of each `asset`, or of each `reward_asset`, in units of 10^-18.
fn distributed(place: &Place, by: &str) -> BTreeMap<String, BigInt> {
    let mut sums: BTreeMap<String, BigInt> = BTreeMap::new();
    for record in place.records("softstake.distributions") {
        let data = &record["data"];
        *sums.entry(text(&data[by]).to_owned()).or_default() += scaled(text(&data["amount"]));
    }
    sums
}

/// A copy of a bus without the seal of ATOM's epoch 3.
fn without_a_seal(place: &Place) -> Place {
    let tampered = Place::new();
    copy(&place.bus(), &tampered.bus());
    let file = tampered.bus().join("softstake.epochs/0.jsonl");
    let seals = fs::read_to_string(&file).expect("seals");
    let kept: String = seals
        .lines()
        .filter(|line| !line.contains(r#""id":"ATOM:3""#))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&file, kept).expect("one seal less");
    tampered
}
