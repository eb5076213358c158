use crate::core::contract::fingerprint::*;
use proptest::prelude::*;

/// As the time and as the data, of which only an object is valid.
fn json(text: &str) -> u64 {
    fingerprint("t", text, text)
}

/// Texts of one class are spellings of one value; texts of different classes are different values.
fn check_classes(classes: &[&[&str]]) {
    let mut seen: Vec<(u64, &str)> = Vec::new();
    for class in classes {
        for text in *class {
            assert_eq!(json(text), json(class[0]), "{text} and {}", class[0]);
        }
        let hash = json(class[0]);
        assert!(
            seen.iter().all(|(other, _)| *other != hash),
            "{} and {seen:?}",
            class[0]
        );
        seen.push((hash, class[0]));
    }
}

#[test]
fn spellings_of_one_number_are_equal() {
    let thousand_zeros = format!("1{}", "0".repeat(1000));
    let big = format!("1{}", "0".repeat(36));
    let nines = format!("1e{}", "9".repeat(37));
    let ten_to_nines = format!("0.1e1{}", "0".repeat(37));
    let long_negative = format!("1e-1{}", "0".repeat(37));
    let long_negative_shifted = format!("100e-1{}2", "0".repeat(36));
    check_classes(&[
        &[
            "1",
            "1.0",
            "1e0",
            "10e-1",
            "1E+0",
            "0.1e1",
            "100.000e-2",
            "1e00000000000000000000000000000000000000000",
        ],
        &[
            "0",
            "-0",
            "0.0",
            "-0e99999999999999999999999999999999999999999999",
            "0e-7",
            "0E5",
        ],
        &["-1", "-10e-1", "-1.0"],
        &["12.5", "125e-1", "0.125E2", "12.50"],
        &["1e1000", &thousand_zeros, "10e999"],
        &[
            "1e999999999999999999999",
            "10e999999999999999999998",
            "0.01E1000000000000000000001",
        ],
        &[
            "1e-999999999999999999999",
            "10e-1000000000000000000000",
            "0.1e-999999999999999999998",
        ],
        &[&nines, &ten_to_nines],
        &[&long_negative, &long_negative_shifted],
        &["1e400"],
        &["-1e400"],
        &["1e-400"],
        &[&big, "1e36"],
    ]);
}

