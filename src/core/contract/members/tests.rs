//! The fast reader against the one of `serde_json`: on generated records, and on hundreds of thousands of damaged ones.

use std::fs;

use bumpalo::Bump;
use serde::de::IgnoredAny;

use crate::core::contract::envelope::Envelope;
use crate::core::contract::members::*;
use crate::core::contract::rules::NEWEST_RULES;
use crate::core::ingest::judge::read_event;
use crate::generate::{Synthetic, write};

/// The records of all source topics, with many bad ones among them.
fn generated() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let spec = Synthetic {
        events: 20_000,
        bad: 0.1,
        ..Synthetic::default()
    };
    write(folder.path(), &spec, 0..spec.epochs, &mut |_| ()).unwrap();
    let mut records = Vec::new();
    for topic in fs::read_dir(folder.path()).unwrap() {
        for partition in fs::read_dir(topic.unwrap().path()).unwrap() {
            let bytes = fs::read(partition.unwrap().path()).unwrap();
            records.extend(bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec));
        }
    }
    records
}

fn is_common(record: &[u8]) -> bool {
    Members::default().read_any_spelling(record, &Bump::new())
}

/// How the records of a test were read.
#[derive(Debug, Default)]
struct Outcomes {
    common: usize,
    /// Of the common shape once spelled anew.
    respelled: usize,
    accepted: usize,
    rejected: usize,
    /// Their envelope is accepted, their event is not.
    rejected_events: usize,
    /// Accepted events that were read with their envelope.
    early: usize,
}

/// Reads a record in both ways, which must agree.
fn check(record: &[u8], outcomes: &mut Outcomes) {
    let shown = String::from_utf8_lossy(record);
    let common = is_common(record);
    if common {
        let judged = serde_json::from_slice::<IgnoredAny>(record);
        assert!(judged.is_ok(), "{judged:?}: {shown}");
    }
    outcomes.common += usize::from(common);
    outcomes.respelled += usize::from(common && !Members::default().read(record));
    let memory = Bump::new();
    let read = Envelope::read_with_event(record, &memory);
    let (fast, slow) = match (read, Envelope::of_text(record)) {
        (Ok(fast), Ok(slow)) => (fast, slow),
        (fast, slow) => {
            assert_eq!(fast.map(|_| ()), slow.map(|_| ()), "{shown}");
            outcomes.rejected += 1;
            return;
        }
    };
    let (fast_event, slow_event) = (read_event(&fast, NEWEST_RULES), read_event(&slow, NEWEST_RULES));
    assert_eq!(fast_event, slow_event, "{shown}");
    outcomes.early += usize::from(fast.source_event.is_some());
    outcomes.accepted += usize::from(fast_event.is_ok());
    outcomes.rejected_events += usize::from(fast_event.is_err());
    if common {
        assert_eq!(fast.source_event.is_some(), fast_event.is_ok(), "{shown}");
    }
    drop((fast_event, slow_event));
    let alone = Envelope::read(record).unwrap();
    assert_eq!(alone, slow, "{shown}");
    let value = |text| serde_json::from_str::<serde_json::Value>(text).map_err(|error| error.classify());
    assert_eq!(value(fast.time), value(slow.time), "{shown}");
    assert_eq!(value(fast.data), value(slow.data), "{shown}");
    let without_event = Envelope {
        source_event: None,
        time: slow.time,
        data: slow.data,
        ..fast
    };
    assert_eq!(without_event, slow, "{shown}");
}

#[test]
fn the_generator_writes_the_common_shape() {
    let records = generated();
    let mut outcomes = Outcomes::default();
    for record in &records {
        check(record, &mut outcomes);
        // By another measure than the reader's own.
        let is_plain = !record.windows(4).any(|bytes| bytes == b"[[[[");
        if is_plain && serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(record).is_ok() {
            assert!(is_common(record), "{}", String::from_utf8_lossy(record));
        }
    }
    assert!(outcomes.common * 100 > records.len() * 90, "{outcomes:?}");
    assert!(outcomes.early * 100 > records.len() * 80, "{outcomes:?}");
    assert!(
        outcomes.rejected_events > 500 && outcomes.rejected > 100,
        "{outcomes:?}"
    );
}

