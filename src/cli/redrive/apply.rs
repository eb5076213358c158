//! `softstake redrive apply`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::audit::redrive::{CopySearch, FoundCopy, LetterId, find_copies, outcome_of};
use crate::bus::{Log, TaskId, Topic, TopicPartition};
use crate::cli::ask::confirmed;
use crate::cli::flags::{ReadFlags, tell_notice};
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::redrive::edited::{self, EditedLine};
use crate::cli::redrive::plan::{LinePlan, PlannedLine, digest, plan};
use crate::cli::redrive::publisher::Publisher;
use crate::cli::redrive::words;
use crate::cli::table::counted;
use crate::cli::{bus, logging};
use crate::config::{BusAddress, Loaded};
use crate::core::contract::records::{REDRIVE_SOURCE, Redrive};
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::offset::Offset;
use crate::core::values::time::timestamp;

/// What is kept of a name or a reason has at most so many bytes.
const LONGEST_TEXT: usize = 1_000;

/// Publish the corrected events of a file that `redrive export` wrote
#[derive(Debug, Args)]
#[command(after_help = "\
Each line is judged first, by the rules of a run. The command tells what the event will mean, asks, publishes it to the \
partition of the rejected record, and waits for the outcome. What would be rejected again is not published. The event has a \
new id, which follows from the dead letter: run again, the command publishes nothing twice.
Exit status: 0 if every event counts, or was published before; 1 if one is not published or is rejected again; 2 if a line \
is wrong, or if there is nobody to ask and --yes is not given; 3 if an outcome is not known before --timeout.

Example:
  softstake redrive apply letters.jsonl --by j.doe --reason 'comma in amounts' --bus dir:bus")]
pub(super) struct RedriveApply {
    /// The edited file; - for standard input
    file: PathBuf,
    #[command(flatten)]
    bus: ReadFlags,
    /// Publish without asking
    #[arg(long)]
    yes: bool,
    /// Who publishes; it is kept for ever [default: the name of the user]
    #[arg(long, value_name = "NAME", value_parser = short_text)]
    by: Option<String>,
    /// Why; it is kept for ever
    #[arg(long, value_name = "TEXT", value_parser = short_text)]
    reason: Option<String>,
    /// On Kafka: do not read the records behind the dead letters to find out whether a producer has sent an event again itself
    #[arg(long)]
    no_search: bool,
    /// JSON instead of words
    #[arg(long)]
    json: bool,
}

fn short_text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it is empty".into());
    }
    if text.len() > LONGEST_TEXT {
        return Err(format!("it is longer than {LONGEST_TEXT} bytes"));
    }
    Ok(text.to_owned())
}

/// What became of the event of a line.
enum EventOutcome {
    Counts,
    Rejected(Rejection),
    Undecided,
}

/// The lines while they are published.
struct Application<'a> {
    command: &'a RedriveApply,
    loaded: &'a Loaded,
    log: &'a dyn Log,
    lines: &'a [EditedLine],
    with_search: bool,
}

impl RedriveApply {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let lines = edited::read(&self.file)?;
        let loaded = self.bus.load()?;
        let is_directory = match loaded.bus()? {
            BusAddress::Kafka => {
                drop(logging::begin(&loaded)?);
                false
            }
            // Refuses an archive.
            address @ BusAddress::Dir(_) => {
                bus::directory(address)?;
                tell_notice(&loaded);
                true
            }
        };
        if is_directory && self.no_search {
            return Err(Failure::Usage(
                "--no-search is for Kafka: in a directory, the search tells what was published before".into(),
            ));
        }
        let log = bus::read_patiently(loaded.bus()?, &loaded.config, self.bus.limit(Arc::default()))?
            .ok_or_else(|| Failure::Failed("stopped before the bus was reached".into()))?;
        if !is_directory && log.partitions(Topic::Redrives)?.is_empty() {
            return Err(Failure::Failed(format!(
                "topic {} is missing, which keeps what was published again: run `softstake topics --create` once",
                Topic::Redrives
            )));
        }
        let application = Application {
            command: self,
            loaded: &loaded,
            log: log.as_ref(),
            lines: &lines,
            with_search: !self.no_search,
        };
        application.run(out)
    }

    fn by(&self) -> Option<String> {
        let user = || std::env::var("USER").ok().filter(|user| short_text(user).is_ok());
        self.by.clone().or_else(user)
    }
}

