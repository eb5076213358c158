//! What the ledger has of an account, for those who show the token.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::endpoint::{Answer, Watched};
use super::{EPOCH, begun, listed};
use crate::common::events::{close, deposit, event, listing, pool};
use crate::common::process::until;
use crate::common::{Place, fail};

const TOKEN: &str = "a-token-of-the-read-side";

fn token_file(place: &Place, text: &str) -> PathBuf {
    let file = place.bus().with_file_name("token");
    fs::write(&file, text).expect("the token");
    file
}

fn watched(place: &Place) -> Watched {
    let file = token_file(place, &format!("{TOKEN}\n"));
    let flags = [
        "--partitions",
        "1",
        "--monitor-token-file",
        file.to_str().expect("a path"),
    ];
    let watched = Watched::start(place, &flags);
    // Until the task of the ledger partition has opened its store.
    until("the partition is here", || {
        ask(&watched, "account=ann&assets=1", TOKEN).status != 421
    });
    watched
}

fn ask(watched: &Watched, query: &str, token: &str) -> Answer {
    let header = format!("Authorization: Bearer {token}\r\n");
    watched.request_with("GET", &format!("/holdings?{query}"), &header)
}

fn holdings(watched: &Watched, account: &str, assets: u16) -> Value {
    let answer = ask(watched, &format!("account={account}&assets={assets}"), TOKEN);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
    serde_json::from_str(&answer.body).expect("JSON")
}

#[test]
fn balances_and_statuses_are_told_to_the_units() {
    let place = begun(&pool());
    place.append("softstake.control", 0, [listing("SOL", 9, EPOCH, &pool())]);
    let exclusion = json!({ "account": "ann", "status": "excluded" });
    place.append(
        "exchange.accounts",
        0,
        [event("s1", "exchange.account_status.v1", 500, &exclusion)],
    );
    let events = [
        deposit("d2", 100_250, "ann/grid", "ATOM", "2.5"),
        deposit("d3", 3_000, "ann/grid", "SOL", "0.000000001"),
    ];
    place.append("exchange.deposits", 0, events);
    let watched = watched(&place);
    let source = json!("exchange.accounts:0");
    let found = || holdings(&watched, "ann/grid", 2);
    until("the deposits are in the store", || {
        found()["assets"].as_array().is_some_and(|all| all.len() == 2)
    });
    until("the status is in the store", || found()["owner_statuses"] != json!([]));
    let found = found();
    // 2,500,000 units, 99,750 ms before the end of epoch 1; one unit, 97,000 ms before the end of epoch 0.
    let expected = json!([
        { "number": 0, "unsettled_from": 0, "opening": "0", "withheld": "0",
          "epochs": [{ "epoch": 1, "delta": "2500000", "weighted": "249375000000" }] },
        { "number": 1, "unsettled_from": 0, "opening": "0", "withheld": "0",
          "epochs": [{ "epoch": 0, "delta": "1", "weighted": "97000" }] },
    ]);
    assert_eq!(found["assets"], expected);
    assert_eq!(
        (&found["account"], &found["partition"]),
        (&json!("ann/grid"), &json!(0))
    );
    assert_eq!(found["statuses"], json!([]));
    let status = &found["owner_statuses"][0];
    assert_eq!((&status["status"], &status["source"]), (&json!("excluded"), &source));
    // An asset beyond the number that is asked for is left out; an account that nobody has is empty.
    assert_eq!(holdings(&watched, "ann", 1)["assets"].as_array().map(Vec::len), Some(1));
    assert_eq!(holdings(&watched, "nobody", 2)["assets"], json!([]));
    assert!(
        !watched.said().contains("ann"),
        "the log names an account: {}",
        watched.said()
    );
}

