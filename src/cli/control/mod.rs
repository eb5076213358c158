//! `softstake control`: writes control events. It judges an event first, tells what it will mean, asks, publishes, and waits for the decision.

mod arguments;
mod decision;
mod draft;
mod meaning;

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use crate::audit::control_topic::{ControlOutcome, ControlRecord, ControlTopic, EpochState};
use crate::audit::forecast::ForecastOutcome;
use crate::bus::dir::append_line;
use crate::bus::kafka::produce::produce;
use crate::bus::{Log, Topic, TopicPartition};
use crate::cli::ask::confirmed;
use crate::cli::control::arguments::ControlEventCommand;
use crate::cli::control::draft::{Draft, EventToWrite, SOURCE};
use crate::cli::control::meaning::Meaning;
use crate::cli::flags::{ControlFlags, tell_notice};
use crate::cli::message::message;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::{bus, logging};
use crate::config::{BusAddress, Loaded};
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;

const CONTROL: TopicPartition = Topic::Control.partition(0);

/// How long a publication is waited for where no limit is set.
const DELIVERY: Duration = Duration::from_secs(300);

/// Write a control event: list an asset, close an epoch, release or void a held one, and so on
#[derive(Debug, Args)]
#[command(after_help = "\
The event is judged by the rules of a run before it is published. The command tells what it will mean, asks, publishes it \
once, and waits for the decision. Run again with the same --id, it publishes nothing, and tells the decision.
Exit status: 0 if the event is accepted; 1 if it is refused, or would be; 2 if there is nobody to ask and --yes is not \
given; 3 if there is no decision before --timeout.

Example:
  softstake control close ATOM 12 --pool 150 --bus dir:bus --state state")]
pub(super) struct Control {
    #[command(subcommand)]
    event: ControlEventCommand,
}

impl Control {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let (draft, flags) = self.event.draft()?;
        let loaded = flags.load()?;
        match loaded.bus()? {
            BusAddress::Kafka => drop(logging::begin(&loaded)?),
            // Refuses an archive.
            address @ BusAddress::Dir(_) => {
                bus::directory(address)?;
                tell_notice(&loaded);
            }
        }
        let log = bus::read_patiently(loaded.bus()?, &loaded.config, flags.limit())?
            .ok_or_else(|| Failure::Failed("stopped before the bus was reached".into()))?;
        let operation = Operation {
            draft,
            flags,
            loaded: &loaded,
            log: log.as_ref(),
        };
        operation.run(out)
    }
}

/// One control event on its way to its decision.
struct Operation<'a> {
    draft: Draft,
    flags: &'a ControlFlags,
    loaded: &'a Loaded,
    log: &'a dyn Log,
}

/// What is published, or was before.
enum Step {
    /// This event.
    Publish(EventToWrite),
    /// An event with this id is on the topic already.
    Published(ControlRecord, String),
}

