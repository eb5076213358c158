//! What would become of each line of the file, by the rules of a run.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest, Sha256};

use crate::audit::error::AuditError;
use crate::audit::forecast::{Forecast, ForecastOutcome, NextOutcome, NextRecords, source_partitions};
use crate::audit::record_fields::different_fields;
use crate::audit::redrive::{CopySearch, DeadLetters, FoundCopy, LetterId, LetterState, find_copies};
use crate::bus::{Log, Topic, TopicPartition};
use crate::cli::redrive::corrected::corrected;
use crate::cli::redrive::edited::EditedLine;
use crate::cli::redrive::phrases;
use crate::core::contract::records::{REDRIVE_ATTRIBUTE, Redrive};
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::offset::Offset;

/// What is done with a line.
#[derive(Debug)]
pub(super) enum LinePlan {
    /// Its event is published.
    Publish(NextOutcome),
    /// Its event was published before.
    Published(EarlierRedrive),
    /// Nothing is published, because of this.
    Refused(String),
}

/// An event that was published again before.
#[derive(Debug, Clone)]
pub(super) struct EarlierRedrive {
    /// The note about it. Without one, the command that published it was stopped in between.
    pub(super) note: Option<Redrive<'static>>,
    /// Where it is, if that was looked for.
    pub(super) offset: Option<Offset>,
    /// Whether it is what this line would publish.
    pub(super) is_same: bool,
}

/// A line with what is to be done.
#[derive(Debug)]
pub(super) struct PlannedLine {
    pub(super) number: usize,
    pub(super) letter: LetterId,
    /// The first dead letter of the same event: the `id` of what is published.
    pub(super) first: LetterId,
    pub(super) code: Option<Code>,
    pub(super) record: Vec<u8>,
    /// What the person has changed, a sentence each.
    pub(super) changes: Vec<String>,
    pub(super) plan: LinePlan,
}

impl PlannedLine {
    /// Whether a record or a note is still to be written.
    pub(super) const fn is_to_write(&self) -> bool {
        match &self.plan {
            LinePlan::Publish(_) => true,
            LinePlan::Published(earlier) => earlier.note.is_none() && earlier.is_same,
            LinePlan::Refused(_) => false,
        }
    }

    fn refuse(&mut self, why: impl Into<String>) {
        self.plan = LinePlan::Refused(why.into());
    }

    /// Whether nothing was found yet that keeps the line from being published.
    const fn is_open(&self) -> bool {
        matches!(self.plan, LinePlan::Publish(_))
    }
}

/// Judges all lines. `with_search`: the records behind the dead letters are read to find copies of the events.
pub(super) fn plan(log: &dyn Log, lines: &[EditedLine], with_search: bool) -> Result<Vec<PlannedLine>, AuditError> {
    let letters = DeadLetters::read(log)?;
    let mut planned: Vec<PlannedLine> = lines.iter().map(|line| look_up(line, &letters)).collect();
    refuse_twice(&mut planned);
    if with_search {
        take_copies(log, &letters, &mut planned)?;
    }
    judge(log, &mut planned)?;
    compare(log, &mut planned)?;
    Ok(planned)
}

/// What the dead letters alone tell of a line.
fn look_up(line: &EditedLine, letters: &DeadLetters) -> PlannedLine {
    let mut planned = PlannedLine {
        number: line.number,
        letter: line.letter,
        first: line.letter,
        code: None,
        record: Vec::new(),
        changes: Vec::new(),
        plan: LinePlan::Publish(NextOutcome {
            outcome: ForecastOutcome::Blank,
            effects: Vec::new(),
            unlisted: Vec::new(),
        }),
    };
    let Some(letter) = letters.get(line.letter) else {
        planned.refuse(
            "there is no such dead letter on this bus; compare topic, partition and offset with `softstake redrive list --all`",
        );
        return planned;
    };
    (planned.code, planned.first) = (Some(letter.code), letter.first);
    if line.letter.partition.topic == Topic::Control {
        planned.refuse(phrases::control_command(letter.event.event_type.as_deref()));
        return planned;
    }
    match corrected(line.event.get(), line.letter, letter.first) {
        Ok(record) => planned.record = record,
        Err(why) => {
            planned.refuse(why);
            return planned;
        }
    }
    let newest = letters.of_event(letter).map(|letter| letter.id).max();
    match (newest.filter(|newest| *newest > letter.id), &letter.state) {
        (Some(newest), _) => planned.refuse(format!(
            "the same event was rejected again, as {newest}; export that dead letter, and correct it"
        )),
        (None, LetterState::Redriven(note)) => {
            planned.plan = LinePlan::Published(EarlierRedrive {
                is_same: note.record_sha256 == digest(&planned.record),
                note: Some((**note).clone()),
                offset: None,
            });
        }
        (None, _) => {}
    }
    planned
}

/// The SHA-256 of a record, as notes have it.
pub(super) fn digest(record: &[u8]) -> Cow<'static, str> {
    hex::encode(Sha256::digest(record)).into()
}

