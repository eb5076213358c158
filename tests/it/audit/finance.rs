//! What finance asks: whether the payouts were executed, and what to book.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

mod common;
#[path = "common/events.rs"]
mod events;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Place, copy, fail, softstake, succeed};
use num_bigint::BigInt;
use serde_json::{Value, json};
use softstake::generate::{Synthetic, write};
use tempfile::TempDir;

fn settled() -> Place {
    let place = Place::new();
    let spec = Synthetic {
        events: 10_000,
        accounts: 200,
        assets: 5,
        epochs: 4,
        ..Synthetic::default()
    };
    for stage in 0..spec.epochs {
        write(&place.bus(), &spec, stage..stage + 1, &mut |_| {}).expect("a stage is written");
        place.run(Some(2));
    }
    place
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// A plain decimal number, times 10 to the 18th.
fn exact(text: &str) -> BigInt {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<18}").parse().expect("a number")
}

/// Acknowledgements in a file.
struct Acks(TempDir);

impl Acks {
    fn of(events: &[Value]) -> Self {
        let acks = Self(tempfile::tempdir().expect("a folder"));
        let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
        fs::write(acks.path(), lines).expect("acknowledgements");
        acks
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("acks.jsonl")
    }
}

fn ack(number: usize, distribution: &str, amount: &str) -> Value {
    json!({
        "specversion": "1.0", "id": format!("pay-{number}"), "source": "/payouts", "type": "payout.executed.v1",
        "time": "2026-12-01T00:00:00Z",
        "data": {"distribution": distribution, "amount": amount, "credited_at": "2026-12-01T00:00:00Z"},
    })
}

fn acks(place: &Place) -> Vec<Value> {
    let distributions = place.records("softstake.distributions");
    let numbered = distributions.iter().enumerate();
    numbered
        .map(|(number, record)| ack(number, text(&record["id"]), text(&record["data"]["amount"])))
        .collect()
}

fn reconcile(place: &Place, acks: &Path) -> Command {
    let mut command = softstake();
    command
        .args(["reconcile", "payouts", "--bus"])
        .arg(format!("dir:{}", place.bus().display()));
    command.arg("--acks").arg(acks);
    command
}

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

#[test]
fn payouts_that_were_all_executed_are_right() {
    let place = settled();
    let mut all = acks(&place);
    let number = all.len();
    // Redelivered, in another order, some with a zero at the end.
    all.extend_from_within(..20);
    all.reverse();
    all[3]["data"]["amount"] = format!("{}0", text(&all[3]["data"]["amount"]))
        .replace(".0", ".00")
        .into();
    if !text(&all[3]["data"]["amount"]).contains('.') {
        all[3] = acks(&place)[number - 4].clone();
    }
    let right = report(&mut reconcile(&place, &Acks::of(&all).path()), 0);
    assert_eq!(
        (&right["sealed"], &right["credited_as_they_should_be"]),
        (&json!(number), &json!(number))
    );
    assert_eq!(right["redelivered"], 20);
    let mut sums: BTreeMap<String, BigInt> = BTreeMap::new();
    for record in place.records("softstake.distributions") {
        *sums.entry(text(&record["data"]["asset"]).to_owned()).or_default() += exact(text(&record["data"]["amount"]));
    }
    for (asset, sum) in sums {
        let totals = &right["totals"][&asset];
        assert_eq!(exact(text(&totals["distributed"])), sum, "{asset}");
        assert_eq!(totals["credited"], totals["distributed"]);
        assert_eq!((text(&totals["unpaid"]), text(&totals["overpaid"])), ("0", "0"));
    }
    let said = succeed(&mut reconcile(&place, &Acks::of(&all).path()));
    assert!(String::from_utf8(said.stdout).expect("text").starts_with("RIGHT: all "));
}

