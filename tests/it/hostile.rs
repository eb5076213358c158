//! Hostile records: huge, deeply nested, torn or not UTF-8, and names meant to break keys, JSON and terminals. The
//! program must treat them as the model does, in bounded memory.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::common::Place;
use crate::common::events::{close, deposit, event, listing, pool};
use crate::common::process::Process;
use crate::judge::judge;
use crate::model;

const DEPOSITS: &str = "exchange.deposits";
const CONTROL: &str = "softstake.control";

/// Runs until idle. Returns the peak of memory, in MiB.
fn run(place: &Place) -> u64 {
    let mut command = place.command(Some(4));
    command.args(["--threads", "2", "--cache-mb", "32"]);
    Process::start(&mut command).peak_kib() / 1024
}

/// A bus on which asset A is listed.
fn listed() -> Place {
    let place = Place::new();
    place.append(CONTROL, 0, [listing("A", 2, 100, &pool())]);
    place
}

fn codes(outputs: &model::Outputs) -> BTreeMap<&str, usize> {
    let mut codes = BTreeMap::new();
    for letter in outputs.dead_letters.values() {
        *codes
            .entry(letter["data"]["code"].as_str().expect("a code"))
            .or_default() += 1;
    }
    codes
}

/// A record with raw JSON in place of a marker.
fn with(record: &str, marker: &str, raw: &str) -> String {
    assert!(record.contains(marker), "{record} has no {marker}");
    record.replace(marker, raw)
}

#[test]
fn records_of_ten_megabytes() {
    const HUGE: usize = 10 << 20;
    let place = listed();
    let x = "x".repeat(HUGE);
    let noted = |id: &str| {
        let note = format!("\"note\":\"{x}\",\"asset\"");
        with(&deposit(id, 0, "ann", "A", "1"), "\"asset\"", &note)
    };
    let zeros = "0".repeat(HUGE);
    // Applied; one of them is an identical duplicate.
    let applied = [
        noted("note"),
        noted("note"),
        deposit(&x, 0, "ann", "A", "1"),
        deposit("zeros", 0, "ann", "A", &format!("{zeros}1.{zeros}")),
        deposit("last", 0, "ben", "A", "3"),
    ];
    let rejected = [
        (
            noted("note").replace("x\",", "y\",").into_bytes(),
            "conflicting_duplicate",
        ),
        (x.clone().into_bytes(), "invalid_json"),
        (vec![0; HUGE], "invalid_json"),
        (vec![0xff; HUGE], "invalid_json"),
        (
            deposit("digits", 0, "ann", "A", &"9".repeat(HUGE)).into_bytes(),
            "invalid_amount",
        ),
        (deposit("long", 0, &x, "A", "1").into_bytes(), "invalid_event"),
    ];
    place.append(DEPOSITS, 0, &applied);
    place.append(DEPOSITS, 0, rejected.iter().map(|(record, _)| record));
    place.append(CONTROL, 0, [x, close("A", 0, 100, "3")]);
    let peak = run(&place);
    // The model is too slow for numbers of ten million digits, so the output is checked here.
    let mut letters = place.records("softstake.dead-letters");
    letters.retain(|letter| letter["data"]["topic"] == DEPOSITS);
    letters.sort_by_key(|letter| letter["data"]["offset"].as_u64());
    assert_eq!(letters.len(), rejected.len());
    for (letter, (record, code)) in letters.iter().zip(&rejected) {
        assert_eq!(letter["data"]["code"], *code);
        let payload = match letter["data"]["payload"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => STANDARD
                .decode(letter["data"]["payload_base64"].as_str().expect("a payload"))
                .expect("base64"),
        };
        match letter["data"]["payload_bytes"].as_u64() {
            None => assert!(payload == *record, "{code}: the payload is another record"),
            Some(bytes) => {
                assert_eq!(bytes, record.len() as u64, "{code}");
                assert!(record.starts_with(&payload) && payload.len() == 1 << 20, "{code}");
                let sum = hex::encode(Sha256::digest(record));
                assert_eq!(letter["data"]["payload_sha256"], sum, "{code}");
            }
        }
        let reason = letter["data"]["reason"].as_str().expect("a reason");
        assert!(reason.len() < 1000, "{code}: a reason of {} bytes", reason.len());
    }
    let mut paid: Vec<_> = place
        .records("softstake.distributions")
        .iter()
        .map(|record| record["data"]["amount"].clone())
        .collect();
    assert_eq!(paid.len(), 2);
    paid.dedup();
    assert_eq!(paid, ["1.5"]);
    // A line of zero bytes is six times as long in JSON. There are also the line itself, the transaction, and what two
    // tasks hold at once.
    assert!(peak < 600, "it took {peak} MiB");
}

