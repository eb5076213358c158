//! Ledger tables: events, and the exact output that they must have, so that a reader can check both by eye.
//!
//! The model judges each table. Then the program runs it in this process, on 1 and on 8 ledger partitions. Its outcome
//! is compared with the table, and with what the model makes of the decisions on record. A table with `know` is for the
//! model alone, because the program knows one version of the rules.
//!
//! Before `=>` there is one event a line. `+10s` is its time after the origin; `m`, `h` and `d` are minutes, hours and
//! days. By default an epoch has 100 seconds and an asset 2 decimals, so a balance of 1 held for a whole epoch makes 100
//! asset-seconds. `run` reads everything published so far, so that later events are really late. `gone` loses the records
//! of a partition below an offset. Options: `id=` instead of a new id, `p=` for a partition, `with=` for JSON fields that
//! are added to the data, `programme=` likewise.
//!
//! After `=>` there is every published record, and every decision about a held, released, void or withdrawn epoch, one a
//! line. Only fields given as `name=value` are compared. A line `counted` is optional.
//!
//! What is shown where:
//!
//! - `postings`, `events`, `duplicates`: what each kind of event does, and copies of events.
//! - `epochs`: closes in order, rewards of validators.
//! - `pool`, `apr`, `rounding`: how rewards are worked out, units, grains, and what is withheld.
//! - `late`, `carry`, `windows`: late events and how far back and ahead they may be.
//! - `pots`, `corrections`: returned pots, deficits, reward adjustments, debts.
//! - `gate`: held, released and void epochs.
//! - `listings`, `withdrawals`: mistakes, and how they are mended.
//! - `eligibility`, `statuses`: who shares, exclusions, and statuses of one asset.
//! - `rates`: rates at the close and per tier, and reward assets.
//! - `names`: names of assets, owners and sub-accounts.
//! - `rules`: versions of the rules, and losses.

mod apr;
mod carry;
mod corrections;
mod duplicates;
mod eligibility;
mod epochs;
mod events;
mod gate;
mod late;
mod listings;
mod names;
pub mod notation;
mod pool;
mod postings;
mod pots;
mod rates;
mod rounding;
mod rules;
mod statuses;
mod windows;
mod withdrawals;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::common::conservation;
use crate::contract::in_program::{Outcome, SHAPES, disagreements, is_for_the_program, run};
use crate::model::Expected;
use notation::Table;

/// Checks a table, on the model and in the program. Returns all that the model says, for what a table cannot show.
fn check(text: &str) -> Expected {
    let (events, wanted) = text.split_once("=>").expect("a table has two halves");
    let mut table = Table::default();
    lines(events).for_each(|line| table.execute(line));
    let expected = table.history.expected();
    let wanted: Vec<String> = lines(wanted)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let mut sorted = wanted.clone();
    sorted.sort();
    let of_model = Outcome {
        outputs: expected.outputs.clone(),
        decisions: expected.decisions.clone(),
        ignored_postings: expected.ignored_postings,
        identical_copies: expected.identical_copies,
    };
    assert_eq!(shown_as(&of_model, &wanted).join("\n"), sorted.join("\n"), "the model");
    conservation::check(&expected.outputs.seals, &expected.outputs.distributions);
    if is_for_the_program(&table.history) {
        for shape in SHAPES {
            let outcome = run(&table.history, shape);
            assert_eq!(shown_as(&outcome, &wanted).join("\n"), sorted.join("\n"), "{shape:?}");
            let found = disagreements(&table.history, &outcome);
            assert!(
                found.is_empty(),
                "{shape:?}: the model disagrees:\n{}",
                found.join("\n")
            );
        }
    }
    expected
}

/// The lines without comments. Empty ones are left out.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split(" # ").next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Every record and decision as a line, with the fields that the wanted line for the same one names.
fn shown_as(outcome: &Outcome, wanted: &[String]) -> Vec<String> {
    let outputs = &outcome.outputs;
    let mut found: Vec<(String, &Value)> = Vec::new();
    found.extend(
        outputs
            .distributions
            .values()
            .map(|record| (paid(&record["data"]), &record["data"])),
    );
    found.extend(
        outputs
            .seals
            .values()
            .map(|record| (format!("seal {}", text(&record["id"])), &record["data"])),
    );
    found.extend(
        outputs
            .late_postings
            .values()
            .map(|record| (late(record), &record["data"])),
    );
    found.extend(outputs.dead_letters.values().map(|record| (dead(record), record)));
    found.extend(outcome.decisions.iter().filter_map(|data| Some((decided(data)?, data))));
    let mut lines: Vec<String> = found
        .iter()
        .map(|(head, data)| with_fields(head, data, wanted))
        .collect();
    if wanted.iter().any(|line| line.starts_with("counted")) {
        let (ignored, copies) = (outcome.ignored_postings, outcome.identical_copies);
        lines.push(format!("counted ignored={ignored} copies={copies}"));
    }
    lines.sort();
    lines
}