#[test]
fn damaged_records_are_read_as_serde_json_reads_them() {
    let records: Vec<Vec<u8>> = generated().into_iter().filter(|record| record.len() > 1).collect();
    let mut choices = Choices(1);
    let mut outcomes = Outcomes::default();
    let cases = 200_000;
    for case in 0..cases {
        let mut record = records[case % records.len()].clone();
        for _ in 0..=choices.below(4) / 3 {
            let other = &records[choices.below(records.len())];
            if choices.below(4) == 0 {
                damage_bytes(&mut record, other, &mut choices);
            } else {
                damage_tokens(&mut record, other, &mut choices);
            }
        }
        check(&record, &mut outcomes);
    }
    let enough = cases / 40;
    let Outcomes {
        common,
        respelled,
        accepted,
        rejected,
        rejected_events,
        early,
    } = outcomes;
    assert!(
        [common, respelled, accepted, rejected, rejected_events, early]
            .iter()
            .all(|count| *count > enough),
        "{outcomes:?}"
    );
}

/// A small generator (splitmix64): the same cases in every run.
struct Choices(u64);

impl Choices {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ mixed >> 27) >> 11) as usize % bound.max(1)
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// A short range within so many items.
    fn range(&mut self, items: usize, longest: usize) -> std::ops::Range<usize> {
        let from = self.below(items);
        from..(from + 1 + self.below(longest)).min(items)
    }
}

const BYTES: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b" ",
    b"\t",
    b"\r",
    b"\n",
    b"0",
    b"9",
    b"-",
    b"+",
    b"e",
    b".",
    b"\0",
    b"\x1f",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xc3\xa9",
    b"\xe2\x80\xae",
    b"\xed\xa0\x80",
    b"\xf0\x9f\xa6\x80",
    b"\x0b",
    b"\x0c",
    b"\xc2\xa0",
    b"null",
    b"/",
    b"\xef\xbb\xbf",
];

/// Changes some bytes, wherever they are.
fn damage_bytes(record: &mut Vec<u8>, other: &[u8], choices: &mut Choices) {
    let at = choices.below(record.len());
    let range = choices.range(record.len(), 20);
    match choices.below(7) {
        0 => record[at..]
            .iter_mut()
            .take(1)
            .for_each(|byte| *byte ^= 1 << choices.below(8)),
        1 | 2 => drop(record.splice(at..at, choices.one(BYTES).iter().copied())),
        3 => drop(record.splice(at..(at + 1).min(record.len()), choices.one(BYTES).iter().copied())),
        4 => drop(record.drain(range)),
        5 => {
            let copied = record[range].to_vec();
            drop(record.splice(at..at, copied));
        }
        _ => drop(record.splice(range, other[choices.range(other.len(), 30)].iter().copied())),
    }
}

/// Values in odd spellings and of the wrong type, and whole members.
const TOKENS: &[&[u8]] = &[
    b"null",
    b"true",
    b"false",
    b"0",
    b"-0",
    b"1.0",
    b"10e-1",
    b"1E+0",
    b"01",
    b"1.",
    b".5",
    b"-",
    b"1e",
    b"+1",
    b"0x1",
    b"NaN",
    b"nul",
    b"12",
    b"-12.50",
    b"1e400",
    b"{}",
    b"[]",
    b"[1,{\"a\":[]}]",
    b"{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}",
    b"{\"asset\":\"ATOM\",\"amount\":\"1\"}",
    b"\"\"",
    b"\"0\"",
    b"\"-1.5\"",
    b"\"+0\"",
    b"\"1e3\"",
    b"\"\\u0041\"",
    b"\"\\ud83e\"",
    b"\"\\x\"",
    b"\"\\\"\"",
    b"\"1.0\"",
    b"\"enrolled\"",
    b"\"2026-10-01T00:00:00Z\"",
    b"\"2026-02-30T00:00:00.5+01:00\"",
    b"\"exchange.trade.v1\"",
    b"\"exchange.withdrawal.v1\"",
    b"\"softstake.epoch_close.v1\"",
    b"\"exchange.other.v1\"",
    b"\"account\"",
    b"\"fee\"",
    b"\"id\"",
    b"\"data\"",
    b"\"ty\\u0070e\"",
    b"{",
    b"}",
    b",",
    b":",
    b"\"a\":1,",
    b"\"fee\":null,",
    b"\"amount\":\"2\",",
    b"\"id\":\"x\",",
    b"\"buyer\":{\"account\":\"u\"},",
    b"\"\\u0001\":1,",
    b"[[[[[[[[]]]]]]]],",
];

