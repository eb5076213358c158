//! An explanation shows the records of its account, and nothing of others.

use serde_json::json;

use super::calculation::calculated;
use super::{explain, explained, list};
use crate::common::events::{close, deposit, event, listing, pool};
use crate::common::records::text;
use crate::common::{Place, succeed};

/// A trade of 1 A for 2 B; the fees are paid in A.
fn trade(id: &str, buyer: &str, seller: &str, seller_fee: &str) -> String {
    let fee = |amount: &str| json!({"asset": "A", "amount": amount});
    let data = json!({
        "base_asset": "A", "quote_asset": "B", "price": "2", "quantity": "1",
        "buyer": {"account": buyer, "fee": fee("0.01")}, "seller": {"account": seller, "fee": fee(seller_fee)},
    });
    event(id, "exchange.trade.v1", 20_000, &data)
}

/// Records of others, written so that a search for text would find ann in each of them.
fn others_that_look_like_anns() -> Vec<String> {
    let escaped = |record: String| record.replace("/test", "\\/test");
    let data = |account: &str, reason: &str| json!({"account": account, "asset": "A", "delta": "1", "reason": reason});
    let twice = deposit("other-twice", 0, "ben", "NONE", "1");
    vec![
        escaped(deposit("other-ignored", 0, "ben", "NONE", "1")),
        escaped(deposit("other-rejected", 0, "carl", "A", "-5")),
        event("other-reason", "exchange.balance_adjustment.v1", 0, &data("ben", "ann")),
        event(
            "other-reason-rejected",
            "exchange.balance_adjustment.v1",
            0,
            &data("", "ann"),
        ),
        event(
            "other-extra",
            "exchange.deposit.v1",
            0,
            &json!({"account": "ben", "to_account": "ann", "asset": "NONE", "amount": "1"}),
        ),
        deposit("ann", 0, "ben", "NONE", "1").replace("\"/test\"", "\"other-source\""),
        twice.replace("\"account\":\"ben\"", "\"account\":\"ben\",\"account\":\"ann\""),
        r#"{"other-broken":"ann","#.into(),
        r#"["other-list","ann"]"#.into(),
        "other-text \"ann\"".into(),
    ]
}

#[test]
fn records_of_others_are_never_shown() {
    let place = Place::new();
    place.append("softstake.control", 0, [listing("A", 2, 100, &pool())]);
    place.append("exchange.deposits", 0, others_that_look_like_anns());
    let own = [
        deposit("own", 0, "ann", "A", "10"),
        // Written with an escape.
        deposit("own-escaped", 0, "ann", "A", "1").replace("\"ann\"", "\"\\u0061nn\""),
        deposit("own-rejected", 0, "ann", "A", "-5"),
        event("own-unknown", "exchange.airdrop.v1", 0, &json!({"account": "ann"})),
        event(
            "own-moved",
            "exchange.transfer.v1",
            10_000,
            &json!({"from_account": "ann", "to_account": "other-receiver", "asset": "A", "amount": "1"}),
        ),
        trade("own-trade", "ann", "other-seller", "0.02"),
        trade("own-bad-trade", "ann", "other-seller", "0.001"),
        trade("own-sold", "other-buyer", "ann", "0.02"),
        trade("own-bad-sale", "other-buyer", "ann", "0.001"),
    ];
    place.append("exchange.trades", 0, own);
    place.append("softstake.control", 0, [close("A", 0, 100, "2")]);
    place.run(None);
    let full = explained(&mut explain(&place.bus(), "A", "0", "ann"));
    calculated(&full);
    let ids =
        |field: &str, id: &str| -> Vec<String> { list(&full[field]).map(|one| text(&one[id]).to_owned()).collect() };
    assert_eq!(
        ids("changes", "event_id"),
        [
            "own",
            "own-escaped",
            "own-moved",
            "own-trade",
            "own-trade",
            "own-sold",
            "own-sold"
        ]
    );
    assert_eq!(
        ids("others", "event_id"),
        ["own-rejected", "own-unknown", "own-bad-trade", "own-bad-sale"]
    );
    // Of a trade, only the own side.
    let deltas: Vec<&str> = list(&full["changes"])
        .map(|change| text(&change["delta"]["amount"]))
        .collect();
    assert_eq!(deltas, ["10", "1", "-1", "1", "-0.01", "-1", "-0.02"]);
    let reasons = ids("others", "reason");
    assert_eq!(reasons[2], "a field of the other side of this event is wrong");
    assert!(reasons[3].starts_with("`seller.fee.amount`"), "{reasons:?}");
    for arguments in [&["--json"][..], &[], &["--for", "customer"]] {
        let said = succeed(explain(&place.bus(), "A", "0", "ann").args(arguments));
        let said = String::from_utf8(said.stdout).expect("text");
        for name in ["other-", "ben", "carl", "seller.fee"] {
            let is_own_reason = name == "seller.fee" && arguments != ["--for", "customer"];
            assert!(is_own_reason || !said.contains(name), "{name} is in\n{said}");
        }
    }
}
