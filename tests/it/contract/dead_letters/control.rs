//! Control events other than listings: closes, rewards of validators, and accepted losses.

use serde_json::{Value, json};

use super::{CONTROL, DEPOSITS, Rejected, altered, check, rejected};
use crate::common::Place;
use crate::common::events::{close, deposit, event, listing, loss, pool};

fn close_of(asset: &str, epoch: Value, ms: i64) -> String {
    let data = json!({"asset": asset, "epoch": epoch});
    event("c", "softstake.epoch_close.v1", ms, &data)
}

fn reward_of(asset: &str) -> String {
    let data = json!({"asset": asset, "amount": "1", "validator": "v"});
    event("r", "softstake.validator_reward.v1", 0, &data)
}

fn closes() -> Vec<Rejected> {
    let case = |record: String, code, names| rejected(CONTROL, record, code, names);
    let mut cases = vec![
        case(close_of("NONE", json!(0), 100_000), "unknown_asset", "`asset`"),
        case(close_of("A", json!(1), 200_000), "epoch_out_of_order", "`epoch`"),
        case(close_of("A", json!(0), 99_999), "epoch_not_over", "`time`"),
        case(close_of("A", json!("0"), 100_000), "invalid_event", "`epoch`"),
        case(close_of("A", json!(-1), 100_000), "invalid_event", "`epoch`"),
        case(close_of("A", json!(0.5), 100_000), "invalid_event", "`epoch`"),
        case(close_of("A", json!(null), 100_000), "invalid_event", "`epoch`"),
        case(close_of("A:", json!(0), 100_000), "invalid_event", "`asset`"),
        case(close_of("a", json!(0), 100_000), "unknown_asset", "`asset`"),
        case(
            altered(&close_of("A", json!(0), 100_000), "/data/reward_pol", Some(json!("1"))),
            "invalid_event",
            "`reward_pool`",
        ),
        case(
            close_of("A", json!(0), 100_000).replace("\"epoch\":0", "\"epoch\":0,\"epoch\":0"),
            "invalid_event",
            "`epoch` is given twice",
        ),
        case(
            altered(&close_of("A", json!(0), 0), "/time", Some(json!("soon"))),
            "invalid_time",
            "`time`",
        ),
    ];
    for pool in [
        json!("-1"),
        json!(""),
        json!(0),
        json!(null),
        json!("0.001"),
        json!("1e30"),
    ] {
        let record = altered(&close_of("A", json!(0), 100_000), "/data/reward_pool", Some(pool));
        cases.push(case(record, "invalid_amount", "`reward_pool`"));
    }
    cases
}

fn rewards() -> Vec<Rejected> {
    let mut cases = vec![rejected(CONTROL, reward_of("NONE"), "unknown_asset", "`asset`")];
    for (field, value, code, names) in [
        ("validator", None, "invalid_event", "`validator`"),
        ("validator", Some(json!(null)), "invalid_event", "`validator`"),
        ("note", Some(json!("x")), "invalid_event", "`note`"),
        ("amount", Some(json!("0")), "invalid_amount", "`amount`"),
        ("amount", Some(json!("0.001")), "invalid_amount", "`amount`"),
    ] {
        let record = altered(&reward_of("A"), &format!("/data/{field}"), value);
        cases.push(rejected(CONTROL, record, code, names));
    }
    cases
}

fn losses() -> Vec<Rejected> {
    let right = loss("l", DEPOSITS, 0, 1, 2);
    let mut cases = Vec::new();
    for field in ["topic", "partition", "from_offset", "to_offset", "by", "reason"] {
        let record = altered(&right, &format!("/data/{field}"), None);
        cases.push(rejected(CONTROL, record, "invalid_event", format!("`{field}`").leak()));
    }
    for (field, value, names) in [
        ("topic", json!("softstake.control"), "`topic`"),
        ("topic", json!("exchange.depositz"), "`topic`"),
        ("partition", json!(7), "`partition`"),
        ("partition", json!(-1), "`partition`"),
        ("partition", json!(4_294_967_296_u64), "`partition`"),
        ("from_offset", json!("1"), "`from_offset`"),
        ("to_offset", json!(1), "`to_offset`"),
        ("by", json!(" "), "`by`"),
        ("reason", json!(""), "`reason`"),
    ] {
        let record = altered(&right, &format!("/data/{field}"), Some(value));
        cases.push(rejected(CONTROL, record, "invalid_event", names));
    }
    cases
}

#[test]
fn control_events_that_are_invalid_or_come_too_early_or_too_late() {
    let place = Place::new();
    place.append(DEPOSITS, 0, [deposit("early", 1000, "ann", "LATE", "1")]);
    place.run(None);
    place.append(CONTROL, 0, [listing("A", 2, 100, &pool())]);
    let late_listing = listing("LATE", 2, 100, &pool());
    let mut cases = vec![rejected(CONTROL, late_listing, "listing_too_late", "`anchor`")];
    cases.extend(closes());
    cases.extend(rewards());
    cases.extend(losses());
    check(&place, &cases);
    place.append(CONTROL, 0, [close("A", 0, 100, "0.00")]);
    let again = close_of("A", json!(0), 100_000);
    check(&place, &[rejected(CONTROL, again, "epoch_already_closed", "`epoch`")]);
}
