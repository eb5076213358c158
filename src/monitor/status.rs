//! The answer of `/status`. `docs/metrics.md` has its fields, with their units.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::bus::{Topic, TopicKind, TopicPartition};
use crate::core::contract::decision::Offsets;
use crate::core::contract::rules::NEWEST_RULES;
use crate::core::coordinate::waiting::{Missing, UnfinishedEvent, WaitingEvent};
use crate::core::values::time::timestamp;
use crate::deployment::observed::{Observed, ObservedRun};
use crate::monitor::health::{readiness, sentence};
use crate::monitor::metrics::{age_seconds, delay_seconds, event_kind, gate_state, remaining, store_kind, waits_for};
use crate::monitor::monitored::Monitored;
use crate::monitor::tasks::{TaskReport, reports};
use crate::store::rocks::StoreProperty;
use crate::task::coordinator_task::UnfinishedWork;
use crate::task::stats::{EventTime, Stats};

/// How many missing partitions an event names.
const MOST_MISSING: usize = 100;

#[derive(Debug, Serialize)]
pub(super) struct ProcessStatus {
    version: &'static str,
    rules: u64,
    bus: String,
    deployment: Option<String>,
    instance: Option<String>,
    now: String,
    uptime_seconds: f64,
    ready: bool,
    not_ready_because: Vec<String>,
    troubles: Vec<String>,
    tasks: Vec<TaskStatus>,
    partitions: Vec<PartitionStatus>,
    /// `None` if another instance has the coordinator.
    coordinator: Option<CoordinatorStatus>,
    settlements: Vec<SettlementStatus>,
    totals: Totals,
    stores: Vec<StoreStatus>,
    disk_free_bytes: Option<u64>,
    snapshots: Option<SnapshotStatus>,
}

#[derive(Debug, Serialize)]
struct TaskStatus {
    task: String,
    #[serde(rename = "type")]
    kind: &'static str,
    state: &'static str,
    records_per_second: f64,
    inputs: Vec<InputStatus>,
}

#[derive(Debug, Serialize)]
struct InputStatus {
    topic: &'static str,
    partition: u32,
    offset: u64,
    recovery_remaining_offsets: Option<u64>,
}

