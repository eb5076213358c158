//! What all instances tell together, and what each of them does.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::instances::document::{PartitionDocument, SafeText, StatusDocument};
use crate::instances::figures::UNKNOWN;
use crate::instances::followed::{FollowedPartition, followed};
use crate::instances::marked::Severity;
use crate::instances::sample::{InstanceAnswer, InstanceSample};

/// The statuses of the instances that answer.
pub fn statuses(samples: &[InstanceSample]) -> impl Iterator<Item = &StatusDocument> {
    samples.iter().filter_map(InstanceSample::status)
}

/// The deployment that an instance names: its bus, and its name on Kafka.
#[must_use]
pub fn deployment(status: &StatusDocument) -> Option<String> {
    let bus = status.bus.as_ref()?;
    Some(match &status.deployment {
        Some(name) => format!("{bus} {name}"),
        None => bus.to_string(),
    })
}

/// How many instances have each of these values.
pub fn numbers_by<T: Ord>(
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

/// The version of the program and the newest rules that it knows.
#[must_use]
pub fn version(status: &StatusDocument) -> Option<String> {
    let version = status.version.as_ref()?;
    Some(match status.rules {
        Some(rules) => format!("{version} rules {rules}"),
        None => version.to_string(),
    })
}

/// The names of the instances that have the coordinator.
#[must_use]
pub fn coordinators(samples: &[InstanceSample]) -> Vec<String> {
    let all = samples
        .iter()
        .filter(|sample| sample.status().is_some_and(|status| status.coordinator.is_some()));
    all.map(InstanceSample::name).collect()
}

/// The sum of what is known; `None` if nothing is.
pub fn sum_of(samples: &[InstanceSample], lag: fn(&PartitionDocument) -> Option<u64>) -> Option<u64> {
    let partitions = statuses(samples).flat_map(|status| &status.partitions);
    partitions.filter_map(lag).reduce(u64::saturating_add)
}

/// The number of partitions of input topics whose lag is not known: their tasks do not work, or the bus does not answer.
#[must_use]
pub fn partitions_without_lag(samples: &[InstanceSample]) -> usize {
    let reads_input = |kind: &SafeText| matches!(kind.as_str(), "ingest" | "sequence");
    let tasks = statuses(samples).flat_map(|status| &status.tasks);
    let tasks = tasks.filter(|task| task.kind.as_ref().is_some_and(reads_input)).count();
    let partitions = statuses(samples).flat_map(|status| &status.partitions);
    let with_lag = partitions.filter(|partition| partition.lag_records.is_some()).count();
    tasks.saturating_sub(with_lag)
}

/// Source records of all instances, lately.
#[must_use]
pub fn records_per_second(samples: &[InstanceSample]) -> Option<f64> {
    let tasks = statuses(samples).flat_map(|status| &status.tasks);
    let ingest = tasks.filter(|task| task.kind.as_ref().is_some_and(|kind| kind.as_str() == "ingest"));
    ingest.filter_map(|task| task.records_per_second).reduce(|a, b| a + b)
}

/// What an instance does, in a word.
#[must_use]
pub fn instance_state(sample: &InstanceSample) -> (Severity, &'static str) {
    match &sample.answer {
        InstanceAnswer::Asked => (Severity::Plain, "being asked"),
        InstanceAnswer::Away(_) => (Severity::Bad, "unreachable"),
        InstanceAnswer::Status(status) if !status.troubles.is_empty() => (
            Severity::Bad,
            match status.ready {
                Some(true) => "ready, in trouble",
                _ => "in trouble",
            },
        ),
        InstanceAnswer::Status(status) => match status.ready {
            Some(true) => (Severity::Plain, "ready"),
            Some(false) => (Severity::Warn, "not ready"),
            None => (Severity::Plain, UNKNOWN),
        },
    }
}

/// How many tasks are in each state, the worst state first.
pub fn tasks_by_state<'a>(statuses: impl IntoIterator<Item = &'a StatusDocument>) -> Vec<(&'a str, u64)> {
    let mut numbers: BTreeMap<&str, u64> = BTreeMap::new();
    for task in statuses.into_iter().flat_map(|status| &status.tasks) {
        let state = task.state.as_ref().map_or(UNKNOWN, |state| state.as_str());
        let number = numbers.entry(state).or_default();
        *number = number.saturating_add(1);
    }
    let mut numbers: Vec<(&str, u64)> = numbers.into_iter().collect();
    numbers.sort_by_key(|(state, number)| (Reverse(state_severity(Some(state))), Reverse(*number)));
    numbers
}

/// How bad the state of a task is.
#[must_use]
pub fn state_severity(state: Option<&str>) -> Severity {
    match state {
        Some("stopped" | "restarting" | "waiting") => Severity::Bad,
        Some("working") | None => Severity::Plain,
        Some(_) => Severity::Warn,
    }
}

/// A task with the partition that it follows, and where it is.
#[derive(Debug)]
pub struct PartitionAt<'a> {
    pub mark: Severity,
    pub instance: String,
    pub followed: FollowedPartition<'a>,
}

/// All partitions of the instances that answer, the worst first.
#[must_use]
pub fn worst_partitions(samples: &[InstanceSample]) -> Vec<PartitionAt<'_>> {
    let mut all = Vec::new();
    for sample in samples {
        let each = sample.status().into_iter().flat_map(followed);
        all.extend(each.map(|followed| {
            let late = match followed.is_behind() {
                true => Severity::Warn,
                false => Severity::Plain,
            };
            PartitionAt {
                mark: state_severity(followed.state().map(SafeText::as_str)).max(late),
                instance: sample.name(),
                followed,
            }
        }));
    }
    all.sort_by(|a, b| {
        let (one, other) = (&a.followed, &b.followed);
        let delay = |of: &FollowedPartition<'_>| of.delay().unwrap_or_default();
        b.mark
            .cmp(&a.mark)
            .then_with(|| other.lag().cmp(&one.lag()))
            .then_with(|| delay(other).total_cmp(&delay(one)))
            .then_with(|| other.inner_lag().cmp(&one.inner_lag()))
    });
    all
}
