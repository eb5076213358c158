//! Every spelling of an amount, a time or a name: which are accepted, with which value, and which are rejected.

use serde_json::json;

use super::{CONTROL, DEPOSITS, check, deposit_with, listed, rejected};
use crate::common::Place;
use crate::common::events::{close, deposit, event, listing, time};
use crate::judge::judge;

/// Spellings of one field as JSON, each with its outcome: the canonical value, or `!` and the code of the rejection.
/// An empty outcome means that the record is accepted and nothing is paid.
type Spellings = [(&'static str, &'static str)];

/// Checks the outcome of every spelling. Each has its own account, so that the distribution shows how it was
/// understood.
fn check_spellings(
    place: &Place,
    record: impl Fn(&str, &str) -> String,
    spellings: &Spellings,
    names: &'static str,
    value: &str,
) {
    let mut cases = Vec::new();
    for (index, (spelling, outcome)) in spellings.iter().enumerate() {
        let line = record(&format!("n{index:03}"), spelling);
        match outcome.strip_prefix('!') {
            Some(code) => cases.push(rejected(DEPOSITS, line, code, names)),
            None => place.append(DEPOSITS, 0, [line]),
        }
    }
    check(place, &cases);
    place.append(CONTROL, 0, [close("A", 0, 2_678_400, "0")]);
    place.run(None);
    let published = judge(place);
    for (index, (spelling, outcome)) in spellings.iter().enumerate() {
        let paid = published
            .distributions
            .get(&format!("A:0:n{index:03}"))
            .map(|record| record["data"][value].as_str().expect("text"));
        let wanted = (!outcome.starts_with('!') && !outcome.is_empty()).then_some(*outcome);
        assert_eq!(paid, wanted, "{spelling}");
    }
}

/// A bus on which asset A has epochs of 31 days and so high a rate that a single unit earns something.
fn high_rate(decimals: u32) -> Place {
    let place = Place::new();
    place.append(
        CONTROL,
        0,
        [listing(
            "A",
            decimals,
            2_678_400,
            &json!({"from_epoch": 0, "mode": "apr", "apr": "1000"}),
        )],
    );
    place
}