impl Operation<'_> {
    fn run(&self, out: &mut Output<'_>) -> Outcome {
        let topic = ControlTopic::read(self.log)?;
        let (id, offset, meaning) = match self.next_step(&topic)? {
            Step::Published(record, id) => {
                message!(
                    "{id} was published before, as record {} of {}, at {}; nothing is published again",
                    record.offset,
                    CONTROL.topic,
                    record.time
                );
                (id, record.offset, None)
            }
            Step::Publish(event) => {
                self.judge(&topic, &event, out)?;
                let meaning = Meaning::of(&topic, &self.draft, &event, self.loaded)?;
                if !self.flags.json {
                    for line in meaning.lines() {
                        write_line!(out, "{line}")?;
                    }
                    out.flush()?;
                }
                confirmed(&format!("Publish this event as {}?", event.id), self.flags.yes)?;
                let offset = self.publish(&event)?;
                (event.id, offset, Some(meaning))
            }
        };
        let outcome = self.wait(topic, offset)?;
        self.show(&id, offset, &outcome, meaning.as_ref(), out)
    }

    /// Finds out whether the event is on the topic already, and under which id it is published otherwise.
    fn next_step(&self, topic: &ControlTopic<'_>) -> Result<Step, Failure> {
        let (base, is_given) = match &self.flags.id {
            Some(id) => (id.clone(), true),
            None => (self.draft.usual_id(), false),
        };
        // An event that was accepted and then overtaken by another one can be meant again; then it needs another id.
        for number in 1_u64.. {
            let id = match number {
                1 => base.clone(),
                number => format!("{base}-{number}"),
            };
            let Some(record) = known(topic, &id)? else {
                return Ok(Step::Publish(self.draft.event(id)));
            };
            let is_same = record.event_type == self.draft.event_type
                && record.data == self.draft.data
                && self
                    .draft
                    .time
                    .as_ref()
                    .is_none_or(|time| is_same_time(time, &record.time));
            if !is_same && !is_given {
                continue;
            }
            if !is_same {
                return Err(Failure::Failed(format!(
                    "another event has the id {id}: record {} of {}, a {} of {}; give this one an --id of its own",
                    record.offset, CONTROL.topic, record.event_type, record.time
                )));
            }
            let accepted = match topic.outcome(record.offset)? {
                ControlOutcome::Accepted(decision) => Some(decision),
                _ => None,
            };
            let is_overtaken = accepted.is_some_and(|decision| decision::is_overtaken(&decision, topic.decisions()));
            if is_given || !is_overtaken {
                return Ok(Step::Published(record, id));
            }
        }
        Err(Failure::Failed("no id is free; give one with --id".into()))
    }

    /// Refuses an event that would be a dead letter.
    fn judge(&self, topic: &ControlTopic<'_>, event: &EventToWrite, out: &mut Output<'_>) -> Outcome {
        // All source partitions of a large deployment are not read for one event.
        let with_sources = matches!(self.loaded.bus()?, BusAddress::Dir(_));
        let mut rejection = match topic.judge(&event.record, with_sources)? {
            ForecastOutcome::Rejected(rejection) => Some(rejection),
            _ => None,
        };
        if let Some((asset, epoch)) = self.draft.verdict()
            && rejection
                .as_ref()
                .is_none_or(|rejection| rejection.code == Code::EpochNotHeld)
        {
            rejection = not_held(asset, epoch, &topic.epoch_state(asset, epoch)?);
        }
        let Some(Rejection { code, reason }) = rejection else {
            return Ok(());
        };
        let remedy = decision::remedy(code);
        if self.flags.json {
            out.json(
                &json!({ "outcome": "refused", "code": code, "reason": reason, "remedy": remedy, "published": false }),
            )?;
        }
        let remedy = remedy.map_or_else(String::new, |remedy| format!("; {remedy}"));
        Err(Failure::Failed(format!(
            "the event would be rejected, so it is not published. {code}: {reason}{remedy}"
        )))
    }

    /// Publishes the event. Returns its offset.
    fn publish(&self, event: &EventToWrite) -> Result<Offset, Failure> {
        match self.loaded.bus()? {
            BusAddress::Dir(path) => {
                append_line(path, CONTROL, &event.record)?;
                let offset = ControlTopic::offset_of(self.log, &event.record)?;
                offset.ok_or_else(|| {
                    Failure::Failed(format!(
                        "the event was appended to {CONTROL}, but is not there any more"
                    ))
                })
            }
            BusAddress::Kafka => {
                let timeout = self.flags.limit().timeout.unwrap_or(DELIVERY);
                produce(&self.loaded.config.kafka, CONTROL, &event.record, timeout).map_err(|error| {
                    let Failure::Failed(why) = Failure::from(error) else {
                        return Failure::Failed("the brokers refused the event".into());
                    };
                    Failure::Failed(format!(
                        "{why}; run the command again with --id {}: then nothing is published twice",
                        event.id
                    ))
                })
            }
        }
    }

    /// Waits for the decision.
    fn wait(&self, topic: ControlTopic<'_>, offset: Offset) -> Result<ControlOutcome, Failure> {
        const LOOK_EVERY: Duration = Duration::from_millis(100);
        let (began, timeout) = (Instant::now(), self.flags.limit().timeout);
        let mut feed = topic.into_feed();
        loop {
            let seen = self.log.version();
            while feed.read()? {}
            let outcome = feed.outcome(self.log, offset)?;
            let is_over = timeout.is_some_and(|timeout| began.elapsed() >= timeout);
            if outcome != ControlOutcome::Undecided || is_over {
                return Ok(outcome);
            }
            self.log.wait(seen, LOOK_EVERY)?;
        }
    }

    fn show(
        &self,
        id: &str,
        offset: Offset,
        outcome: &ControlOutcome,
        meaning: Option<&Meaning>,
        out: &mut Output<'_>,
    ) -> Outcome {
        if self.flags.json {
            out.json(&self.as_json(id, offset, outcome, meaning)?)?;
        }
        match outcome {
            ControlOutcome::Accepted(decision) => {
                if !self.flags.json {
                    for line in decision::words(decision) {
                        write_line!(out, "{line}")?;
                    }
                }
                Ok(())
            }
            ControlOutcome::Copy => {
                if !self.flags.json {
                    write_line!(
                        out,
                        "Accepted before: the event is an identical copy, and changes nothing."
                    )?;
                }
                Ok(())
            }
            ControlOutcome::Rejected(Rejection { code, reason }) => Err(Failure::Failed(format!(
                "the event was rejected, and is a dead letter. {code}: {reason}"
            ))),
            ControlOutcome::Undecided => Err(Failure::Absent(format!(
                "the event is published, as record {offset} of {}, but there is no decision yet: is a deployment running, and does it wait for something? \
                 Run the command again with --id {id} to wait for the decision; nothing is published twice",
                CONTROL.topic
            ))),
        }
    }

    fn as_json(
        &self,
        id: &str,
        offset: Offset,
        outcome: &ControlOutcome,
        meaning: Option<&Meaning>,
    ) -> Result<Value, Failure> {
        let mut written = json!({
            "id": id,
            "source": SOURCE,
            "type": self.draft.event_type,
            "data": self.draft.data,
            "published": meaning.is_some(),
            "control_offset": offset,
            "meaning": meaning.map(Meaning::lines),
            "estimate": meaning.and_then(Meaning::estimate),
            "outcome": match outcome {
                ControlOutcome::Accepted(_) => "accepted",
                ControlOutcome::Copy => "copy",
                ControlOutcome::Rejected(_) => "rejected",
                ControlOutcome::Undecided => "undecided",
            },
        });
        match outcome {
            ControlOutcome::Accepted(decision) => written["decision"] = serde_json::to_value(decision)?,
            ControlOutcome::Rejected(Rejection { code, reason }) => {
                written["code"] = code.name().into();
                written["reason"] = reason.as_str().into();
            }
            ControlOutcome::Copy | ControlOutcome::Undecided => {}
        }
        Ok(written)
    }
}

