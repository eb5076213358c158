//! What is wrong, in sentences, the worst first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::instances::document::{CoordinatorDocument, SafeText, SealDocument, StatusDocument};
use crate::instances::facts::{coordinators, deployment, numbers_by, statuses, version};
use crate::instances::figures::{UNKNOWN, bytes, counted, duration, known, rate};
use crate::instances::followed::{FollowedPartition, followed, partition_name};
use crate::instances::marked::{MarkedText, Severity};
use crate::instances::sample::{InstanceAnswer, InstanceSample};
use crate::instances::waits::{PartitionPlaces, in_words};

/// A control event may wait for so many seconds before it is a problem.
const LONG_WAIT_SECONDS: f64 = 60.0;

/// So many lengths of an epoch may pass after the end of the newest sealed one: the next is over, and is not closed or settled.
const LATE_SEAL: f64 = 2.0;

/// How many assets a sentence names.
const SEALS_NAMED: usize = 4;

/// Below this, all tasks of an instance stop.
const NO_ROOM_BYTES: u64 = 256 << 20;
const LITTLE_ROOM_BYTES: u64 = 1 << 30;

/// From here on, commits go to the log.
const MANY_LEVEL0_FILES: u64 = 20;

/// What is wrong, in sentences, the worst first.
#[must_use]
pub fn problems(samples: &[InstanceSample]) -> Vec<MarkedText> {
    let mut problems = Vec::new();
    let mut add = |mark, text: String| problems.push(MarkedText::new(mark, text));
    away(samples, &mut add);
    halves(samples, &mut add);
    for sample in samples {
        if let Some(status) = sample.status() {
            of_instance(&sample.name(), status, &mut add);
        }
    }
    behind(samples, &mut add);
    let (places, mut said) = (PartitionPlaces::new(samples), BTreeSet::new());
    for coordinator in statuses(samples).filter_map(|status| status.coordinator.as_ref()) {
        // Two instances may have it for a while. Each sentence is said once.
        of_epochs(coordinator, &places, &mut |mark, text: String| {
            if said.insert(text.clone()) {
                add(mark, text);
            }
        });
    }
    twice(samples, &mut add);
    problems.sort_by_key(|problem| Reverse(problem.mark));
    problems
}

fn away(samples: &[InstanceSample], add: &mut impl FnMut(Severity, String)) {
    if samples.is_empty() {
        add(Severity::Bad, "no instance is found".into());
    }
    for sample in samples {
        let InstanceAnswer::Away(why) = &sample.answer else {
            continue;
        };
        let last = match &sample.last {
            Some((seconds, _)) => format!("last answer {} ago", duration(Some(*seconds))),
            None => "no answer yet".into(),
        };
        let (name, address) = (sample.name(), &sample.address);
        let at = match name == address.as_str() {
            true => String::new(),
            false => format!(" at {address}"),
        };
        add(Severity::Bad, format!("{name}{at} does not answer ({last}): {why}"));
    }
}

/// The instances do not agree, or are not of one deployment.
fn halves(samples: &[InstanceSample], add: &mut impl FnMut(Severity, String)) {
    let deployments: Vec<String> = numbers_by(samples, deployment).into_keys().collect();
    if deployments.len() > 1 {
        add(
            Severity::Bad,
            format!(
                "the instances are of {} deployments: {}",
                deployments.len(),
                deployments.join(", ")
            ),
        );
    }
    let versions = numbers_by(samples, version);
    if versions.len() > 1 {
        let each = versions
            .iter()
            .map(|(version, number)| format!("{version} on {number}"));
        add(
            Severity::Warn,
            format!("the versions differ: {}", each.collect::<Vec<_>>().join(", ")),
        );
    }
    let all_answer = samples.iter().all(|sample| sample.status().is_some());
    match coordinators(samples).as_slice() {
        [_] => {}
        [] if statuses(samples).next().is_none() => {}
        [] if all_answer => add(
            Severity::Bad,
            "no instance has the coordinator: nothing is closed or sealed".into(),
        ),
        [] => add(
            Severity::Warn,
            "none of the instances that answer has the coordinator".into(),
        ),
        several => add(
            Severity::Bad,
            format!(
                "{} instances have the coordinator: {}. One must lose it within seconds; if not, they are of two deployments",
                several.len(),
                several.join(", ")
            ),
        ),
    }
}

