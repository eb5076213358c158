//! Control records: which are rejected.

use serde_json::{Value, json};

use super::{Bus, codes, list, text_of};

/// Type and data of a control event, and the code of its rejection.
type Case = ((&'static str, Value), &'static str);

fn listing(asset: &str, programme: Value) -> (&'static str, Value) {
    ("softstake.asset.v1", list(asset, &programme))
}

fn close(asset: &str, epoch: Value) -> (&'static str, Value) {
    ("softstake.epoch_close.v1", json!({"asset": asset, "epoch": epoch}))
}

fn terms() -> Vec<Case> {
    let changed = |name: &str, value: Value| {
        let mut data = list("B", &json!({"mode": "pool"}));
        data[name] = value;
        ("softstake.asset.v1", data)
    };
    vec![
        (("exchange.deposit.v1", json!({})), "wrong_topic"),
        (("softstake.asset.v2", json!({})), "unsupported_type"),
        (changed("asset", json!("b:")), "invalid_event"),
        (changed("asset_name", json!("B")), "invalid_event"),
        (changed("decimals", json!(19)), "invalid_programme"),
        (changed("decimals", json!(-1)), "invalid_event"),
        (changed("decimals", json!("2")), "invalid_event"),
        (changed("anchor", json!("today")), "invalid_time"),
        (changed("epoch_seconds", json!(59)), "invalid_programme"),
        (changed("epoch_seconds", json!(2_678_401)), "invalid_programme"),
        (changed("programme", json!([])), "invalid_event"),
        // The asset is listed already.
        (listing("A", json!({"mode": "pool"})), "invalid_programme"),
    ]
}

fn programmes() -> Vec<Case> {
    let of = |programme: Value| listing("B", programme);
    let pool = |name: &str, value: Value| {
        let mut programme = json!({"mode": "pool"});
        programme[name] = value;
        of(programme)
    };
    vec![
        (of(json!({})), "invalid_programme"),
        (of(json!({"mode": "lottery"})), "invalid_programme"),
        (pool("from_epoch", json!(1)), "invalid_programme"),
        (pool("apr", json!("0.1")), "invalid_programme"),
        (of(json!({"mode": "apr"})), "invalid_programme"),
        (of(json!({"mode": "apr", "apr": "1000.1"})), "invalid_programme"),
        (
            of(json!({"mode": "apr", "apr": "1", "commission_rate": "0.1"})),
            "invalid_programme",
        ),
        (pool("commission_rate", json!("1.1")), "invalid_programme"),
        (pool("commission_rate", json!(0.1)), "invalid_programme"),
        (
            pool("commission_rate", json!("0.0000000000000000001")),
            "invalid_programme",
        ),
        (pool("min_balance", json!("0.001")), "invalid_programme"),
        (pool("min_balance", json!(1)), "invalid_programme"),
        (pool("max_balance", json!("0")), "invalid_programme"),
        (
            of(json!({"mode": "pool", "max_balance": "1", "min_balance": "2"})),
            "invalid_programme",
        ),
        (pool("min_payout", json!(null)), "invalid_programme"),
        (pool("payout_decimals", json!(3)), "invalid_programme"),
        (pool("enrolment", json!("always")), "invalid_programme"),
        (pool("late_policy", json!("drop")), "invalid_programme"),
        (pool("comission_rate", json!("0.1")), "invalid_programme"),
    ]
}

fn tiers() -> Vec<Case> {
    let tiers = |tiers: Value| listing("B", json!({"mode": "pool", "tiers": tiers}));
    let same_bound = json!([
        {"up_to": "1", "multiplier": "1"}, {"up_to": "1", "multiplier": "1"}, {"up_to": null, "multiplier": "1"},
    ]);
    vec![
        (tiers(json!([])), "invalid_programme"),
        (tiers(json!({})), "invalid_programme"),
        (
            tiers(json!([{"up_to": null, "multiplier": "1", "name": "all"}])),
            "invalid_programme",
        ),
        (tiers(json!([{"up_to": "1", "multiplier": "1"}])), "invalid_programme"),
        (
            tiers(json!([{"up_to": null, "multiplier": "100.1"}])),
            "invalid_programme",
        ),
        (
            tiers(json!([{"up_to": null, "multiplier": "0.0000001"}])),
            "invalid_programme",
        ),
        (tiers(same_bound), "invalid_programme"),
    ]
}

fn closes_and_rewards() -> Vec<Case> {
    let close_with_pool = |pool: &str| {
        let data = json!({"asset": "A", "epoch": 0, "reward_pool": pool});
        ("softstake.epoch_close.v1", data)
    };
    let reward = |data: Value| ("softstake.validator_reward.v1", data);
    let reward_of = |asset: &str, amount: &str| reward(json!({"asset": asset, "amount": amount, "validator": "v"}));
    vec![
        (close("B", json!(0)), "unknown_asset"),
        (close("A", json!(1)), "epoch_out_of_order"),
        (close("A", json!("0")), "invalid_event"),
        (close_with_pool("-1"), "invalid_amount"),
        (close_with_pool("0.001"), "invalid_amount"),
        (close("A", json!(0)), "epoch_not_over"),
        (reward_of("A", "0"), "invalid_amount"),
        (reward_of("A", "0.001"), "invalid_amount"),
        (reward_of("B", "1"), "unknown_asset"),
        (reward(json!({"asset": "A", "amount": "1"})), "invalid_event"),
        (
            reward(json!({"asset": "B", "amount": "0", "validator": "v", "epoch": 0})),
            "invalid_event",
        ),
    ]
}

/// Control records after a close: another close of the epoch, and changes of the programme.
fn changes_after_a_close(bus: &Bus) {
    let change = |id: &str, data: &Value| bus.control(id, "softstake.asset.v1", "59:00", data);
    let from = |epoch: u32| list("A", &json!({"mode": "pool", "from_epoch": epoch}));
    bus.close(0, "0", 0);
    bus.control("e-1", "softstake.epoch_close.v1", "59:00", &close("A", json!(0)).1);
    change("e-2", &from(1));
    change("e-3", &from(3));
    change("e-4", &from(3));
    // A change may differ in the programme only.
    let mut other_length = from(4);
    other_length["epoch_seconds"] = json!(61);
    change("e-5", &other_length);
    change("e-3", &from(5));
}

#[test]
fn control_records_are_rejected_by_the_first_failed_check() {
    let cases: Vec<Case> = [terms(), programmes(), tiers(), closes_and_rewards()]
        .into_iter()
        .flatten()
        .collect();
    let bus = Bus::listing(&json!({"mode": "pool"}));
    for ((kind, data), _) in &cases {
        bus.control("c", kind, "00:59.999", data);
    }
    let mut wanted: Vec<String> = (1..)
        .zip(&cases)
        .map(|(offset, (_, code))| format!("{offset} {code}"))
        .collect();

    changes_after_a_close(&bus);
    let next = cases.len() + 2;
    for (after, code) in [
        (0, "epoch_already_closed"),
        (1, "invalid_programme"),
        (3, "invalid_programme"),
        (4, "invalid_programme"),
        (5, "conflicting_duplicate"),
    ] {
        wanted.push(format!("{} {code}", next + after));
    }
    bus.line("exchange.deposits", ""); // the partition in the cut
    assert_eq!(codes(&bus.expected(), "softstake.control"), wanted);
}

#[test]
fn a_listing_can_be_too_late() {
    let bus = Bus::listing(&json!({"mode": "pool"}));
    bus.deposit("d-0", "00:10", "ann", "1");
    let dead_letter = json!({"id": "softstake.control:0:0", "data": {"code": "listing_too_late"}});
    bus.line("softstake.dead-letters", &dead_letter.to_string());
    let mut later = list("A", &json!({"mode": "pool"}));
    later["anchor"] = json!("2026-11-01T00:01:00Z");
    bus.control("list-again", "softstake.asset.v1", "00:00", &later);
    bus.deposit("d-1", "01:00", "ann", "2");
    bus.close(0, "1", 2);
    let outputs = bus.expected();
    assert_eq!(codes(&outputs, "softstake.control"), ["0 listing_too_late"]);
    assert_eq!(text_of(&outputs.seals["A:0"]["data"]["closing_balance"]), "2");
}