#[test]
fn spellings_of_one_value_are_equal() {
    check_classes(&[
        &["1", "1.0"],
        &["null"],
        &["true"],
        &["false"],
        &[r#""""#],
        &[r#""1""#, r#""\u0031""#],
        &[r#""null""#],
        &[
            r#""a/b\n\"""#,
            r#""a\/b\u000a\u0022""#,
            r#""\u0061\u002f\u0062\u000A\"""#,
        ],
        &["\"é\"", r#""\u00e9""#, r#""\u00E9""#],
        &["\"🦀\"", r#""\ud83e\udd80""#, r#""\uD83E\uDD80""#],
        &[r#""\ud83e""#],
        &[r#""\udd80""#],
        &[r#""\udd80\ud83e""#],
        &[r#""\ud83e\ud83e\udd80""#, "\"\\ud83e🦀\""],
        &[r#""\ud83e\\udd80""#],
        &[r#""\ud83ex""#],
        &[r#""\u0000""#],
        &["{}", " { } "],
        &["[]", "[ \n\t\r]"],
        &["[{}]"],
        &["[[]]"],
        &["[[],[]]"],
        &["[[[]]]"],
        &["{\"\":[]}"],
        &["[1,2]", " [1.0 ,\t2 ] "],
        &["[2,1]"],
        &["[12]"],
        &["[1,[2]]"],
        &["[[1],2]"],
        &["[[1,2]]"],
        &[
            r#"{"a":1,"b":2}"#,
            r#"{"b":2,"a":1}"#,
            r#" { "\u0062" : 20e-1 , "a" : 1.0 } "#,
        ],
        &[r#"{"a":2,"b":1}"#],
        &[r#"{"a":1,"b":1}"#],
        &[r#"{"a":"b"}"#],
        &[r#"["a","b"]"#],
        &[r#"{"b":"a"}"#],
        &[r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#],
        &[r#"{"a":1}"#],
        &[r#"{"a":1,"a":1}"#],
        &[r#"{"a":{"b":1},"c":{"d":2}}"#, r#"{"c":{"d":2},"a":{"b":1}}"#],
        &[r#"{"a":{"d":2},"c":{"b":1}}"#],
        &[r#"{"a":{"b":1,"c":{"d":2}}}"#],
        &[r#"{"a":{"b":1},"c":{"d":2,"e":null}}"#],
        &[r#"{"a":null}"#],
    ]);
}

#[test]
fn every_part_counts() {
    let (one, two) = (r#"{"n":1}"#, r#"{"n":2}"#);
    let events = [
        fingerprint("a", one, two),
        fingerprint("b", one, two),
        fingerprint("a", two, one),
        fingerprint("a", one, one),
        fingerprint("a", "null", one),
        fingerprint("a", one, "{}"),
        fingerprint("a", "{}", "{}"),
        fingerprint("", "{}", "{}"),
    ];
    for (i, event) in events.iter().enumerate() {
        assert!(!events[..i].contains(event), "{i}");
    }
    assert_eq!(
        fingerprint("a", r#""2026-11-22T08:00:00Z""#, one),
        fingerprint("a", r#""2026-11-22T08:\u00300:00Z""#, one)
    );
}

/// Fingerprints are stored: another value here needs another format version of the stores. They were worked out by other
/// implementations of XXH3 and SHA-256, step by step as the scheme says.
#[test]
fn pinned() {
    let data = r#"{"account":"u-42","asset":"ATOM","n":-12.50,"x":[true,null,{"y":"\""}],"fee":{"asset":"BTC"}}"#;
    let event = fingerprint("exchange.deposit.v1", r#""2026-11-22T08:00:00.123Z""#, data);
    assert_eq!(format!("{event:016x}"), "826e7e1b6118eb10");
    let empty = fingerprint("", "null", "{}");
    assert_eq!(format!("{empty:016x}"), "ffaeb32233089946");
    let identity = identity("dep-000017", "/exchange/deposits");
    assert_eq!(
        identity.map(|byte| format!("{byte:02x}")).concat(),
        "9acea5a0eb51d20e6a242414f794ed27"
    );
}

#[test]
fn identities_keep_id_and_source_apart() {
    assert_ne!(identity("ab", "c"), identity("a", "bc"));
    assert_ne!(identity("", "a"), identity("a", ""));
}

#[test]
fn a_million_brackets() {
    let depth = 1_000_000;
    let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let spaced = format!("{} {}", "[".repeat(depth), " ]".repeat(depth));
    assert_eq!(json(&arrays), json(&spaced));
    assert_ne!(json(&arrays), json(&arrays[1..arrays.len() - 1]));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert_ne!(json(&objects), json(&arrays));
    // Never closed, or never opened.
    json(&"[".repeat(depth));
    json(&"]".repeat(depth));
}

#[test]
fn long_tokens() {
    let digits = "7".repeat(5_000_000);
    assert_eq!(
        json(&format!("{digits}e{digits}")),
        json(&format!("{digits}.0e{digits}"))
    );
    let text = "\\u0061".repeat(1_000_000);
    assert_eq!(
        json(&format!("\"{text}\"")),
        json(&format!("\"{}\"", "a".repeat(1_000_000)))
    );
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Null,
    Bool(bool),
    /// Coefficient and exponent of ten; equal numbers are equal only once normalized.
    Number(i64, i32),
    String(String),
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-200i64..200, -3..3).prop_map(|(coefficient, exponent)| Value::Number(coefficient, exponent)),
        (any::<i64>(), -400..400).prop_map(|(coefficient, exponent)| Value::Number(coefficient, exponent)),
        "[ab\"\\\\\n/é🦀]{0,4}".prop_map(Value::String),
        any::<String>().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec(("[ab\"é]{0,2}", inner), 0..6).prop_map(Value::Object),
        ]
    })
}

/// Equal JSON values, and only those, have the same normal form.
fn normalize(value: Value) -> Value {
    match value {
        Value::Number(0, _) => Value::Number(0, 0),
        Value::Number(coefficient, exponent) if coefficient % 10 == 0 => {
            normalize(Value::Number(coefficient / 10, exponent + 1))
        }
        Value::Array(items) => Value::Array(items.into_iter().map(normalize).collect()),
        Value::Object(members) => {
            let mut members: Vec<_> = members
                .into_iter()
                .map(|(name, value)| (name, normalize(value)))
                .collect();
            members.sort();
            Value::Object(members)
        }
        other => other,
    }
}

/// A small generator (splitmix64) that chooses among the spellings of a value.
struct Choices(u64);

impl Choices {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ mixed >> 27) >> 11) as usize % bound
    }
}

fn render(value: &Value, choices: &mut Choices, out: &mut String) {
    let space =
        |choices: &mut Choices, out: &mut String| out.push_str(["", "", "", " ", "\n", "\t\r "][choices.below(6)]);
    space(choices, out);
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(coefficient, exponent) => render_number(*coefficient, *exponent, choices, out),
        Value::String(text) => render_string(text, choices, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                render(item, choices, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut left: Vec<_> = members.iter().collect();
            out.push('{');
            while !left.is_empty() {
                let (name, value) = left.swap_remove(choices.below(left.len()));
                space(choices, out);
                render_string(name, choices, out);
                space(choices, out);
                out.push(':');
                render(value, choices, out);
                out.push_str(if left.is_empty() { "" } else { "," });
            }
            out.push('}');
        }
    }
    space(choices, out);
}

fn render_number(coefficient: i64, exponent: i32, choices: &mut Choices, out: &mut String) {
    let zeros = choices.below(4);
    let digits = format!(
        "{}{}",
        coefficient.unsigned_abs(),
        "0".repeat(if coefficient == 0 { 0 } else { zeros })
    );
    let exponent = if coefficient == 0 {
        exponent
    } else {
        exponent - zeros as i32
    };
    out.push_str(if coefficient < 0 || (coefficient == 0 && choices.below(2) == 0) {
        "-"
    } else {
        ""
    });
    let point = choices.below(digits.len() + 1);
    let moved = (digits.len() - point) as i32;
    match point {
        0 => out.push_str(&format!("0.{digits}e{}", exponent + moved)),
        _ if coefficient == 0 || moved == 0 => {
            let exponent = match exponent {
                0 if choices.below(2) == 0 => String::new(),
                0.. => format!("E+0{exponent}"),
                _ => format!("e{exponent}"),
            };
            out.push_str(&format!("{digits}{exponent}"));
        }
        _ => out.push_str(&format!(
            "{}.{}0e{}",
            &digits[..point],
            &digits[point..],
            exponent + moved
        )),
    }
}

fn render_string(text: &str, choices: &mut Choices, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        if choices.below(3) == 0 {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let escape = if choices.below(2) == 0 {
                    format!("\\u{unit:04x}")
                } else {
                    format!("\\u{unit:04X}")
                };
                out.push_str(&escape);
            }
            continue;
        }
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' => out.push_str(["/", "\\/"][choices.below(2)]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", character as u32)),
            other => out.push(other),
        }
    }
    out.push('"');
}

fn rendered(value: &Value, seed: u64) -> String {
    let mut out = String::new();
    render(value, &mut Choices(seed), &mut out);
    out
}

proptest! {
    #[test]
    fn two_spellings_of_a_value_agree(value in value(), one: u64, two: u64) {
        let (left, right) = (rendered(&value, one), rendered(&value, two));
        for text in [&left, &right] {
            let valid = serde_json::from_str::<serde::de::IgnoredAny>(text);
            prop_assert!(valid.is_ok(), "{}: {:?}", text, valid);
        }
        prop_assert_eq!(json(&left), json(&right), "{} and {}", left, right);
    }

    #[test]
    fn two_values_agree_only_if_equal(one in value(), two in value(), seed: u64) {
        let equal = json(&rendered(&one, seed)) == json(&rendered(&two, !seed));
        prop_assert_eq!(equal, normalize(one) == normalize(two));
    }

    #[test]
    fn any_bytes_have_a_hash(text: String, structure in "[\\[\\]{}\",:\\\\u0de.+\\- n]{0,40}") {
        json(&text);
        json(&structure);
    }

    #[test]
    fn exponents_add_up(coefficient in 1u32..1000, exponent: i128, zeros in 0usize..50) {
        let exponent = exponent / 16;
        let moved = exponent - zeros as i128;
        let padded = format!("{coefficient}{}e{moved}", "0".repeat(zeros));
        prop_assert_eq!(json(&format!("{coefficient}e{exponent}")), json(&padded));
        let shifted = format!("0.{}{coefficient:03}e{}", "0".repeat(zeros), exponent + zeros as i128 + 3);
        prop_assert_eq!(json(&format!("{coefficient}e{exponent}")), json(&shifted));
    }
}
