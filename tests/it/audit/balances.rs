//! `softstake reconcile balances`: whether balances of another system agree with the log.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::report;
use crate::common::events::{event, listing, pool, time};
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
    assert!(said.starts_with("EQUAL: all 366 balances agree"), "{said}");
    // With a byte order mark, Windows line ends and blanks.
    let windows = format!(
        "\u{feff}{}",
        as_csv(&known).replace('\n', "\r\n").replace(",A,", " , A , ")
    );
    let (_folder, mut command) = balances(&place, &windows);
    succeed(&mut command);
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
        "account: ",
    ]) {
        assert!(note.starts_with(what), "{note} is not about {what}");
    }
    assert_eq!((notes.len(), &found["agree"]), (6, &json!(365)));
    assert_eq!(fs::read_to_string(table).expect("a table").lines().count(), 9);
    let (_folder, mut command) = balances(&place, "account,asset,time\nann,A,2026-11-01T00:00:01Z\n");
    assert!(fail(&mut command, 2).contains("no column balance"));
}
