//! The header: which deployment it is, and the figures of all instances together.

use std::collections::BTreeMap;

use crate::top::document::{CoordinatorDocument, PartitionDocument, SafeText, StatusDocument};
use crate::top::figures::{UNKNOWN, count, counted, duration, known, rate};
use crate::top::followed::followed;
use crate::top::sample::{InstanceAnswer, InstanceSample};
use crate::top::screen::{MarkedText, Severity};

/// The statuses of the instances that answer.
pub(super) fn statuses(samples: &[InstanceSample]) -> impl Iterator<Item = &StatusDocument> {
    samples.iter().filter_map(InstanceSample::status)
}

/// The deployment that an instance names: its bus, and its name on Kafka.
pub(super) fn deployment(status: &StatusDocument) -> Option<String> {
    let bus = status.bus.as_ref()?;
    Some(match &status.deployment {
        Some(name) => format!("{bus} {name}"),
        None => bus.to_string(),
    })
}

/// How many instances have each of these values.
pub(super) fn numbers_by<T: Ord>(
    samples: &[InstanceSample],
    value: impl Fn(&StatusDocument) -> Option<T>,
) -> BTreeMap<T, usize> {
    let mut numbers = BTreeMap::new();
    for value in statuses(samples).filter_map(value) {
        let number: &mut usize = numbers.entry(value).or_default();
        *number = number.saturating_add(1);
    }
    numbers
}

pub(super) fn title(samples: &[InstanceSample]) -> String {
    let deployments: Vec<String> = numbers_by(samples, deployment).into_keys().collect();
    match deployments.as_slice() {
        [] => "no instance answers".into(),
        all => all.join(", "),
    }
}

/// The version of the program and the newest rules that it knows.
pub(super) fn version(status: &StatusDocument) -> Option<String> {
    let version = status.version.as_ref()?;
    Some(match status.rules {
        Some(rules) => format!("{version} rules {rules}"),
        None => version.to_string(),
    })
}

pub(super) fn coordinators(samples: &[InstanceSample]) -> Vec<String> {
    let all = samples
        .iter()
        .filter(|sample| sample.status().is_some_and(|status| status.coordinator.is_some()));
    all.map(InstanceSample::name).collect()
}

pub(super) fn figures(samples: &[InstanceSample]) -> Vec<MarkedText> {
    let mut figures = instances(samples);
    figures.push(versions(samples));
    figures.push(match coordinators(samples).as_slice() {
        [] => MarkedText::new(Severity::Warn, "no coordinator"),
        [one] => MarkedText::new(Severity::Plain, format!("coordinator {one}")),
        several => MarkedText::new(Severity::Bad, counted(several.len(), "coordinator")),
    });
    figures.extend(work(samples));
    figures.extend(epochs(samples));
    figures
}

fn instances(samples: &[InstanceSample]) -> Vec<MarkedText> {
    let ready = statuses(samples).filter(|status| status.ready == Some(true)).count();
    let not_ready = statuses(samples).filter(|status| status.ready == Some(false)).count();
    let number = |holds: fn(&InstanceAnswer) -> bool| samples.iter().filter(|sample| holds(&sample.answer)).count();
    let away = number(|answer| matches!(answer, InstanceAnswer::Away(_)));
    let asked = number(|answer| matches!(answer, InstanceAnswer::Asked));
    let all = samples.len();
    let all_up = if ready == all && all > 0 {
        Severity::Plain
    } else {
        Severity::Warn
    };
    let mut figures = vec![MarkedText::new(
        all_up,
        format!("{ready} of {} ready", counted(all, "instance")),
    )];
    let others = [
        (not_ready, "not ready", Severity::Warn),
        (away, "unreachable", Severity::Bad),
        (asked, "being asked", Severity::Plain),
    ];
    let others = others.into_iter().filter(|(number, ..)| *number > 0);
    figures.extend(others.map(|(number, what, mark)| MarkedText::new(mark, format!("{number} {what}"))));
    figures
}