/// A settlement is many commits. In each of them, the opening row of an account and its rows add up to its balance.
#[test]
fn an_account_is_never_seen_twice_while_its_epoch_is_settled() {
    const ACCOUNTS: usize = 30_000;
    let place = listed(&pool());
    let deposits = (0..ACCOUNTS).map(|n| deposit(&format!("d{n}"), 1_000, &format!("u{n}"), "ATOM", "1"));
    place.append("exchange.deposits", 0, deposits);
    let watched = watched(&place);
    let balance = |account: &str| {
        let found = holdings(&watched, account, 1);
        let number = |value: &Value| value.as_str().expect("a number").parse::<i128>().expect("whole");
        let asset = &found["assets"][0];
        let epochs = asset["epochs"]
            .as_array()
            .map_or(0, |epochs| epochs.iter().map(|epoch| number(&epoch["delta"])).sum());
        asset.get("opening").map_or(0, number) + epochs
    };
    let some: Vec<String> = (0..16).map(|n| format!("u{}", n * ACCOUNTS / 16)).collect();
    until("all deposits are in the store", || {
        some.iter().all(|account| balance(account) == 1_000_000)
    });
    let (mut looks, seals) = (0u32, 3);
    for epoch in 0..seals {
        place.append("softstake.control", 0, [close("ATOM", epoch, EPOCH, "1000")]);
        until("it is sealed", || {
            for account in &some {
                assert_eq!(balance(account), 1_000_000, "{account} while epoch {epoch} is settled");
                looks += 1;
            }
            watched.metric("softstake_seals_total", &[]) == Some(f64::from(epoch + 1))
        });
    }
    assert!(looks > 100, "only {looks} looks");
}

#[test]
fn nothing_is_told_without_the_token() {
    let place = begun(&pool());
    let watched = watched(&place);
    let query = "account=ann&assets=1";
    until("the deposit is in the store", || {
        ask(&watched, query, TOKEN).body.contains("10000000")
    });
    for token in ["", "a", "a-token-of-the-read-sidf", &format!("{TOKEN}x"), &TOKEN[1..]] {
        let answer = ask(&watched, query, token);
        assert_eq!(answer.status, 401, "{token}: {}", answer.body);
        assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
        assert!(!answer.body.contains("10000000"), "{}", answer.body);
    }
    assert_eq!(watched.request("GET", &format!("/holdings?{query}")).status, 401);
    for wrong in [
        "",
        "account=ann",
        "assets=1",
        "account=&assets=1",
        "account=ann&assets=0",
        "account=ann&assets=5000",
        "account=ann&assets=x",
        "account=ann&account=ben&assets=1",
        "account=ann&assets=1&more=1",
        "account=a%00b&assets=1",
    ] {
        let answer = ask(&watched, wrong, TOKEN);
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
    }
    assert_eq!(watched.request("POST", "/holdings").status, 405);
    // Without the setting, there is no such path.
    let place = begun(&pool());
    let watched = Watched::start(&place, &[]);
    let answer = ask(&watched, query, TOKEN);
    assert_eq!(answer.status, 404);
    assert!(
        answer.body.contains("`monitor.token_file` is not set"),
        "{}",
        answer.body
    );
}

#[test]
fn a_file_without_a_usable_token_is_refused_at_the_start() {
    let place = begun(&pool());
    for (text, expected) in [
        ("", "has no token of at least 16 printable characters"),
        ("short", "has no token of at least 16 printable characters"),
        (
            "a token with a blank in it",
            "has no token of at least 16 printable characters",
        ),
        (&"x".repeat(5_000), "is no small file"),
    ] {
        let file = token_file(&place, text);
        let flags = [
            "--monitor-listen",
            "127.0.0.1:0",
            "--monitor-token-file",
            file.to_str().expect("a path"),
        ];
        let error = fail(place.command(None).args(flags), 2);
        assert!(
            error.contains("--monitor-token-file: `monitor.token_file` is ") && error.contains(expected),
            "{error}"
        );
    }
    let flags = ["--monitor-listen", "127.0.0.1:0", "--monitor-token-file", "missing"];
    let error = fail(place.command(None).args(flags), 2);
    assert!(error.contains("missing, which cannot be read: "), "{error}");
}
