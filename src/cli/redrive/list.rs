//! `softstake redrive list`.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use crate::audit::redrive::{DeadLetters, KnownLetter, LetterState};
use crate::cli::flags::ReadFlags;
use crate::cli::outcome::Outcome;
use crate::cli::output::{Output, write_line};
use crate::cli::redrive::select::{LetterFilter, tell_unreadable};
use crate::cli::table::{TextTable, count};
use crate::core::contract::records::REDRIVE_SOURCE;
use crate::core::contract::rejection::Code;
use crate::core::contract::topic::Topic;

/// So many dead letters are listed if no limit is given.
const USUAL_LIMIT: usize = 100;

/// List the dead letters, counted by topic and code, and what became of them
#[derive(Debug, Args)]
#[command(after_help = "\
Without --all, only open ones are listed: their events were neither published again by `softstake redrive apply`, nor \
rejected again later. The counts are of all that the filters leave. 100 are listed, or as many as --limit says.

Example:
  softstake redrive list --code invalid_amount --since 2026-11-22 --bus dir:bus")]
pub(super) struct RedriveList {
    #[command(flatten)]
    filter: LetterFilter,
    #[command(flatten)]
    bus: ReadFlags,
    /// JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// The dead letters of a topic and code.
#[derive(Default)]
struct LetterCount {
    open: u64,
    redriven: u64,
    rejected_again: u64,
}

impl RedriveList {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let letters = self.bus.read(|log| Ok(DeadLetters::read(log)?))?;
        tell_unreadable(&letters);
        let mut counts: BTreeMap<(Topic, Code), LetterCount> = BTreeMap::new();
        for letter in letters.iter().filter(|letter| self.filter.is_meant(letter)) {
            let counted = counts.entry((letter.id.partition.topic, letter.code)).or_default();
            match letter.state {
                LetterState::Open => counted.open += 1,
                LetterState::Redriven(_) => counted.redriven += 1,
                LetterState::RejectedAgain(_) => counted.rejected_again += 1,
            }
        }
        let (selected, left_out) = self.filter.selected(&letters, USUAL_LIMIT);
        if self.json {
            return out.json(&as_json(&counts, &selected, left_out));
        }
        show(&counts, &selected, left_out, out)
    }
}

fn as_json(counts: &BTreeMap<(Topic, Code), LetterCount>, selected: &[&KnownLetter], left_out: usize) -> Value {
    let counts: Vec<Value> = counts
        .iter()
        .map(|((topic, code), counted)| {
            json!({
                "topic": topic, "code": code, "open": counted.open, "redriven": counted.redriven,
                "rejected_again": counted.rejected_again,
            })
        })
        .collect();
    let letters: Vec<Value> = selected.iter().map(|letter| letter_json(letter)).collect();
    json!({ "counts": counts, "letters": letters, "left_out": left_out })
}

fn letter_json(letter: &KnownLetter) -> Value {
    let mut written = json!({
        "topic": letter.id.partition.topic,
        "partition": letter.id.partition.partition,
        "offset": letter.id.offset,
        "id": letter.event.id,
        "source": letter.event.source,
        "type": letter.event.event_type,
        "time": letter.time.map(|time| time.to_string()),
        "code": letter.code,
        "field": letter.field(),
        "reason": letter.reason,
    });
    match &letter.state {
        LetterState::Open => written["state"] = "open".into(),
        LetterState::Redriven(note) => {
            written["state"] = "redriven".into();
            written["redriven"] = json!({
                "id": note.event_id, "source": note.event_source, "at": note.redriven_at, "by": note.by,
                "reason": note.reason,
            });
        }
        LetterState::RejectedAgain(newest) => {
            written["state"] = "rejected_again".into();
            written["rejected_again"] = newest.to_string().into();
        }
    }
    written
}

fn show(
    counts: &BTreeMap<(Topic, Code), LetterCount>,
    selected: &[&KnownLetter],
    left_out: usize,
    out: &mut Output<'_>,
) -> Outcome {
    if counts.is_empty() {
        return write_line!(out, "There is no such dead letter.");
    }
    let mut table = TextTable::new(&["topic", "code", ">open", ">redriven", ">rejected again"]);
    for ((topic, code), counted) in counts {
        table.row([
            topic.name(),
            code.name(),
            &count(counted.open),
            &count(counted.redriven),
            &count(counted.rejected_again),
        ]);
    }
    table.write(out)?;
    write_line!(out)?;
    if selected.is_empty() {
        return write_line!(out, "None of them is open; --all lists them.");
    }
    let mut table = TextTable::new(&["rejected record", "id", "code", "field", "time", "state", "reason"]);
    for letter in selected {
        let time = letter.time.map(|time| time.to_string()).unwrap_or_default();
        table.row([
            &letter.id.to_string(),
            letter.event.id.as_deref().unwrap_or_default(),
            letter.code.name(),
            letter.field().unwrap_or_default(),
            &time,
            &state_words(&letter.state),
            &letter.reason,
        ]);
    }
    table.write(out)?;
    if left_out > 0 {
        write_line!(out)?;
        write_line!(
            out,
            "{} more are not listed; --limit lists more.",
            count(left_out as u64)
        )?;
    }
    Ok(())
}

fn state_words(state: &LetterState) -> String {
    match state {
        LetterState::Open => "open".into(),
        LetterState::Redriven(note) => {
            let by = note.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
            let source = match note.event_source.as_ref() {
                REDRIVE_SOURCE => String::new(),
                other => format!(" of {other}"),
            };
            format!("redriven as {}{source}, at {}{by}", note.event_id, note.redriven_at)
        }
        LetterState::RejectedAgain(newest) => format!("rejected again as {newest}"),
    }
}