/// Changes whole tokens: what comes of that is often valid.
fn damage_tokens(record: &mut Vec<u8>, other: &[u8], choices: &mut Choices) {
    let mut tokens = tokens(record);
    if tokens.is_empty() {
        return;
    }
    let at = choices.below(tokens.len());
    let range = choices.range(tokens.len(), 5);
    match choices.below(9) {
        0 => tokens.insert(at, choices.one(TOKENS).to_vec()),
        1 | 2 => tokens[at] = choices.one(TOKENS).to_vec(),
        3 => drop(tokens.drain(range)),
        4 => tokens.swap(at, range.start),
        5 => {
            let spaces: [&[u8]; 4] = [b" ", b"\t\r", b"\n  ", b"\x0c"];
            for at in (0..=tokens.len()).rev().step_by(1 + choices.below(6)) {
                let known = 3 + choices.below(50) / 49;
                tokens.insert(at, choices.one(&spaces[..known]).to_vec());
            }
        }
        6 => {
            let others = self::tokens(other);
            let range = choices.range(others.len(), 8);
            drop(tokens.splice(at..at, others[range].iter().cloned()));
        }
        7 => respell(&mut tokens[at], choices),
        _ => move_member(&mut tokens, at, choices),
    }
    *record = tokens.concat();
}

/// Writes one character of a string as an escape.
fn respell(token: &mut Vec<u8>, choices: &mut Choices) {
    let at = 1 + choices.below(token.len().saturating_sub(2));
    if token.len() > 2 && token[0] == b'"' && token[at].is_ascii_alphanumeric() {
        let escape = format!("\\u{:04x}", token[at]);
        drop(token.splice(at..=at, escape.into_bytes()));
    }
}

/// Moves or copies four tokens, such as a name, a colon, a value and a comma, to the place of another name.
fn move_member(tokens: &mut Vec<Vec<u8>>, at: usize, choices: &mut Choices) {
    let names: Vec<usize> = (0..tokens.len().saturating_sub(4))
        .filter(|at| tokens[at + 1] == b":" && tokens[at + 3] == b",")
        .collect();
    if names.is_empty() {
        return;
    }
    let from = names[at % names.len()];
    let to = names[choices.below(names.len())];
    let member = tokens[from..from + 4].to_vec();
    if choices.below(3) > 0 && (to <= from || to >= from + 4) {
        tokens.splice(to..to, member);
        let from = if to <= from { from + 4 } else { from };
        tokens.drain(from..from + 4);
    } else {
        tokens.splice(to..to, member);
    }
}

/// Strings, words, numbers and punctuation of a text that need not be JSON.
fn tokens(text: &[u8]) -> Vec<Vec<u8>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let more = match first {
            b'"' => {
                let mut escaped = false;
                let end = behind.iter().position(|byte| {
                    let ends = *byte == b'"' && !escaped;
                    escaped = *byte == b'\\' && !escaped;
                    ends
                });
                end.map_or(behind.len(), |end| end + 1)
            }
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 0,
            _ => behind
                .iter()
                .position(|byte| b"{}[],:\"".contains(byte))
                .unwrap_or(behind.len()),
        };
        let (token, next) = rest.split_at(1 + more);
        tokens.push(token.to_vec());
        rest = next;
    }
    tokens
}