impl Application<'_> {
    fn run(&self, out: &mut Output<'_>) -> Outcome {
        let mut planned = plan(self.log, self.lines, self.with_search)?;
        if !self.command.json {
            for line in &planned {
                words::show(line, out)?;
            }
            out.flush()?;
        }
        let mut offsets = BTreeMap::new();
        let before = dead_letter_ends(self.log)?;
        let to_write = planned.iter().filter(|line| line.is_to_write()).count() as u64;
        if to_write > 0 {
            let question = format!("Publish {}?", counted(to_write, "event", "events"));
            confirmed(&question, self.command.yes)?;
            let publisher = Publisher::begin(self.loaded, self.limit())?;
            // Another command may have published before this one began.
            planned = plan(self.log, self.lines, self.with_search)?;
            for line in planned.iter().filter(|line| line.is_to_write()) {
                if let Some(offset) = self.publish(&publisher, line)? {
                    offsets.insert(line.letter, offset);
                }
            }
            self.find_offsets(&planned, &mut offsets)?;
        }
        for line in &planned {
            if let LinePlan::Published(earlier) = &line.plan
                && let Some(offset) = earlier.offset
            {
                offsets.insert(line.letter, offset);
            }
        }
        let outcomes = self.wait(&planned, &offsets, &before)?;
        self.show(&planned, &offsets, &outcomes, out)
    }

    fn limit(&self) -> Option<Duration> {
        self.command.bus.limit(Arc::default()).timeout
    }

    /// Publishes the event of a line with its note, or the note alone if the event is there already.
    fn publish(&self, publisher: &Publisher<'_>, line: &PlannedLine) -> Result<Option<Offset>, Failure> {
        let note = Redrive {
            topic: line.letter.partition.topic,
            partition: line.letter.partition.partition,
            offset: line.letter.offset,
            code: line.code.unwrap_or(Code::InvalidEvent),
            event_id: line.first.to_string().into(),
            event_source: REDRIVE_SOURCE.into(),
            record_sha256: digest(&line.record),
            redriven_at: timestamp(i128::from(Timestamp::now().as_millisecond())).into(),
            by: self.command.by().map(Into::into),
            reason: self.command.reason.clone().map(Into::into),
        };
        let mut bytes = Vec::new();
        note.write(&mut bytes)
            .map_err(|fault| Failure::Failed(fault.to_string()))?;
        if matches!(line.plan, LinePlan::Published(_)) {
            publisher.note(&bytes)?;
            return Ok(None);
        }
        publisher.publish(line.letter.partition, &line.record, &bytes)
    }

    /// Looks up the offsets that the bus did not tell.
    fn find_offsets(&self, planned: &[PlannedLine], offsets: &mut BTreeMap<LetterId, Offset>) -> Result<(), Failure> {
        let mut searches: BTreeMap<TopicPartition, CopySearch> = BTreeMap::new();
        for line in planned {
            if matches!(line.plan, LinePlan::Publish(_)) && !offsets.contains_key(&line.letter) {
                let search = searches.entry(line.letter.partition).or_default();
                search.add_redriven(line.letter, line.first, line.letter.offset.saturating_add(1));
            }
        }
        for (letter, copy) in find_copies(self.log, &searches)? {
            if let FoundCopy::Redriven { offset, .. } = copy {
                offsets.insert(letter, offset);
            }
        }
        Ok(())
    }

    /// Waits until the records at these offsets are processed, and finds out which were rejected.
    fn wait(
        &self,
        planned: &[PlannedLine],
        offsets: &BTreeMap<LetterId, Offset>,
        dead_letters: &BTreeMap<u32, Offset>,
    ) -> Result<BTreeMap<LetterId, EventOutcome>, Failure> {
        const LOOK_EVERY: Duration = Duration::from_millis(100);
        let began = Instant::now();
        let mut undecided: BTreeMap<LetterId, Offset> = offsets.clone();
        loop {
            let seen = self.log.version();
            let mut waiting = BTreeMap::new();
            for (letter, offset) in undecided {
                let position = self.log.committed(TaskId::ingest(letter.partition))?;
                if position.is_none_or(|position| position.offset(letter.partition) <= offset) {
                    waiting.insert(letter, offset);
                }
            }
            undecided = waiting;
            let is_over = self.limit().is_some_and(|timeout| began.elapsed() >= timeout);
            if undecided.is_empty() || is_over {
                break;
            }
            self.log.wait(seen, LOOK_EVERY)?;
        }
        let places = offsets.iter().map(|(letter, offset)| {
            let record = LetterId {
                partition: letter.partition,
                offset: *offset,
            };
            (*letter, record)
        });
        let places: BTreeMap<LetterId, LetterId> = places.collect();
        // A record that was there before may have been rejected before.
        let is_new = planned.iter().all(|line| !matches!(line.plan, LinePlan::Published(_)));
        let marks = if is_new { dead_letters.clone() } else { BTreeMap::new() };
        let wanted: BTreeSet<LetterId> = places.values().copied().collect();
        let mut rejected = match wanted.is_empty() {
            true => BTreeMap::new(),
            false => outcome_of(self.log, &marks, &wanted)?,
        };
        let outcome = |(letter, place): (LetterId, LetterId)| {
            let outcome = match rejected.remove(&place) {
                Some(rejection) => EventOutcome::Rejected(rejection),
                None if undecided.contains_key(&letter) => EventOutcome::Undecided,
                None => EventOutcome::Counts,
            };
            (letter, outcome)
        };
        Ok(places.into_iter().map(outcome).collect())
    }

    fn show(
        &self,
        planned: &[PlannedLine],
        offsets: &BTreeMap<LetterId, Offset>,
        outcomes: &BTreeMap<LetterId, EventOutcome>,
        out: &mut Output<'_>,
    ) -> Outcome {
        let (mut refused, mut undecided) = (0_u64, 0_u64);
        let mut written = Vec::new();
        for line in planned {
            let outcome = outcomes.get(&line.letter);
            match (&line.plan, outcome) {
                (LinePlan::Refused(_), _) | (_, Some(EventOutcome::Rejected(_))) => refused += 1,
                (LinePlan::Published(earlier), _) if !earlier.is_same => refused += 1,
                (_, Some(EventOutcome::Undecided)) => undecided += 1,
                _ => {}
            }
            if self.command.json {
                written.push(as_json(line, offsets.get(&line.letter), outcome));
            } else if let Some(offset) = offsets.get(&line.letter) {
                show_outcome(line, *offset, outcome, out)?;
            }
        }
        if self.command.json {
            out.json(&json!({ "lines": written, "refused": refused, "undecided": undecided }))?;
        }
        if refused > 0 {
            let of = counted(planned.len() as u64, "line", "lines");
            return Err(Failure::Failed(format!(
                "{refused} of {of} had no effect: see what is said of each"
            )));
        }
        if undecided > 0 {
            return Err(Failure::Absent(format!(
                "{} published, but not processed yet: is a deployment running, and does it wait for something? Run the command again to wait for \
                 the outcome; nothing is published twice",
                counted(undecided, "event is", "events are")
            )));
        }
        Ok(())
    }
}

