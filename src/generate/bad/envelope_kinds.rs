//! Bad source records, first part: defects of the text, of the envelope and of its time.

use crate::generate::bad::defect::BadKind;
use crate::generate::bad::defect::Base::{Deposit, Status, Trade, Transfer, Withdrawal};
use crate::generate::bad::defect::Defect::{Ahead, Bytes, Drop, Set};
use crate::generate::bad::defect::kind;

const JSON: &str = "invalid_json";
const EVENT: &str = "invalid_event";
const TIME: &str = "invalid_time";
const TYPE: &str = "unsupported_type";
const TOPIC: &str = "wrong_topic";
const AHEAD: &str = "too_far_ahead";

/// Defects outside `data`.
pub(super) const ENVELOPE_KINDS: &[BadKind] = &[
    // Not one JSON value.
    kind(
        JSON,
        "truncated",
        Withdrawal,
        Bytes(|mut text| {
            text.truncate(text.len() * 2 / 3);
            text
        }),
    ),
    kind(
        JSON,
        "not-json",
        Deposit,
        Bytes(|_| b"java.lang.NullPointerException: at Ledger.post(Ledger.java:42)".to_vec()),
    ),
    kind(
        JSON,
        "two-values",
        Deposit,
        Bytes(|mut text| {
            text.extend_from_within(..);
            text
        }),
    ),
    kind(
        JSON,
        "trailing-comma",
        Deposit,
        Bytes(|mut text| {
            text.pop();
            text.extend_from_slice(b",}");
            text
        }),
    ),
    kind(JSON, "single-quotes", Deposit, Bytes(|text| replace(text, b'"', b"'"))),
    kind(
        JSON,
        "byte-order-mark",
        Deposit,
        Bytes(|text| [&b"\xef\xbb\xbf"[..], &text].concat()),
    ),
    kind(JSON, "not-utf8", Deposit, Bytes(|text| replace(text, b'-', b"\xff"))),
    kind(
        JSON,
        "utf8-cut-short",
        Deposit,
        Bytes(|text| replace(text, b'-', b"\xf0\x9f")),
    ),
    kind(
        JSON,
        "utf8-surrogate",
        Deposit,
        Bytes(|text| replace(text, b'-', b"\xed\xa0\x80")),
    ),
    kind(JSON, "nul-bytes", Deposit, Bytes(|text| replace(text, b':', b":\0"))),
    kind(JSON, "only-nul-bytes", Deposit, Bytes(|_| vec![0; 64])),
    kind(JSON, "raw-tab", Deposit, Bytes(|text| replace(text, b'-', b"\t"))),
    kind(JSON, "unclosed-nest", Deposit, Bytes(|_| b"[".repeat(5_000))),
    kind(
        JSON,
        "unclosed-nest-inside",
        Deposit,
        Bytes(|_| b"{\"data\":".repeat(2_000)),
    ),
    kind(JSON, "bare-word", Deposit, Set("data.amount", "NaN")),
    kind(JSON, "hexadecimal", Deposit, Set("data.unknown", "0x10")),
    kind(JSON, "leading-zero", Deposit, Set("data.unknown", "007")),
    kind(JSON, "bad-escape", Deposit, Set("data.account", r#""u-\x41""#)),
    // JSON, but not an event. Half a surrogate pair is JSON by the grammar, but not text.
    kind(EVENT, "lone-surrogate", Deposit, Set("data.account", r#""u-\ud83e""#)),
    kind(EVENT, "array", Deposit, Bytes(|text| [b"[", &text[..], b"]"].concat())),
    kind(EVENT, "string", Deposit, Bytes(|_| b"\"deposit\"".to_vec())),
    kind(EVENT, "null", Deposit, Bytes(|_| b"null".to_vec())),
    kind(EVENT, "number", Deposit, Bytes(|_| b"-1.5e300".to_vec())),
    kind(EVENT, "empty-object", Deposit, Bytes(|_| b"{}".to_vec())),
    kind(
        EVENT,
        "closed-nest",
        Deposit,
        Bytes(|_| [b"[".repeat(5_000), b"]".repeat(5_000)].concat()),
    ),
    kind(
        EVENT,
        "only-data",
        Deposit,
        Bytes(|_| br#"{"account":"u-000001","asset":"ATOM","amount":"1"}"#.to_vec()),
    ),
    kind(EVENT, "no-specversion", Deposit, Drop("specversion")),
    kind(EVENT, "specversion-0.3", Deposit, Set("specversion", r#""0.3""#)),
    kind(EVENT, "specversion-number", Deposit, Set("specversion", "1.0")),
    kind(EVENT, "no-id", Deposit, Drop("id")),
    kind(EVENT, "empty-id", Deposit, Set("id", r#""""#)),
    kind(EVENT, "id-number", Deposit, Set("id", "17")),
    kind(
        EVENT,
        "id-twice",
        Deposit,
        Set(
            "data",
            r#"{"account":"u-000001","asset":"ATOM","amount":"1"},"id":"bad-again""#,
        ),
    ),
    kind(EVENT, "no-source", Trade, Drop("source")),
    kind(EVENT, "empty-source", Deposit, Set("source", r#""""#)),
    kind(EVENT, "source-null", Trade, Set("source", "null")),
    kind(EVENT, "no-type", Deposit, Drop("type")),
    kind(EVENT, "empty-type", Deposit, Set("type", r#""""#)),
    kind(EVENT, "type-array", Deposit, Set("type", r#"["exchange.deposit.v1"]"#)),
    kind(EVENT, "no-time", Deposit, Drop("time")),
    kind(EVENT, "no-data", Trade, Drop("data")),
    kind(EVENT, "data-string", Deposit, Set("data", r#""{}""#)),
    kind(EVENT, "data-null", Transfer, Set("data", "null")),
    kind(EVENT, "data-array", Transfer, Set("data", "[]")),
    kind(TYPE, "type-unknown", Deposit, Set("type", r#""exchange.airdrop.v1""#)),
    kind(TYPE, "type-v2", Trade, Set("type", r#""exchange.trade.v2""#)),
    kind(TYPE, "type-no-version", Deposit, Set("type", r#""exchange.deposit""#)),
    kind(TYPE, "type-case", Deposit, Set("type", r#""Exchange.Deposit.v1""#)),
    kind(
        TOPIC,
        "close-on-source-topic",
        Deposit,
        Set("type", r#""softstake.epoch_close.v1""#),
    ),
    kind(
        TOPIC,
        "release-on-source-topic",
        Deposit,
        Set("type", r#""softstake.epoch_release.v1""#),
    ),
    kind(
        TOPIC,
        "reward-on-source-topic",
        Deposit,
        Set("type", r#""softstake.validator_reward.v1""#),
    ),
    kind(
        TOPIC,
        "listing-on-source-topic",
        Deposit,
        Set("type", r#""softstake.asset.v1""#),
    ),
    // Times.
    kind(TIME, "time-no-offset", Deposit, Set("time", r#""2026-11-01T08:00:00""#)),
    kind(TIME, "time-month-13", Deposit, Set("time", r#""2026-13-01T08:00:00Z""#)),
    kind(
        TIME,
        "time-february-30",
        Trade,
        Set("time", r#""2027-02-30T08:00:00Z""#),
    ),
    kind(TIME, "time-number", Deposit, Set("time", "1793491200000")),
    kind(TIME, "time-null", Deposit, Set("time", "null")),
    kind(TIME, "time-empty", Deposit, Set("time", r#""""#)),
    kind(
        TIME,
        "time-blank-for-t",
        Deposit,
        Set("time", r#""2026-11-01 08:00:00Z""#),
    ),
    kind(TIME, "time-date-only", Deposit, Set("time", r#""2026-11-01""#)),
    kind(TIME, "time-hour-24", Deposit, Set("time", r#""2026-11-01T24:00:00Z""#)),
    kind(
        TIME,
        "time-offset-24",
        Deposit,
        Set("time", r#""2026-11-01T08:00:00+24:00""#),
    ),
    kind(
        TIME,
        "time-offset-no-colon",
        Deposit,
        Set("time", r#""2026-11-01T08:00:00+0100""#),
    ),
    kind(
        TIME,
        "time-no-fraction",
        Deposit,
        Set("time", r#""2026-11-01T08:00:00.Z""#),
    ),
    kind(TIME, "time-comma", Deposit, Set("time", r#""2026-11-01T08:00:00,5Z""#)),
    kind(TIME, "time-second-60", Status, Set("time", r#""2026-11-01T08:00:60Z""#)),
    kind(
        TIME,
        "time-five-digit-year",
        Deposit,
        Set("time", r#""12026-11-01T08:00:00Z""#),
    ),
    kind(
        TIME,
        "time-trailing-blank",
        Deposit,
        Set("time", r#""2026-11-01T08:00:00Z ""#),
    ),
    kind(AHEAD, "far-ahead", Deposit, Ahead),
    kind(
        AHEAD,
        "very-far-ahead",
        Trade,
        Set("time", r#""9999-12-31T23:59:59.999Z""#),
    ),
];

fn replace(text: Vec<u8>, from: u8, to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    for byte in text {
        if byte == from {
            out.extend_from_slice(to);
        } else {
            out.push(byte);
        }
    }
    out
}
