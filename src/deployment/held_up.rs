//! Tells in the log which control events are held up: what each waits for, and when its wait is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::core::coordinate::waiting::{Missing, UnfinishedEvent, WaitingEvent};
use crate::deployment::diagnosis::Diagnosis;
use crate::deployment::observed::Observed;
use crate::task::announcer::Announcer;
use crate::task::coordinator_task::UnfinishedWork;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// An event that waits for longer is held up.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time between two lines about the same event.
const REMIND_EVERY: Duration = Duration::from_secs(60);

/// Tells of held-up events, and of rejected source records that were only counted, until the other end of `ended` is dropped.
pub(super) fn watch(
    unfinished: &Mutex<UnfinishedWork>,
    announcer: &Announcer,
    diagnosis: &Diagnosis<'_>,
    observed: &Observed,
    ended: &Receiver<()>,
) {
    let mut held_up = HeldUp::default();
    let mut control = UnreadControl::default();
    while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let now = Instant::now();
        announcer.tell_more(now);
        let lines = {
            let unfinished = unfinished.lock().unwrap_or_else(PoisonError::into_inner);
            unfinished.is_current.then(|| held_up.look(&unfinished.waiting, now))
        };
        let Some(lines) = lines else {
            // Another process has the coordinator, or it recovers.
            held_up = HeldUp::default();
            control = UnreadControl::default();
            observed.note_waits(BTreeMap::new());
            continue;
        };
        observed.note_waits(held_up.since());
        // Two events may wait for the same partition.
        let mut told = BTreeSet::new();
        for line in lines {
            match line {
                HeldUpLine::Waits(text, missing) => {
                    tracing::warn!("{text}");
                    for sentence in diagnosis.explain(&missing) {
                        if told.insert(sentence.clone()) {
                            tracing::warn!("held up: {sentence}");
                        }
                    }
                }
                HeldUpLine::IsOver(text) => tracing::info!("{text}"),
            }
        }
        if let Some(sentence) = control.look(now, || diagnosis.unread_control()) {
            tracing::warn!("{sentence}");
        }
    }
}

/// Control events that are written and cannot be read. No event waits for them yet, as none of them is known.
#[derive(Debug, Default)]
struct UnreadControl {
    looked: Option<Instant>,
    wait: Option<Wait>,
}

impl UnreadControl {
    /// The line that is due, given what is unread, which is looked up now and then.
    fn look(&mut self, now: Instant, unread: impl FnOnce() -> Option<String>) -> Option<String> {
        let is_early = |looked| now.saturating_duration_since(looked) < PATIENCE / 2;
        if self.looked.is_some_and(is_early) {
            return None;
        }
        self.looked = Some(now);
        let Some(sentence) = unread() else {
            self.wait = None;
            return None;
        };
        let wait = self.wait.get_or_insert(Wait { since: now, told: None });
        wait.tell_if_due(now)
            .then(|| format!("for {} s now {sentence}", wait.seconds(now)))
    }
}

/// How long each event waits.
#[derive(Debug, Default)]
struct HeldUp(BTreeMap<UnfinishedEvent, Wait>);

#[derive(Debug)]
struct Wait {
    since: Instant,
    /// When a line about it was written.
    told: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
enum HeldUpLine {
    Waits(String, Missing),
    IsOver(String),
}

impl HeldUp {
    /// Since when each event waits.
    fn since(&self) -> BTreeMap<UnfinishedEvent, Instant> {
        self.0.iter().map(|(event, wait)| (event.clone(), wait.since)).collect()
    }