#[test]
fn values_nested_ten_million_deep() {
    // Too deep for the model, so the output is checked here.
    let place = listed();
    let closed = format!("{}{}", "[".repeat(5 << 20), "]".repeat(5 << 20));
    let note = with(
        &deposit("note", 0, "ann", "A", "1"),
        "\"asset\"",
        &format!("\"note\":{closed},\"asset\""),
    );
    place.append(
        DEPOSITS,
        0,
        ["[".repeat(10 << 20), "{\"a\":".repeat(2 << 20), note.clone(), note],
    );
    place.append(CONTROL, 0, [close("A", 0, 100, "1")]);
    let peak = run(&place);
    let codes: Vec<_> = place
        .records("softstake.dead-letters")
        .iter()
        .map(|letter| letter["data"]["code"].clone())
        .collect();
    assert_eq!(codes, ["invalid_json", "invalid_json"]);
    assert_eq!(
        place.records("softstake.distributions")[0]["data"]["average_balance"],
        "1"
    );
    // The comparison of duplicates takes about a hundred bytes per open level, and twice as much while the stack grows.
    assert!(peak < 1500, "it took {peak} MiB");
}

const DEPTH: usize = 100_000;

fn arrays(inside: &str) -> String {
    format!("{}{inside}{}", "[".repeat(DEPTH), "]".repeat(DEPTH))
}

fn objects(inside: &str) -> String {
    format!("{}{inside}{}", "{\"a\":".repeat(DEPTH), "}".repeat(DEPTH))
}

fn nested_deposits() -> Vec<String> {
    let marked = |id: &str| {
        let data = json!({"account": "ann", "asset": "A", "amount": "1", "note": "MARK"});
        event(id, "exchange.deposit.v1", 0, &data)
    };
    vec![
        // An unknown field is ignored, but duplicates are compared to the deepest level.
        with(&marked("deep"), "\"MARK\"", &arrays("1")),
        with(&marked("deep"), "\"MARK\"", &arrays(" 1.0 ")),
        with(&marked("deep"), "\"MARK\"", &arrays("2")),
        with(&marked("objects"), "\"MARK\"", &objects("1")),
        with(&marked("objects"), "\"MARK\"", &objects("1e0")),
        with(&marked("objects"), "\"MARK\"", &objects("[]")),
        with(&marked("twice"), "\"MARK\"", &objects("1"))
            .replace("\"specversion\"", &format!("\"more\":{},\"specversion\"", arrays("0"))),
        // A known field must not be nested.
        with(&deposit("amount", 0, "ann", "A", "MARK"), "\"MARK\"", &arrays("1")),
        with(&deposit("account", 0, "MARK", "A", "1"), "\"MARK\"", &objects("1")),
        with(
            &event("data", "exchange.deposit.v1", 0, &json!("MARK")),
            "\"MARK\"",
            &arrays("1"),
        ),
        with(
            &event("data", "exchange.deposit.v1", 0, &json!("MARK")),
            "\"MARK\"",
            &objects("1"),
        ),
        arrays("1"),
        objects("1"),
        // Values that are not closed are not JSON.
        "[".repeat(DEPTH),
        "{\"a\":".repeat(DEPTH),
        with(&marked("open"), "\"MARK\"", &"[".repeat(DEPTH)),
        with(&marked("closed"), "\"MARK\"", &format!("{}]", arrays("1"))),
        "]".repeat(DEPTH),
    ]
}