fn of_instance(name: &str, status: &StatusDocument, add: &mut impl FnMut(Severity, String)) {
    // A trouble does not pass by itself. Any other reason may: a start, or a recovery.
    let troubles: BTreeSet<_> = status.troubles.iter().collect();
    for trouble in &status.troubles {
        add(Severity::Bad, format!("{name}: {trouble}"));
    }
    let reasons = || status.not_ready_because.iter();
    for reason in reasons().filter(|reason| !troubles.contains(reason)) {
        add(Severity::Warn, format!("{name} is not ready: {reason}"));
    }
    if status.ready == Some(false) && reasons().next().is_none() {
        add(Severity::Warn, format!("{name} is not ready"));
    }
    match status.disk_free_bytes {
        Some(free) if free < NO_ROOM_BYTES => {
            add(
                Severity::Bad,
                format!(
                    "{name}: its disk is full, and its tasks stop: {} are free",
                    bytes(Some(free))
                ),
            );
        }
        Some(free) if free < LITTLE_ROOM_BYTES => {
            add(
                Severity::Warn,
                format!("{name}: its disk is nearly full: {} are free", bytes(Some(free))),
            );
        }
        _ => {}
    }
    for store in &status.stores {
        if store.level0_files.is_some_and(|files| files >= MANY_LEVEL0_FILES) {
            let kind = store.kind.as_ref().map_or(UNKNOWN, |kind| kind.as_str());
            let files = known(store.level0_files);
            add(
                Severity::Warn,
                format!("{name}: a store of {kind} has {files} files at level 0: its disk is too slow"),
            );
        }
    }
    if status
        .snapshots
        .as_ref()
        .is_some_and(|snapshots| snapshots.refused == Some(true))
    {
        add(
            Severity::Bad,
            format!("{name} takes no more snapshots: their place has some of another deployment"),
        );
    }
}

/// `epoch 3 of ATOM`.
fn epoch_of(asset: Option<&impl ToString>, epoch: Option<u64>) -> String {
    let asset = asset.map_or_else(|| UNKNOWN.into(), ToString::to_string);
    let epoch = epoch.map_or_else(|| UNKNOWN.into(), |epoch| epoch.to_string());
    format!("epoch {epoch} of {asset}")
}

fn of_epochs(coordinator: &CoordinatorDocument, places: &PartitionPlaces<'_>, add: &mut impl FnMut(Severity, String)) {
    for one in &coordinator.halted {
        let epoch = epoch_of(one.asset.as_ref(), one.epoch);
        add(
            Severity::Bad,
            format!("{epoch} is halted: a check of conservation failed. Keep bus and state, and report it"),
        );
    }
    for one in &coordinator.held {
        let epoch = epoch_of(one.asset.as_ref(), one.epoch);
        add(
            Severity::Warn,
            match one.state.as_ref().map(|state| state.as_str()) {
                Some("held") => format!("{epoch} is held: treasury releases or voids it"),
                Some("void") => format!("{epoch} is void: treasury closes it again"),
                Some(state) => format!("{epoch} is {state}"),
                None => format!("{epoch} is held"),
            },
        );
    }
    let text = |text: Option<&SafeText>| text.map_or_else(|| UNKNOWN.into(), ToString::to_string);
    let is_long = |seconds: Option<f64>| seconds.is_some_and(|seconds| seconds >= LONG_WAIT_SECONDS);
    for one in coordinator.epochs.iter().filter(|one| is_long(one.waits_seconds)) {
        let (epoch, since) = (epoch_of(one.asset.as_ref(), one.epoch), duration(one.waits_seconds));
        let missing = text(one.missing.as_ref());
        let behind = match one.cut {
            Some(_) => places.awaited_by(one),
            None => Vec::new(),
        };
        let behind = match behind.iter().any(|one| one.cut.is_some()) {
            true => format!(". Not past its cut: {}", in_words(&behind)),
            false => String::new(),
        };
        add(
            Severity::Warn,
            format!("{epoch} has waited {since}: {missing} missing{behind}"),
        );
    }
    for one in coordinator
        .control_events
        .iter()
        .filter(|one| is_long(one.waits_seconds))
    {
        let (what, since) = (
            text(one.what.as_ref().or(one.event.as_ref())),
            duration(one.waits_seconds),
        );
        add(
            Severity::Warn,
            format!("{what} has waited {since}: {} missing", text(one.missing.as_ref())),
        );
    }
    late_seals(&coordinator.seals, add);
}

