//! `softstake reconcile balances`: whether balances of another system agree with the log.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::report;
use crate::common::events::{deposit, event, listing, pool, time};
use crate::common::records::text;
use crate::common::{Place, fail, softstake, succeed};

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

/// The balances from a time on, in cents.
type Moment = (i64, BTreeMap<&'static str, i64>);

/// A bus with an opening balance, deposits, withdrawals with fees and transfers, one every hundred milliseconds. Also
/// the balances after each.
fn moved() -> (Place, Vec<Moment>) {
    let place = Place::new();
    place.append("softstake.control", 0, [listing("A", 2, 100, &pool())]);
    let data = |account: &str, cents: i64| json!({"account": account, "asset": "A", "amount": format!("{}.{:02}", cents / 100, cents % 100)});
    let names = ["ann", "ben \"b\"", "cäsar"];
    let mut held: BTreeMap<&str, i64> = names.iter().map(|name| (*name, 0)).collect();
    let mut known = Vec::new();
    // An opening balance counts from the anchor, whatever its time.
    place.append(
        "exchange.deposits",
        0,
        [event("o", "exchange.opening_balance.v1", 50_000, &data("ann", 777))],
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
                event(&id, "exchange.deposit.v1", at, &data(to, cents))
            }
            2 => {
                *held.get_mut(to).expect("an account") -= cents / 2 + 1;
                let mut data = data(to, cents / 2);
                data["fee"] = json!({"asset": "A", "amount": "0.01"});
                event(&id, "exchange.withdrawal.v1", at, &data)
            }
            _ => {
                *held.get_mut(from).expect("an account") -= cents;
                *held.get_mut(to).expect("an account") += cents;
                let amount = data("", cents)["amount"].clone();
                event(
                    &id,
                    "exchange.transfer.v1",
                    at,
                    &json!({"from_account": from, "to_account": to, "asset": "A", "amount": amount}),
                )
            }
        };
        // A duplicate changes nothing.
        place.append("exchange.deposits", 0, [&event, &event]);
        known.push((at, held.clone()));
    }
    place.run(Some(2));
    (place, known)
}

fn as_csv(known: &[Moment]) -> String {
    let mut lines = String::from("time,account,asset,balance\n");
    for (at, held) in known {
        for (account, cents) in held {
            let (sign, cents) = (if *cents < 0 { "-" } else { "" }, cents.abs());
            let quoted = account.replace('"', "\"\"");
            // Also half-way to the next event.
            for at in [*at, at + 50] {
                lines.push_str(&format!(
                    "{},\"{quoted}\",A,{sign}{}.{:02}\n",
                    time(at),
                    cents / 100,
                    cents % 100
                ));
            }
        }
    }
    lines
}

#[test]
fn balances_agree_with_the_log_at_every_time() {
    let (place, known) = moved();
    let (_folder, mut command) = balances(&place, &as_csv(&known));
    let said = succeed(&mut command);
    let said = String::from_utf8(said.stdout).expect("text");
    assert!(said.starts_with("EQUAL: all 366 balances of the file agree"), "{said}");
}

#[test]
fn a_file_may_be_written_as_spreadsheets_write_it() {
    let (place, known) = moved();
    let right = as_csv(&known);
    let named = right.replacen("time,account,asset,balance", "Time,ACCOUNT, Asset ,Balance", 1);
    for file in [
        format!("\u{feff}{}", named.replace('\n', "\r\n").replace(",A,", ", A , ")),
        format!("\u{feff}{}", named.replace(',', ";")),
        format!("sep=;\r\n{}", named.replace(',', ";")),
        named.replace(',', "\t"),
        named.replace(",A,", ",\"A\","),
    ] {
        let (_folder, mut command) = balances(&place, &file);
        let said = succeed(&mut command);
        assert!(String::from_utf8_lossy(&said.stdout).starts_with("EQUAL: all 366 balances of the file agree"));
    }
    for (file, expected) in [
        (right.replacen("balance", "saldo", 1), "no column balance"),
        (
            right.replacen("balance", "saldo", 1),
            "names time, account, asset, saldo",
        ),
        (right.replacen("asset,", "asset,Asset,", 1), "two columns asset"),
        (
            right[.."time,account,asset,balance\n".len()].to_owned(),
            "the file has no rows",
        ),
        (String::new(), "the file has no rows"),
    ] {
        let (_folder, mut command) = balances(&place, &file);
        let said = fail(&mut command, 2);
        assert!(said.contains("ledger.csv: ") && said.contains(expected), "{said}");
    }
}