#[derive(Debug, Serialize)]
struct PartitionStatus {
    topic: &'static str,
    partition: u32,
    offset: u64,
    end: Option<u64>,
    lag_records: Option<u64>,
    lag_offsets: Option<u64>,
    event_time_delay_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct CoordinatorStatus {
    epochs: Vec<EpochStatus>,
    control_events: Vec<WaitStatus>,
    held: Vec<StoppedStatus>,
    halted: Vec<StoppedStatus>,
    seals: Vec<SealStatus>,
}

/// A closed epoch on its way to the seal.
#[derive(Debug, Serialize)]
struct EpochStatus {
    asset: String,
    epoch: u64,
    waits_for: &'static str,
    missing: String,
    missing_partitions: Vec<MissingPartition>,
    /// While subtotals are missing: the offset that each source partition has to pass.
    cut: Option<Offsets>,
    waits_seconds: Option<f64>,
}

/// A partition whose part is missing.
#[derive(Debug, Serialize)]
struct MissingPartition {
    topic: &'static str,
    partition: u32,
}

/// Another control event that waits.
#[derive(Debug, Serialize)]
struct WaitStatus {
    event: &'static str,
    what: String,
    missing: String,
    missing_partitions: Vec<MissingPartition>,
    waits_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct StoppedStatus {
    asset: String,
    epoch: u64,
    state: &'static str,
}

#[derive(Debug, Serialize)]
struct SealStatus {
    asset: String,
    epoch: Option<u64>,
    epoch_end: String,
    age_seconds: f64,
    epoch_seconds: f64,
}

#[derive(Debug, Serialize)]
struct SettlementStatus {
    asset: String,
    epoch: u64,
    done_ratio: f64,
}

/// Totals since the deployment was created, of the partitions that this process had.
#[derive(Debug, Serialize)]
struct Totals {
    applied: u64,
    duplicates: u64,
    ignored: u64,
    blank: u64,
    dead_letters: BTreeMap<&'static str, u64>,
    postings: u64,
    late_postings: u64,
    control_accepted: u64,
    control_duplicates: u64,
}

#[derive(Debug, Serialize)]
struct StoreStatus {
    #[serde(rename = "type")]
    kind: &'static str,
    stores: u64,
    size_bytes: u64,
    compaction_debt_bytes: u64,
    level0_files: u64,
}

#[derive(Debug, Serialize)]
struct SnapshotStatus {
    taken: u64,
    failed: u64,
    oldest_seconds: Option<f64>,
    refused: bool,
}

pub(super) fn status(process: &Monitored) -> ProcessStatus {
    let (observed, readiness) = (&process.observed, readiness(process));
    let (stats, run) = (&observed.stats, observed.run());
    let (tasks, event_times) = (reports(stats), stats.event_times());
    let stores = run.as_ref().and_then(|run| run.stores.as_ref());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    ProcessStatus {
        version: env!("CARGO_PKG_VERSION"),
        rules: NEWEST_RULES,
        bus: process.instance.bus.clone(),
        deployment: process.instance.deployment.clone(),
        instance: process.instance.name.clone(),
        now: timestamp(now.unwrap_or_default().as_millis().try_into().unwrap_or_default()),
        uptime_seconds: process.uptime().as_secs_f64(),
        ready: readiness.ready,
        not_ready_because: readiness.reasons,
        troubles: tasks
            .iter()
            .filter(|task| task.trouble.is_some())
            .map(sentence)
            .collect(),
        partitions: tasks.iter().filter_map(|task| partition(task, &event_times)).collect(),
        tasks: tasks.iter().map(task_status).collect(),
        coordinator: run
            .as_ref()
            .and_then(ObservedRun::unfinished)
            .map(|unfinished| coordinator(&unfinished, observed)),
        settlements: settlements(stats),
        totals: totals(stats),
        disk_free_bytes: stores.and_then(|stores| stores.free_bytes()),
        stores: run.as_ref().map(store_statuses).unwrap_or_default(),
        snapshots: run.as_ref().and_then(snapshot_status),
    }
}

fn task_status(report: &TaskReport) -> TaskStatus {
    let inputs = report.progress.iter().flat_map(|progress| progress.inputs());
    let inputs = inputs.map(|input| InputStatus {
        topic: input.partition.topic.name(),
        partition: input.partition.partition,
        offset: input.offset().get(),
        recovery_remaining_offsets: remaining(input),
    });
    TaskStatus {
        task: report.task.to_string(),
        kind: report.kind.name(),
        state: report.state.name(),
        records_per_second: report.progress.as_ref().map_or(0.0, |progress| progress.rate()),
        inputs: inputs.collect(),
    }
}

/// The partition that a task follows.
fn partition(report: &TaskReport, event_times: &BTreeMap<TopicPartition, EventTime>) -> Option<PartitionStatus> {
    let (progress, home) = (report.progress.as_ref()?, report.task.home());
    let input = progress.inputs().iter().find(|input| input.partition == home)?;
    let is_input = home.topic.kind() == TopicKind::Input;
    let (lag, event) = (input.lag(), event_times.get(&home));
    Some(PartitionStatus {
        topic: home.topic.name(),
        partition: home.partition,
        offset: input.offset().get(),
        end: input.end().map(|end| end.get()),
        lag_records: lag.filter(|_| is_input),
        lag_offsets: lag.filter(|_| !is_input),
        event_time_delay_seconds: event.map(|event| delay_seconds(event, lag)),
    })
}

fn coordinator(unfinished: &UnfinishedWork, observed: &Observed) -> CoordinatorStatus {
    let waits = observed.waits();
    let waits_seconds = |event: &UnfinishedEvent| waits.get(event).map(|since| since.elapsed().as_secs_f64());
    let (mut epochs, mut control_events) = (Vec::new(), Vec::new());
    for WaitingEvent { event, missing, .. } in &unfinished.waiting {
        match event {
            UnfinishedEvent::Close { asset, epoch } => epochs.push(EpochStatus {
                asset: asset.to_string(),
                epoch: epoch.get(),
                waits_for: waits_for(missing),
                missing: missing.to_string(),
                missing_partitions: missing_partitions(missing),
                cut: match missing {
                    Missing::Subtotals { cut, .. } => Some(cut.clone()),
                    _ => None,
                },
                waits_seconds: waits_seconds(event),
            }),
            other => control_events.push(WaitStatus {
                event: event_kind(other),
                what: other.to_string(),
                missing: missing.to_string(),
                missing_partitions: missing_partitions(missing),
                waits_seconds: waits_seconds(other),
            }),
        }
    }
    let held = unfinished.stopped.iter().map(|(asset, epoch, state)| StoppedStatus {
        asset: asset.to_string(),
        epoch: epoch.get(),
        state: gate_state(*state),
    });
    let halted = unfinished.halted.iter().map(|(asset, epoch)| StoppedStatus {
        asset: asset.to_string(),
        epoch: epoch.get(),
        state: "halted",
    });
    let seals = unfinished.seals.iter().map(|seal| SealStatus {
        asset: seal.asset.to_string(),
        epoch: seal.epoch.map(|epoch| epoch.get()),
        epoch_end: timestamp(seal.ended_ms),
        age_seconds: age_seconds(seal.ended_ms),
        epoch_seconds: Duration::from_millis(seal.length_ms).as_secs_f64(),
    });
    CoordinatorStatus {
        epochs,
        control_events,
        held: held.collect(),
        halted: halted.collect(),
        seals: seals.collect(),
    }
}

/// The first of the partitions that are waited for.
fn missing_partitions(missing: &Missing) -> Vec<MissingPartition> {
    let all: Vec<TopicPartition> = match missing {
        Missing::Answers(sources) => sources.clone(),
        Missing::Seal(_) => Vec::new(),
        Missing::Subtotals { partitions, .. } | Missing::Previews(partitions) | Missing::Receipts(partitions) => {
            let ledger = partitions.iter().map(|partition| Topic::Ledger.partition(*partition));
            ledger.collect()
        }
    };
    let first = all.iter().take(MOST_MISSING).map(|one| MissingPartition {
        topic: one.topic.name(),
        partition: one.partition,
    });
    first.collect()
}

fn settlements(stats: &Stats) -> Vec<SettlementStatus> {
    let each = stats.settlements.each().into_iter().filter(|one| one.all > 0);
    let statuses = each.map(|one| SettlementStatus {
        asset: one.asset.to_string(),
        epoch: one.epoch.get(),
        done_ratio: one.done as f64 / one.all as f64,
    });
    statuses.collect()
}

fn totals(stats: &Stats) -> Totals {
    let (all, control) = (stats.counts(), stats.control());
    let rejected = all.dead_letters.plus(control.dead_letters);
    Totals {
        applied: all.applied,
        duplicates: all.duplicates,
        ignored: all.ignored,
        blank: all.blank,
        dead_letters: rejected
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(code, count)| (code.name(), count))
            .collect(),
        postings: all.postings,
        late_postings: all.late,
        control_accepted: control.accepted,
        control_duplicates: control.duplicates,
    }
}

fn store_statuses(run: &ObservedRun) -> Vec<StoreStatus> {
    let kinds = run.stores.iter().flat_map(|stores| stores.by_kind());
    let statuses = kinds.map(|(kind, figures)| StoreStatus {
        kind: store_kind(kind),
        stores: figures.stores,
        size_bytes: figures.get(StoreProperty::LiveFiles),
        compaction_debt_bytes: figures.get(StoreProperty::PendingCompaction),
        level0_files: figures.level0_files,
    });
    statuses.collect()
}

fn snapshot_status(run: &ObservedRun) -> Option<SnapshotStatus> {
    let snapshots = run.snapshots.as_ref()?;
    Some(SnapshotStatus {
        taken: snapshots.uploaded(),
        failed: snapshots.failed(),
        oldest_seconds: snapshots.oldest().map(|age| age.as_secs_f64()),
        refused: snapshots.is_refused(),
    })
}
