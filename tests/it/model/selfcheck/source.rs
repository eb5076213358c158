//! Source records: which are applied, dropped or rejected.

use serde_json::{Value, json};

use super::{Bus, codes, event, fields, list, text_of};

#[test]
fn duplicates_are_recognised_within_the_dedup_window() {
    let bus = Bus::new();
    let mut daily = list("A", &json!({"mode": "pool"}));
    daily["epoch_seconds"] = json!(86_400);
    bus.control("list-A", "softstake.asset.v1", "00:00", &daily);
    bus.deposit("d-0", "01T00:00:10", "ann", "1");
    bus.deposit("d-0", "01T00:00:10", "ann", "1"); // identical
    bus.line(
        "exchange.deposits",
        r#"{"data":{"amount":"\u0031","asset":"A","account":"ann"},"type":"exchange.deposit.v1","time":"2026-11-01T00:00:10Z","source":"/test","id":"d-0","specversion":"1.0","x":1}"#,
    ); // identical as JSON values
    bus.deposit("d-0", "01T00:00:10", "ann", "2"); // 3: differs
    bus.line(
        "exchange.deposits",
        &event("d-0", "no.such.type", "01T00:00:10", &json!({})),
    ); // 4: differs, which is found before its type is judged
    bus.deposit("d-1", "01T00:00:10", "ann", "0.001"); // 5: rejected, so not in the dedup index
    bus.deposit("d-1", "01T00:00:10", "ann", "0.01"); // 6: the same id, applied
    bus.deposit("d-0", "01T00:00:10", "ann", "1"); // 7: two days behind, within the window
    bus.deposit("d-0", "01T00:00:10", "ann", "1"); // 8: three days behind, too old
    bus.deposit("d-0", "10T00:00:10", "ann", "7"); // 9: the id has expired, so another event may use it
    bus.deposit("d-0", "10T00:00:10", "ann", "7"); // 10: identical
    for (epoch, cut) in [7, 7, 8].into_iter().enumerate() {
        bus.close(u32::try_from(epoch).unwrap_or(u32::MAX), "0", cut);
    }
    let outputs = bus.expected();
    assert_eq!(
        codes(&outputs, "exchange.deposits"),
        [
            "3 conflicting_duplicate",
            "4 conflicting_duplicate",
            "5 invalid_amount",
            "8 too_old"
        ]
    );
    assert!(outputs.late_postings.is_empty());
    assert_eq!(text_of(&outputs.seals["A:2"]["data"]["closing_balance"]), "1.01");
}

