//! Gathers the samples of one scrape from what tasks, stores and the coordinator have noted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Instant, SystemTime};

use crate::bus::{Topic, TopicKind};
use crate::core::contract::rules::NEWEST_RULES;
use crate::core::coordinate::gate_state::GateState;
use crate::core::coordinate::waiting::{Missing, UnfinishedEvent};
use crate::deployment::observed::{Observed, ObservedRun};
use crate::metrics::{BUILD, Family, Samples};
use crate::monitor::families::{self, FAMILIES};
use crate::monitor::health::readiness;
use crate::monitor::monitored::Monitored;
use crate::monitor::tasks::{TaskReport, TaskState, reports};
use crate::store::rocks::{StoreKind, StoreProperty};
use crate::task::TaskError;
use crate::task::coordinator_task::UnfinishedWork;
use crate::task::durations::{StepPart, TaskKind};
use crate::task::stats::{EventTime, Stats};
use crate::task::task_board::InputProgress;

/// The text of all metrics, in OpenMetrics.
///
/// # Errors
/// If a family and its samples disagree.
pub(super) fn text(process: &Monitored) -> Result<String, fmt::Error> {
    let (observed, mut samples) = (&process.observed, Samples::of(&FAMILIES));
    let stats = &observed.stats;
    let rules = NEWEST_RULES.to_string();
    samples.info(&BUILD, [env!("CARGO_PKG_VERSION"), &rules]);
    samples.number(&families::UPTIME, [], process.uptime().as_secs_f64());
    samples.count(&families::READY, [], u64::from(readiness(process).ready));
    let tasks = reports(stats);
    add_tasks(&mut samples, stats, &tasks);
    add_inputs(&mut samples, stats, &tasks);
    add_counts(&mut samples, stats);
    add_durations(&mut samples, stats);
    add_settlements(&mut samples, stats);
    if let Some(run) = observed.run() {
        if let Some(unfinished) = run.unfinished() {
            add_epochs(&mut samples, &unfinished);
            samples.number(&families::LONGEST_WAIT, [], longest_wait(observed));
        }
        add_stores(&mut samples, &run);
        add_snapshots(&mut samples, &run);
    }
    samples.text()
}

fn add_tasks(samples: &mut Samples, stats: &Stats, tasks: &[TaskReport]) {
    for kind in TaskKind::ALL {
        for state in TaskState::ALL {
            let is_one = |task: &&TaskReport| (task.kind, task.state) == (kind, state);
            let number = tasks.iter().filter(is_one).count() as u64;
            samples.count(&families::TASKS, [kind.name(), state.name()], number);
        }
    }
    let restarts = stats.task_states.restarts();
    for reason in TaskError::REASONS {
        let number = restarts.get(reason).copied().unwrap_or(0);
        samples.count(&families::RESTARTS, [reason], number);
    }
}

/// Each partition has one task, which follows it.
fn add_inputs(samples: &mut Samples, stats: &Stats, tasks: &[TaskReport]) {
    let event_times = stats.event_times();
    for task in tasks {
        let home = task.task.home();
        let (topic, partition) = (home.topic.name(), home.partition.to_string());
        let labels = [topic, &partition];
        let inputs = task.progress.iter().flat_map(|progress| progress.inputs());
        let Some(input) = inputs.into_iter().find(|input| input.partition == home) else {
            continue;
        };
        let lag = input.lag();
        if let Some(lag) = lag {
            let family = match home.topic.kind() {
                TopicKind::Input => &families::LAG,
                TopicKind::Inner | TopicKind::Output => &families::INNER_LAG,
            };
            samples.count(family, labels, lag);
        }
        if let Some(left) = remaining(input) {
            samples.count(&families::RECOVERY_LEFT, labels, left);
        }
        if let Some(event) = event_times.get(&home) {
            samples.number(&families::DELAY, labels, delay_seconds(event, lag));
        }
    }
    if let Some(looked_up) = stats.board.looked_up() {
        samples.number(&families::LAG_AGE, [], looked_up.elapsed().as_secs_f64());
    }
}

/// The offsets that a recovering task has to read again of an input.
pub(super) fn remaining(input: &InputProgress) -> Option<u64> {
    input.recover_to().map(|to| to.since(input.offset()))
}