    /// The lines that are due, given the events that wait now.
    fn look(&mut self, waiting: &[WaitingEvent], now: Instant) -> Vec<HeldUpLine> {
        let mut lines = Vec::new();
        self.0.retain(|event, wait| {
            let still = waiting.iter().any(|waiting| waiting.event == *event);
            if !still && wait.told.is_some() {
                let seconds = wait.seconds(now);
                lines.push(HeldUpLine::IsOver(format!(
                    "the wait for {event} is over, after {seconds} s"
                )));
            }
            still
        });
        for WaitingEvent { event, missing, behind } in waiting {
            let wait = self.0.entry(event.clone()).or_insert(Wait { since: now, told: None });
            if wait.tell_if_due(now) {
                let behind = match behind {
                    0 => String::new(),
                    1 => "; 1 control event waits behind it".to_owned(),
                    more => format!("; {more} control events wait behind it"),
                };
                let seconds = wait.seconds(now);
                let text = format!("{event} is held up, for {seconds} s now: it waits for {missing}{behind}");
                lines.push(HeldUpLine::Waits(text, missing.clone()));
            }
        }
        lines
    }
}

impl Wait {
    /// Whether a line is due; if so, it counts as written.
    fn tell_if_due(&mut self, now: Instant) -> bool {
        let is_due = match self.told {
            None => now.saturating_duration_since(self.since) >= PATIENCE,
            Some(told) => now.saturating_duration_since(told) >= REMIND_EVERY,
        };
        if is_due {
            self.told = Some(now);
        }
        is_due
    }

    fn seconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.since).as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Topic;
    use crate::core::contract::decision::Offsets;
    use crate::core::values::asset::Asset;
    use crate::core::values::ids::Epoch;

    fn close(epoch: u64, missing: Missing, behind: usize) -> WaitingEvent {
        WaitingEvent {
            event: UnfinishedEvent::Close {
                asset: Asset::parse("ATOM").unwrap(),
                epoch: Epoch::new(epoch),
            },
            missing,
            behind,
        }
    }

    #[test]
    fn a_wait_is_told_after_ten_seconds_then_every_minute_and_when_it_is_over() {
        let began = Instant::now();
        let mut held_up = HeldUp::default();
        let sources = vec![Topic::Deposits.partition(1), Topic::Trades.partition(0)];
        let mut look = |seconds: u64, waiting: &[WaitingEvent]| -> Vec<String> {
            let lines = held_up.look(waiting, began + Duration::from_secs(seconds));
            let text = |line| match line {
                HeldUpLine::Waits(text, _) | HeldUpLine::IsOver(text) => text,
            };
            lines.into_iter().map(text).collect()
        };
        let answers = [close(3, Missing::Answers(sources), 2)];
        let short = close(4, Missing::Receipts(vec![0]), 0);
        assert!(look(0, &answers).is_empty());
        let [first] = answers.clone();
        let both = [first, short];
        assert!(look(9, &both).is_empty());
        assert_eq!(
            look(10, &both),
            [
                "the close of ATOM epoch 3 is held up, for 10 s now: it waits for the answers of exchange.deposits:1, exchange.trades:0; \
              2 control events wait behind it"
            ]
        );
        // What waited for less than ten seconds is not told when it is over.
        assert!(look(69, &answers).is_empty());
        let subtotals = Missing::Subtotals {
            partitions: (0..10).collect(),
            cut: Offsets::default(),
        };
        let subtotals = close(3, subtotals, 0);
        assert_eq!(
            look(70, &[subtotals]),
            [
                "the close of ATOM epoch 3 is held up, for 70 s now: it waits for the subtotals of the ledger partitions 0, 1, 2, 3, 4, 5, 6, 7, \
              and 2 more, each of which needs the barrier of every source partition"
            ]
        );
        assert_eq!(
            look(75, &[]),
            ["the wait for the close of ATOM epoch 3 is over, after 75 s"]
        );
        assert!(look(76, &[]).is_empty());
    }

    #[test]
    fn unread_control_events_are_told_after_ten_seconds_and_then_every_minute() {
        let began = Instant::now();
        let mut control = UnreadControl::default();
        let mut look = |seconds: u64, unread: bool| {
            let sentence = || unread.then(|| "x".to_owned());
            control.look(began + Duration::from_secs(seconds), sentence)
        };
        assert_eq!(look(0, true), None);
        assert_eq!(look(5, true), None);
        assert_eq!(look(10, true).as_deref(), Some("for 10 s now x"));
        assert_eq!(look(15, true), None);
        assert_eq!(look(70, true).as_deref(), Some("for 70 s now x"));
        assert_eq!(look(75, false), None);
        assert_eq!(look(80, true), None);
        assert_eq!(look(91, true).as_deref(), Some("for 11 s now x"));
    }
}