fn nested_control_records() -> Vec<String> {
    vec![
        arrays("1"),
        "[".repeat(DEPTH),
        with(
            &listing("B", 0, 100, &json!({"from_epoch": 0, "mode": "pool", "tiers": "MARK"})),
            "\"MARK\"",
            &arrays("1"),
        ),
        with(
            &listing("D", 0, 100, &json!({"from_epoch": 0, "mode": "pool", "more": "MARK"})),
            "\"MARK\"",
            &arrays("1"),
        ),
        listing("C", 0, 100, &pool()).replace("\"specversion\"", &format!("\"more\":{},\"specversion\"", arrays("0"))),
        close("A", 0, 100, "3"),
        close("C", 0, 100, "0"),
    ]
}

#[test]
fn values_nested_a_hundred_thousand_deep() {
    let place = listed();
    place.append(DEPOSITS, 0, nested_deposits());
    place.append(CONTROL, 0, nested_control_records());
    let peak = run(&place);
    let outputs = judge(&place);
    assert_eq!(outputs.distributions["A:0:ann"]["data"]["average_balance"], "3");
    assert_eq!(outputs.seals.len(), 2);
    assert_eq!(
        codes(&outputs),
        BTreeMap::from([
            ("conflicting_duplicate", 2),
            ("invalid_amount", 1),
            ("invalid_event", 6),
            ("invalid_json", 6),
            ("invalid_programme", 2)
        ])
    );
    assert!(peak < 400, "it took {peak} MiB");
}

#[test]
fn an_invalid_byte_at_every_position() {
    let place = listed();
    let record = event(
        "é",
        "exchange.deposit.v1",
        0,
        &json!({"account": "ann é", "asset": "A", "amount": "1"}),
    )
    .into_bytes();
    let mut lines = Vec::new();
    for at in 0..record.len() {
        // A byte that UTF-8 never has, a continuation byte, a byte that begins a sequence, and a zero.
        for byte in [0xff, 0x80, 0xf0, 0x00] {
            let mut replaced = record.clone();
            replaced[at] = byte;
            let mut inserted = record.clone();
            inserted.insert(at, byte);
            // A continuation byte may replace another one.
            lines.extend(
                [replaced, inserted]
                    .into_iter()
                    .filter(|line| byte == 0 || std::str::from_utf8(line).is_err()),
            );
        }
        lines.push(record[..at].to_vec());
    }
    let rejected = lines.len() - 1; // the first of the cut lines is blank
    place.append(DEPOSITS, 0, &lines);
    place.append(DEPOSITS, 0, [&record]);
    place.append(CONTROL, 0, [close("A", 0, 100, "1")]);
    run(&place);
    let outputs = judge(&place);
    assert_eq!(codes(&outputs), BTreeMap::from([("invalid_json", rejected)]));
    assert_eq!(outputs.distributions["A:0:ann é"]["data"]["average_balance"], "1");
}

/// Names with characters that some program gives a meaning.
const SPECIAL_NAMES: [&str; 62] = [
    "a",
    "aa",
    "ab",
    "a ",
    "a!",
    "a\u{a0}",
    "a:b",
    "a:b:c",
    "a|b",
    "a|1",
    "a/b",
    "../../a",
    ".",
    "..",
    "~",
    "-",
    "--help",
    "*",
    "?",
    "\\",
    "\\n",
    "\\u0000",
    "\"",
    "\"}",
    "'",
    "`",
    "$(a)",
    "${a}",
    "%s%n",
    "%00",
    "<a>",
    "&amp;",
    "{}",
    "[]",
    "null",
    "true",
    "0",
    "1e9",
    ",",
    ";",
    "A:0",
    "A:0:a",
    "A:0:a|1",
    "é",
    "e\u{301}",
    "ÿ",
    "\u{ff}\u{ff}",
    "\u{7ff}",
    "\u{800}",
    "\u{d7ff}",
    "\u{e000}",
    "\u{ffff}",
    "\u{fffd}",
    "\u{10000}",
    "\u{10ffff}",
    "a\u{10ffff}",
    "a\u{10ffff}\u{10ffff}",
    "名前",
    "🦀",
    "👩🏽",
    "\u{1ffff}",
    "ﷺ",
];