#[test]
fn spellings_of_amounts() {
    let record =
        |account: &str, amount: &str| deposit(account, 0, account, "A", "AMOUNT").replace("\"AMOUNT\"", amount);
    let zeros = format!("\"{}1.5{}\"", "0".repeat(1000), "0".repeat(1000));
    let zeros: &'static str = Box::leak(zeros.into_boxed_str());
    let nines: &'static str = Box::leak(format!("\"{}\"", "9".repeat(1000)).into_boxed_str());
    check_spellings(
        &high_rate(6),
        record,
        &[
            (r#""1""#, "1"),
            (r#""1.0""#, "1"),
            (r#""0001.50""#, "1.5"),
            (r#""00.000001""#, "0.000001"),
            (r#""0.0000010000""#, "0.000001"),
            (r#""1.000000000000000000000000""#, "1"),
            (r#""\u0031\u002e\u0035""#, "1.5"),
            (zeros, "1.5"),
            (r#""1000000000000000000000000""#, "1000000000000000000000000"),
            (
                r#""999999999999999999999999.999999""#,
                "999999999999999999999999.999999",
            ),
            (r#""1000000000000000000000000.000000000""#, "1000000000000000000000000"),
            (r#""1000000000000000000000000.000001""#, "!invalid_amount"),
            (r#""1000000000000000000000001""#, "!invalid_amount"),
            (r#""340282366920938463463374607431768211456""#, "!invalid_amount"),
            (r#""340282366920938463463374607431768211457.5""#, "!invalid_amount"),
            (nines, "!invalid_amount"),
            (r#""0.0000001""#, "!invalid_amount"),
            (r#""1.0000005""#, "!invalid_amount"),
            (r#""0""#, "!invalid_amount"),
            (r#""0.0""#, "!invalid_amount"),
            (r#""000""#, "!invalid_amount"),
            (r#""""#, "!invalid_amount"),
            (r#""-1""#, "!invalid_amount"),
            (r#""+1""#, "!invalid_amount"),
            (r#""--1""#, "!invalid_amount"),
            (r#""-0""#, "!invalid_amount"),
            (r#"" 1""#, "!invalid_amount"),
            (r#""1 ""#, "!invalid_amount"),
            (r#""1\n""#, "!invalid_amount"),
            (r#""\t1""#, "!invalid_amount"),
            (r#""1\u0000""#, "!invalid_amount"),
            (r#""1 000""#, "!invalid_amount"),
            (r#""1,5""#, "!invalid_amount"),
            (r#""1,000.5""#, "!invalid_amount"),
            (r#""1_000""#, "!invalid_amount"),
            (r#""1'000""#, "!invalid_amount"),
            (r#"".5""#, "!invalid_amount"),
            (r#""5.""#, "!invalid_amount"),
            (r#"".""#, "!invalid_amount"),
            (r#""1.2.3""#, "!invalid_amount"),
            (r#""1..2""#, "!invalid_amount"),
            (r#""1.-2""#, "!invalid_amount"),
            (r#""1e3""#, "!invalid_amount"),
            (r#""1E-3""#, "!invalid_amount"),
            (r#""1.5e0""#, "!invalid_amount"),
            (r#""0x10""#, "!invalid_amount"),
            (r#""1f""#, "!invalid_amount"),
            (r#""NaN""#, "!invalid_amount"),
            (r#""Infinity""#, "!invalid_amount"),
            (r#""inf""#, "!invalid_amount"),
            (r#""null""#, "!invalid_amount"),
            (r#""１""#, "!invalid_amount"),
            (r#""١٢""#, "!invalid_amount"),
            (r#""1٫5""#, "!invalid_amount"),
            (r#""½""#, "!invalid_amount"),
            (r#""1\u200b""#, "!invalid_amount"),
            (r#""−1""#, "!invalid_amount"),
            (r#""1 A""#, "!invalid_amount"),
            (r#""$1""#, "!invalid_amount"),
            (r#""\ud800""#, "!invalid_amount"),
            ("1", "!invalid_amount"),
            ("1.5", "!invalid_amount"),
            ("1e400", "!invalid_amount"),
            ("-1", "!invalid_amount"),
            ("true", "!invalid_amount"),
            ("null", "!invalid_amount"),
            ("[]", "!invalid_amount"),
            (r#"["1"]"#, "!invalid_amount"),
            (r#"{"value":"1"}"#, "!invalid_amount"),
        ],
        "`amount`",
        "average_balance",
    );
}

#[test]
fn spellings_of_signed_amounts() {
    let record = |account: &str, delta: &str| {
        let data = json!({"account": account, "asset": "A", "delta": "DELTA", "reason": ""});
        event(account, "exchange.balance_adjustment.v1", 0, &data).replace("\"DELTA\"", delta)
    };
    check_spellings(
        &high_rate(2),
        record,
        &[
            (r#""1.5""#, "1.5"),
            (r#""+1.5""#, "1.5"),
            (r#""+0001.500""#, "1.5"),
            // Accepted; a negative balance is paid nothing.
            (r#""-1.5""#, ""),
            (r#""-10000000000000000000000000000""#, ""),
            (r#""-10000000000000000000000000000.01""#, "!invalid_amount"),
            (r#""0""#, "!invalid_amount"),
            (r#""-0""#, "!invalid_amount"),
            (r#""+0.00""#, "!invalid_amount"),
            (r#""+-1""#, "!invalid_amount"),
            (r#""--1""#, "!invalid_amount"),
            (r#""++1""#, "!invalid_amount"),
            (r#""- 1""#, "!invalid_amount"),
            (r#""1-""#, "!invalid_amount"),
            (r#""-""#, "!invalid_amount"),
            (r#""+""#, "!invalid_amount"),
            (r#""""#, "!invalid_amount"),
            (r#""-.5""#, "!invalid_amount"),
            (r#""(1)""#, "!invalid_amount"),
            (r#""−1""#, "!invalid_amount"),
            (r#""-0.001""#, "!invalid_amount"),
            ("-1", "!invalid_amount"),
            ("null", "!invalid_amount"),
        ],
        "`delta`",
        "average_balance",
    );
}

#[test]
fn spellings_of_times() {
    // The epoch begins on the first of November and has 2,678,400 seconds. The rest of it shows how the time was
    // understood.
    let record = |account: &str, spelling: &str| {
        deposit_with("/id", Some(json!(account)))
            .replace("ann", account)
            .replace(&format!("\"{}\"", time(1000)), spelling)
    };
    check_spellings(
        &high_rate(0),
        record,
        &[
            (r#""2026-11-01T00:00:00Z""#, "2678400"),
            (r#""2026-11-01t00:00:00z""#, "2678400"),
            (r#""2026-11-01T00:00:00+00:00""#, "2678400"),
            (r#""2026-11-01T00:00:00-00:00""#, "2678400"),
            (r#""2026-11-01T05:30:00+05:30""#, "2678400"),
            (r#""2026-10-31T00:01:00-23:59""#, "2678400"),
            (r#""2026-11-01T23:59:00+23:59""#, "2678400"),
            (r#""2026-11-01T00:00:00.0Z""#, "2678400"),
            (r#""2026-11-01T00:00:00.1Z""#, "2678399.9"),
            (r#""2026-11-01T00:00:00.001Z""#, "2678399.999"),
            (r#""2026-11-01T00:00:00.0019999999999999999999Z""#, "2678399.999"),
            (r#""2026-11-01T00:00:00.000999Z""#, "2678400"),
            (r#""\u0032026-11-01T00:00:00Z""#, "2678400"),
            // A leap second is the midnight that follows it, here and in a zone an hour ahead.
            (r#""2026-11-30T23:59:60Z""#, "86400"),
            (r#""2026-12-01T00:59:60+01:00""#, "86400"),
            (r#""2026-11-30T23:59:60.5Z""#, "86399.5"),
            // Before the anchor: accepted and ignored.
            (r#""2024-02-29T00:00:00Z""#, ""),
            (r#""2000-02-29T00:00:00Z""#, ""),
            (r#""0000-01-01T00:00:00Z""#, ""),
            (r#""2016-12-31T23:59:60Z""#, ""),
            (r#""2026-10-31T23:59:59.999999Z""#, ""),
            (r#""2023-02-29T00:00:00Z""#, "!invalid_time"),
            (r#""1900-02-29T00:00:00Z""#, "!invalid_time"),
            (r#""2026-11-31T00:00:00Z""#, "!invalid_time"),
            (r#""2026-00-01T00:00:00Z""#, "!invalid_time"),
            (r#""2026-13-01T00:00:00Z""#, "!invalid_time"),
            (r#""2026-11-00T00:00:00Z""#, "!invalid_time"),
            (r#""2026-11-01T24:00:00Z""#, "!invalid_time"),
            (r#""2026-11-01T00:60:00Z""#, "!invalid_time"),
            (r#""2026-11-01T00:00:60Z""#, "!invalid_time"),
            (r#""2026-11-01T23:59:60Z""#, "!invalid_time"),
            (r#""2026-11-30T23:59:60+01:00""#, "!invalid_time"),
            (r#""2026-11-30T23:59:61Z""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00""#, "!invalid_time"),
            (r#""2026-11-01T00:00Z""#, "!invalid_time"),
            (r#""2026-11-01""#, "!invalid_time"),
            (r#""2026-11-01 00:00:00Z""#, "!invalid_time"),
            (r#""2026-11-01_00:00:00Z""#, "!invalid_time"),
            (r#""20261101T000000Z""#, "!invalid_time"),
            (r#""2026-W44-7T00:00:00Z""#, "!invalid_time"),
            (r#""2026-305T00:00:00Z""#, "!invalid_time"),
            (r#""26-11-01T00:00:00Z""#, "!invalid_time"),
            (r#""12026-11-01T00:00:00Z""#, "!invalid_time"),
            (r#""+2026-11-01T00:00:00Z""#, "!invalid_time"),
            (r#""-2026-11-01T00:00:00Z""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00.Z""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00,5Z""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00+0000""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00+00""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00+24:00""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00+00:60""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00 Z""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00UTC""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00Z[UTC]""#, "!invalid_time"),
            (r#"" 2026-11-01T00:00:00Z""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00Z\n""#, "!invalid_time"),
            (r#""２026-11-01T00:00:00Z""#, "!invalid_time"),
            (r#""Sun, 01 Nov 2026 00:00:00 GMT""#, "!invalid_time"),
            (r#""1793491200""#, "!invalid_time"),
            (r#""now""#, "!invalid_time"),
            (r#""""#, "!invalid_time"),
            ("1793491200", "!invalid_time"),
            ("null", "!invalid_time"),
            ("{}", "!invalid_time"),
        ],
        "`time`",
        "balance_seconds",
    );
}

/// Spellings of account names as JSON, and whether they are valid.
fn account_names() -> Vec<(String, bool)> {
    let longest = "a".repeat(128);
    let sixty_four = "é".repeat(64);
    vec![
        (json!(longest).to_string(), true),
        (json!(format!("{longest}a")).to_string(), false),
        (json!(sixty_four).to_string(), true),
        (json!(format!("{sixty_four}a")).to_string(), false),
        (r#""a b""#.into(), true),
        (r#"" ""#.into(), true),
        (r#""名前 🦀""#.into(), true),
        (r#""e\u0301""#.into(), true),
        (r#""\ud83e\udd80""#.into(), true),
        (r#""..\/..""#.into(), true),
        (r#""\"\\|:{}[],\u0027""#.into(), true),
        (r#""\u00a0""#.into(), true),
        (r#""\ufffd\uffff""#.into(), true),
        (r#""""#.into(), false),
        (r#""a\u0000b""#.into(), false),
        (r#""a\u001b[31mb""#.into(), false),
        (r#""a\nb""#.into(), false),
        (r#""a\tb""#.into(), false),
        (r#""a\u007fb""#.into(), false),
        (r#""a\u0085b""#.into(), false),
        (r#""a\u009bb""#.into(), false),
        (r#""a\u00adb""#.into(), false),
        (r#""a\u200bb""#.into(), false),
        (r#""a\u200db""#.into(), false),
        (r#""a\u200eb""#.into(), false),
        (r#""a\u2028b""#.into(), false),
        (r#""a\u2029b""#.into(), false),
        (r#""a\u202eb""#.into(), false),
        (r#""a\u2066b""#.into(), false),
        (r#""\ufeffa""#.into(), false),
        (r#""a\udb40\udc41""#.into(), false),
        (r#""\ud800""#.into(), false),
        (r#""\udc00\ud800""#.into(), false),
        (r#""\ud83ea""#.into(), false),
    ]
}

#[test]
fn spellings_of_names() {
    let place = listed();
    let mut cases = Vec::new();
    let mut accepted = Vec::new();
    for (spelling, valid) in &account_names() {
        let line = deposit_with("/id", Some(json!(spelling))).replace("\"ann\"", spelling);
        if *valid {
            accepted.push(serde_json::from_str::<String>(spelling).expect("a string"));
            place.append(DEPOSITS, 0, [line]);
        } else {
            cases.push(rejected(DEPOSITS, line, "invalid_event", "`account`"));
        }
    }
    // A valid name of an asset that is not listed: the event is ignored.
    let longest = "a".repeat(32);
    for asset in [
        "A1",
        "0",
        "USDe",
        "DOT.S",
        "币安人生",
        "a",
        "A-B",
        "A/B",
        "-",
        "=1+1",
        "Å",
        "Ａ",
        "A\u{301}",
        "A|B",
        &longest,
    ] {
        place.append(DEPOSITS, 0, [deposit_with("/data/asset", Some(json!(asset)))]);
    }
    for asset in [
        "",
        "A B",
        " A",
        "A:B",
        ":",
        "A\n",
        "A\u{0}",
        "A\u{85}",
        "A\u{a0}",
        "A\u{1680}",
        "\u{2003}A",
        "A\u{2028}",
        "A\u{3000}",
        "A\u{ad}",
        "A\u{200b}",
        "\u{202e}A",
        &"a".repeat(33),
        &"币".repeat(11),
    ] {
        cases.push(rejected(
            DEPOSITS,
            deposit_with("/data/asset", Some(json!(asset))),
            "invalid_event",
            "`asset`",
        ));
    }
    check(&place, &cases);
    // Each account holds one A and is paid under the same name.
    let pot = accepted.len().to_string();
    place.append(CONTROL, 0, [close("A", 0, 100, &pot)]);
    place.run(None);
    let published = judge(&place);
    for account in &accepted {
        let paid = &published.distributions[&format!("A:0:{account}")]["data"];
        assert_eq!(
            (&paid["account"], &paid["amount"]),
            (&json!(account), &json!("1")),
            "{account:?}"
        );
    }
    assert_eq!(published.distributions.len(), accepted.len());
}
