//! `softstake redrive export`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::audit::redrive::{DeadLetters, KnownLetter, LetterId, LetterState};
use crate::cli::flags::ReadFlags;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::private::create_result;
use crate::cli::redrive::corrected::one_line;
use crate::cli::redrive::select::{LetterFilter, tell_unreadable};
use crate::cli::table::counted;
use crate::core::contract::records::DeadLetter;
use crate::core::values::printable::escape_json;

/// Write dead letters to a file, to correct their events and to apply them
#[derive(Debug, Args)]
#[command(after_help = "\
Each line of the file is a JSON object: the rejected record, why it was rejected, and the event as it was. Correct the event, \
or remove the line. What is no JSON is there as text or base64; its event has to be written anew.

Example:
  softstake redrive export --topic exchange.deposits --out letters.jsonl --bus dir:bus")]
pub(super) struct RedriveExport {
    /// The file to write; an existing one is replaced
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    filter: LetterFilter,
    #[command(flatten)]
    bus: ReadFlags,
}

impl RedriveExport {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let failed = |error: io::Error| Failure::Failed(format!("cannot write {}: {error}", self.out.display()));
        let (written, left_out) = self.bus.read(|log| {
            let letters = DeadLetters::read(log)?;
            tell_unreadable(&letters);
            let (selected, left_out) = self.filter.selected(&letters, usize::MAX);
            if selected.is_empty() {
                return Ok((0, 0));
            }
            let wanted: BTreeSet<LetterId> = selected.iter().map(|letter| letter.id).collect();
            let mut file = BufWriter::new(create_result(&self.out).map_err(failed)?);
            DeadLetters::payloads::<Failure>(log, &wanted, |id, letter| {
                let Some(known) = letters.get(id) else { return Ok(()) };
                write_letter(&mut file, known, letter).map_err(failed)
            })?;
            let file: File = file.into_inner().map_err(|error| failed(error.into_error()))?;
            file.sync_all().map_err(failed)?;
            Ok((wanted.len() as u64, left_out as u64))
        })?;
        if written == 0 {
            return Err(Failure::Absent(
                "there is no such open dead letter, so no file is written; `softstake redrive list --all` shows all of them".into(),
            ));
        }
        write_line!(
            out,
            "{} in {}. Correct the events, or remove lines; then run `softstake redrive apply` with the file.",
            counted(written, "dead letter is", "dead letters are"),
            self.out.display()
        )?;
        if left_out > 0 {
            write_line!(out, "{} left out by --limit.", counted(left_out, "more is", "more are"))?;
        }
        Ok(())
    }
}

/// Writes one line. Its fields are in the order in which a person reads them, and the event is the last.
fn write_letter(file: &mut impl Write, known: &KnownLetter, letter: &DeadLetter<'_>) -> io::Result<()> {
    let place = known.id.partition;
    let mut line = format!(
        "{{\"topic\": {}, \"partition\": {}, \"offset\": {}, \"code\": {}, \"reason\": {}",
        Value::from(place.topic.name()),
        place.partition,
        known.id.offset,
        Value::from(known.code.name()),
        Value::from(known.reason.as_str()),
    );
    let mut add = |name: &str, value: &str| {
        line.push_str(&format!(", \"{name}\": {value}"));
    };
    match &known.state {
        LetterState::Open => {}
        LetterState::Redriven(_) => add("state", "\"redriven\""),
        LetterState::RejectedAgain(newest) => add("state", &json!(format!("rejected again as {newest}")).to_string()),
    }
    let record = letter.record().unwrap_or_default();
    match (readable_event(&record), letter.payload_bytes) {
        (Some(event), _) => add("event", &event),
        (None, Some(bytes)) => {
            let hint = format!(
                "the record has {bytes} bytes, too many for a dead letter, which holds its start; read it from {} at offset {}, and write the event anew",
                place, known.id.offset
            );
            add("hint", &Value::from(hint).to_string());
            add("event", "null");
        }
        (None, None) => {
            match std::str::from_utf8(&record) {
                Ok(text) => add("text", &Value::from(text).to_string()),
                Err(_) => add("base64", &Value::from(STANDARD.encode(&record)).to_string()),
            }
            let hint = "the record is no JSON object; write the whole event anew, as the value of event";
            add("hint", &Value::from(hint).to_string());
            add("event", "null");
        }
    }
    line.push_str("}\n");
    // A terminal executes nothing of the file, and the values stay the same.
    file.write_all(escape_json(&line).as_bytes())
}

/// A record that is a JSON object, on one line, as it is written.
fn readable_event(record: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(record).ok()?.trim();
    let object: &RawValue = serde_json::from_str(text).ok().filter(|_| text.starts_with('{'))?;
    Some(one_line(object.get()))
}
