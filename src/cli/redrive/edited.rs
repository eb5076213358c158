//! Reads the file of dead letters that a person has edited.

use std::collections::HashMap;
use std::io::{BufRead, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::audit::redrive::LetterId;
use crate::cli::input;
use crate::cli::message::message;
use crate::cli::outcome::Failure;
use crate::core::contract::topic::Topic;
use crate::core::values::offset::Offset;

/// A line is not longer than this: twice the largest record of a dead letter.
const LONGEST_LINE: u64 = 32 << 20;
/// So many wrong lines are told.
const MOST_TOLD: usize = 20;

/// A line of the file: the dead letter, and the event to publish.
pub(super) struct EditedLine {
    /// Counts from 1.
    pub(super) number: usize,
    pub(super) letter: LetterId,
    pub(super) event: Box<RawValue>,
}

/// The fields of a line. Those that `export` only writes for the reader are not looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineFields {
    topic: String,
    partition: u32,
    offset: u64,
    #[serde(default)]
    event: Option<Box<RawValue>>,
    #[serde(default, rename = "code")]
    _code: IgnoredAny,
    #[serde(default, rename = "reason")]
    _reason: IgnoredAny,
    #[serde(default, rename = "state")]
    _state: IgnoredAny,
    #[serde(default, rename = "hint")]
    _hint: IgnoredAny,
    #[serde(default, rename = "text")]
    _text: IgnoredAny,
    #[serde(default, rename = "base64")]
    _base64: IgnoredAny,
}

/// Reads all lines. Blank ones are skipped. The first wrong lines are told, each with its number.
///
/// # Errors
/// If the file cannot be read, or a line is wrong: then nothing of the file is used.
pub(super) fn read(path: &Path) -> Result<Vec<EditedLine>, Failure> {
    let mut file = input::open(path)?;
    let name = path.display().to_string();
    let (mut lines, mut wrong) = (Vec::new(), 0_usize);
    let mut known: HashMap<LetterId, usize> = HashMap::new();
    let mut number = 0;
    loop {
        let mut bytes = Vec::new();
        let read = file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes);
        let read = read.map_err(|error| Failure::Usage(format!("cannot read {name}: {error}")))?;
        if read == 0 {
            break;
        }
        number += 1;
        if read as u64 == LONGEST_LINE {
            return Err(Failure::Usage(format!(
                "line {number} of {name} is longer than {LONGEST_LINE} bytes: no event is; nothing is published"
            )));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let line = parse(&bytes, number).and_then(|line| match known.insert(line.letter, number) {
            Some(before) => Err(format!(
                "it names the dead letter {} of line {before} again",
                line.letter
            )),
            None => Ok(line),
        });
        match line {
            Ok(line) => lines.push(line),
            Err(why) => {
                wrong += 1;
                if wrong <= MOST_TOLD {
                    message!("line {number} of {name}: {why}");
                }
            }
        }
    }
    if wrong > 0 {
        return Err(Failure::Usage(format!(
            "nothing is published: {wrong} of the lines of {name} cannot be used; correct or remove them"
        )));
    }
    if lines.is_empty() {
        return Err(Failure::Absent(format!("there is no dead letter in {name}")));
    }
    Ok(lines)
}

fn parse(bytes: &[u8], number: usize) -> Result<EditedLine, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("it is not UTF-8 from byte {} on", error.valid_up_to()))?
        .trim();
    let fields: LineFields = serde_json::from_str(text).map_err(|error| {
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or_default();
        format!("{what} (column {})", error.column())
    })?;
    let topic = Topic::from_name(&fields.topic)
        .filter(|topic| Topic::SOURCES.contains(topic) || *topic == Topic::Control)
        .ok_or_else(|| format!("`topic` is {}, whose records are not rejected", fields.topic))?;
    let event = fields
        .event
        .filter(|event| event.get() != "null")
        .ok_or("`event` is missing: write the whole event there, or remove the line")?;
    Ok(EditedLine {
        number,
        letter: LetterId {
            partition: topic.partition(fields.partition),
            offset: Offset::new(fields.offset),
        },
        event,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(line: &str) -> String {
        match parse(line.as_bytes(), 3) {
            Ok(_) => panic!("{line} is right"),
            Err(why) => why,
        }
    }

    #[test]
    fn a_wrong_line_is_named_by_its_field() {
        let start = r#""topic":"exchange.trades","partition":0,"offset":4"#;
        let line = parse(format!("{{{start},\"code\":\"x\",\"event\":{{}}}}").as_bytes(), 1)
            .unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(line.letter.to_string(), "exchange.trades:0:4");
        for (line, expected) in [
            (format!("{{{start},\"evnet\":{{}}}}"), "unknown field `evnet`"),
            (format!("{{{start}}}"), "`event` is missing"),
            (format!("{{{start},\"event\":null}}"), "`event` is missing"),
            (
                r#"{"topic":"exchange.trades","partition":-1,"offset":4}"#.into(),
                "invalid value: integer `-1`",
            ),
            (
                r#"{"topic":"exchange.trades","offset":4,"event":{}}"#.into(),
                "missing field `partition`",
            ),
            (
                r#"{"topic":"softstake.epochs","partition":0,"offset":4,"event":{}}"#.into(),
                "`topic` is softstake.epochs",
            ),
            ("nonsense".into(), "(column "),
            (format!("{{{start},\"event\":{{}}}} and more"), "trailing characters"),
        ] {
            let said = wrong(&line);
            assert!(said.contains(expected), "{said}");
            assert!(!said.contains("at line"), "{said}");
        }
    }
}