#[test]
fn every_payout_that_is_not_right_is_found() {
    let place = settled();
    let mut all = acks(&place);
    let id = |number: usize, all: &[Value]| text(&all[number]["data"]["distribution"]).to_owned();
    let (over, under, twice) = (id(1, &all), id(2, &all), id(3, &all));
    let (late_amount, twice_amount) = (all[2]["data"]["amount"].clone(), all[3]["data"]["amount"].clone());
    all[1]["data"]["amount"] = "1000000".into();
    all[2]["data"]["amount"] = "0.000000000000000001".into();
    all.push(ack(900_001, &twice, text(&twice_amount)));
    all.push(ack(900_002, "ATOM:0:nobody", "1"));
    let unpaid = id(0, &all);
    all.remove(0);
    let acks = Acks::of(&all);
    let mut lines = fs::read_to_string(acks.path()).expect("acknowledgements");
    // Blank lines and those of Windows are no trouble; nonsense is, by itself.
    lines.push_str("\n\r\nnonsense\r\n");
    for (pointer, value) in [
        ("/data/amount", json!(1.5)),
        ("/data/amount", json!("-1")),
        ("/data/credited_at", json!("yesterday")),
        ("/type", json!("payout.executed.v2")),
        ("/data/distribution", Value::Null),
    ] {
        let mut bad = ack(5, &twice, "1");
        *bad.pointer_mut(pointer).expect("a field") = value;
        lines.push_str(&format!("{bad}\n"));
    }
    fs::write(acks.path(), &lines).expect("acknowledgements");
    let folder = tempfile::tempdir().expect("a folder");
    let table = folder.path().join("findings.csv");
    let found = report(reconcile(&place, &acks.path()).arg("--csv").arg(&table), 1);
    let of = |kind: &str| -> Vec<&str> {
        let findings = found["findings"].as_array().expect("findings").iter();
        findings
            .filter(|finding| finding["kind"] == kind)
            .map(|finding| text(&finding["distribution"]))
            .collect()
    };
    assert_eq!(of("overpaid"), [&over]);
    assert_eq!(of("underpaid"), [&under]);
    assert_eq!(of("paid_twice"), [&twice]);
    assert_eq!(of("unpaid"), [&unpaid]);
    assert_eq!(of("unknown"), ["ATOM:0:nobody"]);
    assert_eq!(of("malformed").len(), 6, "{found:#}");
    let underpaid = found["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .find(|one| one["kind"] == "underpaid");
    let less = text(&underpaid.expect("underpaid")["note"])
        .trim_start_matches("by ")
        .to_owned();
    assert_eq!(exact(&less) + 1, exact(text(&late_amount)));
    let table = fs::read_to_string(table).expect("a table");
    assert_eq!(table.lines().count(), 12, "{table}");
    for what in [
        "`data.amount` is -1",
        "`data.credited_at` is yesterday",
        "`type` is payout.executed.v2",
        "`data.distribution` is missing",
    ] {
        assert!(table.contains(what), "{what} is not in\n{table}");
    }
}

#[test]
fn what_is_not_sealed_must_not_be_paid() {
    let place = settled();
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
    let found = report(&mut reconcile(&tampered, &Acks::of(&acks(&place)).path()), 1);
    let unsealed = found["counts"]["unsealed"].as_u64().expect("a count");
    let of_epoch = place.records("softstake.distributions");
    let of_epoch = of_epoch
        .iter()
        .filter(|record| text(&record["id"]).starts_with("ATOM:3:"))
        .count();
    assert_eq!(unsealed, of_epoch as u64);
    // The other assets are right.
    report(
        reconcile(&tampered, &Acks::of(&acks(&place)).path()).args(["--asset", "SOL"]),
        0,
    );
    let said = fail(&mut reconcile(&place, &place.bus().join("missing")), 2);
    assert!(said.contains("cannot open"), "{said}");
}

fn statement(bus: &Path) -> Command {
    let mut command = softstake();
    command
        .arg("statement")
        .arg("--bus")
        .arg(format!("dir:{}", bus.display()));
    command
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
    let mut sums: BTreeMap<String, BigInt> = BTreeMap::new();
    for record in place.records("softstake.distributions") {
        *sums.entry(text(&record["data"]["asset"]).to_owned()).or_default() += exact(text(&record["data"]["amount"]));
    }
    assert_eq!(all["totals"].as_object().expect("totals").len(), 5);
    for (asset, total) in all["totals"].as_object().expect("totals") {
        assert_eq!(exact(text(&total["distributed"])), sums[asset], "{asset}");
        assert_eq!(total["epochs"], 4);
    }
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
fn what_does_not_add_up_in_a_statement_is_named() {
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
    assert_eq!(found, ["ATOM epoch 2 comes after epoch 0: there are seals missing"]);
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
fn closed_epochs_without_a_seal_and_rewards_to_come_are_in_the_statement() {
    let place = settled();
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
    let all = report(&mut statement(&tampered.bus()), 0);
    let open = all["not_sealed"]
        .as_array()
        .expect("epochs")
        .iter()
        .find(|one| one["asset"] == "ATOM" && one["epoch"] == 3);
    assert_eq!(open.expect("the epoch")["closed"], true);
    let empty = Place::new();
    let said = succeed(&mut statement(&empty.bus()));
    assert!(
        String::from_utf8(said.stdout)
            .expect("text")
            .contains("No epoch is sealed")
    );
}

fn balances(place: &Place, csv: &str) -> (TempDir, Command) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ledger.csv");
    fs::write(&file, csv).expect("balances");
    let mut command = softstake();
    command
        .args(["reconcile", "balances", "--bus"])
        .arg(format!("dir:{}", place.bus().display()));
    command.arg("--against").arg(file);
    (folder, command)
}

/// What everybody has, in cents, from a time on.
type Moment = (i64, BTreeMap<&'static str, i64>);

/// A bus with deposits, withdrawals with fees, transfers and an opening balance, one every hundred milliseconds; and what every account has after
/// each of them, in cents.
fn moved() -> (Place, Vec<Moment>) {
    let place = Place::new();
    place.append("softstake.control", 0, [events::listing("A", 2, 100, &events::pool())]);
    let data = |account: &str, cents: i64| json!({"account": account, "asset": "A", "amount": format!("{}.{:02}", cents / 100, cents % 100)});
    let names = ["ann", "ben \"b\"", "cäsar"];
    let mut held: BTreeMap<&str, i64> = names.iter().map(|name| (*name, 0)).collect();
    let mut known = Vec::new();
    // It counts at the anchor, whatever its time.
    place.append(
        "exchange.deposits",
        0,
        [events::event(
            "o",
            "exchange.opening_balance.v1",
            50_000,
            &data("ann", 777),
        )],
    );
    *held.get_mut("ann").expect("ann") += 777;
    known.push((0, held.clone()));
    for number in 0..60_i64 {
        let (at, cents) = (number * 100 + 100, 1_000 + number * 37);
        let (from, to) = (
            names[usize::try_from(number % 3).expect("small")],
            names[usize::try_from((number + 1) % 3).expect("small")],
        );
        let id = format!("e{number}");
        let event = match number % 4 {
            0 | 1 => {
                *held.get_mut(to).expect("an account") += cents;
                events::event(&id, "exchange.deposit.v1", at, &data(to, cents))
            }
            2 => {
                *held.get_mut(to).expect("an account") -= cents / 2 + 1;
                let mut data = data(to, cents / 2);
                data["fee"] = json!({"asset": "A", "amount": "0.01"});
                events::event(&id, "exchange.withdrawal.v1", at, &data)
            }
            _ => {
                *held.get_mut(from).expect("an account") -= cents;
                *held.get_mut(to).expect("an account") += cents;
                let amount = data("", cents)["amount"].clone();
                events::event(
                    &id,
                    "exchange.transfer.v1",
                    at,
                    &json!({"from_account": from, "to_account": to, "asset": "A", "amount": amount}),
                )
            }
        };
        // A second copy changes nothing.
        place.append("exchange.deposits", 0, [&event, &event]);
        known.push((at, held.clone()));
    }
    place.run(Some(2));
    (place, known)
}

fn ledger(known: &[Moment]) -> String {
    let mut lines = String::from("time,account,asset,balance\n");
    for (at, held) in known {
        for (account, cents) in held {
            let (sign, cents) = (if *cents < 0 { "-" } else { "" }, cents.abs());
            let quoted = account.replace('"', "\"\"");
            // Half-way to the next event, too.
            for time in [*at, at + 50] {
                lines.push_str(&format!(
                    "{},\"{quoted}\",A,{sign}{}.{:02}\n",
                    events::time(time),
                    cents / 100,
                    cents % 100
                ));
            }
        }
    }
    lines
}

#[test]
fn balances_agree_with_the_log_at_any_time() {
    let (place, known) = moved();
    let (_folder, mut command) = balances(&place, &ledger(&known));
    let said = succeed(&mut command);
    let said = String::from_utf8(said.stdout).expect("text");
    assert!(said.starts_with("EQUAL: all 366 balances agree"), "{said}");
    // As others write files: a mark at the start, other ends of lines, blanks.
    let windows = format!(
        "\u{feff}{}",
        ledger(&known).replace('\n', "\r\n").replace(",A,", " , A , ")
    );
    let (_folder, mut command) = balances(&place, &windows);
    succeed(&mut command);
}

#[test]
fn a_balance_that_differs_is_named_with_the_difference() {
    let (place, known) = moved();
    let right = ledger(&known);
    let mut lines: Vec<String> = right.lines().map(str::to_owned).collect();
    let account = known[30].1["ann"];
    let at = lines
        .iter()
        .position(|line| line.starts_with(&events::time(known[30].0)) && line.contains("ann"))
        .expect("a line");
    lines[at] = format!(
        "{},ann,A,{}.{:02}",
        events::time(known[30].0),
        account / 100 + 3,
        account % 100
    );
    for bad in [
        "2026-11-01T00:00:01Z,ann,B,1",
        "2026-11-01T00:00:01Z,ann,A,1.005",
        "2026-11-01T00:00:01Z,ann,A,1e3",
        "yesterday,ann,A,1",
        "2026-11-01T00:00:01Z,,A,1",
        "2026-11-01T00:00:01Z",
        "2026-11-01T00:00:01Z,nobody,A,5",
    ] {
        lines.push(bad.into());
    }
    let (folder, mut command) = balances(&place, &lines.join("\n"));
    let table = folder.path().join("rows.csv");
    let found = report(command.arg("--csv").arg(&table), 1);
    let rows = found["rows"].as_array().expect("rows");
    let of = |verdict: &str| rows.iter().filter(|row| row["verdict"] == verdict).collect::<Vec<_>>();
    let differs = of("differs");
    assert_eq!(differs.len(), 2, "{found:#}");
    assert_eq!(
        (&differs[0]["line"], &differs[0]["difference"]),
        (&json!(at + 1), &json!("3"))
    );
    assert_eq!(
        (&differs[1]["account"], &differs[1]["ours"]),
        (&json!("nobody"), &json!("0"))
    );
    let notes: Vec<&str> = of("malformed").iter().map(|row| text(&row["note"])).collect();
    for (note, what) in notes.iter().zip([
        "asset: B is not listed",
        "balance: 1.005",
        "balance: 1e3",
        "time: ",
        "account: ",
        "account: ",
    ]) {
        assert!(note.starts_with(what), "{note} is not about {what}");
    }
    assert_eq!((notes.len(), &found["agree"]), (6, &json!(365)));
    assert_eq!(fs::read_to_string(table).expect("a table").lines().count(), 9);
    let (_folder, mut command) = balances(&place, "account,asset,time\nann,A,2026-11-01T00:00:01Z\n");
    assert!(fail(&mut command, 2).contains("no column balance"));
}
