//! What the processor does, over the API: asked from real instances, of which one is in trouble and one is away.

use std::fs;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::served::{Desk, Served};
use crate::common::Place;
use crate::common::process::until;
use crate::deployment::monitor::troubled;

/// Serves a place, and asks these instances.
fn asking(place: &Place, addresses: &str, more: &[String]) -> Served {
    let token = place.bus().with_file_name("token");
    fs::write(&token, "a-token-of-the-read-side").expect("the token");
    let token = token.to_str().expect("a path");
    let flags = ["--processors", addresses, "--processors-token-file", token].map(str::to_owned);
    Served::start(place, &[&flags[..], more].concat())
}

/// The items of a list of the answer with a value in a field.
fn with<'a>(answer: &'a Value, list: &str, field: &str, value: &str) -> Vec<&'a Value> {
    let items = answer[list].as_array().expect("a list").iter();
    items.filter(|item| item[field] == value).collect()
}

fn texts(answer: &Value) -> Vec<&str> {
    let problems = answer["problems"].as_array().expect("problems").iter();
    problems.map(|one| one["text"].as_str().expect("a sentence")).collect()
}

#[test]
fn a_close_that_waits_a_task_in_trouble_and_an_instance_that_is_away_are_told() {
    let (place, watched) = troubled("ingest/exchange.deposits/0");
    let address: SocketAddr = watched.address();
    let served = asking(&place, &format!("{address},127.0.0.1:1"), &[]);
    let answer = served.value("/v1/processor");
    let away = &answer["instances"][0];
    assert_eq!(
        (&away["name"], &away["state"]),
        (&json!("127.0.0.1:1"), &json!("unreachable"))
    );
    let why = away["unreachable_because"].as_str().expect("why");
    assert!(why.starts_with("Connection refused"), "{why}");
    assert_eq!(
        (&away["answered_seconds_ago"], &away["tasks"]),
        (&Value::Null, &json!([]))
    );
    let here = with(&answer, "instances", "address", &address.to_string())[0];
    assert_eq!(
        (&here["state"], &here["severity"], &here["unreachable_because"]),
        (&json!("in trouble"), &json!("bad"), &Value::Null)
    );
    assert_eq!(answer["coordinators"], json!([here["name"]]));
    let restarting = json!({ "state": "restarting", "count": 1 });
    assert_eq!((&answer["tasks"][0], &here["tasks"][0]), (&restarting, &restarting));
    let wait = &answer["waits"][0];
    for (field, expected) in [
        ("event", json!("close")),
        ("asset", json!("ATOM")),
        ("epoch", json!(0)),
        ("waits_for", json!("answers")),
        ("missing", json!("the answers of exchange.deposits:0")),
        (
            "partitions",
            json!([{
                "partition": "exchange.deposits:0", "offset": null, "cut": null, "state": "restarting", "instance": here["name"],
            }]),
        ),
    ] {
        assert_eq!(wait[field], expected, "{field}");
    }
    let worst = &answer["partitions"][0];
    assert_eq!(
        (&worst["task"], &worst["severity"], &worst["lag_records"]),
        (&json!("ingest exchange.deposits:0"), &json!("bad"), &Value::Null)
    );
    let control = with(&answer, "topics", "topic", "softstake.control")[0];
    assert_eq!(
        (&control["lag_records"], &control["partitions"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(answer["partitions_without_lag"], 1);
    let told = texts(&answer);
    for part in [
        "127.0.0.1:1 does not answer",
        "ingest exchange.deposits:0 restarts again and again",
    ] {
        assert!(told.iter().any(|text| text.contains(part)), "{part} is not in {told:?}");
    }
    // The token is for /holdings alone, and is in no answer. A parameter is refused.
    assert!(!answer.to_string().contains("a-token-of-the-read-side"));
    served.read("/v1/processor?x=1").problem(400);
    assert_eq!(watched.process.stop(), Some(0));
    until("nobody answers", || {
        let answer = served.value("/v1/processor");
        with(&answer, "instances", "state", "unreachable").len() == 2
    });
    let answer = served.value("/v1/processor");
    assert_eq!((&answer["coordinators"], &answer["waits"]), (&json!([]), &json!([])));
    let gone = with(&answer, "instances", "address", &address.to_string())[0];
    assert!(gone["answered_seconds_ago"].as_f64() > Some(0.0), "{gone}");
}

#[test]
fn when_all_have_passed_the_cut_the_ledger_partition_is_named() {
    let (place, watched) = troubled("accrue/2/0");
    let (_, status) = watched.json("/status");
    assert_eq!(
        status["coordinator"]["epochs"][0]["cut"],
        json!({ "exchange.deposits": { "0": 1 } })
    );
    let served = asking(&place, &watched.address().to_string(), &[]);
    let wait = served.value("/v1/processor")["waits"][0].clone();
    assert_eq!(wait["waits_for"], "subtotals");
    let partition = &wait["partitions"][0];
    assert_eq!(
        (&partition["partition"], &partition["state"], &partition["cut"]),
        (&json!("softstake.ledger:0"), &json!("restarting"), &Value::Null)
    );
    assert_eq!(watched.process.stop(), Some(0));
}

#[test]
fn it_is_for_operators_and_auditors_and_says_if_nothing_is_set_up() {
    let (place, desk) = (Place::new(), Desk::new());
    let served = asking(&place, "127.0.0.1:1", &desk.flags());
    for (role, status) in [
        ("customer", 403),
        ("support", 403),
        ("operator", 200),
        ("finance", 403),
        ("treasury", 403),
        ("auditor", 200),
    ] {
        assert_eq!(served.get("/v1/processor", &desk.role(role)).status, status, "{role}");
    }
    served.read("/v1/processor").problem(401);
    assert_eq!(served.process.stop(), Some(0));
    let served = Served::start(&place, &[]);
    let told = served.read("/v1/processor").problem(404);
    assert!(told.contains("set `serve.processors`"), "{told}");
    assert_eq!(served.value("/v1/session")["has_processor"], false);
}