/// How old the newest applied event was when it was applied, in seconds; how old it is now, while records wait.
pub(super) fn delay_seconds(event: &EventTime, lag: Option<u64>) -> f64 {
    let at = match lag {
        Some(0) | None => event.applied,
        Some(_) => SystemTime::now(),
    };
    let at = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    at.as_secs_f64() - event.time.get() as f64 / 1000.0
}

fn add_counts(samples: &mut Samples, stats: &Stats) {
    let published = stats.committed_counts();
    for topic in Topic::SOURCES {
        let counts = published.sources.get(&topic).copied().unwrap_or_default();
        for (outcome, count) in [
            ("applied", counts.applied),
            ("duplicate", counts.duplicates),
            ("ignored", counts.ignored),
            ("blank", counts.blank),
            ("dead_letter", counts.dead_letters.total()),
        ] {
            samples.count(&families::RECORDS, [topic.name(), outcome], count);
        }
        for (outcome, count) in [
            ("applied", counts.postings),
            ("unlisted", counts.unlisted),
            ("before_anchor", counts.before_anchor),
        ] {
            samples.count(&families::POSTINGS, [topic.name(), outcome], count);
        }
        samples.count(&families::LATE, [topic.name()], counts.late);
        for (code, count) in counts.dead_letters.iter() {
            samples.count(&families::DEAD_LETTERS, [topic.name(), code.name()], count);
        }
    }
    let control = published.control;
    for (code, count) in control.dead_letters.iter() {
        samples.count(&families::DEAD_LETTERS, [Topic::Control.name(), code.name()], count);
    }
    for (outcome, count) in [
        ("accepted", control.accepted),
        ("duplicate", control.duplicates),
        ("dead_letter", control.dead_letters.total()),
    ] {
        samples.count(&families::CONTROL_RECORDS, [outcome], count);
    }
    samples.count(&families::ACCRUED, [], stats.accrued.load(Relaxed));
    samples.count(&families::DISTRIBUTIONS, [], stats.distributions.load(Relaxed));
    samples.count(&families::SEALS, [], stats.seals.load(Relaxed));
}

fn add_durations(samples: &mut Samples, stats: &Stats) {
    for part in StepPart::ALL {
        let family: &Family = match part {
            StepPart::Batch => &families::BATCH,
            StepPart::Transaction => &families::TRANSACTION,
            StepPart::Persist => &families::PERSIST,
        };
        // The sequencer has no store and no batches.
        for kind in TaskKind::ALL.into_iter().filter(|kind| *kind != TaskKind::Sequence) {
            samples.histogram(family, [kind.name()], stats.durations.of(kind, part));
        }
    }
}

fn add_settlements(samples: &mut Samples, stats: &Stats) {
    let mut by_asset = BTreeMap::<_, (u64, u64)>::new();
    for settlement in stats.settlements.each() {
        let (done, all) = by_asset.entry(settlement.asset).or_default();
        *done = done.saturating_add(settlement.done);
        *all = all.saturating_add(settlement.all);
    }
    for (asset, (done, all)) in by_asset.into_iter().filter(|(_, (_, all))| *all > 0) {
        samples.number(&families::SETTLEMENT, [asset.as_str()], done as f64 / all as f64);
    }
}