/// Two dead letters of one event are published once.
fn refuse_twice(planned: &mut [PlannedLine]) {
    let mut seen: HashMap<(TopicPartition, LetterId), usize> = HashMap::new();
    for line in planned.iter_mut().filter(|line| line.is_open()) {
        match seen.entry((line.letter.partition, line.first)) {
            Entry::Occupied(before) => {
                let before = *before.get();
                line.refuse(format!("line {before} is of the same event"));
            }
            Entry::Vacant(free) => _ = free.insert(line.number),
        }
    }
}

/// Finds what is on the topics already.
fn take_copies(log: &dyn Log, letters: &DeadLetters, planned: &mut [PlannedLine]) -> Result<(), AuditError> {
    let mut searches: BTreeMap<TopicPartition, CopySearch> = BTreeMap::new();
    for line in planned.iter().filter(|line| !matches!(line.plan, LinePlan::Refused(_))) {
        if let Some(letter) = letters.get(line.letter) {
            searches.entry(line.letter.partition).or_default().add(letters, letter);
        }
    }
    let found = find_copies(log, &searches)?;
    for line in planned {
        match (found.get(&line.letter), &mut line.plan) {
            (Some(FoundCopy::Redriven { offset, .. }), LinePlan::Published(earlier)) => earlier.offset = Some(*offset),
            (Some(FoundCopy::Redriven { offset, record }), LinePlan::Publish(_)) => {
                line.plan = LinePlan::Published(EarlierRedrive {
                    note: None,
                    offset: Some(*offset),
                    is_same: *record == line.record,
                });
            }
            (Some(FoundCopy::SentAgain(offset)), LinePlan::Publish(_)) => line.refuse(format!(
                "its producer has sent the event again itself, as record {offset} of {}, which is not rejected, or not yet; published too, it would count twice",
                line.letter.partition
            )),
            _ => {}
        }
    }
    Ok(())
}

/// Judges what is to be published, by the rules and the listings of the deployment.
fn judge(log: &dyn Log, planned: &mut [PlannedLine]) -> Result<(), AuditError> {
    if !planned.iter().any(PlannedLine::is_open) {
        return Ok(());
    }
    let forecast = Forecast::new(log, &source_partitions(log)?, None)?;
    let mut ends: HashMap<TopicPartition, NextRecords> = HashMap::new();
    for line in planned.iter_mut().filter(|line| line.is_open()) {
        let end = match ends.entry(line.letter.partition) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => free.insert(forecast.next_records(line.letter.partition)?),
        };
        let next = end.judge(&line.record)?;
        line.plan = match &next.outcome {
            ForecastOutcome::Applied => LinePlan::Publish(next),
            ForecastOutcome::Rejected(rejection) => LinePlan::Refused(still_rejected(rejection)),
            ForecastOutcome::Ignored if !next.unlisted.is_empty() => LinePlan::Refused(format!(
                "nothing of it would count: {} not listed",
                phrases::assets(&next.unlisted)
            )),
            ForecastOutcome::Ignored => {
                LinePlan::Refused("nothing of it would count: its time is before the anchor of its asset".into())
            }
            ForecastOutcome::Duplicate | ForecastOutcome::Blank => {
                LinePlan::Refused("another line publishes the same event".into())
            }
        };
    }
    Ok(())
}

fn still_rejected(rejection: &Rejection) -> String {
    let remedy = rejection
        .code
        .remedy()
        .map_or_else(String::new, |remedy| format!("; {remedy}"));
    let Rejection { code, reason } = rejection;
    format!("it would be rejected again. {code}: {reason}{remedy}")
}

/// Says what was changed in the events that are published.
fn compare(log: &dyn Log, planned: &mut [PlannedLine]) -> Result<(), AuditError> {
    let open = planned.iter().filter(|line| line.is_open());
    let wanted: BTreeSet<LetterId> = open.map(|line| line.letter).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut lines: HashMap<LetterId, &mut PlannedLine> = planned.iter_mut().map(|line| (line.letter, line)).collect();
    DeadLetters::payloads::<AuditError>(log, &wanted, |id, letter| {
        if let Some(line) = lines.get_mut(&id) {
            let rejected = letter.record().unwrap_or_default();
            line.changes = changes(&rejected, &line.record);
        }
        Ok(())
    })
}

/// The differences between the rejected record and the one to publish, but for the identity.
fn changes(rejected: &[u8], record: &[u8]) -> Vec<String> {
    if serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(rejected).is_err() {
        return vec!["it is written anew: the rejected record is no JSON object".into()];
    }
    let is_own = |field: &str| matches!(field, "id" | "source" | REDRIVE_ATTRIBUTE);
    let differences = different_fields(Some(rejected), Some(record)).into_iter();
    differences
        .filter(|difference| !is_own(&difference.field))
        .map(|difference| phrases::change(&difference))
        .collect()
}
