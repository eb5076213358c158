//! The parts that know no rule: JSON, times, hashes and differences.

use serde_json::{Value, json};

use crate::model::parts::{Outputs, differences, json as text, merkle, time};

#[test]
fn differences_name_record_and_field() {
    let dead_letter = |reason: &str, time: &str| json!({"id": "t:0:0", "time": time, "data": {"code": "too_old", "reason": reason, "offset": 0}});
    let outputs = |record: Value| Outputs {
        dead_letters: [("t:0:0".to_owned(), record)].into(),
        ..Outputs::default()
    };
    let expected = outputs(dead_letter("one", "then"));
    assert!(differences(&expected, &outputs(dead_letter("another", "then"))).is_empty());
    let found = differences(&expected, &outputs(dead_letter("one", "now")));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("softstake.dead-letters t:0:0: time: "),
        "{found:?}"
    );
    let found = differences(&expected, &outputs(dead_letter("", "then")));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("softstake.dead-letters t:0:0: data.reason: "),
        "{found:?}"
    );
    assert!(differences(&expected, &Outputs::default())[0].contains("missing"));
    assert!(differences(&Outputs::default(), &expected)[0].contains("not expected"));
}

#[test]
fn json_values_are_compared_by_value() {
    let same = |a: &str, b: &str| text::parse(a).expect("JSON").same(&text::parse(b).expect("JSON"));
    for (a, b) in [
        ("1", "1.0"),
        ("1", "1e0"),
        ("-0", "0.0e7"),
        ("1e400", "10E+399"),
        ("0.001", "1e-3"),
        (r#""\ud83d\ude00""#, "\"\u{1f600}\""),
        (r#"{"a":1,"b":[2]}"#, r#" { "b" : [ 2.0 ] , "\u0061" : 1 } "#),
    ] {
        assert!(same(a, b), "{a} {b}");
    }
    for (a, b) in [
        ("1", "-1"),
        ("1e400", "1e401"),
        ("1.00000000000000000001", "1"),
        ("1", "\"1\""),
        (r#""\ud800""#, r#""\ud801""#),
        ("[1,2]", "[2,1]"),
        (r#"{"a":1}"#, r#"{"a":1,"b":1}"#),
        ("null", "false"),
    ] {
        assert!(!same(a, b), "{a} {b}");
    }
    for no_json in [
        "",
        "+1",
        "01",
        ".5",
        "1.",
        "1e",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "\"\\x\"",
        "\"\t\"",
        "nul",
    ] {
        assert!(text::parse(no_json).is_err(), "{no_json}");
    }
}

#[test]
fn times_are_truncated_to_milliseconds() {
    for (written, read) in [
        ("2026-11-01T12:00:00.5009Z", Some("2026-11-01T12:00:00.500Z")),
        ("2026-11-01t12:00:00z", Some("2026-11-01T12:00:00.000Z")),
        ("2026-11-01T00:30:00+01:00", Some("2026-10-31T23:30:00.000Z")),
        ("2026-10-31T23:30:00-23:59", Some("2026-11-01T23:29:00.000Z")),
        ("2024-02-29T00:00:00-00:00", Some("2024-02-29T00:00:00.000Z")),
        ("1969-12-31T23:59:59.999Z", Some("1969-12-31T23:59:59.999Z")),
        ("0000-01-01T00:00:00Z", Some("0000-01-01T00:00:00.000Z")),
        ("9999-12-31T23:59:59Z", Some("9999-12-31T23:59:59.000Z")),
        ("2016-12-31T23:59:60Z", Some("2017-01-01T00:00:00.000Z")),
        ("2016-12-31T18:59:60-05:00", Some("2017-01-01T00:00:00.000Z")),
        ("2016-12-30T23:59:60Z", None),
        ("2016-12-31T23:58:60Z", None),
        ("2023-02-29T00:00:00Z", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-11-31T00:00:00Z", None),
        ("2026-11-01T24:00:00Z", None),
        ("2026-11-01 00:00:00Z", None),
        ("2026-11-01T00:00:00.Z", None),
        ("2026-11-01T00:00:00", None),
        ("2026-11-01T00:00:00+24:00", None),
        ("2026-11-01T00:00:00Z ", None),
    ] {
        assert_eq!(time::parse(written).map(time::format).as_deref(), read, "{written}");
    }
}

/// The eight leaves that Certificate Transparency's own test programs use.
#[test]
fn the_merkle_tree_is_that_of_rfc_6962() {
    let leaves: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let first_bytes = |count: usize| merkle::tree_hash(&leaves[..count])[..4].to_vec();
    assert_eq!(first_bytes(0), [0xe3, 0xb0, 0xc4, 0x42]);
    assert_eq!(first_bytes(1), [0x6e, 0x34, 0x0b, 0x9c]);
    assert_eq!(first_bytes(3), [0xae, 0xb6, 0xbc, 0xfe]);
    assert_eq!(first_bytes(8), [0x5d, 0xc9, 0xda, 0x79]);
}
