//! What a line means, in words.

use crate::cli::outcome::Outcome;
use crate::cli::output::{Output, write_line};
use crate::cli::redrive::phrases::{assets, effect};
use crate::cli::redrive::plan::{EarlierRedrive, LinePlan, PlannedLine};
use crate::core::contract::records::REDRIVE_SOURCE;
use crate::core::contract::rejection::Code;

/// What is said of a line before anything is published.
pub(super) fn show(line: &PlannedLine, out: &mut Output<'_>) -> Outcome {
    let code = line.code.map_or_else(String::new, |code| format!(" ({code})"));
    write_line!(out, "Line {}: {}{code}", line.number, line.letter)?;
    for sentence in sentences(line) {
        write_line!(out, "  {sentence}")?;
    }
    Ok(())
}

/// The same, a sentence each.
pub(super) fn sentences(line: &PlannedLine) -> Vec<String> {
    let next = match &line.plan {
        LinePlan::Refused(why) => return vec![format!("not published: {why}")],
        LinePlan::Published(earlier) => return vec![published_before(line, earlier)],
        LinePlan::Publish(next) => next,
    };
    let partition = line.letter.partition;
    let mut sentences = vec![format!(
        "to publish on {partition}, as {} of {REDRIVE_SOURCE}",
        line.first
    )];
    if line.changes.is_empty() {
        sentences.push("changed: nothing".into());
    }
    sentences.extend(line.changes.iter().map(|change| format!("changed: {change}")));
    sentences.extend(next.effects.iter().map(|one| format!("counts: {}", effect(one))));
    if !next.unlisted.is_empty() {
        sentences.push(format!("does not count: {} not listed", assets(&next.unlisted)));
    }
    if line.code == Some(Code::ConflictingDuplicate) {
        sentences.push(
            "an event with its old id and source was applied already, and stays; this one counts as well, so both must be meant".into(),
        );
    }
    sentences
}

fn published_before(line: &PlannedLine, earlier: &EarlierRedrive) -> String {
    let offset = earlier.offset.map_or_else(String::new, |offset| {
        format!(", as record {offset} of {}", line.letter.partition)
    });
    let noted = match &earlier.note {
        Some(note) => {
            let by = note.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
            format!(", at {}{by}", note.redriven_at)
        }
        None => String::new(),
    };
    match (earlier.is_same, &earlier.note) {
        (true, Some(_)) => format!("published before{offset}{noted}; nothing is published again"),
        (true, None) => format!("published before{offset}; only the note about it is missing, and is written"),
        (false, _) => format!(
            "not published: it was published before{offset}{noted}, with other contents than this line; mend that with a balance adjustment, \
             which has an id of its own"
        ),
    }
}