#[test]
fn names_are_never_trimmed() {
    let place = Place::new();
    place.append("softstake.control", 0, [listing("A", 2, 100, &pool())]);
    place.append(
        "exchange.deposits",
        0,
        [deposit("1", 0, "ann", "A", "10"), deposit("2", 0, "ann ", "A", "5")],
    );
    place.run(None);
    for (account, balance, status) in [
        ("ann ", 5, 0),
        ("ann ", 10, 1),
        ("ann", 10, 0),
        (" ann", 0, 0),
        (" ann", 10, 1),
    ] {
        let row = format!(
            "account,asset,balance,time\n\"{account}\", A , {balance} , {} \n",
            time(50)
        );
        let (_folder, mut command) = balances(&place, &row);
        let found = report(&mut command, status);
        if status == 1 {
            assert_eq!(found["rows"][0]["account"], account, "{found:#}");
        }
        if account == " ann" && status == 1 {
            let note = text(&found["rows"][0]["note"]);
            assert!(note.contains("begins or ends with a blank"), "{note}");
        }
    }
}

/// The rows of a ledger that writes one after each change, with its times cut to seconds.
fn cut_to_seconds(known: &[Moment]) -> Vec<String> {
    let rows = known.iter().flat_map(|(at, held)| {
        let at = at.div_euclid(1_000) * 1_000;
        held.iter().map(move |(account, cents)| {
            let (sign, cents) = (if *cents < 0 { "-" } else { "" }, cents.abs());
            let quoted = account.replace('"', "\"\"");
            format!("{},\"{quoted}\",A,{sign}{}.{:02}\n", time(at), cents / 100, cents % 100)
        })
    });
    rows.collect()
}

#[test]
fn a_ledger_with_whole_seconds_agrees_at_their_ends() {
    let (place, known) = moved();
    let rows = cut_to_seconds(&known);
    let seconds: BTreeSet<i64> = known.iter().map(|(at, _)| at.div_euclid(1_000)).collect();
    let header = "time,account,asset,balance\n";
    let (_folder, mut command) = balances(&place, &(header.to_owned() + &rows.concat()));
    let said = command.output().expect("the program starts");
    assert_eq!(said.status.code(), Some(1));
    let said = String::from_utf8_lossy(&said.stdout);
    assert!(said.contains("All times in the file are whole seconds."), "{said}");
    assert!(said.contains("run again with --time-resolution 1s: "), "{said}");
    let (_folder, mut command) = balances(&place, &(header.to_owned() + &rows.concat()));
    let found = report(&mut command, 1);
    assert_eq!(
        found["explained_by_whole_seconds"],
        found["rows"].as_array().expect("rows").len()
    );
    // Newest first is common as well.
    let backwards: String = rows.iter().rev().map(String::as_str).collect();
    for file in [rows.concat(), backwards] {
        let (_folder, mut command) = balances(&place, &(header.to_owned() + &file));
        let found = report(command.args(["--time-resolution", "1s"]), 0);
        assert_eq!(found["agree"], 3 * seconds.len(), "{found:#}");
        assert_eq!(found["superseded"], rows.len() - 3 * seconds.len());
    }
    // The last balance of a second is compared.
    let mut wrong = rows.clone();
    let last = wrong.last_mut().expect("a row");
    *last = last.replacen(",A,", ",A,9", 1);
    let (_folder, mut command) = balances(&place, &(header.to_owned() + &wrong.concat()));
    let found = report(command.args(["--time-resolution", "1000ms"]), 1);
    assert_eq!(found["rows"].as_array().expect("rows").len(), 1, "{found:#}");
    assert_eq!(found["explained_by_whole_seconds"], json!(null));
    for step in ["0s", "1us", "2days", "yesterday"] {
        let (_folder, mut command) = balances(&place, header);
        assert!(fail(command.args(["--time-resolution", step]), 2).contains("--time-resolution"));
    }
}

#[test]
fn a_wrong_balance_is_named_with_its_difference() {
    let (place, known) = moved();
    let right = as_csv(&known);
    let mut lines: Vec<String> = right.lines().map(str::to_owned).collect();
    let account = known[30].1["ann"];
    let at = lines
        .iter()
        .position(|line| line.starts_with(&time(known[30].0)) && line.contains("ann"))
        .expect("a line");
    lines[at] = format!("{},ann,A,{}.{:02}", time(known[30].0), account / 100 + 3, account % 100);
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
        "the row has 1 of 4 cells",
    ]) {
        assert!(note.starts_with(what), "{note} is not about {what}");
    }
    assert_eq!((notes.len(), &found["agree"]), (6, &json!(365)));
    assert_eq!(fs::read_to_string(table).expect("a table").lines().count(), 9);
}
