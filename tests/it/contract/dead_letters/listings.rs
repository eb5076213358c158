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
        let inside = field.starts_with("programme/");
        let code = if inside { "invalid_programme" } else { "invalid_event" };
        cases.push(case(field, None, code));
        let code = if field == "anchor" { "invalid_time" } else { code };
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
            cases.push(case(field, Some(value), "invalid_programme"));
        }
    }
    cases.push(case("programme/min_balance", Some(json!(null)), "invalid_programme"));
    let tiers = json!([{"up_to": "0.001", "multiplier": "1"}, {"up_to": null, "multiplier": "1"}]);
    let mut bound = case("programme/tiers", Some(tiers), "invalid_programme");
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
    ] {
        cases.push(case(field, Some(value), "invalid_programme"));
    }
    for value in [json!(2.5), json!("2")] {
        cases.push(case("decimals", Some(value), "invalid_event"));
    }
    cases
}

/// A misspelt field must not mean that its rule is not wanted.
fn unknown_fields() -> Vec<Rejected> {
    let mut cases = Vec::new();
    for (field, code, nearest) in [
        ("decimal", "invalid_event", "`decimals`"),
        ("note", "invalid_event", "`note`"),
        ("programme/comission_rate", "invalid_programme", "`commission_rate`"),
        ("programme/Mode", "invalid_programme", "`mode`"),
        ("programme/max_payout", "invalid_programme", "`min_payout`"),
    ] {
        let mut case = case(field, Some(json!("1")), code);
        case.names = nearest;
        cases.push(case);
    }
    let tiers = json!([{"up_to": null, "multiplier": "1", "multiplyer": "2"}]);
    let mut tier = case("programme/tiers", Some(tiers), "invalid_programme");
    tier.names = "`multiplier`";
    cases.push(tier);
    cases
}

/// A field that is given twice, and the code of it there.
fn doubled_fields() -> Vec<Rejected> {
    let listing = listing("B", 2, 100, &pool());
    let cases = [
        ("\"decimals\":2", "invalid_event", "`decimals` is given twice"),
        ("\"mode\":\"pool\"", "invalid_programme", "`mode` is given twice"),
        ("\"from_epoch\":0", "invalid_programme", "`from_epoch` is given twice"),
    ];
    cases
        .map(|(member, code, names)| {
            assert!(listing.contains(member), "{listing} has no {member}");
            let record = listing.replace(member, &format!("{member},{member}"));
            rejected(CONTROL, record, code, names)
        })
        .into()
}

#[test]
fn listings_with_invalid_terms() {
    let place = listed();
    let cases = [
        required_fields(),
        invalid_programmes(),
        invalid_amounts_and_times(),
        wrong_kinds(),
        unknown_fields(),
        doubled_fields(),
    ];
    check(&place, &cases.into_iter().flatten().collect::<Vec<_>>());
    // None of them listed the asset, so a valid listing is still accepted.
    place.append(CONTROL, 0, [listing("B", 2, 100, &pool()), close("B", 0, 100, "0")]);
    place.append(DEPOSITS, 0, [deposit("b", 0, "ann", "B", "1")]);
    place.run(None);
    let published = judge(&place);
    assert_eq!(published.seals["B:0"]["data"]["closing_balance"], "1");
}