/// Special names, names that are prefixes of others, the longest ones, and names in one bucket.
fn names() -> Vec<String> {
    let mut names: Vec<String> = SPECIAL_NAMES.map(str::to_owned).to_vec();
    names.extend((1..=128).map(|length| "z".repeat(length)));
    names.extend((1..=32).map(|count| "\u{10ffff}".repeat(count)));
    names.extend(["é".repeat(64), "\u{800}".repeat(42)]);
    // A few dozen names in one bucket.
    let bucket = softstake::core::values::bucket::bucket("a");
    names.extend(
        (0..120_000)
            .map(|number| format!("n{number}"))
            .filter(|name| softstake::core::values::bucket::bucket(name) == bucket),
    );
    names.sort();
    names.dedup();
    names
}

#[test]
fn names_that_could_break_keys_json_or_terminals() {
    let names = names();
    assert!(names.len() > 240, "{} names", names.len());
    let place = Place::new();
    // One asset's name is a prefix of the other's. Some amounts are withheld for an epoch.
    let programme = json!({"from_epoch": 0, "mode": "pool", "min_payout": "0.5"});
    place.append(
        CONTROL,
        0,
        [listing("A", 2, 100, &programme), listing("AA", 2, 100, &programme)],
    );
    for (index, name) in names.iter().enumerate() {
        let amount = (index + 1).to_string();
        place.append(
            DEPOSITS,
            0,
            [
                deposit(&format!("A {name}"), 0, name, "A", &amount),
                deposit(&format!("AA {name}"), 50_000, name, "AA", &amount),
            ],
        );
        let status = json!({"account": name, "status": if index % 7 == 0 { "opted_out" } else { "enrolled" }});
        place.append(
            "exchange.accounts",
            0,
            [event(name, "exchange.account_status.v1", 100_000, &status)],
        );
    }
    // Names that are rejected, whose dead letters must be harmless as well.
    for name in [
        "\u{1b}[2J",
        "\u{202e}nna",
        "a\nb",
        "a\r",
        "a\u{0}",
        "\u{9b}31m",
        "\u{7}",
        "a\u{200d}",
        &"z".repeat(129),
        "",
    ] {
        place.append(DEPOSITS, 0, [deposit("rejected", 0, name, "A", "1")]);
    }
    for epoch in 0..3 {
        place.append(
            CONTROL,
            0,
            [close("A", epoch, 100, "100"), close("AA", epoch, 100, "100")],
        );
    }
    run(&place);
    let outputs = judge(&place);
    assert_eq!(codes(&outputs), BTreeMap::from([("invalid_event", 10)]));
    let paid = |epoch: u32| {
        outputs
            .distributions
            .values()
            .filter(|record| record["data"]["epoch"] == epoch)
            .count()
    };
    assert!(
        paid(0) > 100 && paid(2) > 100,
        "{} and {} distributions",
        paid(0),
        paid(2)
    );
    // Whatever a record contains, a published line has no control character.
    for topic in [
        "softstake.distributions",
        "softstake.dead-letters",
        "softstake.epochs",
        "softstake.decisions",
    ] {
        let text = std::fs::read_to_string(place.bus().join(topic).join("0.jsonl")).expect("a topic");
        let bad = text
            .chars()
            .find(|character| character.is_control() && !matches!(character, '\n' | '\u{7f}'..='\u{9f}'));
        assert_eq!(bad, None, "{topic}");
    }
}

#[test]
fn deposits_of_two_hundred_thousand_unlisted_assets() {
    let place = listed();
    let name = |number: u32| format!("X{number}");
    place.append(
        DEPOSITS,
        0,
        (0..200_000).map(|number| deposit(&number.to_string(), 1000, "ann", &name(number), "1")),
    );
    let peak = run(&place);
    // The first 65,536 assets are known by name, the others only together. So the listing of an asset that was never there
    // is too late as well, unless it begins after all of them.
    place.append(
        CONTROL,
        0,
        ["X0", "X199999", "X200000"].map(|asset| listing(asset, 2, 100, &pool())),
    );
    let again = run(&place);
    let outputs = judge(&place);
    let rejected: Vec<&str> = outputs.dead_letters.keys().map(String::as_str).collect();
    assert_eq!(
        rejected,
        [
            "softstake.control:0:1",
            "softstake.control:0:2",
            "softstake.control:0:3"
        ]
    );
    assert_eq!(codes(&outputs), BTreeMap::from([("listing_too_late", 3)]));
    assert!(peak.max(again) < 300, "it took {peak} and {again} MiB");
}