/// The event with an id that counts: the one that was accepted, or is not decided yet. One that was rejected does not keep its id.
fn known(topic: &ControlTopic<'_>, id: &str) -> Result<Option<ControlRecord>, Failure> {
    for record in topic.find(id, SOURCE)? {
        match topic.outcome(record.offset)? {
            ControlOutcome::Rejected(_) => {}
            ControlOutcome::Accepted(_) | ControlOutcome::Copy | ControlOutcome::Undecided => return Ok(Some(record)),
        }
    }
    Ok(None)
}

fn is_same_time(given: &str, recorded: &str) -> bool {
    use crate::core::values::time::TimeMs;
    match (TimeMs::parse(given), TimeMs::parse(recorded)) {
        (Ok(given), Ok(recorded)) => given == recorded,
        _ => false,
    }
}

/// Why a release or void of an epoch would be rejected, if it would be.
fn not_held(asset: Asset, epoch: Epoch, state: &EpochState) -> Option<Rejection> {
    let state = match state {
        EpochState::Held(_) => return None,
        EpochState::None => "which the asset does not have",
        EpochState::Open => "which is open: it has to be closed first",
        EpochState::Settling => {
            "which is closed, but not settled yet: whether the gate holds it is not known, so try again in a moment"
        }
        EpochState::Released => "which is released already",
        EpochState::Void => "which is void: a new close settles it again",
        EpochState::Sealed => "which is sealed",
    };
    Some(Code::EpochNotHeld.because(format!(
        "`epoch` is epoch {epoch} of {asset}, {state}; the gate does not hold it"
    )))
}