fn versions(samples: &[InstanceSample]) -> MarkedText {
    let versions = numbers_by(samples, version);
    let names: Vec<&str> = versions.keys().map(String::as_str).collect();
    match names.as_slice() {
        [] => MarkedText::new(Severity::Plain, format!("version {UNKNOWN}")),
        [one] => MarkedText::new(Severity::Plain, format!("version {one}")),
        several => MarkedText::new(Severity::Warn, format!("versions {}", several.join(", "))),
    }
}

/// The sum of what is known; `None` if nothing is.
fn sum(samples: &[InstanceSample], lag: fn(&PartitionDocument) -> Option<u64>) -> Option<u64> {
    let partitions = statuses(samples).flat_map(|status| &status.partitions);
    partitions.filter_map(lag).reduce(u64::saturating_add)
}

/// The number of partitions of input topics whose lag is not known: their tasks do not work, or the bus does not answer.
fn without_lag(samples: &[InstanceSample]) -> usize {
    let reads_input = |kind: &SafeText| matches!(kind.as_str(), "ingest" | "sequence");
    let tasks = statuses(samples).flat_map(|status| &status.tasks);
    let tasks = tasks.filter(|task| task.kind.as_ref().is_some_and(reads_input)).count();
    let partitions = statuses(samples).flat_map(|status| &status.partitions);
    let with_lag = partitions.filter(|partition| partition.lag_records.is_some()).count();
    tasks.saturating_sub(with_lag)
}

/// Rate, lags and delay of all partitions.
fn work(samples: &[InstanceSample]) -> Vec<MarkedText> {
    let tasks = statuses(samples).flat_map(|status| &status.tasks);
    let ingest = tasks.filter(|task| task.kind.as_ref().is_some_and(|kind| kind.as_str() == "ingest"));
    let per_second = ingest.filter_map(|task| task.records_per_second).reduce(|a, b| a + b);
    let partitions = || statuses(samples).flat_map(|status| &status.partitions);
    let delay = partitions()
        .filter_map(|one| one.event_time_delay_seconds)
        .reduce(f64::max);
    let is_late = statuses(samples).flat_map(followed).any(|one| one.is_behind());
    let late = if is_late { Severity::Warn } else { Severity::Plain };
    let mut lag = format!("lag {}", known(sum(samples, |one| one.lag_records)));
    let unknown = without_lag(samples);
    if unknown > 0 {
        lag.push_str(&format!(" without {}", counted(unknown, "partition")));
    }
    let unsure = if unknown > 0 { Severity::Warn } else { late };
    let inner = known(sum(samples, |one| one.lag_offsets));
    vec![
        MarkedText::new(Severity::Plain, format!("{} records/s", rate(per_second))),
        MarkedText::new(unsure, lag),
        MarkedText::new(Severity::Plain, format!("inner lag {inner}")),
        MarkedText::new(
            delay.map_or(Severity::Plain, |_| late),
            format!("worst delay {}", duration(delay)),
        ),
    ]
}

fn epochs(samples: &[InstanceSample]) -> Vec<MarkedText> {
    let coordinators: Vec<_> = statuses(samples)
        .filter_map(|status| status.coordinator.as_ref())
        .collect();
    let number = |of: fn(&CoordinatorDocument) -> usize| {
        let number = coordinators.iter().map(|one| of(one)).max();
        number.map_or_else(|| UNKNOWN.into(), |number| count(number.try_into().unwrap_or(u64::MAX)))
    };
    let any = |is_any: bool, mark| if is_any { mark } else { Severity::Plain };
    let held = coordinators.iter().any(|one| !one.held.is_empty());
    let halted = coordinators.iter().any(|one| !one.halted.is_empty());
    vec![
        MarkedText::new(
            Severity::Plain,
            format!("epochs under way {}", number(|one| one.epochs.len())),
        ),
        MarkedText::new(
            any(held, Severity::Warn),
            format!("held {}", number(|one| one.held.len())),
        ),
        MarkedText::new(
            any(halted, Severity::Bad),
            format!("halted {}", number(|one| one.halted.len())),
        ),
    ]
}