/// A record, and the code of its rejection.
type Case = (String, &'static str);

fn deposit(account: &str, amount: &str) -> Value {
    json!({"account": account, "asset": "A", "amount": amount})
}

fn typed(kind: &str, data: &Value) -> String {
    event("e", kind, "00:10", data)
}

fn deposited(data: &Value) -> String {
    typed("exchange.deposit.v1", data)
}

/// A valid deposit with one piece of its text replaced.
fn changed(from: &str, to: &str) -> String {
    let record = deposited(&deposit("ann", "1"));
    assert!(record.contains(from), "{record} has no {from}");
    record.replace(from, to)
}

fn timed(time: &str) -> String {
    changed("\"2026-11-01T00:00:10Z\"", time)
}

fn with(data: &Value, name: &str, value: Value) -> Value {
    let mut data = data.clone();
    data[name] = value;
    data
}

fn envelopes() -> Vec<Case> {
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    vec![
        ("oops".to_owned(), "invalid_json"),
        ("{} {}".to_owned(), "invalid_json"),
        ("{\"a\":\"\u{1}\"}".to_owned(), "invalid_json"),
        ("[01]".to_owned(), "invalid_json"),
        ("[1]".to_owned(), "invalid_event"),
        (nested, "invalid_event"),
        (changed("\"1.0\"", "\"1.1\""), "invalid_event"),
        (changed("\"/test\"", "\"\""), "invalid_event"),
        (changed("\"/test\"", "\"\\ud800\""), "invalid_event"),
        (changed("{\"data\"", "{\"id\":\"f\",\"data\""), "invalid_event"),
        (changed("\"time\"", "\"tome\""), "invalid_event"),
        (typed("exchange.deposit.v2", &json!({})), "unsupported_type"),
        (typed("softstake.epoch_close.v1", &json!({})), "wrong_topic"),
        (timed("\"2026-11-01\""), "invalid_time"),
        (timed("\"\\ud800\""), "invalid_time"),
        (timed("null"), "invalid_time"),
        (timed("\"2027-12-06T00:01:00Z\""), "too_far_ahead"),
    ]
}

fn fields_of_deposits() -> Vec<Case> {
    let ann = deposit("ann", "1");
    vec![
        (deposited(&json!({"account": "ann", "asset": "A"})), "invalid_event"),
        (deposited(&deposit("", "1")), "invalid_event"),
        (deposited(&deposit("a\u{200b}", "1")), "invalid_event"),
        (deposited(&deposit(&"ä".repeat(65), "1")), "invalid_event"),
        (deposited(&with(&ann, "asset", json!("ATOM:1"))), "invalid_event"),
        (deposited(&with(&ann, "asset", json!("AT\u{a0}OM"))), "invalid_event"),
        (deposited(&with(&ann, "asset", json!("币".repeat(11)))), "invalid_event"),
        (
            changed("\"account\"", "\"account\":\"ann\",\"account\""),
            "invalid_event",
        ),
        (deposited(&with(&ann, "amount", json!(1))), "invalid_amount"),
        (deposited(&with(&ann, "amount", json!(null))), "invalid_amount"),
        (deposited(&deposit("ann", "0.00")), "invalid_amount"),
        (deposited(&deposit("ann", "-1")), "invalid_amount"),
        (deposited(&deposit("ann", "1.")), "invalid_amount"),
        (deposited(&deposit("ann", "1e2")), "invalid_amount"),
        (deposited(&deposit("ann", "1.001")), "invalid_amount"),
        (
            deposited(&deposit("ann", "10000000000000000000000000000.01")),
            "invalid_amount",
        ),
    ]
}

fn fields_of_other_types() -> Vec<Case> {
    let trade = |price: &str, quantity: &str| {
        let data = json!({"base_asset": "X", "quote_asset": "A", "price": price, "quantity": quantity,
            "buyer": {"account": "ann"}, "seller": {"account": "ben"}});
        typed("exchange.trade.v1", &data)
    };
    let sided = |buyer: Value, seller: Value| {
        let data = json!({"base_asset": "X", "quote_asset": "A", "price": "1", "quantity": "1", "buyer": buyer, "seller": seller});
        typed("exchange.trade.v1", &data)
    };
    let withdrawal = |amount: &str, fee: Value| {
        let data = with(&deposit("ann", amount), "fee", fee);
        typed("exchange.withdrawal.v1", &data)
    };
    let adjustment = json!({"account": "ann", "asset": "A", "delta": "--1", "reason": "x"});
    let status = json!({"account": "ann", "status": "away"});
    vec![
        (withdrawal("1", json!("null")), "invalid_event"),
        (
            withdrawal("1", json!({"asset": "A", "amount": "+-1"})),
            "invalid_amount",
        ),
        (sided(json!(null), json!(null)), "invalid_event"),
        (sided(json!("ann"), json!(null)), "invalid_event"),
        (trade("0.01", "0.5"), "invalid_amount"),
        (trade("-0", "1"), "invalid_amount"),
        (trade("1", &format!("1.{}1", "0".repeat(76))), "invalid_amount"),
        (typed("exchange.balance_adjustment.v1", &adjustment), "invalid_amount"),
        (typed("exchange.account_status.v1", &status), "invalid_event"),
        // The fee is of an asset that is not listed, so it is ignored. The amount is still invalid.
        (
            withdrawal("0.001", json!({"asset": "X", "amount": "0.001"})),
            "invalid_amount",
        ),
    ]
}

#[test]
fn source_records_are_rejected_by_the_first_failed_check() {
    let cases: Vec<Case> = [envelopes(), fields_of_deposits(), fields_of_other_types()]
        .into_iter()
        .flatten()
        .collect();
    let bus = Bus::listing(&json!({"mode": "pool"}));
    for (line, _) in &cases {
        bus.line("exchange.deposits", line);
    }
    bus.write("exchange.deposits", "0.jsonl", b"\xff\n \t\r\n\n{\"not\":\"there yet");
    let outputs = bus.expected();
    let mut wanted: Vec<String> = cases
        .iter()
        .enumerate()
        .map(|(offset, (_, code))| format!("{offset} {code}"))
        .collect();
    wanted.push(format!("{} invalid_json", cases.len()));
    assert_eq!(codes(&outputs, "exchange.deposits"), wanted);
    let not_utf8 = &outputs.dead_letters[&format!("exchange.deposits:0:{}", cases.len())]["data"];
    assert_eq!(
        (not_utf8.get("payload"), text_of(&not_utf8["payload_base64"])),
        (None, "/w==".to_owned())
    );
    assert_eq!(
        text_of(&outputs.dead_letters["exchange.deposits:0:0"]["data"]["payload"]),
        "oops"
    );
}

#[test]
fn valid_source_records_are_applied() {
    let bus = Bus::listing(&json!({"mode": "pool"}));
    bus.deposit("d-0", "06:40", "ann", "0001.010"); // leading and trailing zeros are valid
    let far = event(
        "d-1",
        "exchange.deposit.v1",
        "00:10",
        &json!({"account": "ann", "asset": "A", "amount": "1"}),
    )
    .replace("2026-11-01T00:00:10Z", "2027-12-06T00:00:59.9999+00:00"); // 400 days ahead is not too far
    bus.line("exchange.deposits", &far);
    let data = json!({"account": "ann", "asset": "A", "amount": "10000000000000000000000000000", "x": {"y": []}});
    bus.line(
        "exchange.deposits",
        &event("d-2", "exchange.opening_balance.v1", "59:59", &data),
    );
    let data = json!({"base_asset": "A", "quote_asset": "X", "price": "1", "quantity": "1", "quote_quantity": "0.0001",
        "buyer": {"account": "ann"}, "seller": {"account": "ann"}});
    bus.line("exchange.deposits", &event("d-3", "exchange.trade.v1", "00:00", &data));
    bus.close(0, "0", 4);
    let outputs = bus.expected();
    assert_eq!(codes(&outputs, "exchange.deposits"), Vec::<String>::new());
    let names = ["closing_balance", "eligible_balance_seconds"];
    let seal = &outputs.seals["A:0"]["data"];
    assert_eq!(
        fields(seal, names),
        ["10000000000000000000000000000", "600000000000000000000000000000"]
    );
}