/// One sentence for all assets: a deployment may have hundreds.
fn late_seals(seals: &[SealDocument], add: &mut impl FnMut(Severity, String)) {
    let mut late: Vec<&SealDocument> = seals.iter().filter(|seal| is_seal_late(seal)).collect();
    let since = |seal: &SealDocument| epochs_since(seal).unwrap_or_default();
    late.sort_by(|a, b| since(b).total_cmp(&since(a)));
    if late.is_empty() {
        return;
    }
    let each = late.iter().take(SEALS_NAMED).map(|seal| {
        let asset = seal.asset.as_ref().map_or(UNKNOWN, |asset| asset.as_str());
        format!("{asset} by {:.1} epochs", since(seal))
    });
    let each = each.collect::<Vec<_>>().join(", ");
    let others = match late.len().saturating_sub(SEALS_NAMED) {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    let assets = counted(late.len(), "asset");
    add(
        Severity::Warn,
        format!("{assets} late with a seal: {each}{others}. A close is missing, or it waits, or an epoch is held"),
    );
}

/// The lengths of an epoch that passed since the end of the newest sealed one.
#[must_use]
pub fn epochs_since(seal: &SealDocument) -> Option<f64> {
    let length = seal.epoch_seconds.filter(|length| *length > 0.0)?;
    Some(seal.age_seconds? / length)
}

#[must_use]
pub fn is_seal_late(seal: &SealDocument) -> bool {
    epochs_since(seal).is_some_and(|epochs| epochs > LATE_SEAL)
}

/// Partitions of input topics that are read late, or not at all.
fn behind(samples: &[InstanceSample], add: &mut impl FnMut(Severity, String)) {
    let all = statuses(samples).flat_map(followed);
    let late: Vec<_> = all.filter(FollowedPartition::is_behind).collect();
    let by_lag = |a: &&FollowedPartition<'_>, b: &&FollowedPartition<'_>| a.lag().cmp(&b.lag());
    let Some(worst) = late.iter().max_by(by_lag) else {
        return;
    };
    let others = match late.len().saturating_sub(1) {
        0 => String::new(),
        others => format!(". Behind as well: {}", counted(others, "partition")),
    };
    let (name, lag) = (worst.name(), known(Some(worst.lag())));
    let (per_second, delay) = (rate(worst.rate()), duration(worst.delay()));
    add(
        Severity::Warn,
        format!("{name} is behind: {lag} records wait, {per_second} records/s, delay {delay}{others}"),
    );
}

/// Partitions that two instances have at a time.
fn twice(samples: &[InstanceSample], add: &mut impl FnMut(Severity, String)) {
    if numbers_by(samples, deployment).len() > 1 {
        return;
    }
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for sample in samples {
        for partition in sample.status().iter().flat_map(|status| &status.partitions) {
            owners.entry(partition_name(partition)).or_default().push(sample.name());
        }
    }
    owners.retain(|_, names| names.len() > 1);
    if let Some((partition, names)) = owners.first_key_value() {
        let number = counted(owners.len(), "partition");
        let names = names.join(" and ");
        add(
            Severity::Warn,
            format!("{number} at two instances, such as {partition} at {names}. It lasts seconds after a takeover"),
        );
    }
}
