//! The letter to a customer: everyday words, and the right figures.

use serde_json::json;

use super::explain;
use crate::common::events::{close, deposit, event, listing};
use crate::common::{Place, succeed};

/// Words that only people of the exchange understand, and names of records.
const INTERNAL: [&str; 14] = [
    "epoch",
    "weight",
    "balance-second",
    "offset",
    "partition",
    "posting",
    "exchange.",
    "softstake",
    "tier",
    "grain",
    "apr",
    "seal",
    "cut",
    "dep-",
];

fn letter(place: &Place, asset: &str, epoch: &str, account: &str) -> String {
    let said = succeed(explain(&place.bus(), asset, epoch, account).args(["--for", "customer"]));
    let said = String::from_utf8(said.stdout).expect("text");
    for word in INTERNAL {
        assert!(!said.contains(word), "{word} is in\n{said}");
    }
    let longest = said
        .split(|character: char| !character.is_ascii_digit())
        .map(str::len)
        .max();
    assert!(longest.is_some_and(|digits| digits <= 6), "{said}");
    said
}

#[test]
fn a_customer_gets_a_letter_in_everyday_words() {
    let place = Place::new();
    let pool = json!({
        "from_epoch": 0, "mode": "pool", "commission_rate": "0.1", "min_balance": "1", "max_balance": "1000",
        "tiers": [{"up_to": "10", "multiplier": "1"}, {"up_to": null, "multiplier": "1.5"}],
        "min_payout": "0.5", "payout_decimals": 2,
    });
    let apr = json!({"from_epoch": 0, "mode": "apr", "apr": "0.0365"});
    place.append(
        "softstake.control",
        0,
        [listing("A", 6, 86_400, &pool), listing("R", 6, 86_400, &apr)],
    );
    let status = json!({"account": "eve", "status": "opted_out"});
    place.append(
        "exchange.deposits",
        0,
        [
            deposit("dep-1", 0, "ann", "A", "20"),
            deposit("dep-2", 43_200_000, "ann", "A", "4"),
            deposit("dep-3", 50_000_000, "ann", "A", "-4"),
            deposit("dep-4", 0, "ben", "A", "0.5"),
            deposit("dep-5", 0, "eve", "A", "100"),
            deposit("dep-6", 0, "dan", "A", "70000"),
            deposit("dep-7", 0, "ann", "R", "3650"),
            deposit("dep-8", 0, "sam", "A", "1"),
            event("dep-9", "exchange.account_status.v1", 0, &status),
        ],
    );
    place.append(
        "softstake.control",
        0,
        [close("A", 0, 86_400, "100"), close("R", 0, 86_400, "0")],
    );
    place.run(None);
    // 10 + 12 * 1.5 = 28 of 28 + (10 + 990 * 1.5) + 1 = 1524 parts; 90 are shared.
    assert_eq!(
        letter(&place, "A", "0", "ann"),
        "Your A reward\n\nAccount: ann\nPeriod: 1 November 2026, 00:00 to 2 November 2026, 00:00 (all times are UTC)\n\n\
         You received 1.65 A.\n\nWhat you held\n\
         You held 0 A at the start and 24 A at the end. On average it was 22 A.\n\
         \u{20}          when                     change   counted for\n\
         ─────────────────────────────────────────────────────────\n\
         \u{20}deposit   1 November 2026, 00:00       20   1 day\n\
         \u{20}deposit   1 November 2026, 12:00        4   12 hours\n\n\
         How the reward follows\n\
         Of your average balance, 10 A count once, 12 A count 1.5 times.\n\
         The rewards of this period were 100 A. The exchange keeps 10 % of them, which is 10 A.\n\
         90 A were shared among all customers by how much each of them held, and for how long.\n\
         Your share was 1.837 %, which is 1.653543 A.\n\
         Payouts are rounded down to multiples of 0.01 A: 0.003543 A are kept for you, and paid with a later reward.\n\n\
         The deposit of 1 November 2026, 13:53:20 could not be counted, because its record was wrong. Please ask our support.\n"
    );
    for (account, expected) in [
        (
            "ben",
            "You received no reward: your average balance was 0.5 A, and less than 1 A earns nothing.",
        ),
        (
            "eve",
            "You received no reward: your account did not take part in this period.",
        ),
        (
            "dan",
            "Of your average balance, 1000 A count, which is the most that can.",
        ),
        (
            "sam",
            "You have earned 0.059055 A. Less than 0.5 A is not paid out at once",
        ),
    ] {
        let said = letter(&place, "A", "0", account);
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
    let said = letter(&place, "R", "0", "ann");
    assert!(
        said.contains("It earns 3.65 % a year. For 1 day of 365 days that is 0.365 R."),
        "{said}"
    );
    assert!(letter(&place, "R", "0", "ben").contains("you held no R in this period"));
    assert!(letter(&place, "A", "1", "ann").contains("This period is not finished"));
    // The auditor reads per cent as well, beside every figure.
    let said = succeed(&mut explain(&place.bus(), "A", "0", "ann"));
    let said = String::from_utf8(said.stdout).expect("text");
    assert!(said.contains("of which the exchange keeps 10 %"), "{said}");
    assert!(said.contains("in total, 1.837 %."), "{said}");
}
