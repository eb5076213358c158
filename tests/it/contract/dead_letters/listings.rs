//! Listings whose terms or programme are invalid.

use serde_json::{Value, json};

use super::{CONTROL, DEPOSITS, Rejected, altered, check, listed, rejected};
use crate::common::events::{close, deposit, listing, pool};
use crate::judge::judge;

/// A valid listing of asset B with one field below `data` replaced or removed. The reason must name that field.
fn case(field: &'static str, value: Option<Value>, code: &'static str) -> Rejected {
    let names = field.rsplit('/').next().unwrap_or_default();
    let record = altered(&listing("B", 2, 100, &pool()), &format!("/data/{field}"), value);
    rejected(CONTROL, record, code, names)
}

fn required_fields() -> Vec<Rejected> {
    let mut cases = Vec::new();
    for field in [
        "asset",
        "decimals",
        "anchor",
        "epoch_seconds",
        "programme",
        "programme/from_epoch",
        "programme/mode",
    ] {
        cases.push(case(field, None, "invalid_event"));
        let code = if field == "anchor" {
            "invalid_time"
        } else {
            "invalid_event"
        };
        cases.push(case(field, Some(json!([])), code));
    }
    cases
}

fn invalid_programmes() -> Vec<Rejected> {
    let mut cases = Vec::new();
    for (field, value) in [
        ("decimals", json!(19)),
        ("epoch_seconds", json!(59)),
        ("epoch_seconds", json!(2_678_401)),
        ("programme/from_epoch", json!(1)),
        ("programme/mode", json!("stake")),
        ("programme/apr", json!("0.1")),
        ("programme/commission_rate", json!("1.1")),
        ("programme/commission_rate", json!("-0.1")),
        ("programme/commission_rate", json!("0.0000000000000000001")),
        ("programme/max_balance", json!("0")),
        ("programme/payout_decimals", json!(3)),
        ("programme/enrolment", json!("none")),
        ("programme/late_policy", json!("ignore")),
        ("programme/tiers", json!([])),
        ("programme/tiers", json!([{"up_to": "1", "multiplier": "1"}])),
        (
            "programme/tiers",
            json!([{"up_to": null, "multiplier": "1"}, {"up_to": null, "multiplier": "1"}]),
        ),
        (
            "programme/tiers",
            json!([{"up_to": "0", "multiplier": "1"}, {"up_to": null, "multiplier": "1"}]),
        ),
        ("programme/tiers", json!([{"up_to": null, "multiplier": "100.000001"}])),
        ("programme/tiers", json!([{"up_to": null, "multiplier": "0.0000001"}])),
        (
            "programme/tiers",
            json!([{"up_to": "2", "multiplier": "1"}, {"up_to": "2.0", "multiplier": "1"}, {"up_to": null, "multiplier": "1"}]),
        ),
    ] {
        cases.push(case(field, Some(value), "invalid_programme"));
    }
    // This mode needs a rate, and the reason names the rate.
    let mut without_rate = case("programme/mode", Some(json!("apr")), "invalid_programme");
    without_rate.names = "apr";
    cases.push(without_rate);
    cases
}

fn invalid_amounts_and_times() -> Vec<Rejected> {
    let mut cases = Vec::new();
    for field in ["programme/min_balance", "programme/max_balance", "programme/min_payout"] {
        for value in [
            json!("-1"),
            json!(1),
            json!("0.001"),
            json!("10000000000000000000000000000.01"),
            json!(""),
        ] {
            cases.push(case(field, Some(value), "invalid_amount"));
        }
    }
    cases.push(case("programme/min_balance", Some(json!(null)), "invalid_amount"));
    let tiers = json!([{"up_to": "0.001", "multiplier": "1"}, {"up_to": null, "multiplier": "1"}]);
    let mut bound = case("programme/tiers", Some(tiers), "invalid_amount");
    bound.names = "up_to";
    cases.push(bound);
    cases.push(case("anchor", Some(json!("2026-11-01")), "invalid_time"));
    cases
}

fn wrong_kinds() -> Vec<Rejected> {
    let mut cases = Vec::new();
    for (field, value) in [
        ("programme/commission_rate", json!(0.1)),
        ("programme/tiers", json!(null)),
        ("programme/tiers", json!([[]])),
        ("programme/tiers", json!([{"multiplier": "1"}])),
        ("programme/tiers", json!([{"up_to": null}])),
        ("programme/tiers", json!([{"up_to": null, "multiplier": 1}])),
        ("programme/enrolment", json!(null)),
        ("programme/payout_decimals", json!("2")),
        ("decimals", json!(2.5)),
        ("decimals", json!("2")),
    ] {
        cases.push(case(field, Some(value), "invalid_event"));
    }
    cases
}

#[test]
fn listings_with_invalid_terms() {
    let place = listed();
    let cases = [
        required_fields(),
        invalid_programmes(),
        invalid_amounts_and_times(),
        wrong_kinds(),
    ];
    check(&place, &cases.into_iter().flatten().collect::<Vec<_>>());
    // None of them listed the asset, so a valid listing is still accepted.
    place.append(CONTROL, 0, [listing("B", 2, 100, &pool()), close("B", 0, 100, "0")]);
    place.append(DEPOSITS, 0, [deposit("b", 0, "ann", "B", "1")]);
    place.run(None);
    let published = judge(&place);
    assert_eq!(published.seals["B:0"]["data"]["closing_balance"], "1");
}