#[test]
fn members_in_the_order_of_the_text() {
    let record = r#" { "a" : "x" , "b":{"c":{}, "d":-1.5e+3},"e":[{"f":null}] } "#;
    let mut members = Members::default();
    assert!(members.read(record.as_bytes()));
    let shown = |members: ObjectMembers<'_, '_>| -> Vec<String> {
        members
            .iter()
            .map(|member| {
                let name = String::from_utf8_lossy(member.quoted_name());
                format!(
                    "{name} {} {} {}",
                    member.value(),
                    member.is_compact(),
                    member.inside().iter().count()
                )
            })
            .collect()
    };
    assert_eq!(
        shown(members.all()),
        [
            r#""a" "x" false 0"#,
            r#""b" {"c":{}, "d":-1.5e+3} true 2"#,
            r#""e" [{"f":null}] true 1"#
        ]
    );
    let b = members.all().iter().nth(1).unwrap();
    assert_eq!(shown(b.inside()), [r#""c" {} true 0"#, r#""d" -1.5e+3 true 0"#]);
    assert_eq!(members.all().of_value(b.value()).map(shown), Some(shown(b.inside())));
    let copy = b.value().to_owned();
    assert!(members.all().of_value(&copy).is_none());
    let e = members.all().iter().nth(2).unwrap();
    assert!(members.all().of_value(e.value()).is_none(), "an array has no fields");
}

#[test]
fn the_bounds_of_the_common_shape() {
    let many = |count: usize| {
        let members: Vec<String> = (0..count).map(|n| format!("\"{n}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    let deep = |depth: usize| format!("{}{}", "{\"a\":".repeat(depth - 1) + "{", "}".repeat(depth));
    for (record, expected) in [
        (many(MOST_MEMBERS), true),
        (many(MOST_MEMBERS + 1), false),
        (deep(MOST_DEPTH), true),
        (deep(MOST_DEPTH + 1), false),
        (deep(1_000_000), false),
        ("{}".into(), true),
        ("{\"\":\"\"}".into(), true),
        ("{\"a\":[]}".into(), true),
        ("{\"a\":[1, [null],{\"b\":\"\"}]}".into(), true),
        ("{\"a\":[1,]}".into(), false),
        ("{\"a\":[1}".into(), false),
        ("{\"a\":\t1}".into(), true),
        ("{\"a\":\x0b1}".into(), false),
        ("{\"a\":\"\t\"}".into(), false),
        (" ".into(), false),
        (format!("{{\"a\":\"{}\"}}", "a".repeat(65_527)), true),
        (format!("{{\"a\":\"{}\"}}", "a".repeat(65_528)), false),
        ("{\"a\":\"\\\\\"}".into(), true),
        ("{\"a\":\"\\x\"}".into(), false),
        ("{\"a\\n\":1}".into(), true),
        ("{\"a\":1,}".into(), false),
        ("{\"a\":1}{".into(), false),
        ("{\"a\" 1}".into(), false),
        ("[]".into(), false),
        ("{".into(), false),
        ("{\"a".into(), false),
        (String::new(), false),
    ] {
        let shown: String = record.chars().take(80).collect();
        assert_eq!(is_common(record.as_bytes()), expected, "{shown}");
    }
    assert!(!is_common(b"{\"a\":\"\xff\"}"));
    // A special character at any place of a word of eight bytes.
    for length in 0..40 {
        for at in 0..length {
            for special in ['"', '\\', '\n', '\u{1f}', '\u{7f}', 'é', '!'] {
                let mut text: Vec<char> = vec!['x'; length];
                text[at] = special;
                let record = format!("{{\"n\":\"{}\"}}", String::from_iter(text));
                let expected = matches!(special, '\u{7f}' | 'é' | '!');
                assert_eq!(is_common(record.as_bytes()), expected, "{record:?}");
            }
        }
    }
}