fn add_epochs(samples: &mut Samples, unfinished: &UnfinishedWork) {
    // An asset that was withdrawn and listed again has several listings.
    let (mut closes, mut others) = (BTreeMap::new(), BTreeMap::new());
    for waiting in &unfinished.waiting {
        match &waiting.event {
            UnfinishedEvent::Close { asset, .. } => {
                *closes.entry((*asset, waits_for(&waiting.missing))).or_default() += 1;
            }
            other => *others.entry(event_kind(other)).or_default() += 1,
        }
    }
    for ((asset, waits_for), number) in closes {
        samples.count(&families::UNDER_WAY, [asset.as_str(), waits_for], number);
    }
    for kind in ["listing", "withdrawal", "rules", "loss"] {
        let number = others.get(kind).copied().unwrap_or(0);
        samples.count(&families::CONTROL_WAITING, [kind], number);
    }
    let (mut held, mut halted) = (BTreeMap::new(), BTreeMap::new());
    for (asset, _, state) in &unfinished.stopped {
        *held.entry((*asset, gate_state(*state))).or_default() += 1;
    }
    for ((asset, state), number) in held {
        samples.count(&families::HELD, [asset.as_str(), state], number);
    }
    for (asset, _) in &unfinished.halted {
        *halted.entry(*asset).or_default() += 1;
    }
    for (asset, number) in halted {
        samples.count(&families::HALTED, [asset.as_str()], number);
    }
    let newest: BTreeMap<_, _> = unfinished.seals.iter().map(|seal| (seal.asset, seal)).collect();
    for (asset, seal) in newest {
        samples.number(&families::SEAL_AGE, [asset.as_str()], age_seconds(seal.ended_ms));
        let length = seal.length_ms as f64 / 1000.0;
        samples.number(&families::EPOCH_LENGTH, [asset.as_str()], length);
    }
}

/// The time since a time in milliseconds since 1970, in seconds.
pub(super) fn age_seconds(ms: i128) -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64() - ms as f64 / 1000.0
}

/// What a closed epoch waits for, in a word.
pub(super) const fn waits_for(missing: &Missing) -> &'static str {
    match missing {
        Missing::Answers(_) => "answers",
        Missing::Seal(_) => "seal",
        Missing::Subtotals { .. } => "subtotals",
        Missing::Previews(_) => "previews",
        Missing::Receipts(_) => "receipts",
    }
}

pub(super) const fn event_kind(event: &UnfinishedEvent) -> &'static str {
    match event {
        UnfinishedEvent::Close { .. } => "close",
        UnfinishedEvent::Listing { .. } => "listing",
        UnfinishedEvent::Withdrawal { .. } => "withdrawal",
        UnfinishedEvent::Rules { .. } => "rules",
        UnfinishedEvent::Loss { .. } => "loss",
    }
}

pub(super) const fn gate_state(state: GateState) -> &'static str {
    match state {
        GateState::Before => "before",
        GateState::Held => "held",
        GateState::Void => "void",
        GateState::Passed => "passed",
    }
}

fn longest_wait(observed: &Observed) -> f64 {
    let waits = observed.waits();
    let longest = waits.values().map(Instant::elapsed).max();
    longest.unwrap_or_default().as_secs_f64()
}

fn add_stores(samples: &mut Samples, run: &ObservedRun) {
    let Some(stores) = &run.stores else { return };
    for (kind, figures) in stores.by_kind() {
        let task = store_kind(kind);
        samples.count(&families::STORES, [task], figures.stores);
        for property in StoreProperty::ALL {
            let value = figures.get(property);
            samples.count(&families::STORE_PROPERTY, [task, property.name()], value);
        }
        samples.count(&families::STORE_BYTES, [task], figures.get(StoreProperty::LiveFiles));
        samples.count(&families::DEBT, [task], figures.get(StoreProperty::PendingCompaction));
        samples.count(&families::LEVEL0, [task], figures.level0_files);
    }
    if let Some(free) = stores.free_bytes() {
        samples.count(&families::FREE, [], free);
    }
}

pub(super) const fn store_kind(kind: StoreKind) -> &'static str {
    match kind {
        StoreKind::Ingest => TaskKind::Ingest.name(),
        StoreKind::Accrue => TaskKind::Accrue.name(),
        StoreKind::Coordinate => TaskKind::Coordinate.name(),
    }
}

fn add_snapshots(samples: &mut Samples, run: &ObservedRun) {
    let Some(snapshots) = &run.snapshots else { return };
    samples.number(&families::SNAPSHOT_INTERVAL, [], snapshots.every().as_secs_f64());
    if let Some(oldest) = snapshots.oldest() {
        samples.number(&families::SNAPSHOT_AGE, [], oldest.as_secs_f64());
    }
    for (outcome, count) in [("taken", snapshots.uploaded()), ("failed", snapshots.failed())] {
        samples.count(&families::SNAPSHOTS, [outcome], count);
    }
    let refused = u64::from(snapshots.is_refused());
    samples.count(&families::SNAPSHOTS_REFUSED, [], refused);
}
