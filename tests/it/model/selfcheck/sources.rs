//! Source events: their postings, and the edges of their fields.

use num_bigint::BigInt;
use serde_json::{Value, json};

use crate::model::event::{CONTROL_TYPES, SOURCE_TYPES, Sort, SourceEvent, source_event};
use crate::model::parts::fields::Envelope;

/// The postings of an event as `account asset delta`, with two decimals, or the code of its rejection.
fn postings(kind: &str, data: &Value) -> Result<Vec<String>, &'static str> {
    let record = json!({
        "specversion": "1.0", "id": "x", "source": "/test", "type": kind, "time": "2026-11-01T00:00:00Z", "data": data,
    });
    read(kind, &record.to_string())
}

fn read(kind: &str, record: &str) -> Result<Vec<String>, &'static str> {
    let envelope = Envelope::read(record.as_bytes()).map_err(|rejection| rejection.code)?;
    match source_event(kind, envelope.data()).map_err(|rejection| rejection.code)? {
        SourceEvent::Postings(postings) => postings
            .iter()
            .map(|posting| {
                let delta: BigInt = posting.delta(2).map_err(|rejection| rejection.code)?;
                let sort = if posting.sort == Sort::Balance {
                    String::new()
                } else {
                    format!(" {:?}", posting.sort)
                };
                Ok(format!("{} {} {delta}{sort}", posting.account, posting.asset))
            })
            .collect(),
        SourceEvent::Status { account, asset, status } => Ok(vec![format!("{account} {asset:?} {status:?}")]),
    }
}

#[test]
fn each_type_has_its_postings() {
    let amount = json!({"account": "ann", "asset": "A", "amount": "1.5"});
    let delta = json!({"account": "ann", "asset": "A", "delta": "-1.5", "reason": ""});
    let withdrawal = json!({"account": "ann", "asset": "A", "amount": "1", "fee": {"asset": "B", "amount": "-0.5"}});
    let transfer = json!({"from_account": "ann", "to_account": "ben", "asset": "A", "amount": "2"});
    let status = json!({"account": "ann", "status": "opted_out", "asset": "A"});
    let cases = [
        ("exchange.deposit.v1", &amount, vec!["ann A 150"]),
        ("exchange.opening_balance.v1", &amount, vec!["ann A 150 Opening"]),
        ("exchange.withdrawal.v1", &withdrawal, vec!["ann A -100", "ann B 50"]),
        ("exchange.transfer.v1", &transfer, vec!["ann A -200", "ben A 200"]),
        ("exchange.balance_adjustment.v1", &delta, vec!["ann A -150"]),
        ("exchange.reward_adjustment.v1", &delta, vec!["ann A -150 Reward"]),
        ("exchange.account_status.v1", &status, vec!["ann Some(\"A\") OptedOut"]),
    ];
    for (kind, data, wanted) in &cases {
        assert_eq!(
            postings(kind, data),
            Ok(wanted.iter().map(ToString::to_string).collect()),
            "{kind}"
        );
    }
    let tabled: Vec<&str> = cases
        .iter()
        .map(|(kind, _, _)| *kind)
        .chain(["exchange.trade.v1"])
        .collect();
    assert!(SOURCE_TYPES.iter().all(|kind| tabled.contains(kind)));
    assert!(CONTROL_TYPES.iter().all(|kind| !SOURCE_TYPES.contains(kind)));
}

#[test]
fn the_postings_of_a_trade_are_in_the_order_of_the_contract() {
    let trade = |changes: Value| {
        let mut data = json!({
            "base_asset": "A", "quote_asset": "B", "price": "2", "quantity": "3",
            "buyer": {"account": "ann", "fee": {"asset": "C", "amount": "1"}},
            "seller": {"account": "ben", "fee": {"asset": "D", "amount": "1"}},
        });
        data.as_object_mut()
            .expect("an object")
            .extend(changes.as_object().expect("an object").clone());
        postings("exchange.trade.v1", &data)
    };
    let lines = |text: &str| Ok(text.split(", ").map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(
        trade(json!({})),
        lines("ann A 300, ann B -600, ben A -300, ben B 600, ann C -100, ben D -100")
    );
    assert_eq!(
        trade(json!({"seller": null})),
        lines("ann A 300, ann B -600, ann C -100")
    );
    assert_eq!(
        trade(json!({"buyer": null})),
        lines("ben A -300, ben B 600, ben D -100")
    );
    assert_eq!(
        trade(json!({"quote_quantity": "5.5"})),
        lines("ann A 300, ann B -550, ben A -300, ben B 550, ann C -100, ben D -100")
    );
    assert_eq!(
        trade(json!({"price": "0"})),
        lines("ann A 300, ben A -300, ann C -100, ben D -100")
    );
    assert_eq!(trade(json!({"buyer": null, "seller": null})), Err("invalid_event"));
    assert_eq!(trade(json!({"price": null})), Err("invalid_amount"));
    assert_eq!(trade(json!({"price": "0.001"})), Err("invalid_amount"));
    assert_eq!(trade(json!({"quote_quantity": null})), Err("invalid_amount"));
    assert_eq!(trade(json!({"quantity": "0"})), Err("invalid_amount"));
    assert_eq!(
        trade(json!({"seller": {"account": "ben", "fee": 1}})),
        Err("invalid_event")
    );
    assert_eq!(
        trade(json!({"seller": {"account": "ben", "fee": {"asset": "A", "amount": "--1"}}})),
        Err("invalid_amount")
    );
    // Of 77 significant digits, the product is not worked out.
    assert_eq!(
        trade(json!({"price": format!("{}1", "1".repeat(76))})),
        Err("invalid_amount")
    );
}

#[test]
fn a_known_field_given_twice_is_refused_and_an_unknown_one_is_not() {
    let record = |data: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"x","source":"/t","type":"t","time":"2026-11-01T00:00:00Z","data":{data}}}"#
        )
    };
    let deposit = |data: &str| read("exchange.deposit.v1", &record(data));
    assert!(deposit(r#"{"account":"a","asset":"A","amount":"1","memo":1,"memo":2}"#).is_ok());
    assert_eq!(
        deposit(r#"{"account":"a","asset":"A","amount":"1","amount":"1"}"#),
        Err("invalid_event")
    );
    assert_eq!(
        read(
            "exchange.withdrawal.v1",
            &record(r#"{"account":"a","asset":"A","amount":"1","fee":{"asset":"A","asset":"A","amount":"1"}}"#)
        ),
        Err("invalid_event")
    );
}

#[test]
fn amounts_end_at_ten_to_the_thirtieth_unit() {
    let deposit = |amount: &str| {
        postings(
            "exchange.deposit.v1",
            &json!({"account": "a", "asset": "A", "amount": amount}),
        )
        .map(|lines| lines.len())
    };
    let most = format!("1{}", "0".repeat(28));
    assert_eq!(deposit(&most), Ok(1));
    assert_eq!(deposit(&format!("{most}.00")), Ok(1));
    assert_eq!(deposit(&format!("{most}.01")), Err("invalid_amount"));
    for wrong in ["0", "-1", "+1", "1.", ".1", "1e2", "", " 1"] {
        assert_eq!(deposit(wrong), Err("invalid_amount"), "{wrong:?}");
    }
}