/// A line for a record, with the fields that the wanted line with the same subject names.
fn with_fields(head: &str, data: &Value, wanted: &[String]) -> String {
    let mut line = head.to_owned();
    let mut named = BTreeSet::new();
    let about = wanted.iter().filter(|wanted| subject(wanted) == subject(head));
    for word in about.flat_map(|about| about.split_whitespace()) {
        if let Some((name, wanted)) = word.split_once('=').filter(|(name, _)| named.insert(*name)) {
            line.push_str(&format!(" {name}={}", shown(data, name, wanted)));
        }
    }
    line
}

/// The words of a line that identify its record.
fn subject(line: &str) -> Vec<&str> {
    let count = if line.starts_with("paid") { 3 } else { 2 };
    line.split_whitespace().take(count).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn epoch(data: &Value) -> String {
    format!("{}:{}", text(&data["asset"]), data["epoch"])
}

fn paid(data: &Value) -> String {
    format!(
        "paid {} {} {}",
        epoch(data),
        text(&data["account"]),
        text(&data["amount"])
    )
}

fn late(record: &Value) -> String {
    let data = &record["data"];
    let place = text(&record["id"]).replace("exchange.", "");
    let [account, asset, delta, policy] = ["account", "asset", "delta", "policy"].map(|name| text(&data[name]));
    let (missed, applied) = (&data["missed_epoch"], &data["applied_epoch"]);
    format!("late {place} {account} {asset} {delta} {missed}->{applied} {policy}")
}

fn dead(record: &Value) -> String {
    let place = text(&record["id"]).replace("exchange.", "").replace("softstake.", "");
    format!("dead {place} {}", text(&record["data"]["code"]))
}

/// A decision that tables show.
fn decided(data: &Value) -> Option<String> {
    match data["decision"].as_str().unwrap_or_default() {
        "epoch_held" => Some(format!("held {} {}", epoch(data), text(&data["limit"]))),
        "epoch_released" => Some(format!("released {}", epoch(data))),
        "epoch_void" => Some(format!("void {}", epoch(data))),
        "withdrawal_accepted" => Some(format!("withdrawn {}", epoch(data))),
        "listing_accepted" if data["newest_not_counted"].is_string() => {
            let asset = data.get("asset").unwrap_or(&data["listing"]["asset"]);
            Some(format!("listed {}", text(asset)))
        }
        "loss_accepted" => {
            let loss = data.get("loss").unwrap_or(data);
            Some(format!("lost {}..{}", loss["from_offset"], loss["to_offset"]))
        }
        "rules" if data["control_offset"].is_u64() => Some(format!("rules {}", data["version"])),
        _ => None,
    }
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|one: char| !one.is_alphanumeric() && one != '_')
        .any(|found| found == word)
}

/// A field under the short name that tables use. A reason is free text: the word that it must have is shown if it does.
fn shown(data: &Value, name: &str, wanted: &str) -> String {
    let ineligible = &data["ineligible"];
    let value = match name {
        "R" => &data["rewarded"],
        "made" => &data["made_good"],
        "before" => &data["withheld_before"],
        "after" => &data["withheld_after"],
        "seconds" => data.get("balance_seconds").unwrap_or(&data["eligible_balance_seconds"]),
        "average" => &data["average_balance"],
        "pool" => &data["reward_pool"],
        "in" => &data["carried_in"],
        "out" => &data["carried_out"],
        "paid" => &data["distributed"],
        "n" => &data["distributions"],
        "closing" => &data["closing_balance"],
        "from" => &data["programme_from_epoch"],
        "status" | "negative" => &ineligible[name],
        "below" => &ineligible["below_minimum"],
        "reason" if has_word(&text(&data["data"]["reason"]), wanted) => return wanted.to_owned(),
        "reason" => &data["data"]["reason"],
        "newest" => &data["newest_not_counted"],
        "time" => data.get("event_time").unwrap_or(&data["time"]),
        other => &data[other],
    };
    text(value).replace(' ', "_")
}