/// Where the dead letters end before anything is published.
fn dead_letter_ends(log: &dyn Log) -> Result<BTreeMap<u32, Offset>, Failure> {
    let mut ends = BTreeMap::new();
    for number in log.partitions(Topic::DeadLetters)? {
        ends.insert(number, log.readable_end(Topic::DeadLetters.partition(number))?);
    }
    Ok(ends)
}

fn show_outcome(line: &PlannedLine, offset: Offset, outcome: Option<&EventOutcome>, out: &mut Output<'_>) -> Outcome {
    let record = format!("record {offset} of {}", line.letter.partition);
    let letter = line.letter;
    match outcome {
        Some(EventOutcome::Counts) => write_line!(out, "{letter}: {record} is accepted."),
        Some(EventOutcome::Rejected(Rejection { code, reason })) => write_line!(
            out,
            "{letter}: {record} was rejected again, and is a new dead letter. {code}: {reason}"
        ),
        Some(EventOutcome::Undecided) | None => write_line!(out, "{letter}: {record} is published."),
    }
}

fn as_json(line: &PlannedLine, offset: Option<&Offset>, outcome: Option<&EventOutcome>) -> Value {
    let plan = match &line.plan {
        LinePlan::Publish(_) => "published",
        LinePlan::Published(earlier) if earlier.is_same => "published_before",
        LinePlan::Published(_) => "published_before_with_other_contents",
        LinePlan::Refused(_) => "refused",
    };
    let mut written = json!({
        "line": line.number,
        "topic": line.letter.partition.topic,
        "partition": line.letter.partition.partition,
        "offset": line.letter.offset,
        "code": line.code,
        "result": plan,
        "meaning": words::sentences(line),
    });
    if !matches!(line.plan, LinePlan::Refused(_)) {
        written["event_id"] = line.first.to_string().into();
        written["event_source"] = REDRIVE_SOURCE.into();
        written["record_offset"] = json!(offset);
        written["outcome"] = match outcome {
            Some(EventOutcome::Counts) => "accepted".into(),
            Some(EventOutcome::Rejected(_)) => "rejected".into(),
            Some(EventOutcome::Undecided) => "undecided".into(),
            None => Value::Null,
        };
    }
    if let Some(EventOutcome::Rejected(Rejection { code, reason })) = outcome {
        written["rejection"] = json!({ "code": code, "reason": reason });
    }
    written
}
